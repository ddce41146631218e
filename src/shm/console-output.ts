/**
 * Console text on its way from a guest's CPUs to the main thread: a ring of pieces in the VM's shared memory. A piece is
 * {length, time low, time high} as words, then its bytes, padded to a whole word; head and tail count bytes freely over
 * 32 bits. A message per piece would wake the main thread as often as a guest says something; this one it reads when it
 * comes by.
 *
 * A guest can write faster than an operator's terminal takes it. So the vCPU waits for room, as a real console makes its
 * writer wait: nothing is lost, and a flood costs the guest time, not the host memory. It waits whatever else it was told;
 * the main thread makes room when the vCPUs shall stand or end (console-pump.ts).
 *
 * Writers: the vCPU that holds the device lock. Reader: the main thread. The bytes are published by the atomic store of
 * the tail, and given back by that of the head.
 */
import { alignUp } from "../base/bits.ts";
import { load, peek, poke, store } from "./atomics.ts";
import { VmBlock } from "./blocks.ts";
import { sleepUnless, wake } from "./doorbell.ts";
import type { VmMemory } from "./vm-memory.ts";

export const CONSOLE_RING_BYTES = 16384;
const HEADER_BYTES = 12;
/** Longer text goes in several pieces. */
const PIECE_MAX_BYTES = 4096;
/** The longest sleep of a writer, in case a wake-up was lost. */
const LOOK_MS = 100;

/** @property timeUs microseconds of the VM's clock */
export interface ConsolePiece {
  readonly bytes: Uint8Array;
  readonly timeUs: number;
}

export class ConsoleOutput {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #block: number;

  constructor(vm: VmMemory) {
    this.#words = vm.words;
    this.#bytes = vm.bytes;
    this.#block = vm.map.vmBlock / 4;
  }

  /**
   * vCPU, under the device lock. Returns when all of it stands in the ring.
   *
   * @param full called each time that there is no room, before it waits for some
   */
  write(bytes: Uint8Array, timeUs: number, full: () => void): void {
    for (let at = 0; at < bytes.length; at += PIECE_MAX_BYTES) {
      this.#writePiece(bytes.subarray(at, at + PIECE_MAX_BYTES), timeUs, full);
    }
  }

  #writePiece(bytes: Uint8Array, timeUs: number, full: () => void): void {
    const size = HEADER_BYTES + alignUp(bytes.length, 4);
    const room = { rung: () => CONSOLE_RING_BYTES - this.#held() >= size };
    while (!room.rung()) {
      full();
      sleepUnless(room, this.#words, this.#block + VmBlock.consoleWriterWaits, LOOK_MS);
    }
    const tail = load(this.#words, this.#block + VmBlock.consoleOutputTail);
    poke(this.#words, this.#wordAt(tail), bytes.length);
    poke(this.#words, this.#wordAt(tail + 4), timeUs | 0);
    poke(this.#words, this.#wordAt(tail + 8), Math.floor(timeUs / 0x1_0000_0000));
    const [first, second] = this.#parts(tail + HEADER_BYTES, bytes.length);
    first.set(bytes.subarray(0, first.length));
    second.set(bytes.subarray(first.length));
    store(this.#words, this.#block + VmBlock.consoleOutputTail, (tail + size) | 0);
  }

  /** Main thread: the next piece, if there is one. Its bytes are a copy. */
  take(): ConsolePiece | undefined {
    if (this.#held() === 0) return undefined;
    const head = load(this.#words, this.#block + VmBlock.consoleOutputHead);
    const length = peek(this.#words, this.#wordAt(head));
    const low = peek(this.#words, this.#wordAt(head + 4)) >>> 0;
    const timeUs = peek(this.#words, this.#wordAt(head + 8)) * 0x1_0000_0000 + low;
    const bytes = new Uint8Array(length);
    const [first, second] = this.#parts(head + HEADER_BYTES, length);
    bytes.set(first);
    bytes.set(second, first.length);
    const next = (head + HEADER_BYTES + alignUp(length, 4)) | 0;
    store(this.#words, this.#block + VmBlock.consoleOutputHead, next);
    wake(this.#words, this.#block + VmBlock.consoleWriterWaits);
    return { bytes, timeUs };
  }

  /** Bytes of the ring that hold text. */
  #held(): number {
    const tail = load(this.#words, this.#block + VmBlock.consoleOutputTail);
    return (tail - load(this.#words, this.#block + VmBlock.consoleOutputHead)) | 0;
  }

  #wordAt(count: number): number {
    return this.#block + VmBlock.consoleOutput + (count & (CONSOLE_RING_BYTES - 1)) / 4;
  }

  /** Where `length` bytes from a count on stand: to the end of the ring, and what is left from its start. */
  #parts(count: number, length: number): readonly [Uint8Array, Uint8Array] {
    const start = (this.#block + VmBlock.consoleOutput) * 4;
    const at = count & (CONSOLE_RING_BYTES - 1);
    const before = Math.min(length, CONSOLE_RING_BYTES - at);
    return [
      this.#bytes.subarray(start + at, start + at + before),
      this.#bytes.subarray(start, start + length - before),
    ];
  }
}
