/**
 * The only file that names `Atomics`. Words are 32-bit, little-endian in memory (wasm's order), so the
 * same word can be shared by wasm code and JavaScript on hosts of either byte order; on a big-endian
 * host every access swaps. Indices are word indices (byte offset / 4).
 *
 * Why the protocols built on these operations are sound is argued in `ring.ts` and `doorbell.ts` and
 * checked by the SPIN model `test/model`. The facts they rest on:
 *  - JavaScript atomics are sequentially consistent (ECMA-262, memory model).
 *  - A plain aligned access through Int32Array is tear-free on shared memory; it may be stale, so it
 *    is a hint only, confirmed by an atomic load before anything depends on it; or a snapshot, where the reader
 *    might as well have run a moment earlier, or a word that only the reader's thread writes. It sees all that
 *    happened before an atomic load of the reader's, and costs a tenth of one (7.5 ns in V8 11: a call).
 *  - A plain store before an atomic store (publish) is visible to whoever reads the published value.
 *
 * A thread that has its memories for itself (trials of experiments) says so with `soleThread`: an atomic operation is
 * a call of 7-10 ns in V8, a plain one half a nanosecond (performance.md 1.3), and there is nobody to race with.
 */
import { hostIsBigEndian, swap32 } from "../base/bits.ts";

const swapped = hostIsBigEndian;
let alone = false;

/**
 * From now on this thread's words are plain ones: it promises that no other thread touches any memory that it uses
 * through this module. For a worker of its own, at its start; there is no way back.
 */
export function soleThread(): void {
  alone = true;
}

function flip(value: number): number {
  return swapped ? swap32(value) : value;
}

/** Plain load: a hint for polling loops, a snapshot, or a word of one's own. */
export function peek(words: Int32Array, index: number): number {
  // Not through `at`: what that has seen of other arrays would make this load a slow one.
  const value = words[index] as number;
  return swapped ? swap32(value) : value;
}

/** Plain store: only for words that a later atomic store publishes. */
export function poke(words: Int32Array, index: number, value: number): void {
  words[index] = swapped ? swap32(value) : value;
}

/** Stores and returns the previous value, on a sole thread. */
function plainly(words: Int32Array, index: number, value: number): number {
  const seen = peek(words, index);
  poke(words, index, value);
  return seen;
}

export function load(words: Int32Array, index: number): number {
  if (alone) return peek(words, index);
  return flip(Atomics.load(words, index));
}

export function store(words: Int32Array, index: number, value: number): void {
  if (alone) poke(words, index, value);
  else Atomics.store(words, index, flip(value));
}

/** Returns the previous value. */
export function exchange(words: Int32Array, index: number, value: number): number {
  if (alone) return plainly(words, index, value);
  return flip(Atomics.exchange(words, index, flip(value)));
}

/** Stores `next` if the word is `expected`; returns the value found. */
export function compareExchange(
  words: Int32Array,
  index: number,
  expected: number,
  next: number,
): number {
  if (alone) {
    const seen = peek(words, index);
    if (seen === (expected | 0)) poke(words, index, next);
    return seen;
  }
  return flip(Atomics.compareExchange(words, index, flip(expected), flip(next)));
}

/** As `compareExchange`, 64 bits, as little-endian memory has them. */
export function compareExchange64(
  doublewords: BigInt64Array,
  index: number,
  expected: bigint,
  next: bigint,
): bigint {
  if (!swapped) return Atomics.compareExchange(doublewords, index, expected, next);
  const found = Atomics.compareExchange(doublewords, index, swap64(expected), swap64(next));
  return swap64(found);
}

function swap64(value: bigint): bigint {
  const high = swap32(Number(BigInt.asIntN(32, value >> 32n)));
  const low = swap32(Number(BigInt.asIntN(32, value)));
  return BigInt.asIntN(64, (BigInt(low >>> 0) << 32n) | BigInt(high >>> 0));
}

/** Returns the previous value; wraps at 32 bits. */
export function add(words: Int32Array, index: number, amount: number): number {
  if (alone) return plainly(words, index, (peek(words, index) + amount) | 0);
  if (!swapped) return Atomics.add(words, index, amount);
  for (;;) {
    const seen = load(words, index);
    if (compareExchange(words, index, seen, (seen + amount) | 0) === seen) return seen;
  }
}

/** Returns the previous value. */
export function or(words: Int32Array, index: number, mask: number): number {
  if (alone) return plainly(words, index, peek(words, index) | mask);
  return flip(Atomics.or(words, index, flip(mask)));
}

/** Returns the previous value. */
export function and(words: Int32Array, index: number, mask: number): number {
  if (alone) return plainly(words, index, peek(words, index) & mask);
  return flip(Atomics.and(words, index, flip(mask)));
}

/** Atomic OR of one byte of guest storage; returns the byte as it was. */
export function orByte(bytes: Uint8Array, index: number, mask: number): number {
  return Atomics.or(bytes, index, mask);
}

/** Blocks while the word is `expected`, at most `timeoutMs`. Not on the main thread. */
export function wait(words: Int32Array, index: number, expected: number, timeoutMs: number): void {
  Atomics.wait(words, index, flip(expected), timeoutMs);
}

/** Atomic on a sole thread too: words that it shares after all, with a thread that decides for its trials. */
export function loadShared(words: Int32Array, index: number): number {
  return flip(Atomics.load(words, index));
}

/** As `loadShared`. */
export function storeShared(words: Int32Array, index: number, value: number): void {
  Atomics.store(words, index, flip(value));
}

export function notify(words: Int32Array, index: number): void {
  Atomics.notify(words, index);
}
