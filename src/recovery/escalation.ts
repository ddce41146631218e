/**
 * A state's deadline that has passed, and what the policy does then: each of its steps as often as it says within one episode,
 * one after the other, at last `fail`. Thread: recovery worker. Source: design.md 5.1.
 */
import { FunctionState } from "../shm/blocks.ts";
import { resetFailedChoice } from "./host-calls.ts";
import type { Machine } from "./machine.ts";
import { policyStepOf } from "./policy.ts";
import { choicesOf, Event, State } from "./vocabulary.ts";
import { Scratch } from "./words.ts";

const Deadline = choicesOf("deadline");

export class Escalation {
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Tells the table of a deadline that has passed. */
  step(): void {
    const { words, policy, effects } = this.#machine;
    if (!words.hasTime(Scratch.deadline) || !words.due(Scratch.deadline) || this.#machine.paused())
      return;
    words.clearTime(Scratch.deadline);
    if (this.#machine.state === State.resetting) {
      this.#machine.feed(Event.hostResetFailed, resetFailedChoice(policy.onResetFailure));
      return;
    }
    if (effects.guestState() <= FunctionState.DISABLED && !this.#machine.orphan(false)) {
      this.#machine.feed(Event.deadline, Deadline.idle);
      return;
    }
    const step = this.#nextRung();
    effects.tracePolicyStep(step);
    this.#machine.feed(Event.deadline, step);
  }

  /** The next step of the policy within this episode. */
  #nextRung(): number {
    const { words, policy } = this.#machine;
    let rung = words.get(Scratch.rung);
    if (words.get(Scratch.rungUses) >= (policy.escalationTimes[rung] ?? 0)) {
      if (words.get(Scratch.rungUses) > 0 && rung < policy.escalationStep.length) {
        rung += 1;
        words.set(Scratch.rung, rung);
      }
      words.set(Scratch.rungUses, 0);
    }
    words.set(Scratch.rungUses, words.get(Scratch.rungUses) + 1);
    return policyStepOf(policy, rung);
  }
}
