import { beforeEach, describe, expect, it } from "vitest";
import { Cpu } from "../../../src/cpu/state.ts";
import { createMachine, DAT_ON, MASK64, type Machine, PROBLEM, RAM_BYTES } from "./machine.ts";

let m: Machine;

beforeEach(() => {
  m = createMachine();
  m.setPsw(MASK64, 0n);
});

function address(): bigint {
  const { addressHigh, addressLow } = m.sys.guest;
  return (BigInt(addressHigh >>> 0) << 32n) | BigInt(addressLow >>> 0);
}

function instruction(high: number, low: number): void {
  m.state.setI32(Cpu.instructionHigh, high | 0);
  m.state.setI32(Cpu.instructionLow, low << 16);
}

describe("operand addresses", () => {
  it("S format: base and 12-bit displacement", () => {
    m.state.setGr(5, 0x1_0000_0ff0n);
    instruction(0xb2345fff, 0);
    m.sys.guest.formOperandAddress();
    expect(address()).toBe(0x1_0000_1fefn);
  });

  it("RXY format: index, base and signed 20-bit displacement", () => {
    m.state.setGr(3, 0x10n);
    m.state.setGr(5, 0x100000n);
    instruction(0xe3135ffe, 0xffd0); // MPCIFC 1,-2(3,5)
    m.sys.guest.formOperandAddress();
    expect(address()).toBe(0x10000en);
    instruction(0xe3135fff, 0x7fd0); // largest: 524287
    m.sys.guest.formOperandAddress();
    expect(address()).toBe(0x10000fn + 0x80000n);
  });

  it("RSY format: the third register is no index", () => {
    m.state.setGr(3, 0x10n);
    m.state.setGr(5, 0x2000n);
    instruction(0xeb135008, 0x80d0);
    m.sys.guest.formOperandAddress();
    expect(address()).toBe(0x2008n - 0x80000n + (1n << 64n));
  });

  it("register 0 as base or index stands for nothing", () => {
    m.state.setGr(0, 0x5555n);
    instruction(0xe3100123, 0x0004);
    m.sys.guest.formOperandAddress();
    expect(address()).toBe(0x123n);
  });

  it("wraps at 31 and at 24 bits, and at 64", () => {
    m.state.setGr(5, 0x12345678_fffffff0n);
    instruction(0xb2345020, 0);
    m.setPsw(0x80000000n, 0n);
    m.sys.guest.formOperandAddress();
    expect(address()).toBe(0x10n);
    m.setPsw(0n, 0n);
    m.state.setGr(5, 0x12345678_01fffff0n);
    m.sys.guest.formRegisterAddress(5);
    expect(address()).toBe(0xfffff0n);
    m.setPsw(MASK64, 0n);
    m.state.setGr(5, 0xffff_ffff_ffff_fff0n);
    m.sys.guest.formOperandAddress();
    expect(address()).toBe(0x10n);
  });
});

describe("storage operands", () => {
  const bytes = Uint8Array.from({ length: 8192 }, (_, i) => (i * 7) & 0xff);

  it("8192 bytes over three pages go to three frames and come back", () => {
    // Page n of segment 0 maps to frame 0x80000 - n * 4096: neighbours are not adjacent in storage.
    m.setU64(0x20000, 0x24000n);
    for (let n = 0; n < 8; n++) m.setU64(0x24000 + n * 8, BigInt(0x80000 - n * 4096));
    m.state.setCr(1, 0x20000n);
    m.setPsw(MASK64 | DAT_ON, 0n);
    m.sys.guest.addressHigh = 0;
    m.sys.guest.addressLow = 0x1800;
    expect(m.sys.guest.store(bytes, 8192)).toBe(true);
    expect(m.ram.u8(0x7f800)).toBe(0);
    expect(m.ram.u8(0x7e000)).toBe((0x800 * 7) & 0xff);
    expect(m.ram.u8(0x7d000)).toBe((0x1800 * 7) & 0xff);
    const back = new Uint8Array(8192);
    expect(m.sys.guest.fetch(back, 8192)).toBe(true);
    expect(back).toEqual(bytes);
  });

  it("a fault on the last page stores nothing and is recorded", () => {
    m.sys.guest.addressHigh = 0;
    m.sys.guest.addressLow = RAM_BYTES - 4096 - 16;
    expect(m.sys.guest.store(bytes, 8192)).toBe(false);
    expect(m.state.i32(Cpu.programCode)).toBe(0x05);
    expect(m.u64(RAM_BYTES - 4096 - 16)).toBe(0n);
    expect(m.sys.guest.fetch(new Uint8Array(8192), 8192)).toBe(false);
  });

  it("an operand across 4 GiB goes on in the next region", () => {
    m.state.setCr(1, 0x20007n); // region-third table
    for (let n = 0; n < 8; n++) m.setU64(0x20000 + n * 8, 0x20n | 4n);
    m.setU64(0x20008, 0x22000n | 7n); // 2-4 GiB: segments
    m.setU64(0x20010, 0x28000n | 7n); // 4-6 GiB
    m.setU64(0x22000 + 0x7ff * 8, 0x2c000n);
    m.setU64(0x28000, 0x2d000n);
    m.setU64(0x2c000 + 255 * 8, 0x61000n);
    m.setU64(0x2d000, 0x60000n);
    m.setPsw(MASK64 | DAT_ON, 0n);
    m.sys.guest.addressHigh = 0;
    m.sys.guest.addressLow = -4;
    expect(m.sys.guest.store(bytes.subarray(0, 8), 8)).toBe(true);
    expect(m.ram.u32(0x61ffc)).toBe(0x00070e15);
    expect(m.ram.u32(0x60000)).toBe(0x1c232a31);
  });

  it("an operand that wraps at 2 GiB in the 31-bit mode goes on at address 0", () => {
    m.setPsw(0x80000000n | DAT_ON, 0n);
    m.state.setCr(1, 0x20003n); // segment table of 2048 entries
    m.setU64(0x20000, 0x24000n);
    m.setU64(0x20000 + 0x7ff * 8, 0x28000n);
    m.setU64(0x24000, 0x60000n);
    m.setU64(0x28000 + 255 * 8, 0x61000n);
    m.sys.guest.addressHigh = 0;
    m.sys.guest.addressLow = 0x7ffffffc;
    expect(m.sys.guest.store(bytes.subarray(0, 8), 8)).toBe(true);
    expect(m.ram.u32(0x61ffc)).toBe(0x00070e15);
    expect(m.ram.u32(0x60000)).toBe(0x1c232a31);
  });
});

it("registers, condition code, problem state and real addresses are those of the CPU", () => {
  const { guest } = m.sys;
  guest.setGr(7, 0x11111111, 0x22222222);
  expect(m.state.gr(7)).toBe(0x1111111122222222n);
  expect([guest.grHigh(7), guest.grLow(7)]).toEqual([0x11111111, 0x22222222]);
  m.state.setCr(6, 0x20000000n);
  expect(guest.crLow(6)).toBe(0x20000000);
  guest.setCc(2);
  expect(m.state.i32(Cpu.cc)).toBe(2);
  expect(guest.problemState()).toBe(false);
  m.setPsw(MASK64 | PROBLEM, 0n);
  expect(guest.problemState()).toBe(true);
  m.state.setI32(Cpu.prefix, 0x4000);
  expect(guest.realToAbsolute(0xb8)).toBe(0x40b8);
  guest.program(0x15);
  expect(m.state.i32(Cpu.programCode)).toBe(0x15);
});

describe("moves between spaces", () => {
  /** Primary page 1 -> 0x51000, secondary page 1 -> 0x61000; page 2 exists in primary only. */
  beforeEach(() => {
    m.setU64(0x20000, 0x24000n);
    m.setU64(0x22000, 0x26000n);
    for (let n = 0; n < 256; n++) {
      m.setU64(0x24000 + n * 8, 0x400n);
      m.setU64(0x26000 + n * 8, 0x400n);
    }
    m.setU64(0x24008, 0x51000n);
    m.setU64(0x24010, 0x52000n);
    m.setU64(0x26008, 0x61000n);
    m.state.setCr(1, 0x20000n);
    m.state.setCr(7, 0x22000n);
    m.state.setCr(0, 0x04000000n);
    m.setPsw(MASK64 | DAT_ON, 0n);
    m.state.setGr(5, 0x1010n);
    m.state.setGr(6, 0x1020n);
    m.setU64(0x51020, 0x1122334455667788n);
    m.setU64(0x61020, 0x99aabbccddeeff00n);
  });

  it("MVCOS with control 0x81 for the first operand writes the secondary space, as Linux does", () => {
    m.state.setGr(0, 0x00810000n);
    m.state.setGr(3, 8n);
    expect(m.execute("c830 5000 6000")).toBe(0);
    expect(m.u64(0x61010)).toBe(0x1122334455667788n);
    expect(m.state.i32(Cpu.cc)).toBe(0);
  });

  it("MVCOS with control 0x81 for the second operand reads it", () => {
    m.state.setGr(0, 0x81n);
    m.state.setGr(3, 8n);
    expect(m.execute("c830 5000 6000")).toBe(0);
    expect(m.u64(0x51010)).toBe(0x99aabbccddeeff00n);
  });

  it("MVCOS moves 4096 bytes at most and says so with cc 3", () => {
    m.state.setGr(0, 0n);
    m.state.setGr(3, 0x1_0000_0000n);
    m.state.setGr(5, 0x1000n);
    m.state.setGr(6, 0x2000n);
    expect(m.execute("c830 5000 6000")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(3);
  });

  it("MVCOS that meets an invalid page is nullified and has moved nothing", () => {
    m.state.setGr(0, 0x00810000n);
    m.state.setGr(3, 0x1000n);
    expect(m.execute("c830 5000 6000")).toBe(0x11);
    expect(m.state.i32(Cpu.nullify)).toBe(1);
    expect(m.u64(0x61010)).toBe(0n);
    // TEID: page 2, store, secondary space
    expect(m.state.u64(Cpu.teid)).toBe(0x2402n);
  });

  it("MVCOS refuses a first operand in the home space to the problem state", () => {
    m.setPsw(MASK64 | DAT_ON | PROBLEM, 0n);
    m.state.setCr(3, 0x80000000n); // key 0 permitted
    m.state.setGr(3, 0n);
    m.state.setGr(0, 0x00c10000n);
    expect(m.execute("c830 5000 6000")).toBe(0x13);
    m.state.setGr(0, 0xc1n);
    expect(m.execute("c830 5000 6000")).toBe(0);
    m.state.setGr(0, 0x50020000n); // key 5 for the first operand
    expect(m.execute("c830 5000 6000")).toBe(0x02);
  });

  it("MVCOS needs DAT and, for the secondary space, its control bit", () => {
    m.state.setGr(0, 0x81n);
    m.state.setCr(0, 0n);
    expect(m.execute("c830 5000 6000")).toBe(0x13);
    m.setPsw(MASK64, 0n);
    expect(m.execute("c830 5000 6000")).toBe(0x13);
  });

  it("MVCP and MVCS move up to 256 bytes between primary and secondary under the key in R3", () => {
    m.state.setGr(1, 300n);
    m.state.setGr(2, 0n);
    expect(m.execute("da12 5000 6000")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(3);
    expect(m.u64(0x51010)).toBe(0x99aabbccddeeff00n);
    m.state.setGr(1, 8n);
    m.state.setGr(2, 0x30n);
    m.keys.set(0x61000, 0x50);
    expect(m.execute("db12 5000 6000")).toBe(0x04);
    m.keys.set(0x61000, 0x30);
    expect(m.execute("db12 5000 6000")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(0);
    expect(m.u64(0x61010)).toBe(m.u64(0x51020));
  });
});
