/**
 * Commands to recovery workers. A function's command word holds one: the next waits here until the worker has taken the
 * one before. Main thread.
 */

import { compareExchange, load } from "../shm/atomics.ts";
import { FunctionBlock, RecoveryCommand } from "../shm/blocks.ts";
import type { ThreadedVm } from "./threaded-vm.ts";
import { functionIndices } from "./vm-spec.ts";

export class CommandQueue {
  readonly #machine: ThreadedVm;
  readonly #waiting: number[][] = [];

  constructor(machine: ThreadedVm) {
    this.#machine = machine;
  }

  post(index: number, command: number): void {
    if (!this.#machine.recoveryServes(index)) return;
    this.#waiting[index] ??= [];
    this.#waiting[index].push(command);
    this.#flush(index);
  }

  /** To the worker of every function. */
  postAll(command: number): void {
    for (const index of functionIndices(this.#machine.spec)) this.post(index, command);
  }

  /** At each interval: what waited for its turn. */
  flush(): void {
    for (let index = 0; index < this.#waiting.length; index++) this.#flush(index);
  }

  /** A command waits here, in nobody's memory but ours. */
  waiting(): boolean {
    return this.#waiting.some((queue) => queue.length > 0);
  }

  /** The machine is another now (a snapshot): what waited was for the one before. */
  forget(): void {
    this.#waiting.length = 0;
  }

  /** The worker has taken everything. */
  taken(index: number): boolean {
    const none = load(this.#machine.vm.words, this.#word(index)) === RecoveryCommand.none;
    return none && (this.#waiting[index]?.length ?? 0) === 0;
  }

  #flush(index: number): void {
    const queue = this.#waiting[index];
    const next = queue?.[0];
    if (queue === undefined || next === undefined) return;
    const { words } = this.#machine.vm;
    const none = RecoveryCommand.none;
    if (compareExchange(words, this.#word(index), none, next) !== none) return;
    queue.shift();
    this.#machine.ringRecovery(index);
  }

  #word(index: number): number {
    const block = this.#machine.vm.map.functionBlocks[index] as number;
    return block / 4 + FunctionBlock.recoveryCommand;
  }
}
