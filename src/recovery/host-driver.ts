/**
 * Drives what the guest or a policy wants from the host: VFIO_DEVICE_RESET with back-off, and clearing the
 * error in place where the host can (MPCIFC 9 and 7). Holds only when and how often; the unit's table decides
 * what follows. Everything stands in shared words, so a successor continues. Source: vfio-uapi.md 3.8, design.md 5.1.
 */
import { EAGAIN, EIO, ENODEV, HOST_PENDING, type HostFunction } from "../ports/host-function.ts";
import { compareExchange } from "../shm/atomics.ts";
import {
  FunctionBlock,
  PHASE_DONE,
  PHASE_FAILED,
  PHASE_IDLE,
  PHASE_REQUESTED,
  PHASE_RUNNING,
} from "../shm/blocks.ts";
import type { Policy } from "./policy.ts";
import { type FunctionWords, Scratch, STAGE_DUE, STAGE_NONE, STAGE_RUNNING } from "./words.ts";

/** What a running reset is for; the numbers stand in `Scratch.resetPurpose`. */
export const ResetPurpose = {
  guest: 0,
  beforeInjection: 1,
  reinject: 2,
  release: 3,
  system: 4,
  orphan: 5,
} as const;

/** Outcome of asking the host. */
export const CALL_WAITING = 0; // not due, or not answered yet
export const CALL_DONE = 1;
export const CALL_BUSY = 2; //    -EAGAIN, -EIO: again after the back-off
const CALL_FAILED = 3;
export const CALL_GONE = 4; //    -ENODEV

function outcomeOf(result: number): number {
  if (result === 0) return CALL_DONE;
  if (result === HOST_PENDING) return CALL_WAITING;
  if (result === -EAGAIN || result === -EIO) return CALL_BUSY;
  return result === -ENODEV ? CALL_GONE : CALL_FAILED;
}

export class HostDriver {
  readonly #words: FunctionWords;
  readonly #host: HostFunction;
  readonly #policy: Policy;
  /** Last answer of the host, for the trace. */
  result = 0;

  constructor(words: FunctionWords, host: HostFunction, policy: Policy) {
    this.#words = words;
    this.#host = host;
    this.#policy = policy;
  }

  #swap(word: number, from: number, to: number): boolean {
    const words = this.#words;
    return compareExchange(words.words, words.base + word, from, to) === from;
  }

  #backoffUs(attempt: number): number {
    const pauses = this.#policy.resetBackoffUs;
    return pauses[Math.min(attempt, pauses.length) - 1] ?? 0;
  }

  // Reset -----------------------------------------------------------------------------------------------

  /** The phase word becomes RUNNING: CLP enable and disable answer busy from here. */
  beginReset(): void {
    const words = this.#words;
    if (this.#swap(FunctionBlock.resetPhase, PHASE_IDLE, PHASE_RUNNING)) {
      words.set(Scratch.resetRequested, 0);
    } else if (words.load(FunctionBlock.resetPhase) !== PHASE_RUNNING) {
      // Requested; or answered before and not collected, which this reset makes untrue.
      words.set(Scratch.resetRequested, 1);
      words.store(FunctionBlock.resetPhase, PHASE_RUNNING);
    }
    words.set(Scratch.resetAttempt, 0);
    words.setTimeIn(Scratch.resetAt, 0);
    words.set(Scratch.resetStage, STAGE_DUE);
  }

  /** The next attempt, after the back-off that its number asks for. */
  scheduleReset(): void {
    const words = this.#words;
    if (words.get(Scratch.resetStage) === STAGE_NONE) {
      this.beginReset();
      return;
    }
    const attempt = words.get(Scratch.resetAttempt);
    words.setTimeIn(Scratch.resetAt, attempt === 0 ? 0 : this.#backoffUs(attempt));
    words.set(Scratch.resetStage, STAGE_DUE);
  }

  resetDue(): boolean {
    const words = this.#words;
    const stage = words.get(Scratch.resetStage);
    return stage !== STAGE_NONE && words.due(Scratch.resetAt);
  }

  resetRunning(): boolean {
    return this.#words.get(Scratch.resetStage) === STAGE_RUNNING;
  }

  /** Starts or asks; call when due. */
  driveReset(): number {
    const words = this.#words;
    if (words.get(Scratch.resetStage) === STAGE_DUE) {
      words.set(Scratch.resetAttempt, words.get(Scratch.resetAttempt) + 1);
      this.result = this.#host.startReset();
      if (this.result !== 0) return outcomeOf(this.result);
      words.set(Scratch.resetStage, STAGE_RUNNING);
    }
    this.result = this.#host.pollReset();
    const outcome = outcomeOf(this.result);
    if (outcome === CALL_WAITING) words.setTimeIn(Scratch.resetAt, this.#policy.hostPollUs);
    return outcome;
  }

  /** The attempt under way has been answered; whether there is another is for the table to say. */
  pauseReset(): void {
    this.#words.set(Scratch.resetStage, STAGE_DUE);
  }

  endReset(): void {
    this.#words.set(Scratch.resetStage, STAGE_NONE);
  }

  /** Tells the vCPU that waits, or just lets CLP through again when none does. */
  answerReset(phase: typeof PHASE_DONE | typeof PHASE_FAILED): void {
    const requested = this.#words.get(Scratch.resetRequested) === 1;
    this.#swap(FunctionBlock.resetPhase, PHASE_RUNNING, requested ? phase : PHASE_IDLE);
    if (phase === PHASE_FAILED) {
      this.#swap(FunctionBlock.resetPhase, PHASE_REQUESTED, PHASE_FAILED);
    }
  }

  // Clear -----------------------------------------------------------------------------------------------

  /** Operation that a vCPU asks for (7 or 9), or 0. `clearPhase` holds it in bits 8-15. */
  clearRequested(): number {
    const phase = this.#words.load(FunctionBlock.clearPhase);
    return (phase & 0xff) === PHASE_REQUESTED ? phase >>> 8 : 0;
  }

  beginClear(operation: number): void {
    const words = this.#words;
    words.store(FunctionBlock.clearPhase, PHASE_RUNNING);
    words.set(Scratch.clearOperation, operation);
    words.set(Scratch.clearAttempt, 0);
    words.set(Scratch.errorDuringClear, 0);
    words.setTimeIn(Scratch.clearAt, 0);
    words.set(Scratch.clearStage, STAGE_DUE);
  }

  /** A successor of a worker that died meanwhile asks again. */
  resumeClear(): void {
    const words = this.#words;
    if ((words.load(FunctionBlock.clearPhase) & 0xff) !== PHASE_RUNNING) return;
    const operation = words.get(Scratch.clearOperation);
    if (operation === 0) words.store(FunctionBlock.clearPhase, PHASE_FAILED);
    else this.beginClear(operation);
  }

  clearRunning(): boolean {
    return this.#words.get(Scratch.clearStage) === STAGE_RUNNING;
  }

  clearDue(): boolean {
    const words = this.#words;
    return words.get(Scratch.clearStage) !== STAGE_NONE && words.due(Scratch.clearAt);
  }

  /** CALL_WAITING, CALL_DONE, CALL_FAILED or CALL_GONE: the clear's own back-off is bounded here. */
  driveClear(): number {
    const words = this.#words;
    const operation = words.get(Scratch.clearOperation) === 7 ? 7 : 9;
    if (words.get(Scratch.clearStage) === STAGE_DUE) {
      // Reset since its last error (policy `reset-first`): nothing is left to clear, and the host would refuse.
      if (words.get(Scratch.hostErrorStands) === 0) {
        this.result = 0;
        return CALL_DONE;
      }
      words.set(Scratch.clearAttempt, words.get(Scratch.clearAttempt) + 1);
      this.result = this.#host.startClear(operation);
      if (this.result === 0) words.set(Scratch.clearStage, STAGE_RUNNING);
    }
    if (words.get(Scratch.clearStage) === STAGE_RUNNING) this.result = this.#host.pollClear();
    const outcome = outcomeOf(this.result);
    if (outcome === CALL_WAITING) {
      words.setTimeIn(Scratch.clearAt, this.#policy.hostPollUs);
      return outcome;
    }
    if (outcome !== CALL_BUSY) return outcome;
    const attempt = words.get(Scratch.clearAttempt);
    if (attempt > this.#policy.resetBackoffUs.length) return CALL_FAILED;
    words.setTimeIn(Scratch.clearAt, this.#backoffUs(attempt));
    words.set(Scratch.clearStage, STAGE_DUE);
    return CALL_WAITING;
  }

  answerClear(phase: typeof PHASE_DONE | typeof PHASE_FAILED): void {
    const words = this.#words;
    this.endClear();
    if (phase === PHASE_DONE) words.set(Scratch.told, 0);
    if (this.#swap(FunctionBlock.clearPhase, PHASE_RUNNING, phase)) return;
    if (phase !== PHASE_FAILED) return;
    const seen = words.load(FunctionBlock.clearPhase);
    if ((seen & 0xff) === PHASE_REQUESTED) this.#swap(FunctionBlock.clearPhase, seen, PHASE_FAILED);
  }

  endClear(): void {
    this.#words.set(Scratch.clearStage, STAGE_NONE);
  }

  /** When the host has to be asked next; Infinity when nothing is under way. */
  nextWakeUs(): number {
    const words = this.#words;
    let wake = Number.POSITIVE_INFINITY;
    if (words.get(Scratch.resetStage) !== STAGE_NONE) wake = words.time(Scratch.resetAt);
    if (words.get(Scratch.clearStage) !== STAGE_NONE) {
      wake = Math.min(wake, words.time(Scratch.clearAt));
    }
    return wake;
  }

  /** Deadlines stand still while the VM is paused. */
  shift(byUs: number): void {
    const words = this.#words;
    words.setTime(Scratch.resetAt, words.time(Scratch.resetAt) + byUs);
    words.setTime(Scratch.clearAt, words.time(Scratch.clearAt) + byUs);
  }
}
