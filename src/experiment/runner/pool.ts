/** Trials on all cores of this machine: a piscina of trial workers. */
import { availableParallelism } from "node:os";
import { Piscina } from "piscina";
import type { PrepareOptions } from "../machine/prepare.ts";
import { Lifeline } from "./lifeline.ts";
import {
  type MachineFiles,
  TRIAL_WORKER_LOADED,
  type TrialTask,
  type TrialWorkerData,
} from "./pool-data.ts";

/** A worker's result: one ledger line per trial, in the order asked for. */
export type TrialLines = string[];

/** Compiled workers stand in `dist/workers`; from TypeScript sources (tests) they are found there too. */
function workerUrl(): string {
  const relative = import.meta.url.endsWith(".ts")
    ? "../../../dist/workers/trial.worker.js"
    : "../../../workers/trial.worker.js";
  return new URL(relative, import.meta.url).href;
}

/** Machines are booted here, once for all threads; the modules of machines are loaded only for them. */
async function machinesOf(
  { plan, folder }: TrialWorkerData,
  options: PrepareOptions,
): Promise<MachineFiles> {
  if (!plan.guests.some(({ kind }) => kind === "machine")) return {};
  const { prepareMachines } = await import("../machine/prepare.ts");
  return prepareMachines(plan, folder, options);
}

export class TrialPool {
  /** Two batches per thread, so that none waits for the next one. */
  readonly width: number;
  readonly #pool: Piscina;
  readonly #loaded: Promise<void>;
  readonly #lifeline = new Lifeline();
  readonly #machines: Promise<MachineFiles>;
  readonly #closing = new AbortController();

  /** @param booting told when a machine of the plan is booted first, which takes a while */
  constructor(
    data: TrialWorkerData,
    threads = availableParallelism(),
    booting?: (name: string) => void,
  ) {
    this.width = 2 * threads;
    this.#machines = machinesOf(data, { signal: this.#closing.signal, booting });
    this.#machines.catch(() => {}); // said by the first run
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
    this.#pool.on("error", (error: unknown) => this.#lifeline.cut(error));
  }

  /** @throws when a thread cannot start or dies; a trial that fails is a line like any other */
  async run(trials: readonly number[]): Promise<TrialLines> {
    const machines = await this.#machines;
    if (this.#closing.signal.aborted) return [];
    const task: TrialTask = { trials, machines };
    return this.#lifeline.hold(this.#pool.run(task) as Promise<TrialLines>);
  }

  /**
   * Ends the threads, whatever they are doing. Waits until they have loaded their modules: Node 20 aborts the whole
   * process ("IsGraphAsync must be used on an instantiated module") when that is cut short.
   */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#machines.catch(() => {});
    await this.#lifeline.hold(this.#loaded).catch(() => {});
    await this.#pool.destroy();
  }
}
