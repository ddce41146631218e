/** Runs trials of one plan by number, and turns whatever happens into a ledger line. Thread: any, one trial at a time. */
import { type FailedTrial, ledgerText, type TrialRow } from "../ledger.ts";
import { coordinatesOf, type Plan } from "../plan.ts";
import { identityOf, runModelTrial } from "./trial.ts";

export class TrialRunner {
  readonly #plan: Plan;

  constructor(plan: Plan, _folder: string) {
    this.#plan = plan;
  }

  /** The ledger's line of trial `trial`; a trial that fails is one too. */
  line(trial: number): string {
    return ledgerText(this.row(trial));
  }

  row(trial: number): TrialRow {
    try {
      return runModelTrial(this.#plan, trial);
    } catch (error) {
      return this.#failed(trial, error instanceof Error ? error.message : String(error));
    }
  }

  #failed(trial: number, reason: string): FailedTrial {
    const identity = identityOf(this.#plan, coordinatesOf(this.#plan, trial));
    return { ...identity, status: "failed", reason: reason.replace(/\s+/g, " ").trim() };
  }
}
