/**
 * Runs genuine `src/shm` code on several threads, one shared-memory access at a time, in an order that the
 * caller chooses: interleavings become inputs. All calls are synchronous; a run that ends with a blocked
 * thread and nobody to wake it is a lost wake-up, and is reported as such, not waited for.
 */
import { Worker } from "node:worker_threads";
import {
  Command,
  Control,
  logWord,
  SIDE_WORDS,
  State,
  type StepperData,
} from "./stepper-protocol.ts";

const atomics = globalThis.Atomics;

/** Chooses the next thread among `runnable` (ascending); `step` counts from 0. */
export type Scheduler = (runnable: readonly number[], step: number) => number;

export interface Run {
  /** Threads that were blocked at the end with nobody left to wake them. */
  readonly stuck: readonly number[];
  /** Per step: the threads that could have run and the one that did. */
  readonly choices: readonly { readonly runnable: readonly number[]; readonly chosen: number }[];
}

/** A run that needs more steps than this does not end. */
const STEPS_MAX = 20_000;

export class Stepper {
  readonly memory: Int32Array;
  readonly side: Int32Array;
  readonly #controls: readonly Int32Array[];
  readonly #workers: readonly Worker[];
  readonly #blockedOn: number[] = [];

  constructor(threads: number, memoryBytes: number) {
    const memory = new SharedArrayBuffer(memoryBytes);
    const side = new SharedArrayBuffer(SIDE_WORDS * 4);
    this.memory = new Int32Array(memory);
    this.side = new Int32Array(side);
    this.#controls = Array.from(
      { length: threads },
      () => new Int32Array(new SharedArrayBuffer(Control.words * 4)),
    );
    this.#workers = this.#controls.map((words, thread) => {
      atomics.store(words, Control.state, State.running);
      const control = words.buffer as SharedArrayBuffer;
      const workerData: StepperData = { thread, control, memory, side };
      return new Worker(new URL("../../dist/test/support/stepper-worker.js", import.meta.url), {
        workerData,
      });
    });
  }

  /** Waits until the threads stand ready for their first program. */
  async start(): Promise<void> {
    for (const words of this.#controls) {
      while (atomics.load(words, Control.state) === State.running) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  /** Empties both memories; between runs. */
  reset(): void {
    this.memory.fill(0);
    this.side.fill(0);
    this.#blockedOn.length = 0;
  }

  /** Gives a thread that has none a program (an index of `programs`). */
  begin(thread: number, program: number): void {
    this.#control(thread)[Control.program] = program;
    this.#command(thread, Command.run);
  }

  /** Lets a thread make its next access; false when it has ended, died or is blocked. */
  step(thread: number): boolean {
    if (!this.#canRun(thread)) return false;
    this.#command(thread, Command.step);
    if (this.#state(thread) === State.notified) {
      const index = this.#control(thread)[Control.wordIndex] ?? -1;
      const sleeper = this.#blockedOn.findIndex(
        (word, other) => word === index && other !== thread,
      );
      if (sleeper >= 0) this.#release(sleeper);
      this.#command(thread, Command.step);
    }
    return true;
  }

  /** The thread throws away what it is doing at its next access, as one that was terminated there. */
  kill(thread: number): void {
    if (this.ended(thread)) return;
    this.#blockedOn[thread] = -1;
    this.#command(thread, Command.die);
  }

  ended(thread: number): boolean {
    const state = this.#state(thread);
    return state === State.idle || state === State.died || state === State.failed;
  }

  /** Runs until all threads have ended or only blocked ones are left. */
  run(schedule: Scheduler): Run {
    const choices: { runnable: readonly number[]; chosen: number }[] = [];
    const threads = this.#controls.map((_words, thread) => thread);
    for (let step = 0; step < STEPS_MAX; step++) {
      const runnable = threads.filter((thread) => this.#canRun(thread));
      if (runnable.length === 0) {
        const stuck = threads.filter((thread) => !this.ended(thread));
        for (const thread of stuck) this.kill(thread);
        return { stuck, choices };
      }
      const chosen = schedule(runnable, step);
      choices.push({ runnable, chosen });
      this.step(chosen);
    }
    throw new Error(`the threads did not end within ${STEPS_MAX} steps`);
  }

  /** What the thread logged. */
  log(thread: number): number[] {
    const at = logWord(thread);
    return [...this.side.subarray(at + 1, at + 1 + (this.side[at] ?? 0))];
  }

  #canRun(thread: number): boolean {
    return this.#state(thread) === State.ready;
  }

  #release(thread: number): void {
    this.#blockedOn[thread] = -1;
    this.#command(thread, Command.step);
  }

  #command(thread: number, command: number): void {
    const words = this.#control(thread);
    atomics.store(words, Control.state, State.running);
    atomics.store(words, Control.command, command);
    atomics.notify(words, Control.command);
    while (atomics.load(words, Control.state) === State.running) {
      atomics.wait(words, Control.state, State.running);
    }
    const state = this.#state(thread);
    if (state === State.failed) throw new Error(`the program of thread ${thread} threw`);
    if (state === State.blocked) this.#blockedOn[thread] = words[Control.wordIndex] ?? -1;
  }

  #state(thread: number): number {
    return atomics.load(this.#control(thread), Control.state);
  }

  #control(thread: number): Int32Array {
    const words = this.#controls[thread];
    if (words === undefined) throw new Error(`there is no thread ${thread}`);
    return words;
  }
}

/**
 * Every interleaving, depth first: `play` sets the programs up, runs them under the given scheduler and
 * checks the outcome.
 * @returns how many interleavings there were
 * @throws when there are more than `limit`
 */
export function explore(limit: number, play: (schedule: Scheduler) => Run): number {
  let prefix: number[] = [];
  for (let count = 1; count <= limit; count++) {
    const run = play((runnable, step) => prefix[step] ?? runnable[0] ?? 0);
    const next = nextPrefix(run);
    if (next === undefined) return count;
    prefix = next;
  }
  throw new Error(`more than ${limit} interleavings`);
}

/** The last choice that had an untried, greater alternative, changed to it. */
function nextPrefix(run: Run): number[] | undefined {
  for (let step = run.choices.length - 1; step >= 0; step--) {
    const choice = run.choices[step];
    const next = choice?.runnable.find((thread) => thread > choice.chosen);
    if (next === undefined) continue;
    return [...run.choices.slice(0, step).map((made) => made.chosen), next];
  }
  return undefined;
}

/** A schedule from random bytes: each gives the thread and how many steps it makes in a row, 1 to 128. */
export function fromBytes(bytes: readonly number[]): Scheduler {
  let burst = 0;
  let current = 0;
  let next = 0;
  return (runnable, step) => {
    if (burst === 0 || !runnable.includes(current)) {
      const byte = next < bytes.length ? (bytes[next++] ?? 0) : step;
      current = runnable[byte % runnable.length] ?? 0;
      burst = 1 << ((byte >>> 4) & 7);
    }
    burst -= 1;
    return current;
  };
}
