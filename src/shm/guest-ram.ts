/** Guest absolute storage: every access is bounds-checked here and nowhere else. */
import { assert } from "../base/assert.ts";
import type { GuestMemory } from "../ports/guest-memory.ts";
import { orByte } from "./atomics.ts";
import type { VmMemory } from "./vm-memory.ts";

export class GuestRam implements GuestMemory {
  readonly sizeBytes: number;
  readonly #offset: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(vm: VmMemory) {
    this.sizeBytes = vm.map.ramBytes;
    this.#offset = vm.map.ramOffset;
    this.#bytes = vm.bytes;
    this.#view = vm.view;
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
