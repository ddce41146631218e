/**
 * Runs a plan: trials go out in batches, lines come back in any order and are written in trial order. Memory does not
 * grow with the number of trials: so many are under way or waiting, and no more. Ctrl-C and a dying source keep what is
 * written. Source of order and stopping: sequencer.ts.
 */
import { monotonicNowUs } from "../../base/clock.ts";
import { headerOf, ledgerText, type Shard } from "../ledger.ts";
import { coordinatesOf, type Plan, trialsPerRepetition } from "../plan.ts";
import { identityOf } from "../trial/trial.ts";
import { LedgerWriter } from "./ledger-file.ts";
import { policyOfTrial, Sequencer, withdrawnRow } from "./sequencer.ts";

/** Somebody who runs trials: this machine's threads, or a queue's workers. */
export interface TrialSource {
  /** Batches that may be under way at once. */
  readonly width: number;
  run(trials: readonly number[]): Promise<readonly string[]>;
}

export interface RunOptions {
  readonly plan: Plan;
  /** The ledger's path. */
  readonly file: string;
  readonly shard?: Shard | undefined;
  /** Go on with the ledger that is there. */
  readonly resume?: boolean | undefined;
  readonly source: TrialSource;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((progress: Progress) => void) | undefined;
}

export interface Progress {
  readonly done: number;
  /** The most there can be; a stopping rule may end earlier. */
  readonly trials: number;
  readonly failed: number;
  /** Seconds, by the rate since the start; undefined before there is one. */
  readonly leftSeconds: number | undefined;
}

export interface RunResult {
  readonly digest: string;
  readonly trials: number;
  readonly failed: number;
  readonly interrupted: boolean;
}

/** A batch is meant to take about this long: long enough to spare messages, short enough to end soon. */
const BATCH_US = 150_000;
const BATCH_TRIALS_MAX = 512;
/** Lines that may wait for an earlier one. */
const WAITING_MAX = 4096;

class Batches {
  readonly #options: RunOptions;
  readonly #sequencer: Sequencer;
  readonly #total: number;
  readonly #step: number;
  #cursor: number;
  #batch = 1;

  constructor(options: RunOptions, sequencer: Sequencer) {
    this.#options = options;
    this.#sequencer = sequencer;
    this.#step = options.shard?.count ?? 1;
    this.#total = trialsPerRepetition(options.plan) * options.plan.repetitions;
    this.#cursor = sequencer.next;
  }

  /** Trials to run next; empty when there are none, or too many wait for an earlier one. */
  next(): number[] {
    const trials: number[] = [];
    const ahead = this.#sequencer.next + WAITING_MAX * this.#step;
    while (trials.length < this.#batch && this.#cursor < this.#total && this.#cursor < ahead) {
      const trial = this.#cursor;
      this.#cursor += this.#step;
      if (this.#sequencer.isWithdrawn(policyOfTrial(this.#options.plan, trial))) this.#skip(trial);
      else trials.push(trial);
    }
    return trials;
  }

  /** The sequencer says the reason; what stands here only holds the place. */
  #skip(trial: number): void {
    const { plan } = this.#options;
    const identity = identityOf(plan, coordinatesOf(plan, trial));
    const row = withdrawnRow({ ...identity, status: "failed", reason: "" }, 0);
    this.#sequencer.push(trial, ledgerText(row));
  }

  took(trials: number, us: number): void {
    const fitting = Math.floor((BATCH_US * trials) / Math.max(1, us));
    this.#batch = Math.max(1, Math.min(BATCH_TRIALS_MAX, fitting, this.#batch * 4));
  }
}

/** @throws what the source throws; the lines written before it stand */
export async function runPlan(options: RunOptions): Promise<RunResult> {
  const { plan, file, shard, source, signal } = options;
  const header = headerOf(plan, shard);
  let writer: LedgerWriter | undefined;
  const sequencer = new Sequencer(plan, shard, ({ text }) => writer?.add(text));
  writer =
    options.resume === true
      ? LedgerWriter.resume(file, header, (row) => sequencer.pushKept(row))
      : LedgerWriter.create(file, header);
  const batches = new Batches(options, sequencer);
  const total = Math.ceil((trialsPerRepetition(plan) * plan.repetitions) / (shard?.count ?? 1));
  const kept = sequencer.written;
  const startUs = monotonicNowUs();
  const report = (): void => {
    const done = sequencer.written;
    const rate = (done - kept) / Math.max(1, monotonicNowUs() - startUs);
    const leftSeconds = rate > 0 ? (total - done) / rate / 1e6 : undefined;
    options.progress?.({ done, trials: total, failed: sequencer.failed, leftSeconds });
  };
  const lanes = new Lanes(signal);
  const over = (): boolean => lanes.over || sequencer.ended;
  const lane = async (): Promise<void> => {
    while (!over()) {
      const trials = batches.next();
      if (trials.length === 0) {
        if (!sequencer.ended) await lanes.wait();
        continue;
      }
      const from = monotonicNowUs();
      const lines = await source.run(trials);
      if (lanes.over) return;
      for (const [index, trial] of trials.entries()) sequencer.push(trial, lines[index] ?? "");
      batches.took(trials.length, monotonicNowUs() - from);
      writer?.flush();
      report();
      lanes.wake();
    }
  };
  try {
    await lanes.run(Array.from({ length: source.width }, () => lane));
  } finally {
    writer.flush();
  }
  const digest = writer.close();
  return {
    digest,
    trials: sequencer.written,
    failed: sequencer.failed,
    interrupted: !sequencer.ended,
  };
}

/** Runs side by side, all of them over when one fails or the user interrupts. */
class Lanes {
  readonly #signal: AbortSignal | undefined;
  #failed = false;
  #wakers: (() => void)[] = [];

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
    signal?.addEventListener("abort", () => this.wake(), { once: true });
  }

  get over(): boolean {
    return this.#failed || this.#signal?.aborted === true;
  }

  wake(): void {
    for (const wake of this.#wakers.splice(0)) wake();
  }

  /** Until another lane has brought something, or it is over. */
  wait(): Promise<void> {
    if (this.over) return Promise.resolve();
    return new Promise((resolve) => this.#wakers.push(resolve));
  }

  /** @throws the first lane's error; an interruption is none */
  async run(lanes: readonly (() => Promise<void>)[]): Promise<void> {
    const aborted = new Promise<void>((resolve) => {
      if (this.#signal?.aborted === true) resolve();
      this.#signal?.addEventListener("abort", () => resolve(), { once: true });
    });
    const all = Promise.all(
      lanes.map((lane) =>
        lane()
          .catch((error: unknown) => {
            this.#failed = true;
            throw error;
          })
          .finally(() => this.wake()),
      ),
    );
    await Promise.race([all, aborted]);
    all.catch(() => {}); // after an interruption nobody waits for the rest
  }
}
