/**
 * HTTP on loopback, for the metrics and for the page. Any web page that a user of this machine looks at can send requests
 * to loopback, and with a name server of its own it can read the answers (DNS rebinding). So a request is
 * answered only if
 *  - its Host header names loopback (`127.0.0.1`, `localhost` or `[::1]`, with this service's port or none),
 *  - its Origin header, if there is one, is this service's own,
 *  - its Sec-Fetch-Site header, if there is one, does not say that another site's page asks (following a link is fine).
 * Answers carry a content security policy and forbid framing, sniffing and caching.
 *
 * Use: `const service = await createHttp({ what: "metrics", port: 0, routes })`; `service.url`; `await service.close()`.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { ZmendError } from "../../base/errors.ts";

const ADDRESS = "127.0.0.1";
const LOOPBACK_NAMES = ["127.0.0.1", "localhost", "[::1]"];
/** Open connections of all clients together: enough for scrapers and some browsers. */
const CONNECTIONS_MAX = 128;
/** For a request's head, and for all of it; looked at once a second, by default it is every half minute. */
const HEAD_MS = 5000;
const REQUEST_MS = 10_000;
const CHECK_MS = 1000;

export interface HttpRequest {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  /** The whole body; undefined when it is longer than `maxBytes`. */
  body(maxBytes: number): Promise<Uint8Array | undefined>;
  readonly raw: IncomingMessage;
}

export interface HttpAnswer {
  readonly status?: number;
  readonly type: string;
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Answers a request, or takes the response over and returns undefined (streams). */
export type HttpRoute = (
  request: HttpRequest,
  response: ServerResponse,
) => HttpAnswer | undefined | Promise<HttpAnswer | undefined>;

/** Keys are `GET /path` and `POST /path`; GET answers HEAD as well. */
export type HttpRoutes = Readonly<Record<string, HttpRoute>>;

export interface HttpOptions {
  /** What the service is, for messages: `metrics`, `page`. */
  readonly what: string;
  /** 0 = any free one. */
  readonly port: number;
  readonly routes: HttpRoutes;
  /** Sent with every answer; `default-src 'none'` by default. */
  readonly contentSecurityPolicy?: string;
  /** A route threw: our mistake, and the client gets status 500. */
  readonly onError?: (error: unknown) => void;
}

export interface HttpService {
  readonly port: number;
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  close(): Promise<void>;
}

/** @throws ZmendError ENVIRONMENT when the port cannot be had */
export async function createHttp(options: HttpOptions): Promise<HttpService> {
  const server = createServer({
    maxHeaderSize: 8192,
    requestTimeout: REQUEST_MS,
    headersTimeout: HEAD_MS,
    connectionsCheckingInterval: CHECK_MS,
  });
  server.keepAliveTimeout = 5000;
  boundConnections(server);
  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  server.on("request", (request, response) => void answer(options, port, request, response));
  return {
    port,
    url: `http://${ADDRESS}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/**
 * When there are too many connections, the one goes that has made us wait longest for a request: whoever opens them and
 * sends nothing, or byte by byte, keeps nobody out for longer than it takes to ask.
 */
function boundConnections(server: Server): void {
  let open = 0;
  /** Connections without a request under way, longest first. */
  const waiting = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    open += 1;
    waiting.add(socket);
    socket.once("close", () => {
      open -= 1;
      waiting.delete(socket);
    });
    if (open <= CONNECTIONS_MAX) return;
    for (const longest of waiting) {
      longest.destroy();
      return;
    }
  });
  server.on("request", ({ socket }: IncomingMessage, response: ServerResponse) => {
    waiting.delete(socket);
    response.once("close", () => {
      if (!socket.destroyed) waiting.add(socket);
    });
  });
}

function listen(server: Server, { what, port }: HttpOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "EADDRINUSE" ? "is taken" : `cannot be used (${error.code})`;
      const message = `Port ${port} of ${ADDRESS} for the ${what} ${why}; name another one, or 0 for any free one.`;
      reject(new ZmendError("ENVIRONMENT", message, { what, port }, { cause: error }));
    });
    server.listen(port, ADDRESS, resolve);
  });
}

async function answer(
  options: HttpOptions,
  port: number,
  raw: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  protect(response, options.contentSecurityPolicy ?? "default-src 'none'");
  try {
    const refused = refusal(raw, port);
    const found = refused ?? (await routed(options.routes, raw, response));
    if (found !== undefined) send(raw, response, found);
  } catch (error) {
    options.onError?.(error);
    if (response.headersSent) response.destroy();
    else send(raw, response, say(500, "Internal error; the daemon's log has it."));
  }
}

function protect(response: ServerResponse, contentSecurityPolicy: string): void {
  response.setHeader("Content-Security-Policy", contentSecurityPolicy);
  response.setHeader("X-Content-Type-Options", "nosniff");
  response.setHeader("X-Frame-Options", "DENY");
  response.setHeader("Referrer-Policy", "no-referrer");
  response.setHeader("Cross-Origin-Resource-Policy", "same-origin");
  response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
  response.setHeader("Cache-Control", "no-store");
}

/** One sentence with a status. */
export function say(status: number, text: string): HttpAnswer {
  return { status, type: "text/plain; charset=utf-8", body: `${text}\n` };
}

/** Why this request is not for us, if it is not. */
function refusal(request: IncomingMessage, port: number): HttpAnswer | undefined {
  const { host, origin } = request.headers;
  const hosts = request.rawHeaders.filter((name, n) => n % 2 === 0 && /^host$/i.test(name));
  if (hosts.length !== 1 || host === undefined || !isLoopback(host, port)) {
    return say(
      403,
      "The Host header does not name loopback; use the address that the daemon printed.",
    );
  }
  if (origin !== undefined && !isOwnOrigin(origin, port)) {
    return say(403, "Requests of other origins are refused.");
  }
  const site = request.headers["sec-fetch-site"];
  const foreign = site === "cross-site" || site === "same-site";
  if (foreign && request.headers["sec-fetch-mode"] !== "navigate") {
    return say(403, "Requests of other sites' pages are refused.");
  }
  return undefined;
}

function isLoopback(host: string, port: number): boolean {
  const name = host.toLowerCase();
  return LOOPBACK_NAMES.some((known) => name === known || name === `${known}:${port}`);
}

function isOwnOrigin(origin: string, port: number): boolean {
  return origin.startsWith("http://") && isLoopback(origin.slice("http://".length), port);
}

async function routed(
  routes: HttpRoutes,
  raw: IncomingMessage,
  response: ServerResponse,
): Promise<HttpAnswer | undefined> {
  const target = raw.url ?? "";
  const path = target.split("?", 1)[0] ?? "";
  const method = raw.method === "HEAD" ? "GET" : raw.method;
  const route = Object.hasOwn(routes, `${method} ${path}`)
    ? routes[`${method} ${path}`]
    : undefined;
  if (route !== undefined) {
    const body = (maxBytes: number): Promise<Uint8Array | undefined> => wholeBody(raw, maxBytes);
    return route({ path, headers: raw.headers, raw, body }, response);
  }
  const known = Object.keys(routes).filter((key) => key.endsWith(` ${path}`));
  if (known.length === 0) return say(404, "There is nothing at this path.");
  const allow = known.map((key) => key.split(" ", 1)[0]).join(", ");
  return { ...say(405, `This path takes ${allow}.`), headers: { Allow: allow } };
}

async function wholeBody(raw: IncomingMessage, maxBytes: number): Promise<Uint8Array | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of raw as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function send(request: IncomingMessage, response: ServerResponse, found: HttpAnswer): void {
  const body = typeof found.body === "string" ? Buffer.from(found.body) : found.body;
  response.writeHead(found.status ?? 200, {
    "Content-Type": found.type,
    "Content-Length": body.length,
    // A body that nobody has read stands in the way of the next request.
    ...(request.complete ? {} : { Connection: "close" }),
    ...found.headers,
  });
  response.end(request.method === "HEAD" ? undefined : body);
}
