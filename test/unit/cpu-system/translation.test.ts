import { beforeEach, describe, expect, it } from "vitest";
import { Cpu } from "../../../src/cpu/state.ts";
import { createMachine, DAT_ON, MASK64, type Machine, RAM_BYTES } from "./machine.ts";

const SEGMENT_TABLE = 0x20000;
const PAGE_TABLE = 0x24000;
const SPECIFICATION = 0x06;

let m: Machine;

/** Segment 0 of primary: page 1 -> 0x51000, page 2 -> 0x52000, others invalid. */
beforeEach(() => {
  m = createMachine();
  m.setPsw(MASK64, 0n);
  m.setU64(SEGMENT_TABLE, BigInt(PAGE_TABLE));
  m.setU64(SEGMENT_TABLE + 8, 0x20n);
  for (let page = 0; page < 256; page++) m.setU64(PAGE_TABLE + page * 8, 0x400n);
  m.setU64(PAGE_TABLE + 8, 0x51000n);
  m.setU64(PAGE_TABLE + 16, 0x52000n);
  m.state.setCr(1, BigInt(SEGMENT_TABLE));
});

describe("LOAD REAL ADDRESS", () => {
  it("cc 0 gives the real address, DAT on or off", () => {
    m.state.setGr(5, 0x1234n);
    expect(m.execute("e310 5000 0003")).toBe(0);
    expect(m.state.gr(1)).toBe(0x51234n);
    expect(m.state.i32(Cpu.cc)).toBe(0);
    m.setPsw(MASK64 | DAT_ON, 0n);
    expect(m.execute("b110 5000")).toBe(0);
    expect(m.state.gr(1)).toBe(0x51234n);
  });

  it("cc 1 gives the address of the invalid segment entry, cc 2 of the invalid page entry", () => {
    m.state.setGr(5, 0x100000n);
    expect(m.execute("b110 5000")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(1);
    expect(m.state.gr(1)).toBe(BigInt(SEGMENT_TABLE + 8));
    m.state.setGr(5, 0x3000n);
    expect(m.execute("b110 5000")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(2);
    expect(m.state.gr(1)).toBe(BigInt(PAGE_TABLE + 24));
  });

  it("cc 3 gives the exception code with bit 32 one and keeps bits 0-31 (QEMU test lra)", () => {
    m.state.setGr(1, 0x8765432112345678n);
    expect(m.execute("b110 1000")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(3);
    expect(m.state.gr(1)).toBe(0x8765432180000038n);
    // beyond the segment table's length: segment translation, but no entry to point at
    m.state.setGr(1, 0x5000_0000n);
    expect(m.execute("b110 1000")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(3);
    expect(m.state.gr(1)).toBe(0x80000010n);
  });

  it("in the 31-bit mode LRA changes bits 32-63 only, LRAG the whole register", () => {
    m.setPsw(0x80000000n, 0n);
    m.state.setGr(5, 0x1234n);
    m.state.setGr(1, 0xffffffffffffffffn);
    expect(m.execute("b110 5000")).toBe(0);
    expect(m.state.gr(1)).toBe(0xffffffff00051234n);
    expect(m.execute("e310 5000 0003")).toBe(0);
    expect(m.state.gr(1)).toBe(0x51234n);
  });

  it("a real address above 2 GiB is a special operation below the 64-bit mode", () => {
    m.setU64(PAGE_TABLE + 8, 0x80001000n);
    m.setPsw(0x80000000n, 0n);
    m.state.setGr(5, 0x1000n);
    expect(m.execute("b110 5000")).toBe(0x13);
  });

  it("a malformed table or one outside storage is an exception", () => {
    m.setU64(PAGE_TABLE + 8, 0x51800n);
    m.state.setGr(5, 0x1000n);
    expect(m.execute("b110 5000")).toBe(0x12);
    m.setU64(SEGMENT_TABLE, BigInt(RAM_BYTES));
    expect(m.execute("b110 5000")).toBe(0x05);
  });
});

describe("real-address access", () => {
  it("LURA and LURAG load through prefixing, STURA and STURG store", () => {
    m.state.setI32(Cpu.prefix, 0x6000);
    m.setU64(0x6100, 0x1122334455667788n);
    m.state.setGr(2, 0x100n);
    m.state.setGr(1, 0xffffffffffffffffn);
    expect(m.execute("b24b 0012")).toBe(0);
    expect(m.state.gr(1)).toBe(0xffffffff11223344n);
    expect(m.execute("b905 0012")).toBe(0);
    expect(m.state.gr(1)).toBe(0x1122334455667788n);
    m.state.setGr(1, 0xa1a2a3a4a5a6a7a8n);
    expect(m.execute("b246 0012")).toBe(0);
    expect(m.u64(0x6100)).toBe(0xa5a6a7a855667788n);
    expect(m.execute("b925 0012")).toBe(0);
    expect(m.u64(0x6100)).toBe(0xa1a2a3a4a5a6a7a8n);
  });

  it("STURG goes past DAT protection but not past low-address protection", () => {
    m.setU64(PAGE_TABLE + 8, 0x51200n);
    m.setPsw(MASK64 | DAT_ON, 0n);
    m.state.setGr(2, 0x51000n);
    expect(m.execute("b925 0012")).toBe(0);
    m.state.setCr(0, 0x10000000n);
    m.state.setGr(2, 0x100n);
    expect(m.execute("b925 0012")).toBe(0x04);
  });

  it("needs the boundary of its operand", () => {
    m.state.setGr(2, 0x102n);
    expect(m.execute("b24b 0012")).toBe(SPECIFICATION);
    m.state.setGr(2, 0x104n);
    expect(m.execute("b925 0012")).toBe(SPECIFICATION);
  });
});

describe("invalidation", () => {
  it("IPTE sets the invalid bit of the page's entry and purges", () => {
    m.state.setGr(1, BigInt(PAGE_TABLE));
    m.state.setGr(2, 0x7ff_ff002_000n);
    const before = m.counts.purge;
    expect(m.execute("b221 0012")).toBe(0);
    expect(m.u64(PAGE_TABLE + 16)).toBe(0x52400n);
    expect(m.u64(PAGE_TABLE + 8)).toBe(0x51000n);
    expect(m.counts.purge).toBe(before + 1);
    m.state.setGr(1, BigInt(RAM_BYTES));
    expect(m.execute("b221 0012")).toBe(0x05);
  });

  it("IDTE invalidates as many entries as asked, from the index in R2", () => {
    for (let n = 0; n < 4; n++) m.setU64(SEGMENT_TABLE + n * 8, 0x1000n * BigInt(n));
    m.state.setGr(1, BigInt(SEGMENT_TABLE)); // designation type segment
    m.state.setGr(2, 0x100000n | 1n); // segment index 1, two entries
    expect(m.execute("b98e 3012")).toBe(0);
    expect([0, 1, 2, 3].map((n) => m.u64(SEGMENT_TABLE + n * 8))).toEqual([
      0n,
      0x1020n,
      0x2020n,
      0x3000n,
    ]);
  });

  it("IDTE with bit 52 of R2 only clears; bits 44-51 must be zero", () => {
    m.setU64(SEGMENT_TABLE, 0x9000n);
    m.state.setGr(1, BigInt(SEGMENT_TABLE));
    m.state.setGr(2, 0x800n);
    const before = m.counts.purge;
    expect(m.execute("b98e 3012")).toBe(0);
    expect(m.u64(SEGMENT_TABLE)).toBe(0x9000n);
    expect(m.counts.purge).toBe(before + 1);
    m.state.setGr(2, 0x1000n);
    expect(m.execute("b98e 3012")).toBe(SPECIFICATION);
  });

  it("PTLB purges", () => {
    const before = m.counts.purge;
    expect(m.execute("b20d 0000")).toBe(0);
    expect(m.counts.purge).toBe(before + 1);
  });
});

describe("COMPARE AND SWAP AND PURGE", () => {
  it("CSPG swaps 8 bytes when they are equal and purges when R2 bit 63 is one", () => {
    m.setU64(0x3000, 0x1111222233334444n);
    m.state.setGr(2, 0x1111222233334444n);
    m.state.setGr(3, 0x5555666677778888n);
    m.state.setGr(5, 0x3001n);
    const before = m.counts.purge;
    expect(m.execute("b98a 0025")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(0);
    expect(m.u64(0x3000)).toBe(0x5555666677778888n);
    expect(m.counts.purge).toBe(before + 1);
  });

  it("CSPG loads the first operand when they differ, without a purge", () => {
    m.setU64(0x3000, 0x1111222233334444n);
    m.state.setGr(2, 0x1111222233334445n);
    m.state.setGr(5, 0x3001n);
    const before = m.counts.purge;
    expect(m.execute("b98a 0025")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(1);
    expect(m.state.gr(2)).toBe(0x1111222233334444n);
    expect(m.counts.purge).toBe(before);
  });

  it("CSP works on 4 bytes and bits 32-63", () => {
    m.setU64(0x3000, 0xaaaabbbbccccddddn);
    m.state.setGr(2, 0x99999999aaaabbbbn);
    m.state.setGr(3, 0x8888888812345678n);
    m.state.setGr(5, 0x3000n);
    const before = m.counts.purge;
    expect(m.execute("b250 0025")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(0);
    expect(m.u64(0x3000)).toBe(0x12345678ccccddddn);
    expect(m.counts.purge).toBe(before);
  });

  it("R1 must be even", () => {
    expect(m.execute("b250 0035")).toBe(SPECIFICATION);
  });
});

describe("TEST PROTECTION", () => {
  beforeEach(() => {
    m.setPsw(MASK64 | DAT_ON, 0n);
    m.setU64(PAGE_TABLE + 16, 0x52200n); // page 2 protected
  });

  it.each([
    ["a writable page", 0x1000n, 0],
    ["a protected page", 0x2000n, 1],
    ["an invalid page", 0x3000n, 3],
    ["an invalid segment", 0x100000n, 3],
  ])("%s", (_, address, cc) => {
    m.state.setGr(5, address);
    expect(m.execute("e501 5000 0000")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(cc);
  });

  it("cc 2 when the key in the second address may not even fetch", () => {
    m.keys.set(0x51000, 0x38);
    m.state.setGr(5, 0x1000n);
    expect(m.execute("e501 5000 0040")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(2);
    expect(m.execute("e501 5000 0030")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(0);
  });

  it("leaves reference and change bits alone", () => {
    m.state.setGr(5, 0x1000n);
    m.execute("e501 5000 0000");
    expect(m.keys.get(0x51000)).toBe(0);
  });
});

describe("storage keys", () => {
  it("SSKE sets a key, ISKE shows it, RRBE resets the reference bit and tells both bits", () => {
    m.state.setGr(1, 0xffn);
    m.state.setGr(2, 0x8123n);
    expect(m.execute("b22b 0012")).toBe(0);
    m.state.setGr(3, 0x1122334455667788n);
    expect(m.execute("b229 0032")).toBe(0);
    expect(m.state.gr(3)).toBe(0x11223344556677fen);
    expect(m.execute("b22a 0002")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(3);
    expect(m.keys.get(0x8000)).toBe(0xfa);
    expect(m.execute("b22a 0002")).toBe(0);
    expect(m.state.i32(Cpu.cc)).toBe(1);
  });

  it("a frame outside storage is an addressing exception", () => {
    m.state.setGr(2, BigInt(RAM_BYTES));
    for (const hex of ["b229 0032", "b22a 0032", "b22b 0032"]) expect(m.execute(hex)).toBe(0x05);
  });
});
