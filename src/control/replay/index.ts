/** Public surface of the replay of journals. */
export { replayRun } from "./replay.ts";
export type { Divergence, Parting, ReplayOptions, RunReport } from "./report.ts";
export { type Run, splitRuns } from "./runs.ts";
