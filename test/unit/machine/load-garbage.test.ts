import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { packageRoot } from "../../../src/base/version.ts";
import { collectLoadGarbage, exposeCollector } from "../../../src/machine/load-garbage.ts";

const compiled = fileURLToPath(new URL("dist/src/machine/load-garbage.js", packageRoot));

/** MiB of a new worker's heap in use, after it has made garbage and after it has collected. */
function inWorker(): Promise<[number, number]> {
  const script = `
    const { parentPort } = require("node:worker_threads");
    const { getHeapStatistics } = require("node:v8");
    const mib = () => getHeapStatistics().used_heap_size / 1024 ** 2;
    import(${JSON.stringify(compiled)}).then(({ collectLoadGarbage }) => {
      let garbage = Array.from({ length: 100_000 }, (_, n) => ({ n, text: "x" + n }));
      garbage = garbage.length;
      const before = mib();
      collectLoadGarbage();
      parentPort.postMessage([before, mib()]);
    });`;
  return new Promise((resolve, reject) => {
    const worker = new Worker(script, { eval: true });
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

describe("what loading leaves behind", () => {
  it("is collected by threads that start after the collector was exposed, and only by them", async () => {
    const [early, untouched] = await inWorker();
    expect(untouched).toBeGreaterThan(early - 1);
    exposeCollector();
    exposeCollector();
    const [before, after] = await inWorker();
    expect(after).toBeLessThan(before - 4);
    // This thread is older than that.
    expect(() => collectLoadGarbage()).not.toThrow();
  });
});
