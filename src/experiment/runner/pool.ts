/** Trials on all cores of this machine: a piscina of trial workers. */
import { availableParallelism } from "node:os";
import { Piscina } from "piscina";
import { TRIAL_WORKER_LOADED, type TrialWorkerData } from "./pool-data.ts";

/** A worker's result: one ledger line per trial, in the order asked for. */
export type TrialLines = string[];

/** Compiled workers stand in `dist/workers`; from TypeScript sources (tests) they are found there too. */
function workerUrl(): string {
  const relative = import.meta.url.endsWith(".ts")
    ? "../../../dist/workers/trial.worker.js"
    : "../../../workers/trial.worker.js";
  return new URL(relative, import.meta.url).href;
}

export class TrialPool {
  /** Two batches per thread, so that none waits for the next one. */
  readonly width: number;
  readonly #pool: Piscina;
  readonly #loaded: Promise<void>;
  readonly #broken: Promise<never>;

  constructor(data: TrialWorkerData, threads = availableParallelism()) {
    this.width = 2 * threads;
    this.#pool = new Piscina({
      filename: workerUrl(),
      workerData: data,
      minThreads: threads,
      maxThreads: threads,
      idleTimeout: Number.POSITIVE_INFINITY,
      recordTiming: false,
    });
    let loaded = 0;
    this.#loaded = new Promise((resolve) => {
      this.#pool.on("message", (message: unknown) => {
        if (message === TRIAL_WORKER_LOADED && ++loaded === threads) resolve();
      });
    });
    this.#broken = new Promise((_, reject) => this.#pool.on("error", reject));
    this.#broken.catch(() => {});
  }

  /** @throws when a thread cannot start or dies; a trial that fails is a line like any other */
  run(trials: readonly number[]): Promise<TrialLines> {
    return Promise.race([this.#pool.run(trials) as Promise<TrialLines>, this.#broken]);
  }

  /**
   * Ends the threads, whatever they are doing. Waits until they have loaded their modules: Node 20 aborts the whole
   * process ("IsGraphAsync must be used on an instantiated module") when that is cut short.
   */
  async close(): Promise<void> {
    await Promise.race([this.#loaded, this.#broken]).catch(() => {});
    await this.#pool.destroy();
  }
}
