import { beforeEach, describe, expect, test } from "vitest";
import { GuestRam } from "../../../src/shm/guest-ram.ts";
import type { VmMemory } from "../../../src/shm/vm-memory.ts";
import { bareVm } from "../../support/vm.ts";

const SIZE = 1024 * 1024;
let vm: VmMemory;
let ram: GuestRam;
beforeEach(() => {
  vm = bareVm(0);
  ram = new GuestRam(vm);
});

describe("guest storage", () => {
  test("is big-endian whatever the host is", () => {
    ram.setU32(0x1000, 0x01020304);
    ram.setU16(0x1004, 0x0506);
    ram.setU8(0x1006, 0x07);
    const bytes = new Uint8Array(7);
    ram.read(0x1000, bytes);
    expect([...bytes]).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect([ram.u32(0x1000), ram.u16(0x1004), ram.u8(0x1006)]).toEqual([0x01020304, 0x0506, 7]);
  });

  test("begins at the map's offset: its first byte is not the control area's", () => {
    ram.setU8(0, 0xaa);
    expect([vm.bytes[vm.map.ramOffset], vm.bytes[0]]).toEqual([0xaa, 0]);
  });

  test("takes unaligned words and gives unsigned ones", () => {
    ram.setU32(0x2001, 0xfffefdfc);
    expect(ram.u32(0x2001)).toBe(0xfffefdfc);
  });

  test("copies in and out, fills, and ors a byte", () => {
    ram.write(SIZE - 4, new Uint8Array([9, 8, 7, 6]));
    ram.fill(SIZE - 3, 2, 0x11);
    expect(ram.orByte(SIZE - 1, 0x80)).toBe(6);
    const bytes = new Uint8Array(4);
    ram.read(SIZE - 4, bytes);
    expect([...bytes]).toEqual([9, 0x11, 0x11, 0x86]);
  });

  test.each([
    [0, SIZE, true],
    [SIZE - 1, 1, true],
    [SIZE, 0, true],
    [SIZE, 1, false],
    [SIZE - 1, 2, false],
    [-1, 1, false],
    [0, -1, false],
    [2 ** 53, 2 ** 53, false],
    [Number.NaN, 1, false],
    [0, Number.NaN, false],
  ])("contains address %d, length %d: %s", (address, length, expected) => {
    expect(ram.contains(address, length)).toBe(expected);
  });

  test("asserts on an access that nobody checked, before it touches anything", () => {
    expect(() => ram.u32(SIZE - 3)).toThrow(/was not checked/);
    expect(() => ram.setU8(SIZE, 1)).toThrow(/was not checked/);
    expect(() => ram.write(SIZE - 1, new Uint8Array(2))).toThrow(/was not checked/);
    expect(() => ram.fill(-4, 8, 1)).toThrow(/was not checked/);
    expect(vm.bytes[vm.map.ramOffset - 4]).toBe(0);
  });
});
