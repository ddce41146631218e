/**
 * DIVIDE TO INTEGER and the instructions that change the FPC. Rows of DIEBR and DIDBR: operands and results that
 * QEMU's own test of the two instructions expects (tests/tcg/s390x, of 2026); QEMU 7.2 does not have them.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Cpu, type CpuModelName, VcpuExit } from "../../../src/cpu/index.ts";
import { cpuRig } from "../../support/cpu-rig.ts";

const CODE = 0x10000;
const PROGRAM_CODE = 0x8e;
const DATA = 7;
const SPECIFICATION = 6;

function machine(model: CpuModelName = "max") {
  const rig = cpuRig({ model });
  rig.put(0x1d0, "0002000180000000 0000000000000000");
  rig.state.setCr(0, 0x40000n);
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

interface Row {
  readonly name: "diebr" | "didbr";
  readonly a: bigint;
  readonly b: bigint;
  readonly m4: number;
  readonly fpc: number;
  readonly remainder: bigint;
  readonly quotient: bigint;
  readonly cc: number;
  readonly fpcAfter: number;
  readonly trap?: boolean;
}

const row = (
  a: bigint,
  b: bigint,
  m4: number,
  fpc: number,
  remainder: bigint,
  quotient: bigint,
  cc: number,
  fpcAfter: number,
  trap = false,
): Row => ({ name: "diebr", a, b, m4, fpc, remainder, quotient, cc, fpcAfter, trap });

const shorts: readonly Row[] = [
  row(0x43e1f1f1n, 0x43e61616n, 7, 0, 0x43e1f1f1n, 0n, 0, 0),
  row(0x43f00000n, 0n, 0, 0, 0x7fc00000n, 0x7fc00000n, 1, 0x800000),
  row(0xffffffffn, 0xffffffffn, 0, 0, 0xffffffffn, 0xffffffffn, 1, 0),
  row(0xb2b2b2b2n, 0xb2b2b2b2n, 0, 0, 0x80000000n, 0x3f800000n, 0, 0),
  row(0x3d3d3d3dn, 0xaeaeaeaen, 0, 0, 0x2f38b8c0n, 0xce0aaaabn, 2, 0),
  row(0x0c0c0c0cn, 0x400c0c0cn, 6, 0, 0xc00c0c0cn, 0x3f800000n, 0, 0x80000),
  row(0x7070ffffn, 0x90909090n, 0, 0, 0x6431c0c0n, 0xbf5562aan, 3, 0),
  row(0xb7b7b7b7n, 0x15000000n, 7, 0, 0x80000000n, 0xe237b7b7n, 0, 0),
  row(0n, 0n, 1, 0, 0x7fc00000n, 0x7fc00000n, 1, 0x800000),
  row(0x09b2b2b2n, 0xb2b2b2b2n, 0, 0xf8000007, 0xb2b2b2b1n, 0xbf800000n, 0, 0xf8000807, true),
  row(0x000d0100n, 0xb0b0b0b0n, 6, 0xf8000000, 0x5ed01000n, 0x80000000n, 0, 0xf8001000, true),
  row(0x4c4c4c4cn, 0xe1e1e1e1n, 0, 0xf8000007, 0xe1e1e1e1n, 0xbf800000n, 0, 0xf8000c07, true),
  row(0n, 0n, 0, 0xf8000007, 0n, 0x12345678n, 0, 0xf8008007, true),
  row(0xdcdcdcdcn, 0x00dcdcdcn, 7, 0xf8000000, 0x80000000n, 0xbb800000n, 1, 0xf8000000),
  row(0xdbdb240bn, 0xffac73ffn, 4, 0, 0xffec73ffn, 0xffec73ffn, 1, 0x800000),
  row(0x00ff0987n, 0x0987c6f6n, 6, 0x08000000, 0x8987c6b6n, 0x3f800000n, 0, 0x8000800, true),
  row(0xd30a0040n, 0xc6d30a00n, 0, 0xc0000000, 0xc74a4400n, 0x4ba766c6n, 2, 0xc0000000),
  row(0x0c000029n, 0xff800000n, 0, 0, 0x0c000029n, 0x80000000n, 0, 0),
  row(0xffff94ffn, 0xff94ff24n, 4, 7, 0xffd4ff24n, 0xffd4ff24n, 1, 0x800007),
  row(0xff00003dn, 0xff800000n, 0, 0, 0xff00003dn, 0n, 0, 0),
];
const one = 0x3ff0000000000000n;
const longs: readonly Row[] = [
  row(0x00e100e100e100e1n, 0x00e100e100e100e1n, 0, 1, 0n, one, 0, 1),
  row(
    0x0200230200230200n,
    0x0023020023020023n,
    0,
    0,
    0x8001a017d247b3f4n,
    0x41cb2aa05f000000n,
    0,
    0,
  ),
  row(
    0xb063eb3d63b063ebn,
    0xeb3d63b063eb3d63n,
    3,
    0xe8000000,
    0x6b3d63b063eb3d63n,
    one,
    0,
    0xe8000c00,
    true,
  ),
  row(
    0x0200000000000000n,
    0x0000000053020000n,
    0,
    0,
    0x8000000020820000n,
    0x4338ac20dd47c6c1n,
    0,
    0,
  ),
].map((values) => ({ ...values, name: "didbr" as const }));

const hex = (value: bigint): string => value.toString(16);

describe("DIVIDE TO INTEGER", () => {
  it.each(
    [...shorts, ...longs].map(
      (r) => [`${r.name} ${hex(r.a)} / ${hex(r.b)} M4 ${r.m4}`, r] as const,
    ),
  )("%s: remainder, quotient, condition code and FPC", (_, r) => {
    const m = machine();
    const shift = r.name === "diebr" ? 32n : 0n;
    m.state.setFpr(1, r.a << shift);
    m.state.setFpr(2, r.b << shift);
    m.state.setFpr(3, 0x12345678n << shift);
    m.state.setI32(Cpu.fpc, r.fpc | 0);
    m.state.setI32(Cpu.cc, 0);
    const opcode = r.name === "diebr" ? "b353" : "b35b";
    const code = m.run(`${opcode}3${r.m4.toString(16)}12`);
    expect(code).toBe(r.trap === true ? DATA : 0);
    expect(hex(m.state.fpr(1) >> shift)).toBe(hex(r.remainder));
    expect(hex(m.state.fpr(3) >> shift)).toBe(hex(r.quotient));
    const cc = r.trap === true ? (Number(m.ram.u32(0x150)) >>> 12) & 3 : m.state.i32(Cpu.cc);
    expect(cc).toBe(r.cc);
    expect(m.state.i32(Cpu.fpc) >>> 0).toBe(r.fpcAfter >>> 0);
  });

  it("a complete remainder of whole numbers is what is left of the dividend", () => {
    const m = machine();
    const view = new DataView(new ArrayBuffer(8));
    const bits = (value: number): bigint => {
      view.setFloat64(0, value);
      return view.getBigUint64(0);
    };
    const whole = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    fc.assert(
      fc.property(
        whole,
        whole.filter((n) => n !== 0),
        (a, b) => {
          m.state.setFpr(0, bits(a));
          m.state.setFpr(4, bits(b));
          expect(m.run("b35b6504")).toBe(0); // M4 5: toward zero, as JavaScript's remainder
          expect(m.state.fpr(0)).toBe(bits(a % b));
          expect(m.state.fpr(6)).toBe(
            bits(Object.is(Math.trunc(a / b), -0) ? -0 : Math.trunc(a / b)),
          );
          expect(m.state.i32(Cpu.cc)).toBe(0);
        },
      ),
    );
  });

  it("equal registers, and rounding methods that are none, are specification exceptions", () => {
    const m = machine();
    expect(m.run("b3530001")).toBe(SPECIFICATION);
    expect(m.run("b3533013")).toBe(SPECIFICATION);
    expect(m.run("b3533211")).toBe(SPECIFICATION);
    expect(m.run("b3533212")).toBe(SPECIFICATION);
    expect(m.run("b3533812")).toBe(SPECIFICATION);
    expect(machine("z10").run("b3533312")).toBe(SPECIFICATION);
  });
});

describe("the floating-point-control register", () => {
  it("rounding mode 7 and SRNMB belong to facility 37", () => {
    const old = machine("z10");
    expect(old.run("b2b80007")).toBe(1);
    old.state.setGr(1, 7n);
    expect(old.run("b3840010")).toBe(SPECIFICATION);
    const m = machine("z196");
    expect(m.run("b2b80007")).toBe(0);
    expect(m.state.i32(Cpu.fpc)).toBe(7);
    expect(m.run("b2b80004")).toBe(SPECIFICATION);
    expect(m.run("b2b80008")).toBe(SPECIFICATION);
  });

  it("SFASR keeps old flags and signals those whose mask comes on", () => {
    const m = machine();
    m.state.setI32(Cpu.fpc, 0x00280000);
    m.state.setGr(1, 0x20000000n);
    expect(m.run("b3850010")).toBe(DATA);
    expect(m.hex(0x90, 4)).toBe("00000023");
    expect((m.state.i32(Cpu.fpc) >>> 0).toString(16)).toBe("20282300");
  });
});
