/**
 * Functions that come and go while a VM runs. An operator asks the guest for a function; before a deadline either it has
 * gone or whoever asked hears that the guest keeps it, and the function works on. Asked with force it is taken.
 * Main thread. Source: zpci-guest.md 7.3; qmp.md 4 (DEVICE_DELETED, DEVICE_UNPLUG_GUEST_ERROR).
 */
import { setTimeout as sleep } from "node:timers/promises";
import { checkDisks, type SimFunctionConfig } from "../backend/sim/index.ts";
import { hex } from "../base/hex.ts";
import { identityProblem, slotIsFree } from "../devices/index.ts";
import { State } from "../recovery/index.ts";
import { load } from "../shm/atomics.ts";
import { FunctionBlock, RecoveryCommand } from "../shm/blocks.ts";
import type { ControllerParts } from "./controller-parts.ts";
import type { ThreadedVm } from "./threaded-vm.ts";
import type { UnplugOptions } from "./vm-control.ts";
import { functionIdOf, functionIndices } from "./vm-spec.ts";

/** How long a guest may take to give a function up. */
export const UNPLUG_DEADLINE_MS = 10_000;

/** How long one that plugs a function waits for the guest to hear the last of one that left. */
const SLOT_LEFT_WAIT_US = 2_000_000;

/** How long a recovery worker may take to say what became of a function. */
const WORKER_ANSWER_US = 500_000;

/** A function that was asked for. */
interface Leaving {
  readonly untilUs: number;
  /** When the worker was told that nobody waits any longer. */
  withdrawnUs?: number;
}

export class HotPlug {
  readonly #parts: ControllerParts;
  readonly #machine: ThreadedVm;
  readonly #leaving = new Map<number, Leaving>();

  constructor(parts: ControllerParts) {
    this.#parts = parts;
    this.#machine = parts.machine;
  }

  /** Resolves when the guest has been told (availability event 0x0301: there, configured). */
  async plug(id: string, config: SimFunctionConfig): Promise<void> {
    const { spec, vm } = this.#machine;
    const what = `function ${hex(config.fid, 8)} (${id})`;
    const taken = functionIndices(spec).some((n) => functionIdOf(spec, n) === id);
    await this.#slotsLeft();
    const index = this.#freeSlot(config.fid);
    const problem = taken
      ? `the id ${id} is already taken`
      : identityProblem(vm, config, spec.uidChecking ?? true, index);
    if (problem !== undefined) throw this.#parts.states.refused(`plug ${what}`, problem);
    if (index === undefined) {
      const leaving = this.#slotsBeingLeft();
      const why =
        leaving > 0
          ? `the guest has not fetched the last event of ${leaving} that left; let it run`
          : "start it with more functionSlots";
      const slots = vm.map.functionCount;
      throw this.#parts.states.refused(
        `plug ${what}`,
        `all of its ${slots} places are taken; ${why}`,
      );
    }
    checkDisks([...functionIndices(spec).map((n) => this.#config(n)), config]);
    await this.#machine.plug(index, id, config);
    const waits = (): boolean => this.#state(index) === State.detached && this.#serves(index);
    while (waits() && this.#parts.states.failure() === undefined) await this.#interval();
  }

  /** @throws ZmendError STATE_REFUSED when nobody is left who could ask the guest */
  unplug(index: number, options: UnplugOptions): void {
    const { deadlineMs = UNPLUG_DEADLINE_MS, force = false } = options;
    if (!this.#serves(index)) {
      const what = `ask for function ${hex(this.#config(index).fid, 8)}`;
      throw this.#parts.states.refused(what, "its recovery worker has ended; reset it first");
    }
    this.#parts.commands.post(index, force ? RecoveryCommand.take : RecoveryCommand.ask);
    if (force || !this.#leaving.has(index)) {
      this.#leaving.set(index, { untilUs: this.#nowUs() + deadlineMs * 1000 });
    }
  }

  /** The machine is another now (a snapshot): nobody waits for a function any longer. */
  forget(): void {
    this.#leaving.clear();
  }

  /** At each interval: functions that have left, and those that their guests keep. */
  look(): void {
    for (const index of functionIndices(this.#machine.spec)) {
      const leaving = this.#leaving.get(index);
      const late = leaving !== undefined && this.#nowUs() >= leaving.untilUs;
      if (this.#state(index) === State.detached) {
        // One that is planned to come has a worker that waits; one that has gone may still owe its guest the news.
        if (!this.#serves(index) || late) this.#remove(index);
      } else if (late) this.#withdraw(index, leaving);
    }
  }

  /** The guest has had its time: the worker makes of the function what it is, and whoever asked is told. */
  #withdraw(index: number, leaving: Leaving): void {
    const nowUs = this.#nowUs();
    if (leaving.withdrawnUs === undefined) {
      this.#leaving.set(index, { ...leaving, withdrawnUs: nowUs });
      this.#parts.commands.post(index, RecoveryCommand.keep);
      return;
    }
    const stays = this.#parts.commands.taken(index) && this.#state(index) !== State.unplugging;
    const mute = nowUs - leaving.withdrawnUs >= WORKER_ANSWER_US;
    if (!stays && !mute && this.#serves(index)) return;
    this.#leaving.delete(index);
    const { fid } = this.#config(index);
    const id = functionIdOf(this.#machine.spec, index);
    const reason = "the guest did not give it up in time";
    this.#parts.listeners.emit({ type: "unplug-failed", id, fid, reason });
  }

  #remove(index: number): void {
    const id = functionIdOf(this.#machine.spec, index);
    const { fid } = this.#config(index);
    this.#leaving.delete(index);
    this.#machine.removeFunction(index).catch((error) => this.#parts.states.fail(error));
    this.#parts.listeners.emit({ type: "device-deleted", id, fid });
  }

  // Places ----------------------------------------------------------------------------------------------

  /** Waits a moment until places whose functions have left are free, as long as the guest runs and so can hear of it. */
  async #slotsLeft(): Promise<void> {
    const latestUs = this.#nowUs() + SLOT_LEFT_WAIT_US;
    while (this.#slotsBeingLeft() > 0 && this.#parts.states.current === "running") {
      if (this.#nowUs() >= latestUs) return;
      await this.#interval();
    }
  }

  #slotsBeingLeft(): number {
    return this.#unusedSlots().filter((index) => !slotIsFree(this.#machine.vm, index)).length;
  }

  /** A place that has no function, and whose last one the guest has heard the last of; best the one it had before. */
  #freeSlot(fid: number): number | undefined {
    const free = this.#unusedSlots().filter((index) => slotIsFree(this.#machine.vm, index));
    return free.find((index) => this.#word(index, FunctionBlock.fid) >>> 0 === fid) ?? free[0];
  }

  #unusedSlots(): number[] {
    const used = new Set(functionIndices(this.#machine.spec));
    return [...this.#machine.vm.map.functionBlocks.keys()].filter((index) => !used.has(index));
  }

  // Words -----------------------------------------------------------------------------------------------

  #serves(index: number): boolean {
    return this.#machine.recoveryServes(index);
  }

  #state(index: number): number {
    return this.#word(index, FunctionBlock.recoveryState);
  }

  #word(index: number, name: number): number {
    const { vm } = this.#machine;
    return load(vm.words, (vm.map.functionBlocks[index] as number) / 4 + name);
  }

  #config(index: number): SimFunctionConfig {
    return this.#machine.spec.functions[index] as SimFunctionConfig;
  }

  #nowUs(): number {
    return this.#machine.clock.nowUs();
  }

  #interval(): Promise<void> {
    return sleep(this.#parts.pumpMs);
  }
}
