/** Doorway of a thread that runs trials of an experiment, each of them alone and in virtual time. */
import { parentPort, workerData } from "node:worker_threads";
import { TRIAL_WORKER_LOADED, type TrialWorkerData } from "../src/experiment/runner/pool-data.ts";
import { TrialRunner } from "../src/experiment/trial/runner.ts";
import { soleThread } from "../src/shm/atomics.ts";

// No other thread sees the memory of this one's trials.
soleThread();

const { plan, folder } = workerData as TrialWorkerData;
const runner = new TrialRunner(plan, folder);
parentPort?.postMessage(TRIAL_WORKER_LOADED);

export default function runTrials(trials: readonly number[]): string[] {
  return trials.map((trial) => runner.line(trial));
}
