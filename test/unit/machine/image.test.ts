import { describe, expect, it } from "vitest";
import { requireMemory } from "../../../src/machine/host-memory.ts";
import { loadImage } from "../../../src/machine/image.ts";
import { GuestRam } from "../../../src/shm/guest-ram.ts";
import { planMemory } from "../../../src/shm/memory-map.ts";
import { createVmMemory } from "../../../src/shm/vm-memory.ts";

const MIB = 1024 * 1024;

function ram(): GuestRam {
  const map = planMemory({
    vcpuCount: 1,
    functionCount: 1,
    ramBytes: MIB,
    vcpuBytes: 4096,
    hostBytes: 4096,
  });
  return new GuestRam(createVmMemory(map));
}

/** ELF64 with one PT_LOAD of four bytes at 0x2000. Offsets: System V ABI, ELF-64 header and program header. */
function elf(change: (view: DataView) => void = () => {}): Uint8Array {
  const image = new Uint8Array(64 + 56 + 4);
  const view = new DataView(image.buffer);
  view.setUint32(0, 0x7f454c46);
  image[4] = 2;
  image[5] = 2;
  view.setUint16(18, 22);
  view.setBigUint64(24, 0x2000n);
  view.setBigUint64(32, 64n);
  view.setUint16(54, 56);
  view.setUint16(56, 1);
  view.setUint32(64, 1);
  view.setBigUint64(72, 120n);
  view.setBigUint64(88, 0x2000n);
  view.setBigUint64(96, 4n);
  view.setBigUint64(104, 8n);
  view.setUint32(120, 0x12345678);
  change(view);
  return image;
}

describe("kernel images", () => {
  it("an ELF64 for s390 is loaded at its physical addresses and starts at its entry", () => {
    const memory = ram();
    expect(loadImage(elf(), "x.elf", memory)).toEqual({ entry: 0x2000, kind: "elf", end: 0x2008 });
    expect(memory.u32(0x2000)).toBe(0x12345678);
  });

  it("a flat image starts at the address of its short IPL PSW", () => {
    const image = new Uint8Array(64);
    new DataView(image.buffer).setUint32(4, 0x80000010);
    expect(loadImage(image, "x.bin", ram())).toEqual({ entry: 0x10, kind: "flat", end: 64 });
  });

  it.each([
    ["a compressed file", "1f8b0800f3a1b2650203"],
    ["a boot sector of another machine", "eb3c904d53444f53352e30"],
    ["an odd address", "0008000080000003000000000000"],
    ["zero bytes in front of an address behind the end", "0000000000000010"],
  ])("%s is no flat image", (_, bytes) => {
    const message = /^Kernel image x.bin is no image for s390x: .*; name another\.$/;
    expect(() => loadImage(Buffer.from(bytes, "hex"), "x.bin", ram())).toThrow(message);
  });

  it("a flat Linux image starts at 0x10000", () => {
    const image = new Uint8Array(0x10020);
    image.set(Buffer.from("S390EP"), 0x10008);
    expect(loadImage(image, "vmlinuz", ram()).entry).toBe(0x10000);
  });

  it.each([
    [
      "another architecture",
      (view: DataView) => view.setUint16(18, 62),
      /machine 62, not for s390/,
    ],
    ["little-endian", (view: DataView) => view.setUint8(5, 1), /not a 64-bit big-endian ELF/],
    ["a segment past the end", (view: DataView) => view.setBigUint64(96, 9999n), /truncated/],
    [
      "too little memory",
      (view: DataView) => view.setBigUint64(88, 0xfffffn),
      /give it more with -m \(memory: in a config\)/,
    ],
    [
      "an entry outside",
      (view: DataView) => view.setBigUint64(24, 0xffffffffffn),
      /entry .* outside/,
    ],
    ["headers past the end", (view: DataView) => view.setUint16(56, 9), /program headers/],
  ])("an ELF with %s is refused in one sentence", (_name, change, message) => {
    expect(() => loadImage(elf(change), "x.elf", ram())).toThrow(message);
  });

  it("a file shorter than an IPL PSW is refused", () => {
    expect(() => loadImage(new Uint8Array(4), "x.bin", ram())).toThrow(/shorter than the 8-byte/);
  });
});

describe("host memory", () => {
  it("a guest larger than what is available is refused before anything is allocated", () => {
    expect(() => requireMemory(64 * MIB, "VM demo", 32 * MIB)).toThrow(
      "VM demo needs 64 MiB, this machine has 32 MiB available; give the guest less memory or free some.",
    );
    expect(() => requireMemory(16 * MIB, "VM demo", 32 * MIB)).not.toThrow();
  });
});
