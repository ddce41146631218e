/**
 * Host calls under way, and what follows from their answers: resets with the drains around them, clears in
 * place. Source: vfio-uapi.md 3.8, design.md 5.1. Thread: recovery worker.
 */
import { CCDF_RING_SLOTS } from "../base/limits.ts";
import { FunctionBlock } from "../shm/blocks.ts";
import type { Drain } from "./drain.ts";
import { CALL_BUSY, CALL_DONE, CALL_GONE, CALL_WAITING, ResetPurpose } from "./host-driver.ts";
import type { Machine } from "./machine.ts";
import type { Policy } from "./policy.ts";
import { choicesOf, Event, PolicyStep, State } from "./vocabulary.ts";
import { Scratch } from "./words.ts";

const Block = choicesOf("guestResetBlock");
const Clear = choicesOf("guestResetError");
const ResetDone = choicesOf("hostResetDone");
const ResetFailed = choicesOf("hostResetFailed");

/** Policy step to the choice of `hostResetFailed`. */
export function resetFailedChoice(step: number): number {
  if (step === PolicyStep.quarantine) return ResetFailed.quarantine;
  if (step === PolicyStep.unplug) return ResetFailed.unplug;
  return step === PolicyStep["stop-vm"] ? ResetFailed["stop-vm"] : ResetFailed.fail;
}

/** Choice of `guestResetError` for an error that is cleared. */
function cleared(policy: Policy): number {
  return policy.verifyResetError ? Clear.verify : Clear.accepted;
}

export class HostCalls {
  readonly #machine: Machine;
  readonly #drain: Drain;

  constructor(machine: Machine, drain: Drain) {
    this.#machine = machine;
    this.#drain = drain;
  }

  /** @param answered the host rang: ask at once, not at the next poll */
  step(answered: boolean): void {
    if (this.#machine.paused()) return;
    if (this.#machine.state === State.resetting) {
      if (this.#machine.driver.resetDue() || (answered && this.#machine.driver.resetRunning())) {
        this.#driveReset();
      }
    }
    if (this.#machine.driver.clearDue() || (answered && this.#machine.driver.clearRunning())) {
      this.#driveClear();
    }
  }

  #driveReset(): void {
    // What is pending was raised before the reset and ends with it, whether or not the handle changes.
    if (!this.#machine.driver.resetRunning()) this.#drain.run();
    if (this.#machine.state !== State.resetting) return;
    const outcome = this.#machine.driver.driveReset();
    if (outcome === CALL_WAITING) return;
    const words = this.#machine.words;
    const attempt = words.get(Scratch.resetAttempt);
    this.#machine.driver.pauseReset();
    if (outcome === CALL_DONE) words.set(Scratch.hostErrorStands, 0);
    this.#machine.effects.traceReset(
      this.#machine.driver.result,
      attempt,
      this.#machine.host.handle(),
    );
    if (outcome === CALL_BUSY) {
      this.#machine.feed(Event.hostResetBusy, 0);
      return;
    }
    if (outcome === CALL_GONE) {
      this.#machine.feed(Event.hostGone, 0);
      return;
    }
    if (outcome !== CALL_DONE) {
      this.#machine.feed(
        Event.hostResetFailed,
        resetFailedChoice(this.#machine.policy.onResetFailure),
      );
      return;
    }
    words.count(FunctionBlock.hostResets);
    if (this.#machine.host.handle() !== words.get(Scratch.hostHandle))
      this.#machine.feed(Event.handleChanged, 0);
    this.#drain.run();
    if (this.#machine.state !== State.resetting) return;
    if (words.get(Scratch.hostErrorStands) === 1) {
      this.#machine.feed(Event.hostResetBusy, 0);
      return;
    }
    this.#machine.feed(Event.hostResetDone, this.#resetDoneChoice());
  }

  #resetDoneChoice(): number {
    const waiting = this.#machine.effects.ring.free() !== CCDF_RING_SLOTS;
    switch (this.#machine.words.get(Scratch.resetPurpose)) {
      case ResetPurpose.beforeInjection:
        return waiting ? ResetDone["before-injection"] : ResetDone.guest;
      case ResetPurpose.reinject:
        return ResetDone.reinject;
      case ResetPurpose.release:
        return ResetDone.release;
      case ResetPurpose.system:
        return ResetDone.system;
      case ResetPurpose.orphan:
        return this.#machine.effects.guestEnabled() ? ResetDone.enabled : ResetDone.orphan;
      default:
        return ResetDone.guest;
    }
  }

  #driveClear(): void {
    const outcome = this.#machine.driver.driveClear();
    if (outcome === CALL_WAITING) return;
    if (outcome === CALL_GONE) {
      this.#machine.feed(Event.hostGone, 0);
      return;
    }
    this.#machine.driver.endClear();
    const words = this.#machine.words;
    const clearsError = words.get(Scratch.clearOperation) === 7;
    if (outcome === CALL_DONE) {
      if (clearsError) words.set(Scratch.hostErrorStands, 0);
      this.#drain.run();
    }
    const failedAgain =
      words.get(Scratch.errorDuringClear) === 1 || (clearsError && this.#machine.untold());
    const refused = outcome !== CALL_DONE || failedAgain;
    if (clearsError) {
      this.#machine.feed(
        Event.guestResetError,
        refused ? Clear.refused : cleared(this.#machine.policy),
      );
    } else this.#machine.feed(Event.guestResetBlock, refused ? Block.refused : Block.accepted);
  }
}
