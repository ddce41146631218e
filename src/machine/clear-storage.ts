/**
 * Guest storage page by page: which pages hold anything. A page that nobody has touched costs no host memory, and
 * looking at it must not change that: pages are compared with zeros, never written for it. Main thread, while
 * every thread stands.
 */
import { Buffer } from "node:buffer";
import type { VmMemory } from "../shm/vm-memory.ts";

export const PAGE_BYTES = 4096;
/** Compared at once where all is zero. */
const RUN_BYTES = 256 * PAGE_BYTES;
const zeros = Buffer.alloc(RUN_BYTES);

/** Calls `found` with the byte offset in shared memory of each page of `length` bytes at `start` that is not all zeros. */
export function forEachUsedPage(
  vm: VmMemory,
  start: number,
  length: number,
  found: (offset: number, bytes: number) => void,
): void {
  for (let run = start; run < start + length; run += RUN_BYTES) {
    const runBytes = Math.min(RUN_BYTES, start + length - run);
    if (isZero(vm, run, runBytes)) continue;
    for (let page = run; page < run + runBytes; page += PAGE_BYTES) {
      const bytes = Math.min(PAGE_BYTES, start + length - page);
      if (!isZero(vm, page, bytes)) found(page, bytes);
    }
  }
}

function isZero(vm: VmMemory, offset: number, bytes: number): boolean {
  // SharedArrayBuffer has no Buffer of its own in the types, only in the runtime.
  const part = Buffer.from(vm.buffer as unknown as ArrayBuffer, offset, bytes);
  return part.compare(zeros, 0, bytes) === 0;
}

/** Guest RAM and storage keys to zero. */
export function clearGuestStorage(vm: VmMemory): void {
  const { ramOffset, ramBytes, storageKeys } = vm.map;
  clear(vm, ramOffset, ramBytes);
  clear(vm, storageKeys, Math.ceil(ramBytes / PAGE_BYTES));
}

/** Everything to zero, as in a VM's memory that was just made. No thread of it is left. */
export function clearMemory(vm: VmMemory): void {
  clear(vm, 0, vm.map.totalBytes);
}

function clear(vm: VmMemory, start: number, length: number): void {
  forEachUsedPage(vm, start, length, (offset, bytes) => {
    vm.bytes.fill(0, offset, offset + bytes);
  });
}
