/**
 * The function's command word: what an operator, or the host through the platform, wants of the machine. One command at a time;
 * it is taken when it is told to the table. Thread: recovery worker. Source: design.md 5.
 */
import { exchange, peek } from "../shm/atomics.ts";
import { FunctionBlock, FunctionState, RecoveryCommand } from "../shm/blocks.ts";
import type { Machine } from "./machine.ts";
import { choicesOf, Event, State } from "./vocabulary.ts";
import { Scratch } from "./words.ts";

const Operator = choicesOf("operatorCommand");
const Rebooted = choicesOf("systemReset");
const Refused = choicesOf("unplugRefused");

export class OperatorCommands {
  readonly #memory: Int32Array;
  readonly #machine: Machine;
  readonly #word: number;

  constructor(memory: Int32Array, machine: Machine) {
    this.#memory = memory;
    this.#machine = machine;
    this.#word = machine.words.base + FunctionBlock.recoveryCommand;
  }

  /** A function that is back waits here until the machine has let go of the one that was. */
  hostIsBack(): boolean {
    const command = this.#machine.words.load(FunctionBlock.recoveryCommand);
    return command === RecoveryCommand.hostBack || command === RecoveryCommand.hostBackStandby;
  }

  /** Takes the command that stands, if one does. */
  step(): void {
    if (peek(this.#memory, this.#word) === RecoveryCommand.none || this.hostIsBack()) return;
    switch (exchange(this.#memory, this.#word, RecoveryCommand.none)) {
      case RecoveryCommand.reset:
        this.#machine.feed(Event.operatorCommand, Operator.reset);
        return;
      case RecoveryCommand.quarantine:
        this.#machine.feed(Event.operatorCommand, Operator.quarantine);
        return;
      case RecoveryCommand.release:
        this.#machine.feed(Event.operatorCommand, Operator.release);
        return;
      case RecoveryCommand.unplug:
        this.#machine.feed(Event.operatorCommand, Operator.unplug);
        return;
      case RecoveryCommand.ask:
        this.#machine.feed(Event.operatorCommand, Operator.ask);
        return;
      case RecoveryCommand.take:
        this.#machine.feed(Event.operatorCommand, Operator.take);
        return;
      case RecoveryCommand.keep:
        this.#keep();
        return;
      case RecoveryCommand.stopVm:
        this.#machine.feed(Event.operatorCommand, Operator["stop-vm"]);
        return;
      case RecoveryCommand.pause:
        this.#machine.feed(Event.vmPaused, 0);
        return;
      case RecoveryCommand.resume:
        this.#machine.feed(Event.vmResumed, 0);
        return;
      case RecoveryCommand.systemReset:
        this.#machine.feed(Event.systemReset, this.#lost() ? Rebooted.permanent : Rebooted.working);
        return;
      case RecoveryCommand.hostRequest:
        this.#machine.feed(Event.hostRequest, 0);
        return;
    }
  }

  /** Given up for good, until the guest deconfigures it. */
  #lost(): boolean {
    return this.#machine.words.load(FunctionBlock.permanent) === 1;
  }

  /** The guest was asked for the function and has not given it up: it stays, as what it is. */
  #keep(): void {
    const { words, effects } = this.#machine;
    const from = words.get(Scratch.askedFrom) - 1;
    if (this.#machine.state !== State.unplugging || from < 0) return;
    const state = effects.guestState();
    const broken = state === FunctionState.ERROR || state === FunctionState.BLOCKED;
    const choice =
      from === State.quarantined
        ? Refused.quarantined
        : this.#lost()
          ? Refused.failed
          : broken
            ? Refused.broken
            : Refused.healthy;
    this.#machine.feed(Event.unplugRefused, choice);
  }
}
