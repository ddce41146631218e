/**
 * What a loader gives a Linux kernel beside its image: the initial RAM disk and the command line, by way of the
 * parameter area. Sources: s390x-machine.md 3.1 and 3.2; Linux arch/s390/include/asm/setup.h. A program that
 * does not start where a kernel does gets the RAM disk in storage and no parameters, as QEMU does it.
 */
import { ZmendError } from "../base/errors.ts";
import { hex } from "../base/hex.ts";
import type { GuestMemory } from "../ports/guest-memory.ts";
import { LINUX_START, type LoadedImage } from "./image.ts";

const MIB = 1024 ** 2;
const INITRD_FIRST = 0x800000;

/** Absolute addresses of the parameter area. */
const Parameter = {
  initrdStart: 0x10408,
  initrdSize: 0x10410,
  commandLineLimit: 0x10430,
  commandLine: 0x10480,
} as const;
/** Limit of a kernel that names none. */
const COMMAND_LINE_LIMIT_OLD = 896;

/** What a loader asks of the guest's storage. */
export type LoaderStorage = Pick<
  GuestMemory,
  "sizeBytes" | "contains" | "u32" | "setU32" | "write"
>;

export interface LinuxBoot {
  readonly commandLine?: string;
  readonly initrd?: { readonly bytes: Uint8Array; readonly file: string };
}

/** Gives the loaded image its RAM disk and command line. @throws ZmendError IMAGE_INVALID */
export function placeLinux(ram: LoaderStorage, image: LoadedImage, boot: LinuxBoot): void {
  const parameters = image.entry === LINUX_START && ram.contains(Parameter.commandLine, 1);
  if (parameters && boot.commandLine !== undefined) writeCommandLine(ram, boot.commandLine);
  if (boot.initrd === undefined) return;
  const { bytes, file } = boot.initrd;
  const start = initrdStart(image.end);
  if (!ram.contains(start, bytes.length)) {
    throw new ZmendError(
      "IMAGE_INVALID",
      `Initial RAM disk ${file} has ${bytes.length} bytes and would stand at ${hex(start)}, ` +
        `the guest has ${ram.sizeBytes} bytes of memory; give it more with -m (memory: in a config).`,
      { file },
    );
  }
  ram.write(start, bytes);
  if (!parameters) return;
  writeU64(ram, Parameter.initrdStart, start);
  writeU64(ram, Parameter.initrdSize, bytes.length);
}

/** The first of 8 MiB, 9 MiB, ... that leaves a mebibyte behind the image. */
function initrdStart(imageEnd: number): number {
  return Math.max(INITRD_FIRST, Math.ceil((imageEnd + MIB) / MIB) * MIB);
}

function writeCommandLine(ram: LoaderStorage, text: string): void {
  const limit = readU64(ram, Parameter.commandLineLimit) || COMMAND_LINE_LIMIT_OLD;
  const bytes = new TextEncoder().encode(`${text}\0`);
  if (bytes.length > limit || !ram.contains(Parameter.commandLine, bytes.length)) {
    throw new ZmendError(
      "IMAGE_INVALID",
      `The kernel's command line takes ${bytes.length} bytes, the kernel allows ${limit}; shorten -append (append: in a config).`,
    );
  }
  ram.write(Parameter.commandLine, bytes);
}

function readU64(ram: LoaderStorage, address: number): number {
  return (ram.u32(address) >>> 0) * 0x1_0000_0000 + (ram.u32(address + 4) >>> 0);
}

function writeU64(ram: LoaderStorage, address: number, value: number): void {
  ram.setU32(address, Math.floor(value / 0x1_0000_0000));
  ram.setU32(address + 4, value >>> 0);
}
