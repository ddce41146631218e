/**
 * A thread of the bench `experiment`: runs trials until its time is over, tells recoveries and the milliseconds of a core
 * that they took. Not of the clock: whatever else the machine does would be counted, and a thread that runs trials never
 * waits for another. Source: Linux Documentation/scheduler/sched-stats.rst.
 */
import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import type { Plan } from "../../../src/experiment/plan.ts";
import { tuneEngine } from "../../../src/experiment/trial/engine.ts";
import { TrialRunner } from "../../../src/experiment/trial/runner.ts";
import { soleThread } from "../../../src/shm/atomics.ts";

export interface TrialBench {
  readonly plan: Plan;
  readonly sole: boolean;
  /** First trial of this thread, and the distance to its next. */
  readonly first: number;
  readonly step: number;
}

/** A round gives up after so many times its length by the clock: others have the cores. */
const CLOCK_MAX = 10;

const { plan, sole, first, step } = workerData as TrialBench;
if (sole) soleThread();
tuneEngine();
const runner = new TrialRunner(plan, "");
let trial = first;

/** Milliseconds that this thread has had a core; those of the clock where the system does not tell. */
function coreMs(): number {
  try {
    return Number(readFileSync("/proc/thread-self/schedstat", "utf8").split(" ")[0]) / 1e6;
  } catch {
    return performance.now();
  }
}

parentPort?.on("message", (ms: number) => {
  const start = performance.now();
  const before = coreMs();
  let recoveries = 0;
  let took = 0;
  for (; took < ms && performance.now() - start < CLOCK_MAX * ms; took = coreMs() - before) {
    const row = runner.row(trial);
    trial += step;
    if (row.status === "failed") throw new Error(row.reason);
    recoveries += row.metrics.recoveries ?? 0;
  }
  parentPort?.postMessage({ recoveries, ms: took });
});
