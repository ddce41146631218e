/**
 * Puts trials in order whoever ran them: rows come in any order and leave in trial order, with what only the order can
 * say: where the stopping rule ends the experiment, and which trials a withdrawn policy module lost. So one thread,
 * many threads, shards and queues write the same bytes.
 */
import { type FailedTrial, ledgerText, type Shard, type TrialRow } from "../ledger.ts";
import { coordinatesOf, type Plan, trialsPerRepetition } from "../plan.ts";
import { SequentialStop } from "../statistics/stopping.ts";

export interface OrderedRow {
  readonly row: TrialRow;
  readonly text: string;
}

export class Sequencer {
  readonly #plan: Plan;
  readonly #step: number;
  readonly #end: number;
  readonly #perRepetition: number;
  readonly #stop: SequentialStop | undefined;
  readonly #values: number[];
  readonly #waiting = new Map<number, string>();
  readonly #withdrawn = new Map<string, number>();
  readonly #out: (ordered: OrderedRow) => void;
  #next: number;
  #ended = false;
  failed = 0;
  written = 0;

  /** @param shard only these trials come, and the stopping rule waits for the merge */
  constructor(plan: Plan, shard: Shard | undefined, out: (ordered: OrderedRow) => void) {
    this.#plan = plan;
    this.#out = out;
    this.#step = shard?.count ?? 1;
    this.#next = shard?.index ?? 0;
    this.#perRepetition = trialsPerRepetition(plan);
    this.#end = this.#perRepetition * plan.repetitions;
    this.#values = new Array<number>(this.#perRepetition).fill(Number.NaN);
    this.#stop =
      plan.stop === undefined || shard !== undefined
        ? undefined
        : new SequentialStop(plan.stop, this.#perRepetition);
    if (this.#next >= this.#end) this.#ended = true;
  }

  /** The next trial that is wanted. */
  get next(): number {
    return this.#next;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Rows that wait for an earlier one. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** The policy is withdrawn, as far as the rows up to now say: its trials need not be run. */
  isWithdrawn(policy: string): boolean {
    return this.#withdrawn.has(policy);
  }

  /** A line as a trial wrote it, in any order. */
  push(trial: number, text: string): void {
    if (this.#ended || trial < this.#next) return;
    this.#waiting.set(trial, text);
    for (;;) {
      const ready = this.#waiting.get(this.#next);
      if (ready === undefined || this.#ended) return;
      this.#waiting.delete(this.#next);
      this.#settle(JSON.parse(ready) as TrialRow, ready);
    }
  }

  /** A row that stands in the ledger already, in order. */
  pushKept(row: TrialRow): void {
    this.#advance(row);
  }

  #settle(row: TrialRow, text: string): void {
    const since = this.#withdrawn.get(row.policy);
    const settled = since === undefined ? row : withdrawnRow(row, since);
    this.#out({ row: settled, text: settled === row ? text : ledgerText(settled) });
    this.#advance(settled);
  }

  #advance(row: TrialRow): void {
    this.written += 1;
    if (row.status === "failed") {
      this.failed += 1;
      if (row.withdraws === true) this.#withdrawn.set(row.policy, row.trial);
    }
    this.#next = row.trial + this.#step;
    if (this.#stop !== undefined && this.#looks(row)) this.#ended = true;
    if (this.#next >= this.#end) this.#ended = true;
  }

  /** The stopping rule looks at whole repetitions. */
  #looks(row: TrialRow): boolean {
    const { stop } = this.#plan;
    if (stop === undefined || this.#stop === undefined) return false;
    const cell = row.trial % this.#perRepetition;
    const value = row.status === "done" ? row.metrics[stop.metric] : undefined;
    this.#values[cell] = value ?? Number.NaN;
    return cell === this.#perRepetition - 1 && this.#stop.push(this.#values);
  }
}

/** What stands for a trial that a withdrawn policy did not get. */
export function withdrawnRow(row: TrialRow, since: number): FailedTrial {
  const { trial, repetition, point, scenario, guest, policy } = row;
  const reason = `policy '${policy}' was withdrawn after it overran its time in trial ${since}`;
  return { trial, repetition, point, scenario, guest, policy, status: "failed", reason };
}

/** Policy label of a trial, without running it. */
export function policyOfTrial(plan: Plan, trial: number): string {
  const at = coordinatesOf(plan, trial);
  return plan.points[at.point]?.policies[at.policy]?.label ?? "";
}
