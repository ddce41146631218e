/** What the oracle's families `newer` and `extended-translation` do not generate. */
import { describe, expect, it } from "vitest";
import { Cpu, type CpuModelName, VcpuExit } from "../../../src/cpu/index.ts";
import { type CpuRig, cpuRig } from "../../support/cpu-rig.ts";

const CODE = 0x10000;
const PROGRAM_NEW_PSW = 0x1d0;
const PROGRAM_CODE = 0x8e;

function machine(model: CpuModelName): CpuRig & { run(code: string): number } {
  const rig = cpuRig({ model });
  rig.put(PROGRAM_NEW_PSW, "0002000180000000 0000000000000000");
  const run = (code: string): number => {
    rig.put(PROGRAM_CODE, "0000");
    rig.put(CODE, code);
    rig.start(CODE);
    expect([VcpuExit.budget, VcpuExit.disabledWait]).toContain(rig.vcpu.run(1));
    return rig.ram.u16(PROGRAM_CODE);
  };
  return { ...rig, run };
}

describe("facilities of models", () => {
  it.each([
    // instruction, the first model that has it, the last one that has not
    ["LOCHI", "ec1800050042", "z13", "z196"],
    ["PPA", "b2e80001", "z13", "z196"],
    ["MGRK", "b9ec2044", "z14", "z13"],
    ["SELR", "b9f02014", "max", "z14"],
    ["MVCRL", "e50a20003000", "max", "z14"],
  ] as const)(
    "%s is there from its model on, before an operation exception",
    (_, code, has, no) => {
      const [newer, older] = [machine(has), machine(no)];
      for (const rig of [newer, older]) {
        rig.state.setGr(2, 0x2000n);
        rig.state.setGr(3, 0x3000n);
      }
      expect(newer.run(code)).toBe(0);
      expect(older.run(code)).toBe(1);
    },
  );
});

describe("instructions after z196", () => {
  const rig = machine("max");

  it.each([
    ["LAT loads a word", "e3102000009f", 0, 0x1122334455667788n, "99aabbcc", 0x1122334499aabbccn],
    ["LAT of zero traps after it loaded", "e3102000009f", 7, -1n, "00000000", 0xffffffff00000000n],
    ["LFHAT loads the high word", "e310200000c8", 0, 1n, "99aabbcc", 0x99aabbcc00000001n],
    ["LLGTAT takes 31 bits", "e3102000009c", 0, -1n, "99aabbcc", 0x19aabbccn],
    ["LLGTAT of bit 32 alone traps", "e3102000009c", 7, -1n, "80000000", 0n],
  ] as const)("%s", (_, code, program, before, operand, after) => {
    rig.put(0x2000, operand);
    rig.state.setGr(2, 0x2000n);
    rig.state.setGr(1, BigInt.asUintN(64, before));
    expect(rig.run(code)).toBe(program);
    expect(rig.state.gr(1)).toBe(after);
    if (program === 7) expect(rig.ram.u32(0x90)).toBe(0xff);
  });

  it("BIC branches to the address that it fetches, if the condition is met", () => {
    rig.put(0x2000, "0000000000012340");
    rig.state.setGr(2, 0x2000n);
    rig.state.setI32(Cpu.cc, 0);
    expect(rig.run("e38020000047")).toBe(0);
    expect(rig.state.u64(Cpu.pswAddress)).toBe(0x12340n);
    rig.state.setI32(Cpu.cc, 0);
    rig.run("e37020000047");
    expect(rig.state.u64(Cpu.pswAddress)).toBe(BigInt(CODE + 6));
  });

  it("POPCNT counts bytes, or all bits with M3 bit 0", () => {
    rig.state.setGr(2, 0xff00000000000f01n);
    rig.run("b9e10012");
    expect(rig.state.gr(1)).toBe(0x0800000000000401n);
    rig.run("b9e18012");
    expect(rig.state.gr(1)).toBe(13n);
  });

  it("MVCRL moves from right to left, so an operand may be shifted up onto itself", () => {
    rig.put(0x2000, "0102030405060708");
    rig.state.setGr(0, 5n);
    rig.state.setGr(2, 0x2000n);
    expect(rig.run("e50a20022000")).toBe(0);
    expect(rig.hex(0x2000, 8)).toBe("0102010203040506");
  });
});

describe("translation of two-byte characters", () => {
  const rig = machine("max");

  function translate(code: string, table: string, length: number): void {
    rig.put(0x2000, "00".repeat(8));
    rig.put(0x3000, "0001000200030004");
    rig.put(0x4000, table);
    rig.state.setGr(0, 0xffn);
    rig.state.setGr(1, 0x4000n);
    rig.state.setGr(4, 0x2000n);
    rig.state.setGr(5, BigInt(length));
    rig.state.setGr(6, 0x3000n);
    rig.run(code);
  }

  it("TRTO ends at the test character", () => {
    translate("b9910046", "a0a1a2ffa4", 8);
    expect(rig.hex(0x2000, 4)).toBe("a1a20000");
    expect([rig.state.i32(Cpu.cc), rig.state.gr(4), rig.state.gr(5), rig.state.gr(6)]).toEqual([
      1,
      0x2002n,
      4n,
      0x3004n,
    ]);
  });

  it("TRTO with M3 bit 3 takes any character", () => {
    translate("b9911046", "a0a1a2ffa4", 8);
    expect(rig.hex(0x2000, 4)).toBe("a1a2ffa4");
    expect([rig.state.i32(Cpu.cc), rig.state.gr(5)]).toEqual([0, 0n]);
  });

  it("TRTT gives two bytes for two", () => {
    translate("b9900046", "b000b001b002b003b004", 8);
    expect(rig.hex(0x2000, 8)).toBe("b001b002b003b004");
  });

  it("a length that is not whole characters, or an odd register, is a specification exception", () => {
    translate("b9900046", "", 7);
    expect(rig.ram.u16(PROGRAM_CODE)).toBe(6);
    expect(rig.run("b9930056")).toBe(6);
  });
});
