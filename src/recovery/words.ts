/**
 * Hot file. The recovery machine's view of one function's shared words: the machine's own scratch words,
 * which outlive the worker, the numbered drain steps, and times (two words: microseconds below 2^53).
 */
import { load, peek, poke, store } from "../shm/atomics.ts";
import { FunctionBlock } from "../shm/blocks.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { QUARANTINE_ERRORS_MAX } from "./policy.ts";

/** More than these and the guest is told to list everything anew (0x0306). */
export const OWED_MAX = 4;

/** `FunctionBlock.recoveryScratch`, 80 words. Written by the worker and, after its death, the supervisor. */
export const Scratch = {
  opened: 0, //          1 = mediation was started
  unreported: 1, //      1 = records were published since the last channel report
  hostErrorStands: 2, // 1 = the host function has failed since its last reset or clear
  starved: 3, //         1 = the guest's ring was full when the host was last asked
  hostHandle: 4,
  lastPec: 5,
  pollDue: 19, //        1 = the host's queue is to be read in the next pass
  // Times, two words each, 0 = none
  deadline: 6,
  errorAt: 8, //         first error of the running episode
  pausedAt: 10,
  resetAt: 12,
  clearAt: 14,
  drainAt: 16, //        next drain of the slow interval
  // Escalation of the running episode
  rung: 20,
  rungUses: 21,
  // Effects of the step under way: its cell in the compiled table + 1 (0 = all done), and the next effect
  pendingCell: 31,
  pendingEffect: 18,
  // Host reset
  resetPurpose: 22, //   ResetPurpose
  resetStage: 23, //     STAGE_*
  resetAttempt: 24,
  resetRequested: 25, // 1 = a vCPU waits for this reset
  // Host clear (MPCIFC 9, 7)
  clearOperation: 26, // 0, 7 or 9
  clearStage: 27,
  clearAttempt: 28,
  errorDuringClear: 29,
  // Availability events that found the guest's ring full, oldest first
  owedCount: 30,
  owed: 42, //           OWED_MAX words
  pinned: 64, //         1 = pages of the guest may be mapped for the device
  askedFrom: 65, //      the state out of which the guest was asked to give the function up, + 1; 0 = not asked
  // Redo log of the drain step under way (`effects.ts`)
  logIndex: 32,
  logPublish: 33,
  logRead: 34, //        readByWorker afterwards
  logCounter: 35, //     index of the counter in FunctionBlock
  logCount: 36, //       its value afterwards
  // Verdict on the CCDF that is being read, by the value readByWorker will have
  judgedOrdinal: 37,
  judgedVerdict: 38,
  told: 39, //           generation + 1 of the error that the guest has been told of and not cleared; 0 = none
  // Token bucket
  tokensMilli: 40,
  tokensAtMs: 62, //     a time of two words, ms + 1
  // Quarantine after N in T: times of the last errors, two words each, ms + 1
  errorTimesNext: 41,
  errorTimes: 46, //     QUARANTINE_ERRORS_MAX of them
} as const;

/** Words that are more than one word long, with their length; the rest are single. */
export const scratchLengths: Readonly<Partial<Record<keyof typeof Scratch, number>>> = {
  deadline: 2,
  errorAt: 2,
  pausedAt: 2,
  resetAt: 2,
  clearAt: 2,
  drainAt: 2,
  tokensAtMs: 2,
  owed: OWED_MAX,
  errorTimes: 2 * QUARANTINE_ERRORS_MAX,
};

/** When the deadline of the state that function block `block` (a word index) is in comes; Infinity = it has none. */
export function deadlineOf(words: Int32Array, block: number): number {
  const at = block + FunctionBlock.recoveryScratch + Scratch.deadline;
  const us = (peek(words, at + 1) >>> 0) * 0x1_0000_0000 + (peek(words, at) >>> 0);
  return us === 0 ? Number.POSITIVE_INFINITY : us;
}

/** The slow drain's next time, for whoever leaves out those that find nothing (trials of experiments). */
export function setSlowDrain(words: Int32Array, block: number, us: number): void {
  const at = block + FunctionBlock.recoveryScratch + Scratch.drainAt;
  poke(words, at, us >>> 0);
  poke(words, at + 1, Math.floor(us / 0x1_0000_0000));
}

export const STAGE_NONE = 0;
export const STAGE_DUE = 1;
export const STAGE_RUNNING = 2;

/**
 * Numbered steps of one drain, `FunctionBlock.drainStep`. From `logged` to `counted` the redo log holds; a
 * worker that dies at any number leaves enough to end the step exactly once.
 */
export const DrainStep = {
  idle: 0,
  woken: 1, //     doorbell bits and ERR count taken
  reserved: 2, //  slot reserved and zeroed
  read: 3, //      the host's GET wrote the CCDF into the slot
  marked: 4, //    the function's state word says ERROR
  logged: 5, //    redo log written
  published: 6, // record visible, or slot emptied again
  counted: 7, //   counters at their new values
  settled: 8, //   log closed
  reported: 9, //  channel report posted
} as const;
export const DRAIN_STEP_LAST = DrainStep.reported;

/** Thrown by a unit that was told to die at a numbered step (tests). */
export class WorkerKilled extends Error {
  override readonly name = "WorkerKilled";
  readonly step: number;

  constructor(step: number) {
    super(`recovery worker killed at drain step ${step}`);
    this.step = step;
  }
}

export class FunctionWords {
  readonly words: Int32Array;
  readonly base: number;
  readonly #scratch: number;
  readonly #hook: ((step: number) => void) | undefined;
  /** False for the supervisor, which only ends what a dead worker began. */
  killable = true;

  readonly #stamp: Float64Array;

  constructor(vm: VmMemory, index: number, stamp: Float64Array, hook?: (step: number) => void) {
    this.words = vm.words;
    this.#stamp = stamp;
    this.base = (vm.map.functionBlocks[index] as number) / 4;
    this.#scratch = this.base + FunctionBlock.recoveryScratch;
    this.#hook = hook;
  }

  /** @param word index in `FunctionBlock` */
  load(word: number): number {
    return load(this.words, this.base + word);
  }

  store(word: number, value: number): void {
    store(this.words, this.base + word, value);
  }

  /** Adds one to a counter that only this worker writes. */
  count(word: number): void {
    store(this.words, this.base + word, (load(this.words, this.base + word) + 1) | 0);
  }

  /** @param word index in `Scratch` */
  get(word: number): number {
    return peek(this.words, this.#scratch + word);
  }

  set(word: number, value: number): void {
    poke(this.words, this.#scratch + word, value);
  }

  time(word: number): number {
    return (
      (peek(this.words, this.#scratch + word + 1) >>> 0) * 0x1_0000_0000 +
      (peek(this.words, this.#scratch + word) >>> 0)
    );
  }

  hasTime(word: number): boolean {
    const at = this.#scratch + word;
    return (peek(this.words, at) | peek(this.words, at + 1)) !== 0;
  }

  /** Whether the time at `word` has come, at the last reading of the clock. */
  due(word: number): boolean {
    // Not by `time`: what a call returns may be put on the heap.
    const at = this.#scratch + word;
    const high = peek(this.words, at + 1) >>> 0;
    return (this.#stamp[0] as number) >= high * 0x1_0000_0000 + (peek(this.words, at) >>> 0);
  }

  /** Time of the last reading plus `afterUs`, rounded up. */
  setTimeIn(word: number, afterUs: number): void {
    const whole = Math.ceil((this.#stamp[0] as number) + afterUs);
    poke(this.words, this.#scratch + word, whole >>> 0);
    poke(this.words, this.#scratch + word + 1, Math.floor(whole / 0x1_0000_0000));
  }

  clearTime(word: number): void {
    poke(this.words, this.#scratch + word, 0);
    poke(this.words, this.#scratch + word + 1, 0);
  }

  /** Rounds up, so that a deadline never passes early. */
  setTime(word: number, us: number): void {
    const whole = Math.ceil(us);
    poke(this.words, this.#scratch + word, whole >>> 0);
    poke(this.words, this.#scratch + word + 1, Math.floor(whole / 0x1_0000_0000));
  }

  /** Records that drain step `step` is reached; the worker dies here when a test says so. */
  reach(step: number): void {
    store(this.words, this.base + FunctionBlock.drainStep, step);
    if (!this.killable) return;
    if (this.#hook !== undefined) this.#hook(step);
    if (peek(this.words, this.base + FunctionBlock.killAtStep) === step) {
      store(this.words, this.base + FunctionBlock.killAtStep, 0);
      throw new WorkerKilled(step);
    }
  }
}
