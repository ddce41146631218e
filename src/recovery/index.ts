/** Public surface of the recovery machine (`zmend/recovery`). */
export { diagram, testMatrix } from "./diagram.ts";
export { ResetPurpose } from "./host-driver.ts";
export { type LoopEnd, runRecoveryLoop } from "./loop.ts";
export type { RecoveryUnitOptions } from "./machine.ts";
export { announceFunction, awaitFunction } from "./plug.ts";
export { episodeBoundUs, OnError, onErrorChoices, type Policy } from "./policy.ts";
export {
  compilePolicy,
  loadPolicy,
  type PolicyFile,
  parsePolicy,
  policyNames,
  policySchema,
  readPolicy,
} from "./policy-file.ts";
export { repairAfterDeath } from "./repair.ts";
export {
  BUG,
  type Cell,
  type CompiledTable,
  cellIndex,
  compiledTable,
  compileTable,
  IGNORE,
  STEP,
  type Step,
  type StepRow,
  type Table,
  table,
  transition,
} from "./table.ts";
export { RecoveryUnit } from "./unit.ts";
export {
  CHOICES_MAX,
  choicesOf,
  Effect,
  type EffectName,
  Event,
  type EventName,
  effects,
  eventNames,
  events,
  PolicyStep,
  policySteps,
  State,
  type StateName,
  states,
} from "./vocabulary.ts";
export { DRAIN_STEP_LAST, DrainStep, Scratch, WorkerKilled } from "./words.ts";
