/**
 * What the outside tells the guest through SCLP: "please shut down" (signal quiesce) and console input.
 * The main thread stores, then looks at the guest's receive mask; the vCPU stores its mask, then looks
 * for events: one of the two sees the other, so no event waits without its service signal.
 */
import type { InterruptSink } from "../ports/interrupt-sink.ts";
import { load, peek, poke, store } from "./atomics.ts";
import { VmBlock } from "./blocks.ts";
import type { VmMemory } from "./vm-memory.ts";

const INPUT_SLOTS = 256; // one byte per word of VmBlock.consoleInput
/** Parameter of a service signal that only says "events are pending". */
const EVENT_PENDING = 1;

export class SclpEvents {
  readonly #words: Int32Array;
  readonly #vm: number;
  readonly #sink: InterruptSink;

  constructor(vm: VmMemory, sink: InterruptSink) {
    this.#words = vm.words;
    this.#vm = vm.map.vmBlock / 4;
    this.#sink = sink;
  }

  /** Any thread: asks the guest to shut down. */
  requestQuiesce(): void {
    store(this.#words, this.#vm + VmBlock.quiesceRequested, 1);
    this.#signal();
  }

  /** Main thread: queues console input; returns how many bytes fitted. */
  pushInput(bytes: Uint8Array): number {
    const tail = load(this.#words, this.#vm + VmBlock.consoleInputTail);
    const head = load(this.#words, this.#vm + VmBlock.consoleInputHead);
    const count = Math.min(bytes.length, INPUT_SLOTS - ((tail - head) | 0));
    for (let n = 0; n < count; n++) {
      poke(this.#words, this.#slot(tail + n), bytes[n] as number);
    }
    store(this.#words, this.#vm + VmBlock.consoleInputTail, (tail + count) | 0);
    if (count > 0) this.#signal();
    return count;
  }

  #signal(): void {
    if (load(this.#words, this.#vm + VmBlock.sclpReceiveMask) !== 0) {
      this.#sink.serviceSignal(EVENT_PENDING);
    }
  }

  #slot(index: number): number {
    return this.#vm + VmBlock.consoleInput + (index & (INPUT_SLOTS - 1));
  }

  // vCPU side

  receiveMask(): number {
    return load(this.#words, this.#vm + VmBlock.sclpReceiveMask) >>> 0;
  }

  setReceiveMask(mask: number): void {
    store(this.#words, this.#vm + VmBlock.sclpReceiveMask, mask);
  }

  quiesceRequested(): boolean {
    return load(this.#words, this.#vm + VmBlock.quiesceRequested) !== 0;
  }

  takeQuiesce(): void {
    store(this.#words, this.#vm + VmBlock.quiesceRequested, 0);
  }

  inputAvailable(): number {
    const tail = load(this.#words, this.#vm + VmBlock.consoleInputTail);
    return (tail - load(this.#words, this.#vm + VmBlock.consoleInputHead)) | 0;
  }

  /** Moves at most `room` bytes of input to `target[at…]`; returns how many. */
  takeInput(target: Uint8Array, at: number, room: number): number {
    const head = load(this.#words, this.#vm + VmBlock.consoleInputHead);
    const count = Math.min(room, this.inputAvailable());
    for (let n = 0; n < count; n++) {
      target[at + n] = peek(this.#words, this.#slot(head + n));
    }
    store(this.#words, this.#vm + VmBlock.consoleInputHead, (head + count) | 0);
    return count;
  }
}
