/**
 * Console text travels from the vCPU's thread in messages, and a guest can write faster than an operator's terminal
 * takes it. So the vCPU counts what it has sent, the main thread counts down what it has taken, and the vCPU
 * waits while too much is under way, as a real console makes its writer wait. Nothing is lost, and a flood
 * costs the guest time, not the host memory.
 */
import { CONSOLE_UNTAKEN_MAX_BYTES } from "../base/limits.ts";
import { add, load, notify, wait } from "../shm/atomics.ts";
import { VmBlock } from "../shm/blocks.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { HOLD_NOBODY, holdOf } from "./hold.ts";
import { COMMAND_RUN, commandOf } from "./loops.ts";

/** What a message costs besides its bytes, so that a flood of empty ones is bounded too. */
const MESSAGE_BYTES = 256;

/** How long the vCPU waits before it looks at the command word again. */
const LOOK_MS = 100;

export class ConsoleGate {
  readonly #vm: VmMemory;
  readonly #word: number;
  readonly #writes: number;

  constructor(vm: VmMemory) {
    this.#vm = vm;
    this.#word = vm.map.vmBlock / 4 + VmBlock.consoleUntaken;
    this.#writes = vm.map.vmBlock / 4 + VmBlock.consoleWrites;
  }

  /** vCPU: the place of the next piece of text in the order of all vCPUs'. Under the device lock. */
  next(): number {
    return add(this.#vm.words, this.#writes, 1);
  }

  /** Main thread, before any vCPU runs: the place of the first piece that will come. */
  first(): number {
    return load(this.#vm.words, this.#writes);
  }

  /** vCPU, after it sent `bytes`: returns when there is room for more, or when it is told to stop or to stand. */
  sent(bytes: number): void {
    const { words } = this.#vm;
    add(words, this.#word, bytes + MESSAGE_BYTES);
    for (;;) {
      const untaken = load(words, this.#word);
      if (untaken <= CONSOLE_UNTAKEN_MAX_BYTES || commandOf(this.#vm) !== COMMAND_RUN) return;
      if (holdOf(this.#vm) !== HOLD_NOBODY) return;
      wait(words, this.#word, untaken, LOOK_MS);
    }
  }

  /** Main thread, when it is done with `bytes`. */
  taken(bytes: number): void {
    const { words } = this.#vm;
    const before = add(words, this.#word, -(bytes + MESSAGE_BYTES));
    if (before > CONSOLE_UNTAKEN_MAX_BYTES) notify(words, this.#word);
  }
}
