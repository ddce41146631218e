/** Doorway of a thread that runs trials of an experiment, each of them alone and in virtual time. */
import { parentPort, workerData } from "node:worker_threads";
import {
  TRIAL_WORKER_LOADED,
  type TrialTask,
  type TrialWorkerData,
} from "../src/experiment/runner/pool-data.ts";
import { tuneEngine } from "../src/experiment/trial/engine.ts";
import { TrialRunner } from "../src/experiment/trial/runner.ts";
import { soleThread } from "../src/shm/atomics.ts";

// No other thread sees the memory of this one's trials.
soleThread();
tuneEngine();

const { plan, folder } = workerData as TrialWorkerData;
const runner = new TrialRunner(plan, folder);
// All modules are there, those of policies' threads too, before anybody may end this thread.
if (runner.hasMachines) await import("../src/experiment/machine/index.ts");
await runner.loadModules();
parentPort?.postMessage(TRIAL_WORKER_LOADED);

export default async function runTrials({ trials, machines }: TrialTask): Promise<string[]> {
  await runner.prepare(machines);
  return trials.map((trial) => runner.line(trial));
}
