import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isEarlyInvalid } from "../../../src/cpu/psw.ts";
import { Cpu } from "../../../src/cpu/state.ts";
import { createMachine, half, MASK64 } from "./machine.ts";

function invalid(mask: bigint, address: bigint): boolean {
  return isEarlyInvalid(half(mask >> 32n), half(mask), half(address >> 32n), half(address));
}

describe("early specification exceptions (SA22-7832 chapter 4, PSW format; chapter 6)", () => {
  it.each([0, 2, 3, 4, 12, 24, 25, 26, 27, 28, 29, 30, 33, 34, 62, 63])(
    "a one in bit %i is invalid",
    (bit) => {
      expect(invalid(MASK64 | (1n << BigInt(63 - bit)), 0n)).toBe(true);
    },
  );

  it.each([1, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23])(
    "a one in bit %i is valid",
    (bit) => {
      expect(invalid(MASK64 | (1n << BigInt(63 - bit)), 0n)).toBe(false);
    },
  );

  it("extended addressing without basic addressing does not exist", () => {
    expect(invalid(0x0000000100000000n, 0n)).toBe(true);
    expect(invalid(0x0000000180000000n, 0n)).toBe(false);
  });

  it("the address must fit the mode: 24, 31, 64 bits", () => {
    expect(invalid(0n, 0xffffffn)).toBe(false);
    expect(invalid(0n, 0x1000000n)).toBe(true);
    expect(invalid(0x80000000n, 0x7fffffffn)).toBe(false);
    expect(invalid(0x80000000n, 0x80000000n)).toBe(true);
    expect(invalid(0x80000000n, 0x100000000n)).toBe(true);
    expect(invalid(MASK64, 0xffffffffffffffffn)).toBe(false);
  });

  it("an odd address is not early: the fetch finds it", () => {
    expect(invalid(MASK64, 0x1001n)).toBe(false);
  });
});

describe("storing and loading", () => {
  it("what is stored and loaded again is the same PSW, condition code included", () => {
    const m = createMachine();
    const u64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
    fc.assert(
      fc.property(u64, u64, (mask, address) => {
        m.setPsw(mask, address);
        expect(m.state.i32(Cpu.cc)).toBe(Number((mask >> 44n) & 3n));
        m.psw.storeTo(m.ram, 0x2000);
        expect(m.u64(0x2000)).toBe(mask);
        expect(m.u64(0x2008)).toBe(address);
        expect(m.psw.loadFrom(m.ram, 0x2000)).toBe(!invalid(mask, address));
        expect(m.pswMask()).toBe(mask);
      }),
    );
  });

  it("the condition code of the CPU state is the one that is stored", () => {
    const m = createMachine();
    m.setPsw(MASK64 | (1n << 44n), 0n);
    m.state.setI32(Cpu.cc, 3);
    expect(m.pswMask()).toBe(MASK64 | (3n << 44n));
  });

  it("every load tells the core", () => {
    const m = createMachine();
    const before = m.counts.changed;
    m.setPsw(MASK64, 0n);
    m.psw.replaceHigh(0, 0x01000000);
    expect(m.counts.changed).toBe(before + 2);
  });
});
