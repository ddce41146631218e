/** Guest absolute storage: every access is bounds-checked here and nowhere else. */

import { assert } from "../base/assert.ts";
import { swap32 } from "../base/bits.ts";
import type { GuestMemory } from "../ports/guest-memory.ts";
import { compareExchange, compareExchange64, orByte } from "./atomics.ts";
import type { VmMemory } from "./vm-memory.ts";

export class GuestRam implements GuestMemory {
  readonly sizeBytes: number;
  readonly storage: Int32Array;
  readonly #offset: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #words: Int32Array;
  readonly #doublewords: BigInt64Array;

  constructor(vm: VmMemory) {
    this.sizeBytes = vm.map.ramBytes;
    this.#offset = vm.map.ramOffset;
    this.#bytes = vm.bytes;
    this.#view = vm.view;
    this.#words = vm.words;
    this.storage = new Int32Array(vm.buffer, vm.map.ramOffset, this.sizeBytes / 4);
    this.#doublewords = new BigInt64Array(vm.buffer);
  }

  contains(address: number, length: number): boolean {
    return address >= 0 && length >= 0 && address + length <= this.sizeBytes;
  }

  u8(address: number): number {
    return this.#view.getUint8(this.#at(address, 1));
  }

  u16(address: number): number {
    return this.#view.getUint16(this.#at(address, 2));
  }

  u32(address: number): number {
    return this.#view.getUint32(this.#at(address, 4));
  }

  setU8(address: number, value: number): void {
    this.#view.setUint8(this.#at(address, 1), value);
  }

  setU16(address: number, value: number): void {
    this.#view.setUint16(this.#at(address, 2), value);
  }

  setU32(address: number, value: number): void {
    this.#view.setUint32(this.#at(address, 4), value);
  }

  read(address: number, target: Uint8Array): void {
    const from = this.#at(address, target.length);
    target.set(this.#bytes.subarray(from, from + target.length));
  }

  write(address: number, source: Uint8Array): void {
    this.#bytes.set(source, this.#at(address, source.length));
  }

  fill(address: number, length: number, value: number): void {
    const from = this.#at(address, length);
    this.#bytes.fill(value, from, from + length);
  }

  /** Interlocked update of an aligned word, as big-endian values; false when it is not `expected`. */
  compareExchange32(address: number, expected: number, next: number): boolean {
    const index = this.#at(address, 4) / 4;
    const wanted = swap32(expected);
    return compareExchange(this.#words, index, wanted, swap32(next)) === wanted;
  }

  /** The same for an aligned doubleword, as halves. */
  compareExchange64(
    address: number,
    expectedHigh: number,
    expectedLow: number,
    nextHigh: number,
    nextLow: number,
  ): boolean {
    const index = this.#at(address, 8) / 8;
    const wanted = doubleword(expectedHigh, expectedLow);
    return (
      compareExchange64(this.#doublewords, index, wanted, doubleword(nextHigh, nextLow)) === wanted
    );
  }

  orByte(address: number, mask: number): number {
    return orByte(this.#bytes, this.#at(address, 1), mask);
  }

  #at(address: number, length: number): number {
    assert(
      this.contains(address, length),
      "guest storage access outside RAM was not checked before",
    );
    return this.#offset + address;
  }
}

/** A big-endian doubleword as little-endian memory has it. */
function doubleword(high: number, low: number): bigint {
  return BigInt.asIntN(64, (BigInt(swap32(low) >>> 0) << 32n) | BigInt(swap32(high) >>> 0));
}
