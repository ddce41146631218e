/**
 * Whether a guest's image, RAM disk and command line will load, asked before there is a machine: the loaders run against
 * storage of which only the first bytes exist, which hold what a kernel says of itself (its parameter area).
 */
import type { BootSource } from "./boot.ts";
import { loadImage } from "./image.ts";
import { type LoaderStorage, placeLinux } from "./linux-boot.ts";

/** Behind the parameter area and the longest command line that stands in it. */
const KEPT_BYTES = 0x20000;

/** @throws ZmendError IMAGE_INVALID as the machine's start would */
export function checkBoot({ image, file, linux }: BootSource, ramBytes: number): void {
  const storage = storageOf(ramBytes);
  const loaded = loadImage(image, file, storage);
  placeLinux(storage, loaded, linux ?? {});
}

function storageOf(sizeBytes: number): LoaderStorage {
  const kept = new DataView(new ArrayBuffer(KEPT_BYTES));
  const bytes = new Uint8Array(kept.buffer);
  return {
    sizeBytes,
    contains: (address, length) => address >= 0 && length >= 0 && address + length <= sizeBytes,
    u32: (address) => kept.getUint32(address),
    setU32: (address, value) => kept.setUint32(address, value),
    write(address, source) {
      if (address < KEPT_BYTES) bytes.set(source.subarray(0, KEPT_BYTES - address), address);
    },
  };
}
