/** Public surface of experiments (`zmend/experiment`). */
export {
  experimentNames,
  loadExperiment,
  type PlanOptions,
  planOf,
} from "./experiment-file.ts";
export {
  binLowUs,
  binSeconds,
  type DoneTrial,
  type FailedTrial,
  LEDGER_VERSION,
  type LedgerHeader,
  type TrialRow,
} from "./ledger.ts";
export { type Metric, type MetricName, metrics, type PhaseName, phases } from "./metrics.ts";
export { coordinatesOf, type Plan, trialsPerRepetition } from "./plan.ts";
export { readHeader, readRows } from "./runner/ledger-file.ts";
export { mergeLedgers } from "./runner/merge.ts";
export { TrialPool } from "./runner/pool.ts";
export { type RunOptions, type RunResult, runPlan, type TrialSource } from "./runner/run.ts";
export { type Verification, verifyLedger } from "./runner/verify.ts";
export {
  type RecoverySequence,
  recoverySequence,
  type SequenceRequest,
  type StateStep,
} from "./sequence.ts";
export { type Summary, summarise } from "./summary.ts";
