/** PFMF, SSKE of many frames and conditional, RRBM, TB, IVSK. Source: SA22-7832 chapter 10. */
import { describe, expect, it } from "vitest";
import { Cpu, type CpuModelName, VcpuExit } from "../../../src/cpu/index.ts";
import { StorageKeys } from "../../../src/cpu/storage-keys.ts";
import { cpuRig } from "../../support/cpu-rig.ts";

const CODE = 0x10000;
const FRAME = 0x180000;
const MIB = 0x100000;

function machine(model: CpuModelName = "max") {
  const rig = cpuRig({ model, ramBytes: 4 * MIB });
  rig.put(0x1d0, "0002000180000000 0000000000000000");
  const keys = new StorageKeys(rig.vm);
  const run = (code: string, maskHigh?: number): number => {
    rig.put(0x8e, "0000");
    rig.put(CODE, code);
    rig.start(CODE, maskHigh);
    expect([VcpuExit.budget, VcpuExit.disabledWait]).toContain(rig.vcpu.run(1));
    return Number(`0x${rig.hex(0x8e, 2)}`);
  };
  return { ...rig, keys, run };
}

describe("PERFORM FRAME MANAGEMENT FUNCTION", () => {
  it("clears a frame and sets its key, and leaves the next one alone", () => {
    const m = machine();
    m.put(FRAME, "11111111");
    m.put(FRAME + 4096, "22222222");
    m.state.setGr(1, 0x00030038n);
    m.state.setGr(2, BigInt(FRAME + 0x123));
    expect(m.run("b9af0012")).toBe(0);
    expect([m.hex(FRAME, 4), m.hex(FRAME + 4096, 4)]).toEqual(["00000000", "22222222"]);
    expect([m.keys.get(FRAME), m.keys.get(FRAME + 4096)]).toEqual([0x38, 0]);
    expect(m.state.gr(2)).toBe(BigInt(FRAME + 0x123));
  });

  it("goes on to the end of 1 MiB, with the address", () => {
    const m = machine();
    m.state.setGr(1, 0x00021070n);
    m.state.setGr(2, BigInt(FRAME));
    expect(m.run("b9af0012")).toBe(0);
    expect(m.state.gr(2)).toBe(0x200000n);
    expect(m.keys.get(0x1ff000)).toBe(0x70);
    expect([m.keys.get(FRAME - 4096), m.keys.get(0x200000)]).toEqual([0, 0]);
  });

  it("refuses unassigned bits and sizes, frames outside of storage, and models without EDAT", () => {
    const m = machine();
    m.state.setGr(2, BigInt(FRAME));
    for (const control of [0x100n, 0x00040000n, 0x2000n]) {
      m.state.setGr(1, control);
      expect(m.run("b9af0012")).toBe(6);
    }
    m.state.setGr(1, 0x00020000n);
    m.state.setGr(2, BigInt(4 * MIB));
    expect(m.run("b9af0012")).toBe(5);
    expect(m.run("b9af0012", 0x00010001)).toBe(2);
    expect(machine("zmend").run("b9af0012")).toBe(1);
  });
});

describe("storage keys", () => {
  it("SSKE with the multiple-block control sets keys to the end of 1 MiB", () => {
    const m = machine();
    m.state.setGr(1, 0x90n);
    m.state.setGr(2, BigInt(FRAME));
    expect(m.run("b22b1012")).toBe(0);
    expect(m.state.gr(2)).toBe(0x200000n);
    expect([m.keys.get(FRAME), m.keys.get(0x1ff000), m.keys.get(0x200000)]).toEqual([
      0x90, 0x90, 0,
    ]);
    const old = machine("zmend");
    old.state.setGr(1, 0x90n);
    old.state.setGr(2, BigInt(FRAME));
    expect(old.run("b22b1012")).toBe(0);
    expect([old.keys.get(FRAME), old.keys.get(FRAME + 4096)]).toEqual([0x90, 0]);
  });

  it("conditional SSKE leaves a key that differs in ignored bits alone, and tells what it was", () => {
    const m = machine();
    m.state.setGr(2, BigInt(FRAME));
    const set = (m3: number, key: number): readonly number[] => {
      m.state.setGr(1, 0x1122_3344_5566_7700n | BigInt(key));
      expect(m.run(`b22b${m3}012`)).toBe(0);
      return [m.state.i32(Cpu.cc), m.keys.get(FRAME), Number(m.state.gr(1) >> 8n) & 0xff];
    };
    m.keys.set(FRAME, 0x36);
    expect(set(6, 0x30)).toEqual([0, 0x36, 0x36]); // MR and MC: both bits are ignored
    expect(set(4, 0x32)).toEqual([0, 0x36, 0x36]); // MR
    expect(set(4, 0x34)).toEqual([1, 0x34, 0x36]); // MR: the change bit counts
    expect(set(2, 0x36)).toEqual([0, 0x34, 0x34]); // MC
    expect(set(2, 0x30)).toEqual([1, 0x30, 0x34]); // MC: the reference bit counts
    expect(set(6, 0x40)).toEqual([1, 0x40, 0x30]); // another access key
    m.state.setI32(Cpu.cc, 3);
    expect(set(0, 0x46)).toEqual([3, 0x46, 0x77]); // unconditional: condition code and R1 stay
  });

  it("RRBM takes and resets the reference bits of 64 frames", () => {
    const m = machine();
    for (const n of [0, 5, 33, 63]) m.keys.set(FRAME + n * 4096, 0x36);
    m.keys.set(FRAME + 64 * 4096, 0x04);
    m.state.setGr(2, BigInt(FRAME + 0x12345));
    expect(m.run("b9ae0012")).toBe(0);
    expect(m.state.gr(1)).toBe(0x8400_0000_4000_0001n);
    expect(m.keys.get(FRAME + 5 * 4096)).toBe(0x32);
    expect(m.keys.get(FRAME + 64 * 4096)).toBe(0x04);
    expect(m.run("b9ae0012")).toBe(0);
    expect(m.state.gr(1)).toBe(0n);
    m.state.setGr(2, BigInt(4 * MIB));
    expect(m.run("b9ae0012")).toBe(5);
    expect(machine("z10").run("b9ae0012")).toBe(1);
  });

  it("TB clears its frame and GR0", () => {
    const m = machine();
    m.put(FRAME, "11111111");
    m.state.setGr(0, 5n);
    m.state.setGr(2, BigInt(FRAME + 8));
    expect(m.run("b22c0002")).toBe(0);
    expect(m.hex(FRAME, 4)).toBe("00000000");
    expect(m.state.gr(0)).toBe(0n);
  });

  it("IVSK needs DAT, and extraction authority in the problem state", () => {
    const m = machine();
    expect(m.run("b2230012")).toBe(0x13);
    expect(m.run("b2230012", 0x00010001)).toBe(2);
  });

  it("a storage key protects from stores under another access key, and from fetches if it says so", () => {
    const m = machine();
    m.state.setGr(2, BigInt(FRAME));
    m.keys.set(FRAME, 0x30);
    const key5 = 0x00500001;
    expect(m.run("58102000", key5)).toBe(0);
    expect(m.run("50102000", key5)).toBe(4);
    m.keys.set(FRAME, 0x38);
    expect(m.run("58102000", key5)).toBe(4);
    expect(m.run("50102000", 0x00300001)).toBe(0);
  });
});
