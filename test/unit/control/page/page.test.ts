import { readFileSync } from "node:fs";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { ZmendError } from "../../../../src/base/errors.ts";
import { createHttp, type HttpService } from "../../../../src/control/http/service.ts";
import type { OperatorRecord } from "../../../../src/control/journal/index.ts";
import {
  createPage,
  newToken,
  type Page,
  type PageOptions,
} from "../../../../src/control/page/index.ts";
import type { View } from "../../../../src/control/page/view.ts";
import { FunctionBlock } from "../../../../src/shm/blocks.ts";
import { VmControlDouble } from "../../../support/vm-control-double.ts";

const token = newToken();
const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function serve(
  vms: readonly VmControlDouble[],
  options: Partial<PageOptions> = {},
): Promise<{ readonly page: Page; readonly service: HttpService }> {
  const page = createPage({ vms: () => vms, intervalMs: 10, ...options });
  for (const vm of vms) page.attach(vm);
  const { contentSecurityPolicy } = page;
  const routes = page.routes();
  const service = await createHttp({ what: "page", port: 0, routes, contentSecurityPolicy });
  ends.push(
    () => service.close(),
    () => page.close(),
  );
  return { page, service };
}

interface Got {
  readonly status: number;
  readonly body: string;
  readonly headers: IncomingMessage["headers"];
}

function get(url: string, path: string): Promise<Got> {
  return send(url, path, "GET", {});
}

function send(
  url: string,
  path: string,
  method: string,
  headers: Readonly<Record<string, string>>,
  body?: string,
): Promise<Got> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(`${url}${path}`, { method, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, body: text, headers: response.headers }),
      );
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Messages of the event stream, until `enough`. */
function messages(
  url: string,
  enough: (seen: readonly { event: string; view: View }[]) => boolean,
): Promise<{ event: string; view: View }[]> {
  return new Promise((resolve, reject) => {
    const seen: { event: string; view: View }[] = [];
    const sent = httpRequest(`${url}/events`, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
        for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
          const [, event = "", data = ""] =
            /^event: (\w+)\ndata: (.*)$/.exec(text.slice(0, end)) ?? [];
          text = text.slice(end + 2);
          seen.push({ event, view: JSON.parse(data) as View });
          if (!enough(seen)) continue;
          sent.destroy();
          resolve(seen);
        }
      });
    });
    sent.on("error", reject);
    sent.end();
  });
}

const wanted = { vm: "alpha", fid: 2, pec: 0x3a };

function post(
  url: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Got> {
  const all = {
    "Content-Type": "application/json",
    Authorization: `Bearer ${token}`,
    ...headers,
  };
  return send(url, "/inject", "POST", all, typeof body === "string" ? body : JSON.stringify(body));
}

describe("the page's files", () => {
  it("are all served, name no other host, and are allowed by the policy that comes with them", async () => {
    const { service } = await serve([new VmControlDouble("alpha", [1])]);
    const index = await get(service.url, "/");
    expect(index.headers["content-type"]).toBe("text/html; charset=utf-8");
    const policy = String(index.headers["content-security-policy"]);
    expect(policy).toMatch(
      /^default-src 'none'; script-src 'self' 'sha256-[\w+/]{43}='; style-src 'self';/,
    );
    expect(policy).toContain("frame-ancestors 'none'");
    const paths = [...index.body.matchAll(/(?:src|href)="(\/[^"]*)"|":"(\/lib\/[^"]*)"/g)].map(
      ([, a, b]) => a ?? b ?? "",
    );
    expect(paths.length).toBe(8);
    const imported = ["/chart.js", "/timeline.js"];
    for (const path of [...paths, ...imported]) {
      const got = await get(service.url, path);
      expect([path, got.status]).toEqual([path, 200]);
      expect(got.headers["content-type"]).toMatch(
        /^text\/(javascript|css); charset=utf-8$|^image\/svg\+xml$/,
      );
    }
    const own = ["index.html", "page.js", "page.css", "chart.js", "timeline.js"]
      .map((file) => readFileSync(`src/control/page/assets/${file}`, "utf8"))
      .join("");
    expect(own).not.toMatch(/https?:|\/\/[\w.]+\.\w+\//);
  });

  it("have a colour for every state, and keep contrast in both schemes", () => {
    const css = readFileSync("src/control/page/assets/page.css", "utf8");
    const [light = "", dark = ""] = [...css.matchAll(/:root \{([^}]*)\}/g)].map(([, body]) => body);
    for (const text of [light, `${light}${dark}`]) {
      const color = new Map(
        [...text.matchAll(/--([\w-]+): (#[0-9a-f]{6})/g)].map(([, k = "", v = ""]) => [k, v]),
      );
      const ratio = (a: string, b: string): number =>
        contrast(color.get(a) ?? "", color.get(b) ?? "");
      for (const name of ["text", "dim", "good", "warn", "bad"]) {
        for (const back of ["back", "panel"])
          expect([name, back, ratio(name, back) >= 4.5]).toEqual([name, back, true]);
      }
      const shapes = ["focus", "phase-1", "phase-2", "phase-3", ...stateNames];
      for (const name of shapes) expect([name, ratio(name, "back") >= 3]).toEqual([name, true]);
    }
    for (const state of stateNames) expect(css).toContain(`.s-${state} {`);
  });
});

const stateNames = [
  "operational",
  "draining",
  "awaiting-guest",
  "guest-recovering",
  "unblocked",
  "resetting",
  "verifying",
  "quarantined",
  "unplugging",
  "failed",
  "detached",
];

/** WCAG 2.2, "contrast ratio" and "relative luminance". */
function contrast(a: string, b: string): number {
  const luminance = (color: string): number => {
    const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
      const c = Number.parseInt(color.slice(at, at + 2), 16) / 255;
      return c <= 0.040_45 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [dark = 0, light = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

describe("the page's stream", () => {
  it("begins with everything that is kept and goes on with what is new", async () => {
    const vm = new VmControlDouble("alpha", [1, 2]);
    const { service } = await serve([vm]);
    vm.entry(0, 2, "state", { from: "operational", to: "draining", event: "error-signalled" });
    const reading = messages(service.url, (seen) =>
      seen.some(({ view }) => view.recoveries.length > 0),
    );
    while ((await get(service.url, "/view")).status !== 200);
    vm.setWord(1, FunctionBlock.errorsRaised, 3);
    vm.setWord(1, FunctionBlock.fetchedByGuest, 1);
    vm.setWord(1, FunctionBlock.hostDropped, 1);
    await new Promise((resolve) => setTimeout(resolve, 30));
    vm.entry(10, 2, "error-raised", { pec: "0x003a", disposition: "stored" });
    vm.entry(20, 2, "ccdf-read", { pec: "0x003a" }, 1);
    vm.entry(30, 2, "injected", { pec: "0x003a" }, 1);
    vm.entry(50, 2, "fetched", { pec: "0x003a" }, 1);
    vm.entry(90, 2, "recovered", { durationUs: 80 });
    const seen = await reading;
    expect(seen.map(({ event }) => event).filter((event) => event === "start").length).toBe(1);
    expect(seen[0]?.view.changes.map(({ fid, state }) => [fid, state])).toEqual([
      [1, "operational"],
      [2, "operational"],
      [2, "draining"],
    ]);
    expect(seen.slice(1).flatMap(({ view }) => view.changes)).toEqual([]);
    const last = seen.at(-1)?.view;
    expect(last?.vms[0]?.functions[1]).toMatchObject({ raised: 3, fetched: 1, notDelivered: 1 });
    expect(last?.recoveries).toMatchObject([
      {
        vm: "alpha",
        fid: 2,
        pec: "0x003a",
        totalUs: 80,
        phases: { detected_to_injected: 20, injected_to_fetched: 20, fetched_to_recovered: 40 },
      },
    ]);
  });

  it("keeps a bounded history of a function, its newest part", async () => {
    const vm = new VmControlDouble("alpha", [1, 2]);
    const { service, page } = await serve([vm]);
    for (let n = 0; n < 3000; n++)
      vm.entry(n, 1, "state", { from: "a", to: `state-${n}`, event: "e" });
    const view = JSON.parse((await get(service.url, "/view")).body) as View;
    const changes = view.changes.filter(({ fid }) => fid === 1);
    expect(changes.length).toBe(1000);
    expect(changes.at(-1)?.state).toBe("state-2999");
    expect(view.changes.filter(({ fid }) => fid === 2).length).toBe(1);
    page.forget("alpha");
    expect(JSON.parse((await get(service.url, "/view")).body).changes).toEqual([]);
  });

  it("shows what the journal has lost", async () => {
    const status = {
      directory: "",
      segments: 1,
      bytes: 9,
      written: 5,
      nextSeq: 6,
      queued: 0,
      lost: 4,
    };
    const { service } = await serve([], { journal: () => ({ ...status, problem: "ENOSPC" }) });
    const view = JSON.parse((await get(service.url, "/view")).body) as View;
    expect(view.journal).toEqual({ written: 5, lost: 4, bytes: 9, problem: "ENOSPC" });
  });

  it("is for sixteen browsers, and for another one when one has gone", async () => {
    const { service } = await serve([new VmControlDouble("alpha", [1])]);
    const open = await Promise.all(
      Array.from(
        { length: 16 },
        () =>
          new Promise<IncomingMessage>((resolve, reject) => {
            httpRequest(`${service.url}/events`, resolve).on("error", reject).end();
          }),
      ),
    );
    for (const one of open) one.on("error", () => {});
    expect((await get(service.url, "/events")).status).toBe(503);
    open[0]?.destroy();
    const status = (): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const sent = httpRequest(`${service.url}/events`, (response) => {
          resolve(response.statusCode);
          response.on("error", () => {});
          sent.destroy();
        });
        sent.on("error", reject).end();
      });
    await expect.poll(status).toBe(200);
    for (const one of open) one.destroy();
  });
});

describe("injection by the page", () => {
  it("needs the token, reaches the VM and is told to the journal", async () => {
    const vm = new VmControlDouble("alpha", [1, 2]);
    const operator: OperatorRecord[] = [];
    const injection = { token, operator: (record: OperatorRecord) => void operator.push(record) };
    const { service, page } = await serve([vm], { injection });
    expect(page.address(service.url)).toBe(`${service.url}/#token=${token}`);
    expect(await post(service.url, { ...wanted, count: 3, stale: true })).toMatchObject({
      status: 202,
      body: '{"injected":3}\n',
    });
    expect(vm.injected).toEqual([{ fid: 2, request: { pec: 0x3a, count: 3, stale: true } }]);
    expect(operator).toEqual([
      {
        vm: "alpha",
        fid: 2,
        command: "inject",
        by: "page",
        detail: { pec: 0x3a, count: 3, stale: true },
      },
    ]);
    for (const Authorization of [
      "",
      "Bearer ",
      `Bearer ${token}x`,
      token,
      `Bearer ${newToken()}`,
    ]) {
      expect((await post(service.url, wanted, { Authorization })).status).toBe(401);
    }
    for (const Origin of ["http://evil.example", "null", "http://127.0.0.1:1"]) {
      expect((await post(service.url, wanted, { Origin })).status).toBe(403);
    }
    expect((await post(service.url, wanted, { Host: "evil.example" })).status).toBe(403);
    expect(vm.injected.length).toBe(1);
  });

  it("says what is wrong with a request", async () => {
    const vm = new VmControlDouble("alpha", [1, 2]);
    const { service } = await serve([vm], { injection: { token } });
    const said = async (body: unknown, headers = {}): Promise<string> => {
      const got = await post(service.url, body, headers);
      return `${got.status} ${got.body.trim()}`;
    };
    expect(await said({ ...wanted, vm: "gamma" })).toBe("404 No VM has the name 'gamma'.");
    expect(await said({ ...wanted, pec: 0x1_0000 })).toMatch(
      /^400 The request is wrong at 'pec': /,
    );
    expect(await said({ ...wanted, count: 1e9 })).toMatch(/^400 The request is wrong at 'count': /);
    expect(await said({ ...wanted, extra: 1 })).toMatch(/^400 /);
    expect(await said("{")).toMatch(/^400 /);
    expect(await said("x".repeat(5000))).toMatch(/^413 /);
    expect(await said(wanted, { "Content-Type": "text/plain" })).toMatch(/^415 /);
    vm.inject = () => {
      throw new ZmendError("USAGE", "No function of alpha has the FID 0x2.");
    };
    expect(await said(wanted)).toBe("409 No function of alpha has the FID 0x2.");
  });

  it("is not there unless the operator asked for it", async () => {
    const { service, page } = await serve([new VmControlDouble("alpha", [1, 2])]);
    expect((await post(service.url, wanted)).status).toBe(404);
    expect(JSON.parse((await get(service.url, "/settings")).body).injection).toBe(false);
    expect(page.address(service.url)).toBe(`${service.url}/`);
  });

  it("has a token that is long and different every time", () => {
    expect(token).toMatch(/^[\w-]{43}$/);
    expect(newToken()).not.toBe(token);
  });
});
