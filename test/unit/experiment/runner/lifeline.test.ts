import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { Lifeline } from "../../../../src/experiment/runner/lifeline.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

describe("a lifeline", () => {
  test("hands on what the work comes to", async () => {
    const line = new Lifeline();
    expect(await line.hold(Promise.resolve(7))).toBe(7);
    await expect(line.hold(Promise.reject(new Error("work failed")))).rejects.toThrow(
      "work failed",
    );
  });

  test("that is cut ends the work under way and the work to come, with its first reason", async () => {
    const line = new Lifeline();
    const waiting = line.hold(new Promise(() => {}));
    line.cut(new Error("gone"));
    line.cut(new Error("gone again"));
    await expect(waiting).rejects.toThrow(/^gone$/);
    await expect(line.hold(Promise.resolve(1))).rejects.toThrow(/^gone$/);
    await expect(line.hold(Promise.reject(new Error("late")))).rejects.toThrow(/^gone$/);
  });

  test("keeps no result: what nobody else holds is collected (a run kept all its ledger's lines)", async () => {
    const line = new Lifeline();
    const results: WeakRef<object>[] = [];
    for (let n = 0; n < 10; n++) {
      const result = { n };
      results.push(new WeakRef(result));
      await line.hold(Promise.resolve(result));
    }
    // A reference lives until the end of the job that made or read it.
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    const kept = results.filter((result) => result.deref() !== undefined).length;
    expect(kept).toBeLessThanOrEqual(1); // the last one may stand in this function's frame
  });
});
