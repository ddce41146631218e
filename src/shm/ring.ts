/**
 * Hot file: no allocation, closures, exceptions or BigInt in the record paths. Budget: 20 ns a record in
 * batches, 40 ns one at a time, watched by `npm run bench -- ring`.
 *
 * Single-producer single-consumer ring of 64-byte records (one cache line, 16 lanes). Lane 0 is the
 * sequence word: the record for index i is ready when it equals i + 1. `head` counts records that the
 * consumer has given back. Indices run freely over 32 bits; distances are taken with `- … | 0`.
 *
 * *Publish.* The producer fills lanes 1-15 with plain stores (A), then stores lane 0 atomically (B). The
 * consumer loads lane 0 atomically (C); seeing i + 1 it reads the lanes (D). B synchronizes-with C, so A
 * happens-before D. *Batch.* The sequence words of the second to last record of a batch, and the count of
 * them in lane 7 of the first, are plain stores made before the atomic store of the first one's sequence
 * word; the consumer touches none of them before it has seen the first. *Reuse.* The consumer stores `head`
 * atomically (E) after D; the producer loads `head` (F) before it refills the slot, so no slot is written
 * while it is read. There is thus no data race, and race-free programs see sequentially consistent memory
 * (ECMA-262, memory model): that is what the SPIN model and the interleaving tests examine.
 * *Single writers.* Only the producer writes lanes, only the consumer writes `head`.
 *
 * *Death of the producer.* Nothing of the producer's state lives outside the slots: a successor finds the
 * tail by walking the sequence words from `head`. Words that a dead batch left ready beyond the tail are
 * taken back before anything is published. A slot that was reserved but not published is not ready.
 * *Death of the consumer.* Its successor starts at `head`: records skipped but not flushed come again.
 * *Old values.* A slot's previous sequence word is i + 1 - slots, never i + 1, because slots is a power
 * of two below 2^31; memory starts as zero and index 0 wants 1. Nor is it the armed mark i + 1 + 2^31.
 * *Alignment.* Memory is a `WebAssembly.Memory`, so page-aligned; a plain SharedArrayBuffer starts 16 bytes
 * into a line, and records that straddle two lines cost half as much again per hop (measured).
 */
import { assert } from "../base/assert.ts";
import { isPowerOfTwo } from "../base/bits.ts";
import { load, peek, poke, store } from "./atomics.ts";

export const RECORD_BYTES = 64;
const RECORD_WORDS = 16;
/** Byte offset of the 32-byte body inside a record. */
export const RECORD_BODY = 32;
/** Byte offsets of the words before the slots, one writer each, 128 bytes apart (performance.md 1.4). */
const HEAD_WORD = 0; //   consumer
const LOST_WORD = 128; // producer: records it had to give up because the ring was full
const HEADER_BYTES = 256;
/** Added to a wanted sequence word: the slot is reserved and its body zeroed, not yet ready. */
const ARMED = 0x8000_0000 | 0;

/** Lanes of a record. */
export const Lane = {
  sequence: 0,
  kind: 1,
  functionIndex: 2,
  generation: 3,
  timeLow: 4, //  microseconds of the VM's clock, low 32 bits
  timeHigh: 5, // high bits
  correlation: 6,
  batch: 7, //    records published together with this one, after it; written by publish
  body: 8, //     8 lanes = 32 bytes
} as const;

export function ringBytes(slots: number): number {
  return HEADER_BYTES + slots * RECORD_BYTES;
}

/**
 * Prepares zeroed or used memory as an empty ring whose first record has index `first`. Fresh zero memory
 * is already a ring that starts at index 0. Nobody else may touch the ring meanwhile.
 */
export function resetRing(words: Int32Array, byteOffset: number, slots: number, first = 0): void {
  const slotsWord = (byteOffset + HEADER_BYTES) / 4;
  for (let n = 0; n < slots; n++) {
    const index = (first + n) | 0;
    const slot = slotsWord + (index & (slots - 1)) * RECORD_WORDS;
    store(words, slot, (index + 1 - slots) | 0);
  }
  store(words, (byteOffset + LOST_WORD) / 4, 0);
  store(words, (byteOffset + HEAD_WORD) / 4, first | 0);
}

/** Records that stand in a ring, for whoever only looks: neither side's words are touched. */
export function ringDepth(words: Int32Array, byteOffset: number, slots: number): number {
  const head = load(words, (byteOffset + HEAD_WORD) / 4);
  const slotsWord = (byteOffset + HEADER_BYTES) / 4;
  let depth = 0;
  for (; depth < slots; depth++) {
    const index = (head + depth) | 0;
    const slot = slotsWord + (index & (slots - 1)) * RECORD_WORDS;
    if (load(words, slot) !== ((index + 1) | 0)) break;
  }
  return depth;
}

/** Records that the producer of a ring had to give up, for whoever only looks. */
export function ringLost(words: Int32Array, byteOffset: number): number {
  return load(words, (byteOffset + LOST_WORD) / 4) >>> 0;
}

/**
 * The writing side. One thread at a time; a successor constructs a new one, after the thread of its
 * predecessor has ended.
 */
export class RingProducer {
  readonly #words: Int32Array;
  readonly #headWord: number;
  readonly #lostWord: number;
  readonly #slotsWord: number;
  readonly #slots: number;
  #tail: number;
  #headSeen: number;

  constructor(words: Int32Array, byteOffset: number, slots: number) {
    assert(isPowerOfTwo(slots), `ring slots ${slots} must be a power of two`);
    this.#words = words;
    this.#headWord = (byteOffset + HEAD_WORD) / 4;
    this.#lostWord = (byteOffset + LOST_WORD) / 4;
    this.#slotsWord = (byteOffset + HEADER_BYTES) / 4;
    this.#slots = slots;
    this.#headSeen = load(words, this.#headWord);
    this.#tail = this.#recoverTail();
  }

  /** The first index from `head` on that is not ready; unready records that a dead batch left behind it. */
  #recoverTail(): number {
    let tail = this.#headSeen;
    let n = 0;
    for (; n < this.#slots; n++) {
      if (load(this.#words, this.slotWord(tail)) !== ((tail + 1) | 0)) break;
      tail = (tail + 1) | 0;
    }
    for (n++; n < this.#slots; n++) {
      const index = (this.#headSeen + n) | 0;
      const slot = this.slotWord(index);
      if (load(this.#words, slot) === ((index + 1) | 0)) {
        store(this.#words, slot, (index + 1 - this.#slots) | 0);
      }
    }
    return tail;
  }

  /** Takes over from another producer object of the same side: only while that one cannot write. */
  resync(): void {
    this.#headSeen = load(this.#words, this.#headWord);
    this.#tail = this.#recoverTail();
  }

  /** Word index of the slot for `index`. */
  slotWord(index: number): number {
    return this.#slotsWord + (index & (this.#slots - 1)) * RECORD_WORDS;
  }

  /** Index of the next record to publish. */
  get tail(): number {
    return this.#tail;
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
    const slot = this.slotWord(index);
    this.#tail = (index + 1) | 0;
    poke(this.#words, slot + Lane.batch, 0);
    store(this.#words, slot, this.#tail);
  }

  /** How many of `wanted` further records fit, 0 to `wanted`. Write them at `slotAhead(0…)`. */
  reserveMany(wanted: number): number {
    let room = this.#slots - ((this.#tail - this.#headSeen) | 0);
    if (room < wanted) {
      this.#headSeen = load(this.#words, this.#headWord);
      room = this.#slots - ((this.#tail - this.#headSeen) | 0);
    }
    return Math.min(room, wanted);
  }

  /** Word index of the `ahead`-th reserved slot; 0 is the one that `reserve` returns. */
  slotAhead(ahead: number): number {
    return this.slotWord(this.#tail + ahead);
  }

  /** Makes the first `count` (at least 1) reserved records visible with one atomic store. */
  publishMany(count: number): void {
    const words = this.#words;
    const first = this.#tail;
    const end = (first + count) | 0;
    for (let index = (first + 1) | 0; index !== end; index = (index + 1) | 0) {
      const slot = this.slotWord(index);
      poke(words, slot + Lane.batch, 0);
      poke(words, slot, (index + 1) | 0);
    }
    const slot = this.slotWord(first);
    poke(words, slot + Lane.batch, count - 1);
    this.#tail = end;
    store(words, slot, (first + 1) | 0);
  }

  /**
   * Zeroes the body of the reserved slot and marks it as this index's: from now on a successor can tell
   * what somebody (the host's GET) wrote into the body from what the previous lap left there.
   */
  arm(slot: number): void {
    this.clearBody(slot);
    store(this.#words, slot, ((this.#tail + 1) | 0) ^ ARMED);
  }

  /** Successor: whether the next slot was armed and not published, so its body is the predecessor's. */
  armed(): boolean {
    return load(this.#words, this.slotWord(this.#tail)) === (((this.#tail + 1) | 0) ^ ARMED);
  }

  /** Writes the header lanes of the reserved slot (lanes 0 and 7 are left to `publish`). */
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
  }

  /** As `fillHeader`, with the microseconds in `stamp[0]`: a large number as an argument may be boxed. */
  stampHeader(
    slot: number,
    kind: number,
    functionIndex: number,
    generation: number,
    stamp: Float64Array,
    correlation: number,
  ): void {
    const words = this.#words;
    const timeUs = stamp[0] as number;
    poke(words, slot + Lane.kind, kind);
    poke(words, slot + Lane.functionIndex, functionIndex);
    poke(words, slot + Lane.generation, generation);
    poke(words, slot + Lane.timeLow, timeUs >>> 0);
    poke(words, slot + Lane.timeHigh, (timeUs / 0x1_0000_0000) >>> 0);
    poke(words, slot + Lane.correlation, correlation);
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

  /** Counts a record that was given up because the ring is full; everybody can read the count. */
  countLost(): void {
    store(this.#words, this.#lostWord, (peek(this.#words, this.#lostWord) + 1) | 0);
  }
}

/** The reading side. One thread at a time; a successor constructs a new one and continues at `head`. */
export class RingConsumer {
  readonly #words: Int32Array;
  readonly #headWord: number;
  readonly #byteOffset: number;
  readonly #slotsWord: number;
  readonly #mask: number;
  #head: number;
  /** Records from #head on that a batch is known to have made ready. */
  #known = 0;

  constructor(words: Int32Array, byteOffset: number, slots: number) {
    assert(isPowerOfTwo(slots), `ring slots ${slots} must be a power of two`);
    this.#words = words;
    this.#headWord = (byteOffset + HEAD_WORD) / 4;
    this.#byteOffset = byteOffset;
    this.#slotsWord = (byteOffset + HEADER_BYTES) / 4;
    this.#mask = slots - 1;
    this.#head = load(words, this.#headWord);
  }

  get slots(): number {
    return this.#mask + 1;
  }

  /** Takes over from another consumer object of the same side: only while that one cannot release. */
  resync(): void {
    this.#head = load(this.#words, this.#headWord);
    this.#known = 0;
  }

  /**
   * Word index of the oldest record, or -1 when there is none. Also the poll of a spinning thread: a plain
   * load as a hint before the atomic one was measured and is slower (it steals the line more often).
   */
  front(): number {
    const slot = this.#slotsWord + (this.#head & this.#mask) * RECORD_WORDS;
    return this.#known > 0 || this.#look(slot) ? slot : -1;
  }

  /** How many records from the oldest on are known to be ready: 0 only if there is none. */
  ready(): number {
    if (this.#known <= 0 && !this.#look(this.slotAhead(0))) return 0;
    return this.#known;
  }

  /** Word index of the `ahead`-th ready record; 0 is the one that `front` returns. */
  slotAhead(ahead: number): number {
    return this.#slotsWord + ((this.#head + ahead) & this.#mask) * RECORD_WORDS;
  }

  /** Whether at least `count` records stand in the ring: one look, to decide how urgent it is. */
  holds(count: number): boolean {
    const last = (this.#head + count) | 0;
    return load(this.#words, this.slotAhead(count - 1)) === last;
  }

  #look(slot: number): boolean {
    if (load(this.#words, slot) !== ((this.#head + 1) | 0)) return false;
    this.#known = 1 + peek(this.#words, slot + Lane.batch);
    return true;
  }

  /** Gives the oldest record's slot back. `front` must have returned it. */
  release(): void {
    this.skip();
    this.flush();
  }

  /** Gives `count` records back with one atomic store; `ready` must have said that there are so many. */
  releaseMany(count: number): void {
    this.#head = (this.#head + count) | 0;
    this.#known -= count;
    this.flush();
  }

  /** Steps over the oldest record without telling the producer yet; `flush` returns the credit. */
  skip(): void {
    this.#head = (this.#head + 1) | 0;
    this.#known -= 1;
  }

  /** Must come before the consumer sleeps or stops: a full ring waits for this credit. */
  flush(): void {
    store(this.#words, this.#headWord, this.#head);
  }

  /** Records that the producer had to give up, over the ring's life. */
  lost(): number {
    return ringLost(this.#words, this.#byteOffset);
  }
}

/** Microseconds in the time lanes of the record at `slot`. */
export function recordTimeUs(words: Int32Array, slot: number): number {
  return (
    (peek(words, slot + Lane.timeHigh) >>> 0) * 0x1_0000_0000 +
    (peek(words, slot + Lane.timeLow) >>> 0)
  );
}
