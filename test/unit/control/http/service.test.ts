import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import {
  createHttp,
  type HttpOptions,
  type HttpService,
} from "../../../../src/control/http/service.ts";

let service: HttpService | undefined;
afterEach(async () => {
  await service?.close();
  service = undefined;
});

async function serve(options: Partial<HttpOptions> = {}): Promise<HttpService> {
  service = await createHttp({
    what: "metrics",
    port: 0,
    routes: {
      "GET /metrics": () => ({ type: "text/plain", body: "up 1\n" }),
      "POST /take": async ({ body }) => {
        const bytes = await body(10);
        return { type: "text/plain", body: bytes === undefined ? "too long" : Buffer.from(bytes) };
      },
      "GET /throws": () => {
        throw new Error("secret detail");
      },
    },
    ...options,
  });
  return service;
}

interface Got {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

function ask(
  port: number,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  method = "GET",
  body?: string,
): Promise<Got> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host: "127.0.0.1", port, path, method, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
      );
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

describe("HTTP on loopback", () => {
  it("answers requests that name loopback, in any case, with its port or without", async () => {
    const { port, url } = await serve();
    expect(url).toBe(`http://127.0.0.1:${port}`);
    for (const host of ["127.0.0.1", "LocalHost", "[::1]"]) {
      for (const suffix of ["", `:${port}`]) {
        expect((await ask(port, "/metrics", { Host: `${host}${suffix}` })).body).toBe("up 1\n");
      }
    }
  });

  it("refuses any other Host: a name server that says 127.0.0.1 for evil.example gains nothing", async () => {
    const { port } = await serve();
    const hosts = [
      "evil.example",
      `evil.example:${port}`,
      "127.0.0.1.evil.example",
      "localhost.evil.example",
      `localhost:${port + 1}`,
      "127.0.0.1:",
      "user@localhost",
      "0.0.0.0",
    ];
    for (const host of hosts) {
      const got = await ask(port, "/metrics", { Host: host });
      expect([host, got.status, got.body.includes("up 1")]).toEqual([host, 403, false]);
    }
  });

  it("refuses a request with two Host headers, or with none, by hand on the socket", async () => {
    const { port } = await serve();
    const raw = (text: string): Promise<string> =>
      new Promise((resolve, reject) => {
        let got = "";
        const socket = connect(port, "127.0.0.1", () => socket.write(text));
        socket.setEncoding("latin1").on("data", (chunk: string) => {
          got += chunk;
        });
        socket.on("end", () => resolve(got)).on("error", reject);
      });
    const close = "Connection: close\r\n\r\n";
    expect(await raw(`GET /metrics HTTP/1.0\r\n${close}`)).toMatch(/^HTTP\/1\.1 403 /);
    const two = `GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n${close}`;
    expect(await raw(two)).toMatch(/^HTTP\/1\.1 40[03] /);
    const absolute = `GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n${close}`;
    expect(await raw(absolute)).toMatch(/^HTTP\/1\.1 404 /);
    expect(await raw("rubbish\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 /);
  });

  it("refuses other origins and other sites' pages, and lets a link be followed", async () => {
    const { port, url } = await serve();
    const status = async (headers: Record<string, string>): Promise<number> =>
      (await ask(port, "/metrics", headers)).status;
    expect(await status({ Origin: url })).toBe(200);
    expect(await status({ Origin: `http://localhost:${port}` })).toBe(200);
    for (const origin of [
      "null",
      "https://evil.example",
      `https://127.0.0.1:${port}`,
      `http://127.0.0.1:${port + 1}`,
    ]) {
      expect([origin, await status({ Origin: origin })]).toEqual([origin, 403]);
    }
    expect(await status({ "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors" })).toBe(403);
    expect(await status({ "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors" })).toBe(403);
    expect(await status({ "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate" })).toBe(
      200,
    );
    expect(await status({ "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors" })).toBe(200);
  });

  it("sends a content security policy and forbids framing, sniffing and sharing, also with refusals", async () => {
    const { port } = await serve();
    for (const headers of [{}, { Host: "evil.example" }]) {
      const got = await ask(port, "/metrics", headers);
      expect(got.headers).toMatchObject({
        "content-security-policy": "default-src 'none'",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
      });
      expect(got.headers["access-control-allow-origin"]).toBeUndefined();
    }
  });

  it("knows its paths and methods", async () => {
    const { port } = await serve();
    expect((await ask(port, "/metrics?x=1")).status).toBe(200);
    expect(await ask(port, "/metrics", {}, "HEAD")).toMatchObject({ status: 200, body: "" });
    expect((await ask(port, "/nowhere")).status).toBe(404);
    expect((await ask(port, "/constructor")).status).toBe(404);
    expect(await ask(port, "/metrics", {}, "DELETE")).toMatchObject({
      status: 405,
      headers: { allow: "GET" },
    });
  });

  it("takes a body up to its limit and no further", async () => {
    const { port } = await serve();
    expect((await ask(port, "/take", {}, "POST", "0123456789")).body).toBe("0123456789");
    const long = await ask(port, "/take", {}, "POST", "x".repeat(11));
    expect(long.body).toBe("too long");
  });

  it("keeps the reason of an internal error to the log", async () => {
    const errors: unknown[] = [];
    const { port } = await serve({ onError: (error) => errors.push(error) });
    const got = await ask(port, "/throws");
    expect([got.status, got.body.includes("secret")]).toEqual([500, false]);
    expect(errors).toMatchObject([{ message: "secret detail" }]);
  });

  it("answers though hundreds of connections send their requests byte by byte", async () => {
    const { port } = await serve();
    const slow = Array.from({ length: 300 }, () =>
      connect(port, "127.0.0.1").on("error", () => {}),
    );
    const ended = slow.map((socket) => new Promise((resolve) => socket.once("close", resolve)));
    for (const socket of slow) socket.write("GET /metrics HTTP/1.1\r\nX: ");
    // All but the 128 that are served at most have been let go, and the next one is heard all the same.
    let gone = 0;
    await new Promise<void>((resolve) => {
      for (const end of ended) {
        void end.then(() => {
          gone += 1;
          if (gone === 300 - 128) resolve();
        });
      }
    });
    expect((await ask(port, "/metrics")).body).toBe("up 1\n");
    for (const socket of slow) socket.destroy();
  });

  it("keeps a request that is under way when connections without one are too many", async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let asked = (): void => {};
    const heard = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const { port } = await serve({
      routes: {
        "GET /slow": async () => {
          asked();
          await held;
          return { type: "text/plain", body: "done\n" };
        },
      },
    });
    const slow = ask(port, "/slow");
    await heard;
    const idle = Array.from({ length: 200 }, () =>
      connect(port, "127.0.0.1").on("error", () => {}),
    );
    const [first] = idle;
    await new Promise((resolve) => first?.once("close", resolve));
    release();
    expect((await slow).body).toBe("done\n");
    for (const socket of idle) socket.destroy();
  });

  it("says in a sentence that a port is taken", async () => {
    const { port } = await serve();
    await expect(createHttp({ what: "page", port, routes: {} })).rejects.toThrow(
      `Port ${port} of 127.0.0.1 for the page is taken; name another one, or 0 for any free one.`,
    );
  });
});
