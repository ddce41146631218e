/** Public surface of the replay of journals. */
export {
  type Divergence,
  type Parting,
  type ReplayOptions,
  type RunReport,
  replayRun,
} from "./replay.ts";
export { type Run, splitRuns } from "./runs.ts";
