/** Someone who decides in a trial instead of the policy's tables (policy modules), and what he is shown. */
import type { Clock } from "../../ports/clock.ts";

/** What a trial's machine, model or real, shows. */
export interface DecidedWorld {
  readonly clock: Clock;
  /** Number of the recovery machine's state. */
  state(index: number): number;
  /** Errors wait to be read. */
  pending(index: number): boolean;
  /** The state's deadline has come: the machine is about to take the policy's next step. */
  deadlineDue(index: number): boolean;
  /** Word of a function's block. */
  word(index: number, word: number): number;
}

export interface Decider {
  /** Before a recovery machine is stepped; may change the policy's decision fields. */
  before(index: number, world: DecidedWorld): void;
}

/** The trial cannot go on: a model or a machine does not come to rest. */
export class TrialFault extends Error {
  override readonly name = "TrialFault";
}
