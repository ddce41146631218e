/** What a trial worker is started with, and its first word. Apart from the pool, so that the worker loads no pool. */
import type { Plan } from "../plan.ts";

export interface TrialWorkerData {
  readonly plan: Plan;
  /** Folder that the plan's policy modules are relative to. */
  readonly folder: string;
}

/** Snapshot files of the plan's machines, by `label functions`. */
export type MachineFiles = Readonly<Record<string, string>>;

export interface TrialTask {
  readonly trials: readonly number[];
  readonly machines: MachineFiles;
}

/** A worker's first word, when all its modules are loaded. */
export const TRIAL_WORKER_LOADED = "loaded";
