import { execFile } from "node:child_process";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { tuneEngine } from "../../../src/base/engine.ts";
import { packageRoot } from "../../../src/base/version.ts";
import { collectAtRest, collectLoadGarbage } from "../../../src/machine/load-garbage.ts";

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
  it("is collected by threads that start after the engine was set up, and only by them", async () => {
    const [early, untouched] = await inWorker();
    expect(untouched).toBeGreaterThan(early - 1);
    tuneEngine();
    tuneEngine();
    const [before, after] = await inWorker();
    expect(after).toBeLessThan(before - 4);
    // This thread is older than that.
    expect(() => collectLoadGarbage()).not.toThrow();
  });
});

describe("what a start leaves behind", () => {
  it("is given back: the room for young objects as well", async () => {
    const script = `
      const young = () => require("node:v8").getHeapSpaceStatistics().find(({ space_name: name }) => name === "new_space").space_size;
      const keep = [];
      for (let n = 0; n < 40; n++) keep.push(Array.from({ length: 20_000 }, (_, k) => ({ n, k })));
      const before = young();
      keep.length = 0;
      import(${JSON.stringify(compiled)})
        .then(({ collectStartGarbage }) => collectStartGarbage())
        .then(() => console.log(JSON.stringify([before, young()])));`;
    const { stdout } = await promisify(execFile)(process.execPath, ["-e", script]);
    const [before, after] = JSON.parse(stdout) as [number, number];
    expect(before).toBeGreaterThan(8 * 1024 ** 2);
    expect(after).toBeLessThan(before / 4);
  });

  describe("is given back once", () => {
    const used = vi.spyOn(performance, "eventLoopUtilization");
    beforeEach(() => void vi.useFakeTimers());
    afterEach(() => void vi.useRealTimers());
    afterAll(() => used.mockRestore());

    /** After how many seconds it is collected, when the thread is as busy as `shares` say, second by second. */
    function collectedAfter(shares: readonly number[]): number[] {
      const seen: number[] = [];
      let second = 0;
      used.mockImplementation(() => {
        const utilization = shares[Math.min(second, shares.length) - 1] ?? 0;
        return { idle: 0, active: 0, utilization };
      });
      const end = collectAtRest(() => seen.push(second));
      for (second = 1; second <= 100; second++) vi.advanceTimersByTime(1000);
      end();
      return seen;
    }

    it("in the first second with little to do", () => {
      expect(collectedAfter([0.02, 0.9])).toEqual([1]);
      expect(collectedAfter([0.9, 0.3, 0.1, 0.09, 0.9])).toEqual([4]);
    });

    it("in the end where there is always something to do", () => {
      expect(collectedAfter([0.5])).toEqual([30]);
    });

    it("not after its end", () => {
      const collect = vi.fn();
      collectAtRest(collect)();
      vi.advanceTimersByTime(100_000);
      expect(collect).not.toHaveBeenCalled();
    });
  });
});
