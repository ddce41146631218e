/** Instructions written in TypeScript: padding, partial completion, conversions. SA22-7832 chapter 7. */
import { expect, test } from "vitest";
import { Cpu } from "../../../src/cpu/index.ts";
import { type CpuRig, cpuRig } from "../../support/cpu-rig.ts";

const CODE = 0x1000;
const RAM_BYTES = 1 << 20;

function run(
  hex: string,
  registers: Record<number, bigint>,
  storage: Record<number, string>,
): CpuRig {
  const rig = cpuRig({ ramBytes: RAM_BYTES });
  rig.put(0x1d0, "00020001800000000000000000000000");
  rig.put(CODE, hex);
  for (const [n, value] of Object.entries(registers)) rig.state.setGr(Number(n), value);
  for (const [at, bytes] of Object.entries(storage)) rig.put(Number(at), bytes);
  rig.start(CODE);
  rig.vcpu.run(1);
  return rig;
}

const cc = (rig: CpuRig): number => rig.state.i32(Cpu.cc);

test("PACK and UNPK are inverse for a zoned number, the sign's nibbles exchanged", () => {
  const packed = run("f233500060000000", { 5: 0x2000n, 6: 0x3000n }, { 12288: "f1f2f3c4" });
  expect(packed.hex(0x2000, 4)).toBe("0001234c");
  const zoned = run("f332500060000000", { 5: 0x2000n, 6: 0x3000n }, { 12288: "01234c" });
  expect(zoned.hex(0x2000, 4)).toBe("f1f2f3c4");
});

test("MVO shifts by one digit and keeps the target's rightmost digit", () => {
  const rig = run(
    "f132500060000000",
    { 5: 0x2000n, 6: 0x3000n },
    {
      8192: "7788990c",
      12288: "123456",
    },
  );
  expect(rig.hex(0x2000, 4)).toBe("0123456c");
});

test("CU12 and CU21 convert a string of one to four bytes per character and back", () => {
  const text = "aé€😀";
  const utf8 = Buffer.from(text, "utf8").toString("hex");
  const utf16 = Buffer.from(text, "utf16le").swap16().toString("hex");
  const registers = { 2: 0x2000n, 3: 100n, 4: 0x3000n };
  const to16 = run("b2a70024", { ...registers, 5: BigInt(utf8.length / 2) }, { 12288: utf8 });
  expect(to16.hex(0x2000, utf16.length / 2)).toBe(utf16);
  expect(cc(to16)).toBe(0);
  expect(to16.state.gr(3)).toBe(BigInt(100 - utf16.length / 2));
  const to8 = run("b2a60024", { ...registers, 5: BigInt(utf16.length / 2) }, { 12288: utf16 });
  expect(to8.hex(0x2000, utf8.length / 2)).toBe(utf8);
});

test("a conversion whose target is full stops with 1 before the character that does not fit", () => {
  const rig = run("b2a70024", { 2: 0x2000n, 3: 3n, 4: 0x3000n, 5: 2n }, { 12288: "6162" });
  expect(cc(rig)).toBe(1);
  expect([rig.state.gr(2), rig.state.gr(3), rig.state.gr(5)]).toEqual([0x2002n, 1n, 1n]);
});

test("CU41 stops with 2 at a surrogate", () => {
  const rig = run(
    "b9b20024",
    { 2: 0x2000n, 3: 9n, 4: 0x3000n, 5: 8n },
    {
      12288: "000000410000d800",
    },
  );
  expect(cc(rig)).toBe(2);
  expect(rig.state.gr(4)).toBe(0x3004n);
});

test("TRE translates up to the test byte and says where it stopped", () => {
  const rig = run(
    "b2a50026",
    { 0: 0xffn, 2: 0x2000n, 3: 4n, 6: 0x3000n },
    {
      8192: "0102ff03",
      12288: "a0a1a2a3",
    },
  );
  expect(rig.hex(0x2000, 4)).toBe("a1a2ff03");
  expect([rig.state.gr(2), rig.state.gr(3)]).toEqual([0x2002n, 2n]);
  expect(cc(rig)).toBe(1);
});

test("CUSE finds a run of equal bytes, and tells a short run at the end from unequal bytes", () => {
  const registers = { 0: 2n, 1: 0x40n, 2: 0x2000n, 3: 5n, 4: 0x3000n, 5: 5n };
  const found = run("b2570024", registers, { 8192: "6162636465", 12288: "7162736465" });
  expect(cc(found)).toBe(0);
  expect([found.state.gr(2), found.state.gr(3), found.state.gr(4)]).toEqual([0x2003n, 2n, 0x3003n]);
  const short = run("b2570024", registers, { 8192: "6162636465", 12288: "7172737465" });
  expect(cc(short)).toBe(1);
  expect(short.state.gr(2)).toBe(0x2004n);
  const none = run("b2570024", registers, { 8192: "6162636465", 12288: "7172737475" });
  expect(cc(none)).toBe(2);
  expect([none.state.gr(2), none.state.gr(3)]).toEqual([0x2005n, 0n]);
});

test("MVPG moves a page, and refuses reserved control bits", () => {
  const rig = run("b2540024", { 0: 0n, 2: 0x2abcn, 4: 0x3000n }, { 16380: "01020304" });
  expect(rig.hex(0x2ffc, 4)).toBe("01020304");
  const bad = run("b2540024", { 0: 0xf000n, 2: 0x2000n, 4: 0x3000n }, {});
  expect(bad.state.i32(Cpu.programCode) || bad.ram.u16(0x8e)).toBe(6);
});

test("LMD takes high words from one list and low words from the other", () => {
  const rig = run(
    "ef89500060000000",
    { 5: 0x2000n, 6: 0x3000n },
    {
      8192: "0000000100000002",
      12288: "0000000300000004",
    },
  );
  expect([rig.state.gr(8), rig.state.gr(9)]).toEqual([(1n << 32n) | 3n, (2n << 32n) | 4n]);
});

test("MVCLE that meets the end of storage has moved what it could and then faults", () => {
  const rig = run(
    "a8240040 a714fffe",
    { 2: 0x2000n, 3: 8n, 4: BigInt(RAM_BYTES - 4), 5: 8n },
    {
      [RAM_BYTES - 4]: "01020304",
    },
  );
  expect(cc(rig)).toBe(3);
  rig.vcpu.run(3);
  expect(rig.ram.u16(0x8e)).toBe(5);
  expect(rig.hex(0x2000, 5)).toBe("0102030400");
  expect([rig.state.gr(2), rig.state.gr(3)]).toEqual([0x2004n, 4n]);
});

test("CLCL reports the first pair of bytes that differ", () => {
  const rig = run(
    "0f24",
    { 2: 0x2000n, 3: 4n, 4: 0x3000n, 5: 4n },
    {
      8192: "01020304",
      12288: "01020403",
    },
  );
  expect(cc(rig)).toBe(1);
  expect([rig.state.gr(2), rig.state.gr(3), rig.state.gr(4)]).toEqual([0x2002n, 2n, 0x3002n]);
});

test("long operands want even registers", () => {
  const rig = run("0e35", {}, {});
  expect(rig.state.i32(Cpu.programCode) || rig.ram.u16(0x8e)).toBe(6);
});
