/**
 * Instructions of z10 to z14 that neither QEMU nor Hercules judges: CRDTE, PTFF, ECTG, LPP, EPAR, ESAR, PALB; and the edges
 * of TRTE and PERFORM LOCKED OPERATION that the families `parsing` and `locked` leave out. Source: SA22-7832.
 */
import { describe, expect, it } from "vitest";
import { Cpu, type CpuModelName, VcpuExit } from "../../../src/cpu/index.ts";
import { cpuRig } from "../../support/cpu-rig.ts";

const CODE = 0x10000;
const TABLE = 0x20000;
const PROBLEM = 0x00010001;
const DAT_64 = 0x04000001;

function machine(model: CpuModelName = "max") {
  const rig = cpuRig({ model });
  rig.put(0x1d0, "0002000180000000 0000000000000000");
  const run = (code: string, maskHigh?: number): number => {
    rig.put(0x8e, "0000");
    rig.put(CODE, code);
    rig.start(CODE, maskHigh);
    expect([VcpuExit.budget, VcpuExit.disabledWait]).toContain(rig.vcpu.run(1));
    return rig.ram.u16(0x8e);
  };
  return { ...rig, run };
}

describe("COMPARE AND REPLACE DAT TABLE ENTRY", () => {
  it.each([
    ["page table, bits 44-51 of the address", 0x00, 0x0000_0000_000a_5000n, 0xa5],
    ["segment table, bits 33-43", 0x10, 0x0000_0000_7ab0_0000n, 0x7ab],
    ["region-third table, bits 22-32", 0x14, 0x0000_0281_8000_0000n, 0x503],
    ["region-second table, bits 11-21", 0x18, 0x0012_3400_0000_0000n, 0x48d],
    ["region-first table, bits 0-10", 0x1c, 0x8060_0000_0000_0000n, 0x403],
  ] as const)("%s", (_, designation, address, index) => {
    const m = machine();
    const entry = TABLE + index * 8;
    m.put(entry, "0000000000abc000");
    m.state.setGr(2, 0xabc000n);
    m.state.setGr(3, 0xdef000n);
    m.state.setGr(4, BigInt(TABLE | designation));
    m.state.setGr(5, address);
    expect(m.run("b98f0024")).toBe(0);
    expect([m.state.i32(Cpu.cc), m.hex(entry, 8)]).toEqual([0, "0000000000def000"]);
    expect(m.run("b98f0024")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(1);
    expect([m.state.gr(2), m.hex(entry, 8)]).toEqual([0xdef000n, "0000000000def000"]);
  });

  it("refuses odd registers, other designations, the problem state, tables outside of storage", () => {
    const m = machine();
    m.state.setGr(4, BigInt(TABLE));
    expect(m.run("b98f0034")).toBe(6);
    expect(m.run("b98f0025")).toBe(6);
    m.state.setGr(4, BigInt(TABLE | 0x08));
    expect(m.run("b98f0024")).toBe(6);
    m.state.setGr(4, 0x7fff_0000n);
    expect(m.run("b98f0024")).toBe(5);
    expect(m.run("b98f0024", PROBLEM)).toBe(2);
    expect(machine("z196").run("b98f0024")).toBe(1);
  });
});

describe("time", () => {
  it("PTFF says which queries it has, and answers them", () => {
    const m = machine();
    m.state.setGr(1, BigInt(TABLE));
    const query = (code: bigint): number => {
      m.put(TABLE, "ff".repeat(64));
      m.state.setGr(0, code);
      expect(m.run("0104")).toBe(0);
      return m.state.i32(Cpu.cc);
    };
    expect([query(0n), m.hex(TABLE, 17)]).toEqual([0, `f0${"00".repeat(15)}ff`]);
    // The clock is set 2 us ahead: offset and clock agree.
    m.put(0x30000, "0000000000002000");
    m.state.setGr(2, 0x30000n);
    const clockBefore = m.ram.u32(0x30000);
    expect([m.run("b2042000"), clockBefore]).toEqual([0, 0]);
    expect(query(1n)).toBe(0);
    const word = (at: number): bigint => BigInt(`0x${m.hex(TABLE + at, 8)}`);
    expect(BigInt.asUintN(64, word(0) + word(8))).toBe(0x2000n);
    expect([word(16), word(24)]).toEqual([word(8), 0n]);
    expect([query(2n), m.hex(TABLE + 8, 49)]).toEqual([0, `${"00".repeat(48)}ff`]);
    expect([query(3n), m.hex(TABLE + 8, 1)]).toEqual([0, "ff"]);
    expect([query(4n), query(0x41n)]).toEqual([3, 3]);
    expect(m.run("0104", PROBLEM)).toBe(2);
    m.state.setGr(0, 0x80n);
    expect(m.run("0104")).toBe(6);
    expect(machine("z10").run("0104")).toBe(0);
    expect(machine("zmend").run("0104")).toBe(1);
  });

  it("ECTG subtracts the CPU timer and loads two doublewords, R3 last", () => {
    const m = machine();
    m.put(0x30000, "7000000000000000 1122334455667788 99aabbccddeeff00");
    m.state.setGr(2, 0x30000n);
    m.state.setGr(3, 0x30010n);
    expect(m.run("b2082000")).toBe(0); // SPT: time stands still from here on
    expect(m.run("c83120002008")).toBe(0);
    expect([m.state.gr(0), m.state.gr(1)]).toEqual([0n, 0x1122334455667788n]);
    expect(m.state.gr(3)).toBe(0x99aabbccddeeff00n);
    m.state.setGr(3, 0x7fff0000n);
    expect(m.run("c83120002008")).toBe(5);
    expect(m.state.gr(3)).toBe(0x7fff0000n);
  });
});

describe("control", () => {
  it("LPP fetches its operand and is privileged", () => {
    const m = machine();
    m.state.setGr(2, 0x30000n);
    expect([m.run("b2802000"), m.run("b2802000", PROBLEM)]).toEqual([0, 2]);
    m.state.setGr(2, 0x7fff0000n);
    expect([m.run("b2802000"), machine("zmend").run("b2802000")]).toEqual([5, 1]);
  });

  it("EPAR and ESAR need DAT and, in the problem state, the extraction authority", () => {
    const m = machine();
    m.state.setCr(4, 0xffff1234n);
    m.state.setCr(3, 0xffff5678n);
    expect([m.run("b2260010"), m.run("b2270010")]).toEqual([0x13, 0x13]);
    // A real-space designation in CR1: addresses are as they are.
    m.state.setCr(1, 0x20n);
    m.state.setGr(1, 0xaaaa_bbbb_cccc_ddddn);
    expect([m.run("b2260010", DAT_64), m.state.gr(1)]).toEqual([0, 0xaaaa_bbbb_0000_1234n]);
    expect([m.run("b2270010", DAT_64), m.state.gr(1)]).toEqual([0, 0xaaaa_bbbb_0000_5678n]);
    expect(m.run("b2260010", DAT_64 | PROBLEM)).toBe(2);
    m.state.setCr(0, 0x08000000n);
    expect(m.run("b2260010", DAT_64 | PROBLEM)).toBe(0);
    expect([m.run("b2480000"), m.run("b2480000", PROBLEM)]).toEqual([0, 2]);
  });
});

describe("parsing and locked operations", () => {
  it("TRTE ends with condition code 3 after some arguments, and goes on from there", () => {
    const m = machine();
    m.put(0x30000, "00".repeat(0x1000));
    m.put(0x30800, "05");
    m.put(TABLE, `${"00".repeat(5)}77`);
    m.state.setGr(1, BigInt(TABLE));
    m.state.setGr(2, 0x30000n);
    m.state.setGr(3, 0x1000n);
    m.state.setGr(4, -1n);
    let executions = 0;
    do {
      expect(m.run("b9bf0024")).toBe(0);
      executions++;
    } while (m.state.i32(Cpu.cc) === 3);
    expect(executions).toBeGreaterThan(1);
    expect([m.state.i32(Cpu.cc), m.state.gr(2), m.state.gr(3)]).toEqual([1, 0x30800n, 0x800n]);
    expect(m.state.gr(4)).toBe(0x77n);
    expect(m.run("b9bf0034")).toBe(6); // odd R1
    m.state.setGr(3, 3n);
    expect(m.run("b9bf8024")).toBe(6); // two-byte arguments, odd length
    expect(machine("zmend").run("b9bf0024")).toBe(1);
  });

  it("PLO tests its function codes, and refuses unassigned ones, bits and boundaries", () => {
    const m = machine();
    m.state.setGr(5, 0x30000n);
    const run = (control: bigint, code = "ee2650005000"): number => {
      m.state.setGr(0, control);
      return m.run(code);
    };
    expect([run(0x117n), m.state.i32(Cpu.cc)]).toEqual([0, 0]);
    expect([run(0x118n), m.state.i32(Cpu.cc)]).toEqual([0, 3]);
    expect([run(24n), run(0x200n)]).toEqual([6, 6]);
    expect(run(4n, "ee3650005000")).toBe(6); // CS of 32 bits, odd R1
    expect(run(8n, "ee2750005000")).toBe(6); // double compare, odd R3
    expect(run(5n, "ee2650005004")).toBe(6); // the list is not on a doubleword
    expect(run(7n, "ee2650085000")).toBe(6); // 16 bytes on a doubleword
  });

  it("PLO stores nothing when an operand cannot be stored", () => {
    const m = machine();
    m.put(0x30000, "0000000000000001");
    m.state.setGr(0, 14n); // compare and swap and store, 64 bits in registers
    m.state.setGr(2, 1n);
    m.state.setGr(3, 2n);
    m.state.setGr(5, 0x30000n);
    m.state.setGr(7, 0x7fff0000n);
    expect(m.run("ee2650007000")).toBe(5);
    expect(m.hex(0x30000, 8)).toBe("0000000000000001");
  });
});
