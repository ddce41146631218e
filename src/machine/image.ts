/**
 * Bare-metal images as `-kernel` takes them: ELF64 for s390x, or a flat image.
 * Source of the start rules: QEMU hw/s390x/ipl.c (s390x-machine.md 3.1): an ELF starts at its entry point;
 * a flat image is loaded at absolute 0 and starts at 0x10000 when it is a Linux kernel ("S390EP" at
 * 0x10008), else at the 31-bit address of the short IPL PSW in its first 8 bytes.
 */
import { readFileSync } from "node:fs";
import { ZmendError } from "../base/errors.ts";
import { hex } from "../base/hex.ts";
import type { GuestMemory } from "../ports/guest-memory.ts";

export interface LoadedImage {
  /** Start address for a 64-bit PSW with everything disabled (mask 0x0000000180000000). */
  readonly entry: number;
  readonly kind: "elf" | "flat";
  /** First address behind everything that was loaded. */
  readonly end: number;
}

/** What loading an image asks of the guest's storage. */
type ImageStorage = Pick<GuestMemory, "sizeBytes" | "contains" | "write">;

const ELF_MAGIC = 0x7f454c46;
const EM_S390 = 22;
const PT_LOAD = 1;
export const LINUX_START = 0x10000;

/** @throws ZmendError FIXTURE_MISSING with the file's name and the reason */
export function readImage(file: string): Uint8Array {
  return readNamed(file, "Kernel image", "name an ELF64 s390x or flat image");
}

/** @throws ZmendError FIXTURE_MISSING with the file's name and the reason */
export function readInitrd(file: string): Uint8Array {
  return readNamed(file, "Initial RAM disk", "name a cpio archive or whatever the kernel unpacks");
}

function readNamed(file: string, what: string, remedy: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (error) {
    const reason =
      (error as NodeJS.ErrnoException).code === "ENOENT" ? "does not exist" : "cannot be read";
    throw new ZmendError(
      "FIXTURE_MISSING",
      `${what} ${file} ${reason}; ${remedy}.`,
      { file },
      { cause: error },
    );
  }
}

/** Copies the image into guest storage. @throws ZmendError IMAGE_INVALID */
export function loadImage(image: Uint8Array, file: string, ram: ImageStorage): LoadedImage {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  if (image.length >= 4 && view.getUint32(0) === ELF_MAGIC) return loadElf(image, view, file, ram);
  return loadFlat(image, view, file, ram);
}

function loadElf(image: Uint8Array, view: DataView, file: string, ram: ImageStorage): LoadedImage {
  if (image.length < 64) throw invalid(file, "ends inside its ELF header; copy the file again");
  if (image[4] !== 2 || image[5] !== 2) {
    throw invalid(file, "is not a 64-bit big-endian ELF; build it for s390x");
  }
  const machine = view.getUint16(18);
  if (machine !== EM_S390) {
    throw invalid(
      file,
      `is an ELF for machine ${machine}, not for s390 (${EM_S390}); build it for s390x`,
    );
  }
  const headers = Number(view.getBigUint64(32));
  const headerSize = view.getUint16(54);
  const count = view.getUint16(56);
  if (headerSize < 56 || headers + count * headerSize > image.length) {
    throw invalid(file, "ends inside its program headers; copy the file again");
  }
  let end = 0;
  for (let index = 0; index < count; index++) {
    end = Math.max(end, loadSegment(image, view, headers + index * headerSize, file, ram));
  }
  const entry = Number(view.getBigUint64(24));
  if (!ram.contains(entry, 2))
    throw invalid(file, `has its entry ${hex(entry)} outside guest memory`);
  return { entry, kind: "elf", end };
}

/** @returns the first address behind the segment; 0 for one that is not loaded */
function loadSegment(
  image: Uint8Array,
  view: DataView,
  header: number,
  file: string,
  ram: ImageStorage,
): number {
  if (view.getUint32(header) !== PT_LOAD) return 0;
  const offset = Number(view.getBigUint64(header + 8));
  const address = Number(view.getBigUint64(header + 24));
  const fileSize = Number(view.getBigUint64(header + 32));
  const memorySize = Number(view.getBigUint64(header + 40));
  if (offset + fileSize > image.length || fileSize > memorySize) {
    throw invalid(
      file,
      `is truncated: a segment wants bytes up to ${offset + fileSize} of ${image.length}`,
    );
  }
  if (!ram.contains(address, memorySize)) {
    throw invalid(
      file,
      `needs memory up to ${hex(address + memorySize)}, the guest has ${hex(ram.sizeBytes)}; give it more with -m (memory: in a config)`,
    );
  }
  ram.write(address, image.subarray(offset, offset + fileSize));
  return address + memorySize;
}

function loadFlat(image: Uint8Array, view: DataView, file: string, ram: ImageStorage): LoadedImage {
  if (image.length < 8)
    throw invalid(file, "is shorter than the 8-byte IPL PSW that a flat image starts with");
  if (!ram.contains(0, image.length)) {
    throw invalid(
      file,
      `has ${image.length} bytes, the guest has ${ram.sizeBytes} of memory; give it more with -m (memory: in a config)`,
    );
  }
  const isLinux =
    image.length > 0x10010 &&
    Buffer.from(image.subarray(0x10008, 0x1000e)).toString("latin1") === "S390EP";
  const entry = isLinux ? LINUX_START : view.getUint32(4) & 0x7fffffff;
  // A file for something else starts with something else: its "address" lies anywhere.
  if (entry + 2 > image.length || entry % 2 !== 0) {
    throw invalid(
      file,
      `is no image for s390x: no ELF, no Linux kernel, and no IPL PSW at its start that leads into it (${hex(entry)}); name another`,
    );
  }
  ram.write(0, image);
  return { entry, kind: "flat", end: image.length };
}

function invalid(file: string, what: string): ZmendError {
  return new ZmendError("IMAGE_INVALID", `Kernel image ${file} ${what}.`, { file });
}
