import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { getPriority, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { describe, expect, it, vi } from "vitest";
import { packageRoot } from "../../../src/base/version.ts";
import { prioritiesOf, takeOwnPriority } from "../../../src/machine/thread-priority.ts";

const compiled = fileURLToPath(new URL("dist/src/machine/thread-priority.js", packageRoot));

const OWN = `
  const { getPriority } = require("node:os");
  const { readlinkSync } = require("node:fs");
  const own = () => getPriority(Number(readlinkSync("/proc/thread-self").split("/").at(-1)));`;

/** Nice values that a worker reads of itself, before and after, and of the process's main thread. */
function inWorker(nice: number): Promise<number[]> {
  const script = `${OWN}
    const { parentPort } = require("node:worker_threads");
    import(${JSON.stringify(compiled)}).then(({ takeOwnPriority }) => {
      const before = own();
      takeOwnPriority(${nice});
      parentPort.postMessage([before, own(), getPriority(process.pid)]);
    });`;
  return new Promise((resolve, reject) => {
    const worker = new Worker(script, { eval: true });
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

/** Runs a program as a user that may not raise a priority. */
const NOBODY = ["setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-sys_nice"];
const isRoot = process.getuid?.() === 0;
const becomesNobody =
  isRoot &&
  spawnSync(NOBODY[0] as string, [...NOBODY.slice(1), process.execPath, "-e", "0"]).status === 0;

/** Another process settles its priorities, then starts a worker that steps back by `nice`. */
function settled(prefix: readonly string[], nice: number): Record<string, unknown> {
  // Where everybody may read it.
  const folder = mkdtempSync(join(tmpdir(), "zmp-"));
  const module = join(folder, "thread-priority.mjs");
  chmodSync(folder, 0o755);
  copyFileSync(compiled, module);
  const script = `${OWN}
    const { readdirSync } = require("node:fs");
    const { Worker } = require("node:worker_threads");
    import(${JSON.stringify(module)}).then(({ settlePriorities }) => {
      const others = readdirSync("/proc/self/task").map(Number).filter((tid) => tid !== process.pid);
      const whole = settlePriorities({ main: 3, vcpu: 5, helpers: 8 });
      const helpers = others.map((tid) => getPriority(tid));
      const worker = new Worker(\`${OWN}
        const { parentPort } = require("node:worker_threads");
        import(${JSON.stringify(module)}).then(({ takeOwnPriority }) => {
          takeOwnPriority(${nice});
          parentPort.postMessage(own());
        });\`, { eval: true });
      worker.once("message", (own) => {
        console.log(JSON.stringify({ whole, main: getPriority(), helpers: [...new Set(helpers)], own }));
      });
    });`;
  const [program = process.execPath, ...words] = [...prefix, process.execPath, "-e", script];
  try {
    return JSON.parse(execFileSync(program, words, { encoding: "utf8" }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe.skipIf(process.platform !== "linux")("threads' priorities (Linux)", () => {
  it("a worker goes down by what was asked for, and nobody else does", async () => {
    const main = getPriority();
    expect(await inWorker(3)).toEqual([main, main + 3, main]);
  });

  it("stays when nothing is asked for", () => {
    const before = getPriority();
    takeOwnPriority(0);
    expect(getPriority()).toBe(before);
  });

  it("guests step back, the main thread half as much, V8 behind everybody", () => {
    expect(prioritiesOf(10)).toEqual({ main: 5, vcpu: 10, helpers: 19 });
    expect(prioritiesOf(19)).toEqual({ main: 10, vcpu: 19, helpers: 19 });
    expect(prioritiesOf(0)).toEqual({ main: 0, vcpu: 0, helpers: 0 });
  });

  it.skipIf(!isRoot)(
    `the main thread steps back where its workers may go up again${isRoot ? "" : " (needs root)"}`,
    () => {
      const base = getPriority();
      const seen = { whole: true, main: base + 3, helpers: [base + 8] };
      expect(settled([], 0)).toEqual({ ...seen, own: base });
      expect(settled([], 5)).toEqual({ ...seen, own: base + 5 });
    },
  );

  it.skipIf(!becomesNobody)(
    `and stays where they may not${becomesNobody ? "" : " (needs root and setpriv)"}`,
    () => {
      const base = getPriority();
      expect(settled(NOBODY, 5)).toEqual({
        whole: false,
        main: base,
        helpers: [base + 8],
        own: base + 5,
      });
    },
  );
});

describe("threads that end while they are looked at", () => {
  it("are passed over: the others step back all the same", async () => {
    const gone = 11;
    const nice = new Map<number, number>();
    vi.resetModules();
    vi.doMock("node:fs", async (original) => ({
      ...(await original<object>()),
      readdirSync: () => [process.pid, gone, 12, 13].map(String),
    }));
    vi.doMock("node:os", async (original) => ({
      ...(await original<object>()),
      getPriority: () => 0,
      setPriority: (thread: number, value?: number): void => {
        if (thread === gone) throw new Error("ESRCH");
        if (value === undefined) nice.set(process.pid, thread);
        else nice.set(thread, value);
      },
    }));
    try {
      const mocked = await import("../../../src/machine/thread-priority.ts");
      expect(mocked.settlePriorities({ main: 3, vcpu: 5, helpers: 8 })).toBe(true);
      expect([...nice].sort(([a], [b]) => a - b)).toEqual(
        [
          [12, 8],
          [13, 8],
          [process.pid, 3],
        ].sort(([a = 0], [b = 0]) => a - b),
      );
    } finally {
      vi.doUnmock("node:fs");
      vi.doUnmock("node:os");
      vi.resetModules();
    }
  });
});
