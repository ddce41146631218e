import { describe, expect, it } from "vitest";
import type { LoadedImage } from "../../../src/machine/image.ts";
import { type LinuxBoot, placeLinux } from "../../../src/machine/linux-boot.ts";
import { GuestRam } from "../../../src/shm/guest-ram.ts";
import { planMemory } from "../../../src/shm/memory-map.ts";
import { createVmMemory } from "../../../src/shm/vm-memory.ts";

const MIB = 1024 * 1024;
// s390x-machine.md 3.2
const INITRD_START = 0x10408;
const INITRD_SIZE = 0x10410;
const LIMIT = 0x10430;
const COMMAND_LINE = 0x10480;

function ram(ramBytes = 12 * MIB): GuestRam {
  const map = planMemory({
    vcpuCount: 1,
    functionCount: 0,
    ramBytes,
    vcpuBytes: 4096,
    hostBytes: 0,
  });
  return new GuestRam(createVmMemory(map));
}

const linux = (end = 0x20000): LoadedImage => ({ entry: 0x10000, kind: "flat", end });
const other: LoadedImage = { entry: 0x2000, kind: "elf", end: 0x3000 };
const disk = (length: number): LinuxBoot => ({
  initrd: { bytes: new Uint8Array(length).fill(0xa5), file: "disk.cpio" },
});

function u64(memory: GuestRam, address: number): number {
  return memory.u32(address) * 0x1_0000_0000 + memory.u32(address + 4);
}

function text(memory: GuestRam, length: number): string {
  const bytes = new Uint8Array(length);
  memory.read(COMMAND_LINE, bytes);
  return Buffer.from(bytes).toString("latin1");
}

describe("a Linux kernel", () => {
  it("finds its command line at 0x10480, ended by a zero byte", () => {
    const memory = ram();
    memory.write(COMMAND_LINE, new Uint8Array(16).fill(0x78));
    placeLinux(memory, linux(), { commandLine: "quiet" });
    expect(text(memory, 7)).toBe("quiet\0x");
  });

  it.each([
    [0, 896],
    [0x1000, 0x1000],
  ])("with limit %i at 0x10430 allows %i bytes with the zero", (limit, bytes) => {
    const memory = ram();
    memory.setU32(LIMIT + 4, limit);
    placeLinux(memory, linux(), { commandLine: "a".repeat(bytes - 1) });
    expect(text(memory, bytes)).toBe(`${"a".repeat(bytes - 1)}\0`);
    expect(() => placeLinux(memory, linux(), { commandLine: "a".repeat(bytes) })).toThrow(
      new RegExp(`takes ${bytes + 1} bytes, the kernel allows ${bytes}; shorten -append`),
    );
  });

  it.each([
    [0x20000, 8 * MIB],
    [7 * MIB, 8 * MIB],
    [7 * MIB + 1, 9 * MIB],
    [8 * MIB + 4096, 10 * MIB],
  ])("that ends at %i has its RAM disk at %i", (end, start) => {
    const memory = ram();
    placeLinux(memory, linux(end), disk(100));
    expect(u64(memory, INITRD_START)).toBe(start);
    expect(u64(memory, INITRD_SIZE)).toBe(100);
    expect(memory.u32(start + 96)).toBe(0xa5a5a5a5);
    expect(memory.u32(start + 100)).toBe(0);
  });

  it("with a RAM disk that does not fit is refused", () => {
    expect(() => placeLinux(ram(), linux(), disk(4 * MIB + 1))).toThrow(
      /Initial RAM disk disk\.cpio has 4194305 bytes .* give it more with -m/,
    );
  });
});

describe("another program", () => {
  it("gets the RAM disk and no parameters", () => {
    const memory = ram();
    placeLinux(memory, other, { commandLine: "quiet", ...disk(8) });
    expect(memory.u32(8 * MIB)).toBe(0xa5a5a5a5);
    expect([memory.u32(COMMAND_LINE), u64(memory, INITRD_SIZE)]).toEqual([0, 0]);
  });
});
