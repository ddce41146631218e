/** A thread of the bench `experiment`: runs trials until its time is over, tells recoveries and milliseconds. */
import { parentPort, workerData } from "node:worker_threads";
import type { Plan } from "../../../src/experiment/plan.ts";
import { TrialRunner } from "../../../src/experiment/trial/runner.ts";
import { soleThread } from "../../../src/shm/atomics.ts";

export interface TrialBench {
  readonly plan: Plan;
  readonly sole: boolean;
  /** First trial of this thread, and the distance to its next. */
  readonly first: number;
  readonly step: number;
}

const { plan, sole, first, step } = workerData as TrialBench;
if (sole) soleThread();
const runner = new TrialRunner(plan, "");
let trial = first;

parentPort?.on("message", (ms: number) => {
  const start = performance.now();
  let recoveries = 0;
  let took = 0;
  for (; took < ms; took = performance.now() - start) {
    const row = runner.row(trial);
    trial += step;
    if (row.status === "failed") throw new Error(row.reason);
    recoveries += row.metrics.recoveries ?? 0;
  }
  parentPort?.postMessage({ recoveries, ms: took });
});
