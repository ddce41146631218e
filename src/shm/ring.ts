/**
 * Hot file: no allocation, closures, exceptions or BigInt in the record paths. Budget: 20 ns a record,
 * watched by `npm run bench -- ring`.
 *
 * Single-producer single-consumer ring of 64-byte records (one cache line, 16 lanes). Lane 0 is the
 * sequence word: the record for index i is ready when it equals i + 1. `head` counts records that the
 * consumer has given back. Indices run freely over 32 bits; distances are taken with `- … | 0`.
 *
 * *Publish.* The producer fills lanes 1-15 with plain stores (A), then stores lane 0 atomically (B). The
 * consumer loads lane 0 atomically (C); seeing i + 1 it reads the lanes (D). B synchronizes-with C, so A
 * happens-before D. *Reuse.* The consumer stores `head` atomically (E) after D; the producer loads `head`
 * (F) before it refills the slot, so no slot is written while it is read. *Single writers.* Only the
 * producer writes lanes, only the consumer writes `head`. *Death of the producer.* Nothing of the
 * producer's state lives outside the slots: a successor finds the tail by walking the sequence words
 * from `head` (`recoverTail`), and a slot that was reserved but not published is simply not ready.
 * *Old values.* A slot's previous sequence word is i + 1 - slots, never i + 1, because slots is a power
 * of two below 2^32; memory starts as zero and index 0 wants 1.
 */
import { assert } from "../base/assert.ts";
import { isPowerOfTwo } from "../base/bits.ts";
import { load, peek, poke, store } from "./atomics.ts";

export const RECORD_BYTES = 64;
const RECORD_WORDS = 16;
/** Byte offset of the 32-byte body inside a record. */
export const RECORD_BODY = 32;
const HEADER_BYTES = 128;

/** Lanes of a record. */
export const Lane = {
  sequence: 0,
  kind: 1,
  functionIndex: 2,
  generation: 3,
  timeLow: 4, //  microseconds of the VM's clock, low 32 bits
  timeHigh: 5, // high bits
  correlation: 6,
  flags: 7,
  body: 8, // 8 lanes = 32 bytes
} as const;

export function ringBytes(slots: number): number {
  return HEADER_BYTES + slots * RECORD_BYTES;
}

/** The writing side. One thread at a time; a successor on another thread constructs a new one. */
export class RingProducer {
  readonly #words: Int32Array;
  readonly #headWord: number;
  readonly #slotsWord: number;
  readonly #slots: number;
  #tail: number;
  #headSeen: number;

  constructor(words: Int32Array, byteOffset: number, slots: number) {
    assert(isPowerOfTwo(slots), `ring slots ${slots} must be a power of two`);
    this.#words = words;
    this.#headWord = byteOffset / 4;
    this.#slotsWord = (byteOffset + HEADER_BYTES) / 4;
    this.#slots = slots;
    this.#headSeen = load(words, this.#headWord);
    this.#tail = this.#recoverTail();
  }

  #recoverTail(): number {
    let index = this.#headSeen;
    for (let n = 0; n < this.#slots; n++) {
      if (load(this.#words, this.slotWord(index)) !== ((index + 1) | 0)) break;
      index = (index + 1) | 0;
    }
    return index;
  }

  /** Word index of the slot for `index`. */
  slotWord(index: number): number {
    return this.#slotsWord + (index & (this.#slots - 1)) * RECORD_WORDS;
  }

  /** Records that fit now. */
  free(): number {
    this.#headSeen = load(this.#words, this.#headWord);
    return this.#slots - ((this.#tail - this.#headSeen) | 0);
  }

  /** Word index of the next slot, or -1 when the ring is full. Reserving again gives the same slot. */
  reserve(): number {
    if (((this.#tail - this.#headSeen) | 0) >= this.#slots) {
      this.#headSeen = load(this.#words, this.#headWord);
      if (((this.#tail - this.#headSeen) | 0) >= this.#slots) return -1;
    }
    return this.slotWord(this.#tail);
  }

  /** Makes the reserved record visible. */
  publish(): void {
    const index = this.#tail;
    this.#tail = (index + 1) | 0;
    store(this.#words, this.slotWord(index), this.#tail);
  }

  /** Writes the eight header lanes of the reserved slot (lane 0 is left to `publish`). */
  fillHeader(
    slot: number,
    kind: number,
    functionIndex: number,
    generation: number,
    timeUs: number,
    correlation: number,
  ): void {
    const words = this.#words;
    poke(words, slot + Lane.kind, kind);
    poke(words, slot + Lane.functionIndex, functionIndex);
    poke(words, slot + Lane.generation, generation);
    poke(words, slot + Lane.timeLow, timeUs >>> 0);
    poke(words, slot + Lane.timeHigh, (timeUs / 0x1_0000_0000) >>> 0);
    poke(words, slot + Lane.correlation, correlation);
    poke(words, slot + Lane.flags, 0);
  }

  /** Zeroes the body of the reserved slot. */
  clearBody(slot: number): void {
    const words = this.#words;
    const body = slot + Lane.body;
    words[body] = 0;
    words[body + 1] = 0;
    words[body + 2] = 0;
    words[body + 3] = 0;
    words[body + 4] = 0;
    words[body + 5] = 0;
    words[body + 6] = 0;
    words[body + 7] = 0;
  }
}

/** The reading side. One thread at a time; a successor constructs a new one and continues at `head`. */
export class RingConsumer {
  readonly #words: Int32Array;
  readonly #headWord: number;
  readonly #slotsWord: number;
  readonly #mask: number;
  #head: number;

  constructor(words: Int32Array, byteOffset: number, slots: number) {
    assert(isPowerOfTwo(slots), `ring slots ${slots} must be a power of two`);
    this.#words = words;
    this.#headWord = byteOffset / 4;
    this.#slotsWord = (byteOffset + HEADER_BYTES) / 4;
    this.#mask = slots - 1;
    this.#head = load(words, this.#headWord);
  }

  /** Word index of the oldest record, or -1 when there is none. */
  front(): number {
    const head = this.#head;
    const slot = this.#slotsWord + (head & this.#mask) * RECORD_WORDS;
    return load(this.#words, slot) === ((head + 1) | 0) ? slot : -1;
  }

  /** Gives the oldest record's slot back. `front` must have returned it. */
  release(): void {
    this.#head = (this.#head + 1) | 0;
    store(this.#words, this.#headWord, this.#head);
  }

  /** Steps over the oldest record without telling the producer yet; `flush` returns the credit. */
  skip(): void {
    this.#head = (this.#head + 1) | 0;
  }

  flush(): void {
    store(this.#words, this.#headWord, this.#head);
  }
}

/** Microseconds in the time lanes of the record at `slot`. */
export function recordTimeUs(words: Int32Array, slot: number): number {
  return (
    (peek(words, slot + Lane.timeHigh) >>> 0) * 0x1_0000_0000 +
    (peek(words, slot + Lane.timeLow) >>> 0)
  );
}
