/**
 * Access-register mode: two address spaces through an access list, QEMU does not have it. Table formats:
 * SA22-7832 chapter 5, "Access-Register Translation".
 */
import { describe, expect, it } from "vitest";
import { Cpu, VcpuExit } from "../../../src/cpu/index.ts";
import { accessRegisters } from "../../../src/cpu/table/access-registers.ts";
import { type CpuRig, cpuRig } from "../../support/cpu-rig.ts";

const CODE = 0x10000;
const DUCT = 0x3000;
const LIST = 0x3400;
const ASTE = 0x3800;
const AUTHORITY = 0x3900;
/** Segment tables of the primary space and of the one behind the list, their page tables. */
const PRIMARY = 0x4000;
const OTHER = 0x5000;
const PAGES = 0x6000;
const OTHER_PAGES = 0x6800;
/** Logical address whose page is 0x20000 in the primary space and 0x30000 in the other one. */
const AT = 0x20000;
const THERE = 0x30000;
/** DAT on, access-register mode, 64-bit addressing. */
const AR_MODE = 0x04004001;
/** ALE number 2, ALE sequence number 5. */
const ALET = 0x00050002;

function word(value: number): string {
  return (value >>> 0).toString(16).padStart(8, "0");
}

interface Ale {
  readonly head?: number;
  readonly sequence?: number;
}

function machine({ head = 0x00050000, sequence = 9 }: Ale = {}): CpuRig {
  const rig = cpuRig();
  rig.put(0x1d0, "0002000180000000 0000000000000000");
  const segments = (table: number, pages: number): void => {
    rig.put(table, `00000000 ${word(pages)}`);
    for (let n = 1; n < 512; n++) rig.put(table + n * 8, "00000000 00000020");
  };
  segments(PRIMARY, PAGES);
  segments(OTHER, OTHER_PAGES);
  for (let page = 0; page < 256; page++) {
    rig.put(PAGES + page * 8, `00000000 ${word(page * 4096)}`);
    const frame = page * 4096 === AT ? THERE : page * 4096;
    rig.put(OTHER_PAGES + page * 8, `00000000 ${word(frame)}`);
  }
  rig.put(DUCT + 16, word(LIST));
  rig.put(LIST + 2 * 16, `${word(head)} 00000000 ${word(ASTE)} ${word(sequence)}`);
  rig.put(LIST + 3 * 16, `80000000 00000000 00000000 00000000`);
  rig.put(
    ASTE,
    `${word(AUTHORITY)} 00000010 00000000 ${word(OTHER)} 00000000 00000000 00000009`.replace(
      / /g,
      "",
    ),
  );
  rig.put(ASTE + 20, "00000009");
  rig.state.setCr(0, 0x04040000n);
  rig.state.setCr(1, BigInt(PRIMARY));
  rig.state.setCr(2, BigInt(DUCT));
  rig.state.setGr(4, BigInt(AT));
  rig.state.setGr(5, BigInt(AT));
  rig.state.setI32(Cpu.ar + 5 * 4, ALET);
  rig.put(AT, "11111111 11111111");
  rig.put(THERE, "22222222 22222222");
  return rig;
}

/** @returns the program-interruption code, 0 for none */
function run(rig: CpuRig, code: string, count = 1): number {
  rig.put(0x8e, "0000");
  rig.put(CODE, code);
  rig.start(CODE, AR_MODE);
  const exit = rig.vcpu.run(count);
  expect([VcpuExit.budget, VcpuExit.disabledWait]).toContain(exit);
  return Number(`0x${rig.hex(0x8e, 2)}`);
}

describe("access-register mode", () => {
  it("the base register's access register says in which space an operand is", () => {
    const rig = machine();
    expect(run(rig, "58104000 58205000", 2)).toBe(0);
    expect([rig.state.gr(1), rig.state.gr(2)]).toEqual([0x11111111n, 0x22222222n]);
  });

  it("MVC, CLC and NC have an access register for each operand", () => {
    const rig = machine();
    expect(run(rig, "d50740005000")).toBe(0);
    expect(rig.state.i32(Cpu.cc)).toBe(1);
    expect(run(rig, "d20340005004")).toBe(0);
    expect(rig.hex(AT, 8)).toBe("2222222211111111");
    expect(run(rig, "d40350044004")).toBe(0);
    expect(rig.hex(THERE, 8)).toBe("2222222200000000");
    expect(run(rig, "d50340005000")).toBe(0);
    expect(rig.state.i32(Cpu.cc)).toBe(0);
  });

  it("MVCLE and CLCLE have those of their register pairs", () => {
    const rig = machine();
    for (const n of [4, 6]) rig.state.setGr(n, BigInt(AT));
    for (const n of [5, 7]) rig.state.setGr(n, 8n);
    rig.state.setI32(Cpu.ar + 5 * 4, 0);
    rig.state.setI32(Cpu.ar + 6 * 4, ALET);
    expect(run(rig, "a9460000")).toBe(0);
    expect(rig.state.i32(Cpu.cc)).toBe(1);
    expect(run(rig, "a8640000")).toBe(0);
    expect(rig.hex(THERE, 8)).toBe("1111111111111111");
  });

  it("instructions and relative operands are in the primary space", () => {
    const rig = machine();
    rig.put(CODE + 0x10, "33333333");
    expect(run(rig, "c41d00000008")).toBe(0);
    expect(rig.state.gr(1)).toBe(0x33333333n);
  });

  it("LAE takes the access register of its base along", () => {
    const rig = machine();
    expect(run(rig, "51305000")).toBe(0);
    expect(rig.state.i32(Cpu.ar + 3 * 4)).toBe(ALET);
  });

  it.each([
    ["a reserved bit of the ALET", 0x28, { alet: 0x02050002 }],
    ["a number beyond the list", 0x29, { alet: 0x00050008 }],
    ["an invalid entry", 0x29, { alet: 0x00050003 }],
    ["another sequence number", 0x2a, { alet: 0x00060002 }],
    ["another ASTE sequence number", 0x2c, { alet: ALET, sequence: 8 }],
  ] as const)("%s is program interruption 0x%s", (_, code, row) => {
    const rig = machine("sequence" in row ? { sequence: row.sequence } : {});
    rig.state.setI32(Cpu.ar + 5 * 4, row.alet);
    expect(run(rig, "58105000")).toBe(code);
    expect(rig.hex(0xa0, 1)).toBe("05");
    // Nullified: the old PSW is at the instruction.
    expect(rig.hex(0x158, 8)).toBe(CODE.toString(16).padStart(16, "0"));
  });

  it("an invalid ASTE is 0x2b", () => {
    const rig = machine();
    rig.put(ASTE, "80000000");
    expect(run(rig, "58105000")).toBe(0x2b);
  });

  it("a private entry wants its authorization index, or the authority table's word", () => {
    const rig = machine({ head: 0x01050007 });
    rig.state.setCr(8, 0x00070000n);
    expect(run(rig, "58105000")).toBe(0);
    rig.state.setCr(8, 0x00030000n);
    expect(run(rig, "58105000")).toBe(0x2d);
    rig.put(AUTHORITY, "01"); // secondary bit of index 3
    expect(run(rig, "58105000")).toBe(0);
  });

  it("a fetch-only entry protects from stores", () => {
    const rig = machine({ head: 0x02050000 });
    expect(run(rig, "58105000")).toBe(0);
    expect(run(rig, "50105000")).toBe(0x04);
  });

  it.each([
    ["ALET 0", 0, 0],
    ["ALET 1", 1, 3],
    ["an entry of the dispatchable unit's list", ALET, 1],
    ["no entry", 0x00050003, 3],
  ] as const)("TAR of %s has condition code %i", (_, alet, cc) => {
    const rig = machine();
    rig.state.setI32(Cpu.ar + 5 * 4, alet);
    expect(run(rig, "b24c0050")).toBe(0);
    expect(rig.state.i32(Cpu.cc)).toBe(cc);
  });
});

describe("which access registers an instruction's operands have", () => {
  it.each([
    ["L 1,0(2,3)", 0x58123000, 0, 0x33],
    ["MVC 0(1,5),0(6)", 0xd2005000, 0x60000000, 0x56],
    ["CLST 2,4", 0xb25d0024, 0, 0x24],
    ["MVCL 2,4", 0x0e240000, 0, 0x24],
    ["MVCLE 2,4", 0xa8240000, 0, 0x24],
    ["LRL", 0xc41d0000, 0, 0x00],
    ["MVHI 0(7)", 0xe54c7000, 0, 0x77],
    ["CSST 0(7),0(8),1", 0xc8127000, 0x80000000, 0x78],
    ["LG 1,0(9)", 0xe3109000, 0x00040000, 0x99],
    ["STCKE 0(10)", 0xb278a000, 0, 0xaa],
    ["MVCIN 0(3,1),0(2)", 0xe8031000, 0x20000000, 0x12],
  ] as const)("%s", (_, high, low, registers) => {
    expect(accessRegisters(high | 0, low | 0)).toBe(registers);
  });
});
