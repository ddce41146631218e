/** Operands in storage: page crossing, overlap, faults that change nothing, long and string operands. */
import { expect, test } from "vitest";
import { Cpu } from "../../../src/cpu/index.ts";
import { cpuRig, MASK_64_HIGH } from "../../support/cpu-rig.ts";

const CODE = 0x1000;
const RAM_BYTES = 1 << 20;
const WAIT_PSW = "00020001800000000000000000000000";

function rigWith(hex: string, registers: Record<number, bigint>) {
  const rig = cpuRig({ ramBytes: RAM_BYTES });
  rig.put(0x1d0, WAIT_PSW);
  rig.put(CODE, hex);
  for (const [n, value] of Object.entries(registers)) rig.state.setGr(Number(n), value);
  rig.start(CODE);
  return rig;
}

test("a doubleword that crosses a page is loaded and stored whole", () => {
  const rig = rigWith("e31050000004 e31050100024", { 5: 0x2ffdn }); // lg, stg 16(%r5)
  rig.put(0x2ffd, "1122334455667788");
  rig.vcpu.run(2);
  expect(rig.state.gr(1)).toBe(0x1122334455667788n);
  expect(rig.hex(0x300d, 8)).toBe("1122334455667788");
  const crossing = rigWith("e31050000024", { 1: 0x0102030405060708n, 5: 0x2ffen });
  crossing.vcpu.run(1);
  expect(crossing.hex(0x2ffd, 10)).toBe("00010203040506070800");
});

test("a store that reaches past the end of storage is an addressing exception and stores nothing", () => {
  const rig = rigWith("e31050000024", { 1: (1n << 64n) - 1n, 5: BigInt(RAM_BYTES - 4) });
  rig.vcpu.run(2);
  expect(rig.ram.u16(0x8e)).toBe(5);
  expect(rig.hex(RAM_BYTES - 4, 4)).toBe("00000000");
});

test("STMG past the end of storage stores none of its registers; LMG loads none", () => {
  const stmg = rigWith("eb0f50000024", { 0: 7n, 5: BigInt(RAM_BYTES - 64) });
  stmg.vcpu.run(2);
  expect(stmg.ram.u16(0x8e)).toBe(5);
  expect(stmg.hex(RAM_BYTES - 64, 8)).toBe("0000000000000000");
  const lmg = rigWith("eb6c50000004", { 5: BigInt(RAM_BYTES - 16), 6: 7n });
  lmg.vcpu.run(2);
  expect(lmg.ram.u16(0x8e)).toBe(5);
  expect(lmg.state.gr(6)).toBe(7n);
});

test("LMG wraps from register 15 to register 0, also across a page", () => {
  const rig = rigWith("ebe150000004", { 5: 0x2ff0n }); // lmg %r14,%r1
  for (let i = 0; i < 4; i++) rig.ram.setU32(0x2ff4 + 8 * i, i + 1);
  rig.vcpu.run(1);
  expect([14, 15, 0, 1].map((n) => rig.state.gr(n))).toEqual([1n, 2n, 3n, 4n]);
});

test("MVC with the target one byte behind the source propagates the first byte", () => {
  const rig = rigWith("d20650015000", { 5: 0x2000n });
  rig.put(0x2000, "aa00000000000000bb");
  rig.vcpu.run(1);
  expect(rig.hex(0x2000, 9)).toBe("aaaaaaaaaaaaaaaabb");
});

test("MVC with the target before the source moves without loss, and across pages byte by byte", () => {
  const rig = rigWith("d20f50005003", { 5: 0x2ff8n });
  rig.put(0x2ffb, "000102030405060708090a0b0c0d0e0f");
  rig.vcpu.run(1);
  expect(rig.hex(0x2ff8, 16)).toBe("000102030405060708090a0b0c0d0e0f");
  const propagate = rigWith("d20650015000", { 5: 0x2ffcn });
  propagate.put(0x2ffc, "aa");
  propagate.vcpu.run(1);
  expect(propagate.hex(0x2ffc, 8)).toBe("aaaaaaaaaaaaaaaa");
});

test("MVC whose source ends outside storage changes no byte of its target", () => {
  const rig = rigWith("d20f50006000", { 5: 0x2000n, 6: BigInt(RAM_BYTES - 8) });
  rig.put(RAM_BYTES - 8, "ffffffffffffffff");
  rig.vcpu.run(2);
  expect(rig.ram.u16(0x8e)).toBe(5);
  expect(rig.hex(0x2000, 8)).toBe("0000000000000000");
});

test("XC of a field with itself clears it and gives condition code 0", () => {
  const rig = rigWith("d70750005000", { 5: 0x2ffcn });
  rig.put(0x2ffc, "1122334455667788");
  rig.vcpu.run(1);
  expect(rig.hex(0x2ffc, 8)).toBe("0000000000000000");
  expect(rig.state.i32(Cpu.cc)).toBe(0);
});

test("CLC stops at the first pair of bytes that differ, across a page too", () => {
  const rig = rigWith("d50350006000", { 5: 0x2ffen, 6: 0x4000n });
  rig.put(0x2ffe, "01020304");
  rig.put(0x4000, "01020400");
  rig.vcpu.run(1);
  expect(rig.state.i32(Cpu.cc)).toBe(1);
});

test("ASI across a page changes the word once and overflows after the store", () => {
  const rig = rigWith("eb015000006a", { 5: 0x2ffen });
  rig.put(0x2ffe, "7fffffff");
  rig.start(CODE, MASK_64_HIGH | 0x800);
  rig.vcpu.run(3);
  expect(rig.ram.u16(0x8e)).toBe(8);
  expect(rig.hex(0x2ffe, 4)).toBe("80000000");
});

test("an AND immediate to a byte outside storage is an addressing exception", () => {
  const rig = rigWith("94005000", { 5: BigInt(RAM_BYTES) });
  rig.vcpu.run(2);
  expect(rig.ram.u16(0x8e)).toBe(5);
});

test("MVCL moves across pages and pads, an execution for each page of either operand", () => {
  const rig = rigWith("0e24", { 2: 0x3000n, 3: 0x2100n, 4: 0x8ffen, 5: 0x5a000004n });
  rig.put(0x8ffe, "01020304");
  rig.vcpu.run(5); // source: 2 + 2 bytes; padding: to 0x4000, to 0x5000, the rest
  expect(rig.hex(0x3000, 6)).toBe("010203045a5a");
  expect(rig.hex(0x50ff, 2)).toBe("5a00");
  expect(rig.state.gr(2)).toBe(0x5100n);
  expect(rig.state.gr(3) & 0xffffffn).toBe(0n);
  expect(rig.state.gr(5)).toBe(0x5a000000n);
  expect(rig.state.i32(Cpu.cc)).toBe(2);
});

test("MVCL that would read what it has stored does nothing and gives 3", () => {
  const rig = rigWith("0e24", { 2: 0x2001n, 3: 16n, 4: 0x2000n, 5: 16n });
  rig.put(0x2000, "aa");
  rig.vcpu.run(1);
  expect(rig.state.i32(Cpu.cc)).toBe(3);
  expect(rig.hex(0x2000, 3)).toBe("aa0000");
});

test("CLCLE compares the longer operand with the padding byte", () => {
  const rig = rigWith("a9240020 a714fffe", { 2: 0x2000n, 3: 4n, 4: 0x3000n, 5: 2n });
  rig.put(0x2000, "61622020");
  rig.put(0x3000, "6162");
  rig.vcpu.run(10);
  expect(rig.state.i32(Cpu.cc)).toBe(0);
});

test("SRST finds a character, MVST copies up to it, CLST compares up to it", () => {
  const rig = rigWith("b25e0012 a714fffe b2550034 a714fffe b25d0056", {
    0: 0n,
    1: 0x3000n,
    2: 0x2ffdn,
    3: 0x4ffen,
    4: 0x2ffdn,
    5: 0x4ffen,
    6: 0x2ffdn,
  });
  rig.put(0x2ffd, "6162636400");
  rig.state.setGr(1, 0x3100n);
  rig.vcpu.run(5);
  expect(rig.state.gr(1)).toBe(0x3001n);
  expect(rig.hex(0x4ffe, 5)).toBe("6162636400");
  expect(rig.state.gr(3)).toBe(0x5002n);
  expect(rig.state.i32(Cpu.cc)).toBe(0);
});

test("a string that runs out of storage faults with registers that say what was done", () => {
  const rig = rigWith("b2550034 a714fffe", { 0: 0n, 3: 0x4000n, 4: BigInt(RAM_BYTES - 3) });
  rig.put(RAM_BYTES - 3, "616263");
  rig.vcpu.run(4);
  expect(rig.ram.u16(0x8e)).toBe(5);
  expect(rig.state.gr(3)).toBe(0x4003n);
  expect(rig.state.gr(4)).toBe(BigInt(RAM_BYTES));
});

test("TR looks every byte up before it stores; TRT reports address and function byte", () => {
  const rig = rigWith("dc0350006000 dd0350007000", {
    1: 0n,
    2: 0n,
    5: 0x2000n,
    6: 0x3000n,
    7: 0x4000n,
  });
  rig.put(0x2000, "00010203");
  rig.put(0x3000, "10203040");
  rig.put(0x4030, "77");
  rig.vcpu.run(2);
  expect(rig.hex(0x2000, 4)).toBe("10203040");
  expect(rig.state.gr(1)).toBe(0x2002n);
  expect(rig.state.gr(2)).toBe(0x77n);
  expect(rig.state.i32(Cpu.cc)).toBe(1);
});

test("CKSM adds words with end-around carry and pads the last part word", () => {
  const rig = rigWith("b2410024 a714fffe", { 2: 0n, 4: 0x2000n, 5: 6n });
  rig.put(0x2000, "ffffffff0001");
  rig.vcpu.run(2);
  expect(rig.state.gr(2)).toBe(0x10000n);
  expect(rig.state.gr(5)).toBe(0n);
});

test("a write to the protected low addresses is refused, behind byte 511 it is not", () => {
  const rig = rigWith("e31052000024 e31050000024", { 1: 7n, 5: 0n });
  rig.state.setHalves(Cpu.cr, 0, 0x10000000); // CR0 bit 35
  rig.start(CODE);
  rig.vcpu.run(3);
  expect(rig.hex(0x200, 8)).toBe("0000000000000007");
  expect(rig.ram.u16(0x8e)).toBe(4);
});
