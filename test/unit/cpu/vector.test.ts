/**
 * What the vector families of the oracle leave out because QEMU 7.2 is wrong there: VCKSM, vector-processing exceptions, the
 * inexact-exception control; and when there are vector instructions at all. Source: SA22-7832-11 chapters 21-24.
 */
import { describe, expect, it } from "vitest";
import { Cpu, type CpuModelName, VcpuExit } from "../../../src/cpu/index.ts";
import { cpuRig } from "../../support/cpu-rig.ts";

const CODE = 0x10000;
const DATA = 0x20000;
/** CR0: AFP-register control, vector-enablement control. */
const CONTROLS = 0x60000n;
const ONE = "3ff0000000000000";
const THIRD = "3fd5555555555555";
const THREE = "4008000000000000";

function machine(model: CpuModelName = "max") {
  const rig = cpuRig({ model });
  rig.put(0x1d0, "0002000180000000 0000000000000000");
  rig.state.setCr(0, CONTROLS);
  rig.state.setGr(2, BigInt(DATA));
  const run = (code: string): number => {
    rig.put(0x8e, "0000");
    rig.put(0x90, "00000000");
    rig.put(CODE, code);
    rig.start(CODE);
    expect([VcpuExit.budget, VcpuExit.disabledWait]).toContain(rig.vcpu.run(1));
    return rig.ram.u16(0x8e);
  };
  const set = (n: number, hex: string): void => {
    rig.put(DATA, hex);
    expect(run(`e7${(n & 15).toString(16)}02000${n > 15 ? "08" : "00"}06`)).toBe(0);
  };
  const get = (n: number): string => {
    expect(run(`e7${(n & 15).toString(16)}02100${n > 15 ? "08" : "00"}0e`)).toBe(0);
    return rig.hex(DATA + 0x100, 16);
  };
  return { ...rig, run, set, get };
}

describe("vector instructions", () => {
  it("are an operation exception before z13, and a data exception while a control is off", () => {
    for (const model of ["zmend", "z10", "z196"] as const) {
      expect(machine(model).run("e70020000006")).toBe(1);
    }
    const m = machine("z13");
    expect(m.run("e70020000006")).toBe(0);
    for (const control of [0n, 0x20000n, 0x40000n]) {
      m.state.setCr(0, control);
      expect([m.run("e70020000006"), m.ram.u32(0x90)]).toEqual([7, 0xfe]);
    }
    // LCBB works on general registers.
    expect([m.run("e71020000027"), m.state.gr(1) & 0xffffffffn]).toEqual([0, 16n]);
  });

  it("the left doublewords of registers 0 to 15 are the floating-point registers", () => {
    const m = machine();
    m.set(5, "00112233445566778899aabbccddeeff");
    m.set(21, "ffeeddccbbaa99887766554433221100");
    expect(m.state.fpr(5)).toBe(0x0011223344556677n);
    m.state.setFpr(5, 0x1234n);
    expect(m.get(5)).toBe("00000000000012348899aabbccddeeff");
    expect(m.get(21)).toBe("ffeeddccbbaa99887766554433221100");
  });

  it("nothing of a register changes when its last byte cannot be fetched", () => {
    const m = machine();
    m.set(3, "11".repeat(16));
    m.state.setGr(2, BigInt((1 << 20) - 8));
    expect(m.run("e73020000006")).toBe(5);
    expect(m.run("e73420000036")).toBe(5); // VLM 3-4
    m.state.setGr(2, BigInt(DATA));
    expect(m.get(3)).toBe("11".repeat(16));
  });

  it("VLM of more than sixteen registers, or of none, is a specification exception", () => {
    const m = machine();
    expect(m.run("e70020000436")).toBe(6); // 0 to 16
    expect(m.run("e7502000003e")).toBe(6); // VSTM 5 to 0
    expect(m.run("e70f20000036")).toBe(0);
  });

  it("VCKSM adds words with end-around carry", () => {
    const m = machine();
    m.set(1, "ffffffff 00000001 80000000 80000000".replaceAll(" ", ""));
    m.set(2, "aaaaaaaa 00000005 bbbbbbbb cccccccc".replaceAll(" ", ""));
    expect(m.run("e73120000066")).toBe(0);
    // 5 + ffffffff = 5 (carry), + 1 = 6, + 80000000 twice = 7 (carry)
    expect(m.get(3)).toBe("00000000000000070000000000000000");
  });
});

describe("vector floating point", () => {
  const flags = (m: ReturnType<typeof machine>): number => m.state.i32(Cpu.fpc) >>> 16;

  it("collects the flags of both elements", () => {
    const m = machine();
    m.set(1, ONE + ONE);
    m.set(2, `${THREE}0000000000000000`);
    expect(m.run("e731200030e5")).toBe(0); // VFD
    expect(m.get(3)).toBe(`${THIRD}7ff0000000000000`);
    expect(flags(m)).toBe(0x48); // division by zero, inexact
  });

  it("an exception whose mask is one changes nothing and names the element", () => {
    const m = machine();
    m.set(1, ONE + ONE);
    m.set(2, `${THREE}0000000000000000`);
    m.set(3, "77".repeat(16));
    m.state.setI32(Cpu.fpc, 0x40000000);
    expect(m.run("e731200030e5")).toBe(0x1b);
    expect(m.ram.u32(0x90)).toBe(0x12); // element 1, division by zero
    expect(m.hex(0x150, 16)).toMatch(/0000000000010006$/); // suppressed: behind the instruction
    expect(flags(m) & 0xff).toBe(0);
    expect(m.state.i32(Cpu.fpc) & 0xff00).toBe(0x1200);
    m.state.setI32(Cpu.fpc, 0x08000000);
    expect([m.run("e731200030e5"), m.ram.u32(0x90)]).toEqual([0x1b, 0x05]); // element 0, inexact
    m.state.setI32(Cpu.fpc, 0);
    expect(m.get(3)).toBe("77".repeat(16));
  });

  it("the single-element control leaves the other element out of it", () => {
    const m = machine();
    m.set(1, ONE + ONE);
    m.set(2, `${ONE}0000000000000000`);
    m.state.setI32(Cpu.fpc, 0x40000000);
    expect(m.run("e731200830e5")).toBe(0);
    expect(m.get(3).slice(0, 16)).toBe(ONE);
  });

  it("M4 bit 1 keeps an inexact result from being told", () => {
    const m = machine();
    m.set(1, `3ff8000000000000${ONE}`); // 1.5
    expect([m.run("e731000430c7"), m.get(3), flags(m)]).toEqual([0, `4000000000000000${ONE}`, 0]);
    m.state.setI32(Cpu.fpc, 0x08000000);
    expect(m.run("e731000430c7")).toBe(0);
    expect(m.run("e731000030c7")).toBe(0x1b);
  });

  it("short and extended elements, minimum, maximum and logic came with z14", () => {
    const m = machine("z13");
    expect([m.run("e731200020e3"), m.run("e731200040e3")]).toEqual([6, 6]); // VFA
    expect([m.run("e731000020c7"), m.run("e731000030c4")]).toEqual([6, 6]); // VFI, VLDE
    expect([m.run("e73100001050"), m.run("e73020006004")]).toEqual([6, 6]); // VPOPCT, VLLEZ
    for (const code of ["ee", "ef", "9e", "9f", "6e", "6f", "6c", "b8", "85"]) {
      expect([code, m.run(`e731200030${code}`)]).toEqual([code, 1]);
    }
    expect(m.run("e731200430e8")).toBe(6); // VFCE, signaling
    expect(machine("z14").run("e731200020e3")).toBe(0);
  });

  it("of a signaling and a quiet NaN a multiplication with addition takes the signaling one", () => {
    const m = machine();
    m.set(1, `7ff8000000000001${ONE}`);
    m.set(2, `7ff0000000000002${ONE}`);
    m.set(4, ONE + ONE);
    expect(m.run("e7312300408f")).toBe(0); // VFMA 3,1,2,4
    expect(m.get(3).slice(0, 16)).toBe("7ff8000000000002");
    expect(flags(m)).toBe(0x80);
  });

  it("VFNMA rounds the negated sum", () => {
    const m = machine();
    m.set(1, ONE + ONE);
    m.set(4, "3c90000000000000".repeat(2)); // 2^-54
    const rounded = (mode: number): string => {
      m.state.setI32(Cpu.fpc, mode);
      expect(m.run("e7311300409f")).toBe(0); // 3 = -(1 x 1 + 4)
      return m.get(3).slice(0, 16);
    };
    expect([rounded(2), rounded(3)]).toEqual(["bff0000000000000", "bff0000000000001"]);
  });
});
