/**
 * The daemon's page: files, a stream of server-sent events, one command. Its files stand in `assets/` beside this module
 * and are packed as sources (package.json `files`); the three libraries come from node_modules as their makers built
 * them. There is no build step and no external resource.
 *
 * Use: `const page = createPage({ vms: () => controls, journal: () => journal.status(), injection })`; `page.attach(vm)`
 * for each VM; serve `page.routes()` with `createHttp({ what: "page", contentSecurityPolicy: page.contentSecurityPolicy, …})`;
 * tell the operator `page.address(service.url)`, which carries the token in its fragment (browsers do not send
 * fragments); `page.close()` before the service is closed.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Pec } from "../../abi/ccdf.ts";
import { packageRoot, zmendVersion } from "../../base/version.ts";
import type { VmControl } from "../../machine/vm-control.ts";
import { states } from "../../recovery/index.ts";
import { type HttpAnswer, type HttpRoutes, say } from "../http/service.ts";
import { type InjectionOptions, inject } from "./inject.ts";
import { Observer, type ObserverOptions, type ViewPosition } from "./view.ts";

export interface PageOptions extends ObserverOptions {
  /** With it, the page may raise errors; without it there is no such button and no such path. */
  readonly injection?: InjectionOptions;
  /** Between two messages to a browser. */
  readonly intervalMs?: number;
}

export interface Page {
  readonly contentSecurityPolicy: string;
  attach(vm: VmControl): () => void;
  /** A VM that will not come back. */
  forget(vm: string): void;
  routes(): HttpRoutes;
  /** The page's address for the operator, with the token where there is one. */
  address(serviceUrl: string): string;
  /** Ends the streams. */
  close(): void;
}

const INTERVAL_MS = 500;
/** Browsers that watch at the same time; each costs a message per interval. */
const STREAMS_MAX = 16;

const JAVASCRIPT = "text/javascript; charset=utf-8";
const CSS = "text/css; charset=utf-8";

/** Our own files, by path. */
const assets: Readonly<Record<string, readonly [file: string, type: string]>> = {
  "/page.js": ["page.js", JAVASCRIPT],
  "/timeline.js": ["timeline.js", JAVASCRIPT],
  "/chart.js": ["chart.js", JAVASCRIPT],
  "/page.css": ["page.css", CSS],
  "/icon.svg": ["icon.svg", "image/svg+xml"],
};

/** Files of our dependencies, by path: package, then the file inside it. */
const libraries: Readonly<Record<string, readonly [name: string, file: string, type: string]>> = {
  "/lib/preact.js": ["preact", "dist/preact.mjs", JAVASCRIPT],
  "/lib/hooks.js": ["preact", "hooks/dist/hooks.mjs", JAVASCRIPT],
  "/lib/htm.js": ["htm", "dist/htm.module.js", JAVASCRIPT],
  "/lib/uplot.js": ["uplot", "dist/uPlot.esm.js", JAVASCRIPT],
  "/lib/uplot.css": ["uplot", "dist/uPlot.min.css", CSS],
};

/** A browser that watches. */
interface Stream {
  readonly response: ServerResponse;
  /** What it has been told; undefined when it has to be told everything (again). */
  position: ViewPosition | undefined;
}

export function createPage(options: PageOptions): Page {
  const observer = new Observer(options);
  const streams = new Set<Stream>();
  const index = asset("index.html");
  let timer: NodeJS.Timeout | undefined;

  const tell = (stream: Stream): void => {
    // A browser that does not read gets nothing until it does, and then everything.
    if (stream.response.writableNeedDrain) {
      stream.position = undefined;
      return;
    }
    const first = stream.position === undefined;
    stream.position ??= { changes: 0, recoveries: 0 };
    const view = observer.view(stream.position);
    stream.response.write(
      `event: ${first ? "start" : "update"}\ndata: ${JSON.stringify(view)}\n\n`,
    );
  };
  const end = (stream: Stream): void => {
    streams.delete(stream);
    if (streams.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
  const watch = (response: ServerResponse): HttpAnswer | undefined => {
    if (streams.size >= STREAMS_MAX) return say(503, "Too many browsers watch already; close one.");
    const stream: Stream = { response, position: undefined };
    streams.add(stream);
    response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8" });
    response.on("close", () => end(stream)).on("error", () => end(stream));
    tell(stream);
    timer ??= setInterval(() => {
      for (const each of streams) tell(each);
    }, options.intervalMs ?? INTERVAL_MS);
    timer.unref();
    return undefined;
  };

  const { injection } = options;
  const routes: HttpRoutes = {
    "GET /": () => ({ type: "text/html; charset=utf-8", body: index }),
    "GET /settings": () => json(settings(injection !== undefined)),
    "GET /view": () => json(observer.view()),
    "GET /events": (_, response) => watch(response),
    ...Object.fromEntries(
      Object.entries(assets).map(([path, [file, type]]) => [
        `GET ${path}`,
        () => ({ type, body: asset(file) }),
      ]),
    ),
    ...Object.fromEntries(
      Object.entries(libraries).map(([path, [name, file, type]]) => [
        `GET ${path}`,
        () => ({ type, body: library(name, file) }),
      ]),
    ),
    ...(injection === undefined
      ? {}
      : ({
          "POST /inject": (request) => inject(request, options.vms(), injection),
        } satisfies HttpRoutes)),
  };
  return {
    contentSecurityPolicy: contentSecurityPolicy(index),
    attach: (vm) => observer.attach(vm),
    forget: (vm) => observer.forget(vm),
    routes: () => routes,
    address: (serviceUrl) =>
      injection === undefined ? `${serviceUrl}/` : `${serviceUrl}/#token=${injection.token}`,
    close: () => {
      for (const stream of [...streams]) {
        end(stream);
        stream.response.end();
      }
    },
  };
}

/** What does not change while the page is open. */
function settings(injection: boolean): object {
  const pecs = Object.entries(Pec).map(([name, pec]) => ({ name, pec }));
  return { version: zmendVersion(), states, injection, pecs };
}

function json(value: unknown): HttpAnswer {
  return { type: "application/json", body: JSON.stringify(value) };
}

function asset(file: string): string {
  return readFileSync(new URL(`src/control/page/assets/${file}`, packageRoot), "utf8");
}

/** A file of a dependency. Not every package lets its package.json be resolved, so its folder is found by its name. */
function library(name: string, file: string): Uint8Array {
  const main = createRequire(import.meta.url).resolve(name);
  const folder = join("node_modules", name);
  return readFileSync(join(main.slice(0, main.lastIndexOf(folder)), folder, file));
}

/** Everything from ourselves, the import map by its sum, nothing else; frames and forms not at all. */
function contentSecurityPolicy(index: string): string {
  const map = /<script type="importmap">([^<]*)<\/script>/.exec(index)?.[1] ?? "";
  const sum = createHash("sha256").update(map).digest("base64");
  return [
    "default-src 'none'",
    `script-src 'self' 'sha256-${sum}'`,
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}
