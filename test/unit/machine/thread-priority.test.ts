import { getPriority } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { packageRoot } from "../../../src/base/version.ts";
import { lowerOwnPriority } from "../../../src/machine/thread-priority.ts";

const compiled = fileURLToPath(new URL("dist/src/machine/thread-priority.js", packageRoot));

/** Nice values that a worker reads of itself, before and after, and of the process's main thread. */
function inWorker(nice: number): Promise<number[]> {
  const script = `
    const { parentPort } = require("node:worker_threads");
    const { getPriority } = require("node:os");
    const { readlinkSync } = require("node:fs");
    const own = () => getPriority(Number(readlinkSync("/proc/thread-self").split("/").at(-1)));
    import(${JSON.stringify(compiled)}).then(({ lowerOwnPriority }) => {
      const before = own();
      lowerOwnPriority(${nice});
      parentPort.postMessage([before, own(), getPriority(process.pid)]);
    });`;
  return new Promise((resolve, reject) => {
    const worker = new Worker(script, { eval: true });
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

describe.skipIf(process.platform !== "linux")("a thread's own priority (Linux)", () => {
  it("goes down by what was asked for, and nobody else's does", async () => {
    const main = getPriority();
    expect(await inWorker(main + 3)).toEqual([main, main + 3, main]);
  });

  it("stays when nothing is asked for", () => {
    const before = getPriority();
    lowerOwnPriority(0);
    expect(getPriority()).toBe(before);
  });
});
