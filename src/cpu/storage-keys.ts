/**
 * Storage keys: one byte per 4 KiB frame in the VM's shared memory, laid out as ISKE shows it: access-control
 * bits 0-3 (0xF0), fetch protection (0x08), reference (0x04), change (0x02). Source: SA22-7832,
 * "Storage Key". Frames are checked by the caller (`GuestRam.contains`).
 */
import { at } from "../base/bits.ts";
import type { VmMemory } from "../shm/vm-memory.ts";

export const KEY_FETCH_PROTECTION = 0x08;
export const KEY_REFERENCE = 0x04;
export const KEY_CHANGE = 0x02;

export class StorageKeys {
  readonly #bytes: Uint8Array;
  readonly #offset: number;

  constructor(vm: VmMemory) {
    this.#bytes = vm.bytes;
    this.#offset = vm.map.storageKeys;
  }

  /** Key of the frame that holds absolute address `address`. */
  get(address: number): number {
    return at(this.#bytes, this.#offset + Math.floor(address / 4096));
  }

  set(address: number, key: number): void {
    this.#bytes[this.#offset + Math.floor(address / 4096)] = key;
  }

  /** Sets reference (and change) bits; a key that has them already is not written. */
  touch(address: number, bits: number): void {
    const index = this.#offset + Math.floor(address / 4096);
    const key = at(this.#bytes, index);
    if ((key & bits) !== bits) this.#bytes[index] = key | bits;
  }
}
