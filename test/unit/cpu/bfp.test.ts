import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Cpu, type CpuState, VcpuExit } from "../../../src/cpu/index.ts";
import { type CpuRig, cpuRig } from "../../support/cpu-rig.ts";

const CODE = 0x10000;
const OPERAND = 0x8000;
const AFP = 0x40000;
/** Program new PSW: disabled wait, so that an interruption ends the run. */
const PROGRAM_NEW_PSW = 0x1d0;
const PROGRAM_CODE = 0x8e;
const DXC = 0x90;

interface Machine extends CpuRig {
  /** Runs one instruction; returns the program-interruption code, 0 for none. */
  run(code: string): number;
}

function machine(): Machine {
  const rig = cpuRig();
  rig.put(PROGRAM_NEW_PSW, "0002000180000000 0000000000000000");
  rig.state.setCr(0, BigInt(AFP));
  const run = (code: string): number => {
    rig.put(PROGRAM_CODE, "0000");
    rig.put(CODE, code);
    rig.start(CODE);
    const end = rig.vcpu.run(1);
    expect([VcpuExit.budget, VcpuExit.disabledWait]).toContain(end);
    return Number(`0x${rig.hex(PROGRAM_CODE, 2)}`);
  };
  return { ...rig, run };
}

/** The host does not say which NaN its arithmetic gives; ours is the default one. */
function longBits(value: number): bigint {
  if (Number.isNaN(value)) return 0x7ff8000000000000n;
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return view.getBigUint64(0);
}

function shortBits(value: number): bigint {
  if (Number.isNaN(value)) return 0x7fc0000000000000n;
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat32(0, value);
  return view.getBigUint64(0);
}

function setLong(state: CpuState, n: number, value: number): void {
  state.setFpr(n, longBits(value));
}

function fpc(rig: CpuRig): string {
  return (rig.state.i32(Cpu.fpc) >>> 0).toString(16).padStart(8, "0");
}

const doubles = fc.oneof(
  fc.double({ noNaN: true }),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map((bits) => {
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, bits);
    const value = view.getFloat64(0);
    return Number.isNaN(value) ? 1 : value;
  }),
  fc.constantFrom(0, -0, 1, -1, Number.MIN_VALUE, -Number.MIN_VALUE, Number.MAX_VALUE, Infinity),
);
const floats = fc.float({ noNaN: true });

describe("binary floating-point arithmetic, rounded to nearest, is that of IEEE 754", () => {
  const rig = machine();

  it.each([
    ["ADBR", "b31a0002", (a: number, b: number) => a + b],
    ["SDBR", "b31b0002", (a: number, b: number) => a - b],
    ["MDBR", "b31c0002", (a: number, b: number) => a * b],
    ["DDBR", "b31d0002", (a: number, b: number) => a / b],
    ["SQDBR", "b3150002", (_: number, b: number) => Math.sqrt(b)],
  ])("%s agrees with the host's doubles", (_, code, expected) => {
    fc.assert(
      fc.property(doubles, doubles, (a, b) => {
        setLong(rig.state, 0, a);
        setLong(rig.state, 2, b);
        expect(rig.run(code)).toBe(0);
        expect(rig.state.fpr(0)).toBe(longBits(expected(a, b)));
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ["AEBR", "b30a0002", (a: number, b: number) => a + b],
    ["SEBR", "b30b0002", (a: number, b: number) => a - b],
    ["MEEBR", "b3170002", (a: number, b: number) => a * b],
    ["DEBR", "b30d0002", (a: number, b: number) => a / b],
    ["SQEBR", "b3140002", (_: number, b: number) => Math.sqrt(b)],
  ])(
    "%s agrees with the host's doubles rounded to 24 bits, and keeps bits 32-63",
    (_, code, expected) => {
      fc.assert(
        fc.property(floats, floats, (a, b) => {
          rig.state.setFpr(0, shortBits(a) | 0x12345678n);
          rig.state.setFpr(2, shortBits(b));
          expect(rig.run(code)).toBe(0);
          expect(rig.state.fpr(0)).toBe(shortBits(Math.fround(expected(a, b))) | 0x12345678n);
        }),
        { numRuns: 300 },
      );
    },
  );

  it("extended operations on integers below 2^53 are exact", () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.maxSafeInteger(), (a, b) => {
        rig.state.setGr(1, BigInt(a));
        rig.state.setGr(2, BigInt(b));
        rig.run("b3a60001"); // CXGBR 0,1
        rig.run("b3a60042"); // CXGBR 4,2
        rig.run("b34c0004"); // MXBR 0,4
        rig.run("b34d0004"); // DXBR 0,4
        if (b === 0) return;
        rig.run("b3aa5030"); // CGXBR 3,5,0
        expect(BigInt.asIntN(64, rig.state.gr(3))).toBe(BigInt(a));
      }),
      { numRuns: 200 },
    );
  });
});

describe("rounding methods", () => {
  const rig = machine();

  it.each([
    // 2.5, 3.5 and their negatives; expected by M3: 1 ties away, 4 ties to even, 5 zero, 6 up, 7 down
    [2.5, [3n, 2n, 2n, 3n, 2n]],
    [3.5, [4n, 4n, 3n, 4n, 3n]],
    [-2.5, [-3n, -2n, -2n, -2n, -3n]],
    [-3.25, [-3n, -3n, -3n, -3n, -4n]],
    [0.75, [1n, 1n, 0n, 1n, 0n]],
  ])("CGDBR rounds %d as M3 says", (value, expected) => {
    setLong(rig.state, 2, value);
    const results = [1, 4, 5, 6, 7].map((m3) => {
      expect(rig.run(`b3a9${m3}012`)).toBe(0);
      return BigInt.asIntN(64, rig.state.gr(1));
    });
    expect(results).toEqual(expected);
  });

  it.each([2, 8, 15])("M3 %d is a specification exception", (m3) => {
    expect(rig.run(`b3a9${m3.toString(16)}012`)).toBe(0x06);
  });

  it.each([
    [0, 0x3fd5555555555555n],
    [1, 0x3fd5555555555555n],
    [2, 0x3fd5555555555556n],
    [3, 0x3fd5555555555555n],
  ])("DDBR divides 1 by 3 in FPC rounding mode %d", (mode, expected) => {
    rig.state.setI32(Cpu.fpc, mode);
    setLong(rig.state, 0, 1);
    setLong(rig.state, 2, 3);
    rig.run("b31d0002");
    expect(rig.state.fpr(0)).toBe(expected);
    expect(fpc(rig)).toBe(`0008000${mode}`); // inexact flag
    rig.state.setI32(Cpu.fpc, 0);
  });

  it("an exact difference of zero is negative only when rounding down", () => {
    for (const mode of [0, 1, 2, 3]) {
      rig.state.setI32(Cpu.fpc, mode);
      setLong(rig.state, 0, 1);
      setLong(rig.state, 2, 1);
      rig.run("b31b0002");
      expect(rig.state.fpr(0)).toBe(mode === 3 ? 1n << 63n : 0n);
      expect(rig.state.i32(Cpu.cc)).toBe(0);
    }
    rig.state.setI32(Cpu.fpc, 0);
  });
});

describe("IEEE exceptions (SA22-7832 chapter 9)", () => {
  it.each([
    ["invalid: 0 / 0 gives the default NaN", "b31d0002", 0, 0, 0x7ff8000000000000n, "00800000"],
    ["division by zero gives infinity", "b31d0002", -1, 0, 0xfff0000000000000n, "00400000"],
    [
      "overflow gives infinity and is inexact",
      "b31c0002",
      Number.MAX_VALUE,
      2,
      0x7ff0000000000000n,
      "00280000",
    ],
    [
      "an inexact tiny result underflows",
      "b31c0002",
      Number.MIN_VALUE * 3,
      0.5,
      0x0000000000000002n,
      "00180000",
    ],
    ["an exact tiny result raises nothing", "b31c0002", Number.MIN_VALUE * 4, 0.5, 2n, "00000000"],
  ])("without a mask: %s", (_, code, a, b, result, flags) => {
    const rig = machine();
    setLong(rig.state, 0, a);
    setLong(rig.state, 2, b);
    expect(rig.run(code)).toBe(0);
    expect(rig.state.fpr(0)).toBe(result);
    expect(fpc(rig)).toBe(flags);
  });

  it.each([
    // mask, operands, data-exception code, result (undefined = operand 1 unchanged)
    ["invalid", 0x80, "b31d0002", 0, 0, 0x80, 0n],
    ["division by zero", 0x40, "b31d0002", 1, 0, 0x40, longBits(1)],
    [
      "overflow, scaled down by 2^1536",
      0x20,
      "b31c0002",
      2 ** 1000,
      2 ** 100,
      0x20,
      longBits(2 ** -436),
    ],
    [
      "underflow, scaled up by 2^1536",
      0x10,
      "b31c0002",
      2 ** -1000,
      2 ** -100,
      0x10,
      longBits(2 ** 436),
    ],
    ["inexact and truncated", 0x08, "b31d0002", 1, 3, 0x08, 0x3fd5555555555555n],
    ["inexact and incremented", 0x08, "b31d0002", 1, 10, 0x0c, 0x3fb999999999999an],
  ])("with its mask: %s", (_, mask, code, a, b, dxc, result) => {
    const rig = machine();
    rig.state.setI32(Cpu.fpc, mask << 24);
    setLong(rig.state, 0, a);
    setLong(rig.state, 2, b);
    expect(rig.run(code)).toBe(0x07);
    expect(Number(`0x${rig.hex(DXC, 4)}`)).toBe(dxc);
    expect(rig.state.fpr(0)).toBe(result);
    expect(rig.state.i32(Cpu.fpc) >>> 0).toBe(((mask << 24) | (dxc << 8)) >>> 0);
  });

  it("without the AFP-register control an instruction is a data exception with DXC 2", () => {
    const rig = machine();
    rig.state.setCr(0, 0n);
    expect(rig.run("b31a0002")).toBe(0x07);
    expect(Number(`0x${rig.hex(DXC, 4)}`)).toBe(2);
  });

  it.each(["b34a0002", "b34a0020", "b3a60021", "b3420002"])(
    "an extended operand in a wrong pair of registers (%s) is a specification exception",
    (code) => {
      expect(machine().run(code)).toBe(0x06);
    },
  );
});

describe("NaNs", () => {
  const SIGNALING_A = 0x7ff0000000000001n;
  const QUIET_B = 0xfff8000000000002n;
  const SIGNALING_B = 0xfff0000000000003n;

  it.each([
    ["the first operand when both are quiet", 0x7ff8000000000001n, QUIET_B, 0x7ff8000000000001n],
    [
      "a signaling one before a quiet one, made quiet",
      0x7ff8000000000001n,
      SIGNALING_B,
      0xfff8000000000003n,
    ],
    ["the first of two signaling ones", SIGNALING_A, SIGNALING_B, 0x7ff8000000000001n],
    ["the only one", longBits(1), QUIET_B, QUIET_B],
  ])("a sum is %s, with cc 3", (_, a, b, result) => {
    const rig = machine();
    rig.state.setFpr(0, a);
    rig.state.setFpr(2, b);
    expect(rig.run("b31a0002")).toBe(0);
    expect(rig.state.fpr(0)).toBe(result);
    expect(rig.state.i32(Cpu.cc)).toBe(3);
  });

  it("COMPARE is silent about quiet NaNs, COMPARE AND SIGNAL is not", () => {
    const rig = machine();
    rig.state.setFpr(0, QUIET_B);
    setLong(rig.state, 2, 1);
    rig.run("b3190002"); // CDBR
    expect([rig.state.i32(Cpu.cc), fpc(rig)]).toEqual([3, "00000000"]);
    rig.run("b3180002"); // KDBR
    expect([rig.state.i32(Cpu.cc), fpc(rig)]).toEqual([3, "00800000"]);
  });

  it("conversions to integers give the least integer for a NaN and the nearest for what is too large", () => {
    const rig = machine();
    const convert = (value: bigint): [bigint, number, string] => {
      rig.state.setI32(Cpu.fpc, 0);
      rig.state.setFpr(2, value);
      rig.run("b3990012"); // CFDBR 1,0,2
      return [rig.state.gr(1) & 0xffffffffn, rig.state.i32(Cpu.cc), fpc(rig)];
    };
    expect(convert(QUIET_B)).toEqual([0x80000000n, 3, "00800000"]);
    expect(convert(longBits(3e9))).toEqual([0x7fffffffn, 3, "00880000"]);
    expect(convert(longBits(Number.NEGATIVE_INFINITY))).toEqual([0x80000000n, 3, "00880000"]);
    expect(convert(longBits(-3e9))).toEqual([0x80000000n, 3, "00880000"]);
    expect(convert(longBits(-7))).toEqual([0xfffffff9n, 1, "00000000"]);
  });
});

describe("other operations", () => {
  const rig = machine();

  it("MULTIPLY AND ADD rounds once", () => {
    // (1 + 2^-52)^2 - 1 - 2^-51 = 2^-104, which two roundings lose
    setLong(rig.state, 2, 1 + 2 ** -52);
    setLong(rig.state, 4, -1 - 2 ** -51);
    rig.run("b31e4022"); // MADBR 4,2,2
    expect(rig.state.fpr(4)).toBe(longBits(2 ** -104));
  });

  it("a product in the next longer format is exact", () => {
    fc.assert(
      fc.property(floats, floats, (a, b) => {
        rig.state.setFpr(0, shortBits(a));
        rig.state.setFpr(2, shortBits(b));
        rig.run("b30c0002"); // MDEBR 0,2
        expect(rig.state.fpr(0)).toBe(longBits(a * b));
        setLong(rig.state, 0, a);
        setLong(rig.state, 6, b);
        rig.run("b3070006"); // MXDBR 0,6
        rig.run("b3450000"); // LDXBR 0,0
        expect(rig.state.fpr(0)).toBe(longBits(a * b));
      }),
      { numRuns: 200 },
    );
  });

  it("LOAD AND TEST makes a signaling NaN quiet and raises the invalid operation", () => {
    rig.state.setI32(Cpu.fpc, 0);
    rig.state.setFpr(2, 0x7ff0000000000001n);
    rig.run("b3120002"); // LTDBR 0,2
    expect([rig.state.fpr(0), rig.state.i32(Cpu.cc), fpc(rig)]).toEqual([
      0x7ff8000000000001n,
      3,
      "00800000",
    ]);
    rig.state.setI32(Cpu.fpc, 0);
  });

  it("lengthening and rounding again is the identity", () => {
    fc.assert(
      fc.property(doubles, (value) => {
        setLong(rig.state, 2, value);
        rig.run("b3050042"); // LXDBR 4,2
        rig.run("b3450004"); // LDXBR 0,4
        expect(rig.state.fpr(0)).toBe(longBits(value));
      }),
      { numRuns: 200 },
    );
  });

  it("LOAD FP INTEGER agrees with the host, also in the sign of zero", () => {
    fc.assert(
      fc.property(doubles, (value) => {
        setLong(rig.state, 2, value);
        rig.run("b35f5002"); // FIDBR 0,5,2
        expect(rig.state.fpr(0)).toBe(longBits(Math.trunc(value)));
        rig.run("b35f6002");
        expect(rig.state.fpr(0)).toBe(longBits(Math.ceil(value)));
      }),
      { numRuns: 200 },
    );
  });

  it.each([
    // mask bits from the left: +0 -0 +normal -normal +subnormal -subnormal +inf -inf +QNaN -QNaN +SNaN -SNaN
    [0n, 0x800],
    [1n << 63n, 0x400],
    [longBits(1), 0x200],
    [longBits(-1), 0x100],
    [1n, 0x080],
    [(1n << 63n) | 1n, 0x040],
    [longBits(Infinity), 0x020],
    [longBits(-Infinity), 0x010],
    [0x7ff8000000000000n, 0x008],
    [0xfff8000000000000n, 0x004],
    [0x7ff0000000000001n, 0x002],
    [0xfff0000000000001n, 0x001],
  ])("TEST DATA CLASS finds %i by mask %i alone", (bits, mask) => {
    rig.state.setFpr(0, bits);
    const found = Array.from({ length: 12 }, (_, n) => 1 << n).filter((probe) => {
      rig.run(`ed000${probe.toString(16).padStart(3, "0")}0011`);
      return rig.state.i32(Cpu.cc) === 1;
    });
    expect(found).toEqual([mask]);
  });

  it("storage operands are taken like register operands", () => {
    setLong(rig.state, 0, 1.5);
    rig.put(OPERAND, longBits(2.25).toString(16).padStart(16, "0"));
    rig.state.setGr(5, BigInt(OPERAND));
    rig.run("ed005000001a"); // ADB 0,0(5)
    expect(rig.state.fpr(0)).toBe(longBits(3.75));
    expect(rig.state.i32(Cpu.cc)).toBe(2);
  });
});
