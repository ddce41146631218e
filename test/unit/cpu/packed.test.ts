import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Cpu, VcpuExit } from "../../../src/cpu/index.ts";
import { cpuRig } from "../../support/cpu-rig.ts";

const CODE = 0x10000;
/** Base registers 2 and 3 of the operands. */
const FIRST = 0x2000;
const SECOND = 0x3000;
const PROGRAM_NEW_PSW = 0x1d0;
const PROGRAM_CODE = 0x8e;
const OVERFLOW_MASK = 0x400;

const rig = cpuRig();
rig.put(PROGRAM_NEW_PSW, "0002000180000000 0000000000000000");

interface Outcome {
  /** Program-interruption code, 0 for none. */
  readonly program: number;
  readonly cc: number;
  readonly first: string;
}

function run(code: string, first: string, second = "", maskHigh = 1): Outcome {
  rig.put(PROGRAM_CODE, "0000");
  rig.put(FIRST, first);
  if (second !== "") rig.put(SECOND, second);
  rig.put(CODE, code);
  rig.state.setGr(2, BigInt(FIRST));
  rig.state.setGr(3, BigInt(SECOND));
  rig.state.setI32(Cpu.cc, 0);
  rig.start(CODE, maskHigh);
  const end = rig.vcpu.run(1);
  expect([VcpuExit.budget, VcpuExit.disabledWait]).toContain(end);
  const program = rig.ram.u16(PROGRAM_CODE);
  return {
    program,
    cc: program === 0 ? rig.state.i32(Cpu.cc) : (rig.ram.u8(0x152) >> 4) & 3,
    first: rig.hex(FIRST, first.length / 2),
  };
}

/** AP, SP, ... with lengths of both operands. */
function two(opcode: string, first: string, second: string, maskHigh = 1): Outcome {
  const lengths = [first, second].map((text) => (text.length / 2 - 1).toString(16)).join("");
  return run(`${opcode}${lengths}20003000`, first, second, maskHigh);
}

describe("decimal arithmetic (SA22-7832 chapter 8)", () => {
  it.each([
    ["AP", "fa", "00123c", "00077c", "00200c", 2],
    ["AP of a minus and a plus", "fa", "00123d", "00023c", "00100d", 1],
    ["AP to zero is plus", "fa", "00123d", "00123c", "00000c", 0],
    ["AP takes any sign code and leaves a preferred one", "fa", "1f", "1a", "2c", 2],
    ["SP", "fb", "00100c", "00200c", "00100d", 1],
    ["ZAP from a shorter operand", "f8", "ffffff", "123b", "00123d", 1],
    ["ZAP of minus zero is plus", "f8", "ffff", "000d", "000c", 0],
    ["CP", "f9", "00100c", "99d", "00100c", 2],
  ])("%s", (_, opcode, first, second, result, cc) => {
    const even = second.length % 2 === 0 ? second : `0${second}`;
    expect(two(opcode, first, even)).toEqual({ program: 0, cc, first: result });
  });

  it("an overflow keeps the right digits, cc 3, and interrupts only under its mask", () => {
    expect(two("fa", "999c", "001c")).toEqual({ program: 0, cc: 3, first: "000c" });
    expect(two("fb", "999d", "001c")).toEqual({ program: 0, cc: 3, first: "000d" });
    const masked = two("fa", "999c", "001c", OVERFLOW_MASK | 1);
    expect(masked).toEqual({ program: 0x0a, cc: 3, first: "000c" });
  });

  it.each([
    ["a digit of 10", "fa", "a23c", "001c"],
    ["a sign of 9", "fb", "1239", "001c"],
    ["in the second operand of ZAP", "f8", "0000", "1230"],
    ["too few zeros in the multiplicand", "fc", "10123c", "02c0"],
  ])("data exception: %s; nothing is stored", (_, opcode, first, second) => {
    const outcome = two(opcode, first, second);
    expect([outcome.program, outcome.first]).toEqual([0x07, first]);
  });

  it("MP multiplies with the sign of algebra, also of zero", () => {
    expect(two("fc", "0000123c", "012d").first).toBe("0001476d");
    expect(two("fc", "0000000c", "012d").first).toBe("0000000d");
  });

  it("DP leaves quotient and remainder, the remainder with the dividend's sign", () => {
    expect(two("fd", "0001000d", "007c").first).toBe("142d006d");
  });

  it.each([
    ["by zero", "0000100c", "000c"],
    ["a quotient that does not fit", "1000000c", "001c"],
  ])("DP: decimal divide: %s", (_, first, second) => {
    expect(two("fd", first, second)).toMatchObject({ program: 0x0b, first });
  });

  it("MP and DP refuse a second operand of 9 bytes, or one as long as the first", () => {
    expect(run("fcf820003000", "00".repeat(16)).program).toBe(0x06);
    expect(run("fd1120003000", "0000").program).toBe(0x06);
  });

  it("SRP shifts left, and right with rounding", () => {
    expect(run("f02020000002", "00123c").first).toBe("12300c");
    expect(run("f0252000003f", "00125d")).toMatchObject({ first: "00013d", cc: 1 });
    expect(run("f0242000003f", "00125c").first).toBe("00012c");
    expect(run("f02a20000000", "00125c").program).toBe(0x07);
    expect(run("f02020000003", "00123c")).toMatchObject({ first: "23000c", cc: 3 });
  });

  it("ED makes the manual's example: blanks, comma, point and CR", () => {
    // Pattern b d d , d ( d . d d b C R of SA22-7832 appendix A, "EDIT"; source 02 57 42 6C
    const pattern = "4020206b2020214b202040c3d9";
    expect(run("de0c20003000", pattern, "0257426c")).toEqual({
      program: 0,
      cc: 2,
      first: "4040f26bf5f7f44bf2f6404040",
    });
    expect(run("de0c20003000", pattern, "0000026d")).toMatchObject({
      cc: 1,
      first: "404040404040404bf2f640c3d9",
    });
  });

  it("EDMK puts the address of the first significant digit into register 1", () => {
    rig.state.setGr(1, 0n);
    run("df0c20003000", "4020206b2020214b202040c3d9", "0257426c");
    expect(rig.state.gr(1)).toBe(BigInt(FIRST + 2));
  });

  it.each([
    ["123c", 0],
    ["1234", 1],
    ["1a3c", 2],
    ["1a34", 3],
  ])("TP of %s gives condition code %d", (bytes, cc) => {
    expect(run("eb10200000c0", bytes).cc).toBe(cc);
  });

  it("PKA and UNPKA are inverse to each other", () => {
    expect(run("e90420003000", "ff".repeat(16), "3132333435").first).toBe(
      `${"00".repeat(13)}12345c`,
    );
    expect(run("ea0420003000", "ffffffffff", `${"00".repeat(13)}12345d`)).toMatchObject({
      first: "3132333435",
      cc: 1,
    });
  });

  it("sums and differences are those of integers, when they fit", () => {
    const limit = 10n ** 15n - 1n;
    const number = fc.bigInt({ min: -limit, max: limit });
    const packed = (value: bigint, bytes: number): string => {
      const digits = (value < 0n ? -value : value).toString().padStart(bytes * 2 - 1, "0");
      return digits + (value < 0n ? "d" : "c");
    };
    fc.assert(
      fc.property(number, number, (a, b) => {
        expect(two("fa", packed(a, 9), packed(b, 8)).first).toBe(packed(a + b, 9));
        expect(two("fb", packed(a, 9), packed(b, 8)).first).toBe(packed(a - b, 9));
        expect(two("fc", packed(a, 16), packed(b, 8)).first).toBe(
          a === 0n || b === 0n ? expect.stringMatching(/^0+[cd]$/) : packed(a * b, 16),
        );
      }),
      { numRuns: 100 },
    );
  });
});
