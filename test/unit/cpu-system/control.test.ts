import { beforeEach, describe, expect, it } from "vitest";
import { Cpu } from "../../../src/cpu/state.ts";
import { AT, createMachine, DAT_ON, MASK64, type Machine, PROBLEM, RAM_BYTES } from "./machine.ts";

const PRIVILEGED = 0x02;
const SPECIFICATION = 0x06;
const SPECIAL_OPERATION = 0x13;
/** Operand area; GR5 points at it in every test. */
const OPERAND = 0x3000;

let m: Machine;

beforeEach(() => {
  m = createMachine();
  m.setPsw(MASK64, 0n);
  m.state.setGr(5, BigInt(OPERAND));
});

describe("privileged operation", () => {
  it.each([
    ["SSM 0(5)", "8000 5000"],
    ["LPSW 0(5)", "8200 5000"],
    ["DIAG 0x44", "8300 0044"],
    ["STNSM", "ac00 5000"],
    ["STOSM", "ad00 5000"],
    ["SIGP", "ae00 0001"],
    ["LRA", "b110 5000"],
    ["STCTL", "b600 5000"],
    ["LCTL", "b700 5000"],
    ["STIDP", "b202 5000"],
    ["SCK", "b204 5000"],
    ["SCKC", "b206 5000"],
    ["STCKC", "b207 5000"],
    ["SPT", "b208 5000"],
    ["STPT", "b209 5000"],
    ["PTLB", "b20d 0000"],
    ["SPX", "b210 5000"],
    ["STPX", "b211 5000"],
    ["STAP", "b212 5000"],
    ["IPTE", "b221 0012"],
    ["ISKE", "b229 0012"],
    ["RRBE", "b22a 0012"],
    ["SSKE", "b22b 0012"],
    ["STURA", "b246 0012"],
    ["LURA", "b24b 0012"],
    ["CSP", "b250 0025"],
    ["STSI", "b27d 5000"],
    ["STFL", "b2b1 0000"],
    ["LPSWE", "b2b2 5000"],
    ["LURAG", "b905 0012"],
    ["STURG", "b925 0012"],
    ["CSPG", "b98a 0025"],
    ["IDTE", "b98e 3012"],
    ["LRAG", "e310 5000 0003"],
    ["LRAY", "e310 5000 0013"],
    ["STCTG", "eb00 5000 0025"],
    ["LCTLG", "eb00 5000 002f"],
    ["TPROT", "e501 5000 5000"],
    ["SCKPF", "0107"],
  ])("%s is refused in the problem state before anything else", (_, hex) => {
    m.setPsw(MASK64 | PROBLEM, 0n);
    // Alignment and address would be wrong as well.
    m.state.setGr(5, 0xffff_ffff_ffff_fff1n);
    expect(m.execute(hex)).toBe(PRIVILEGED);
    expect(m.state.i32(Cpu.nullify)).toBe(0);
  });
});

describe("LPSWE and LPSW", () => {
  it("LPSWE loads 16 bytes, sets the condition code and remembers the break", () => {
    m.setU64(OPERAND, 0x0404100180000000n);
    m.setU64(OPERAND + 8, 0x123456789abcden);
    expect(m.execute("b2b2 5000")).toBe(0);
    expect(m.pswMask()).toBe(0x0404100180000000n);
    expect(m.state.u64(Cpu.pswAddress)).toBe(0x123456789abcden);
    expect(m.state.i32(Cpu.cc)).toBe(1);
    expect(m.state.u64(Cpu.breakingEvent)).toBe(BigInt(AT));
  });

  it("the breaking-event address borrows from the upper half", () => {
    m.setU64(OPERAND, MASK64);
    expect(m.execute("b2b2 5000", 0x1_0000_0000n - 2n)).toBe(0);
    expect(m.state.u64(Cpu.breakingEvent)).toBe(0xfffffffen);
  });

  it("an invalid PSW is loaded and becomes an early exception with length 0 (QEMU test lpswe-early)", () => {
    m.setU64(OPERAND, 0x8000000000000000n);
    m.setU64(OPERAND + 8, 0xfedcba9876543210n);
    expect(m.execute("b2b2 5000")).toBe(SPECIFICATION);
    expect(m.state.i32(Cpu.nullify)).toBe(2);
    m.interrupts.deliverProgram();
    expect(m.ram.u16(0x8c)).toBe(0);
    expect(m.u64(0x150)).toBe(0x8000000000000000n);
    expect(m.u64(0x158)).toBe(0xfedcba9876543210n);
  });

  it("LPSW widens the short PSW: bit 12 must be one, the address has 31 bits", () => {
    m.setU64(OPERAND, 0x040a000080123456n);
    expect(m.execute("8200 5000")).toBe(0);
    expect(m.pswMask()).toBe(0x0402000080000000n);
    expect(m.state.u64(Cpu.pswAddress)).toBe(0x123456n);
    m.setU64(OPERAND, 0x0402000080123456n);
    m.setPsw(MASK64, 0n);
    expect(m.execute("8200 5000")).toBe(SPECIFICATION);
  });

  it("the operand must be on a doubleword", () => {
    expect(m.execute("b2b2 5004")).toBe(SPECIFICATION);
    expect(m.pswMask()).toBe(MASK64);
    expect(m.execute("8200 5004")).toBe(SPECIFICATION);
  });

  it("an operand outside storage changes nothing", () => {
    m.state.setGr(5, BigInt(RAM_BYTES));
    expect(m.execute("b2b2 5000")).toBe(0x05);
    expect(m.pswMask()).toBe(MASK64);
  });
});

describe("control registers", () => {
  it("LCTLG wraps from 15 to 0", () => {
    m.setU64(OPERAND, 0x1111111111111111n);
    m.setU64(OPERAND + 8, 0x2222222222222222n);
    m.setU64(OPERAND + 16, 0x3333333333333333n);
    expect(m.execute("ebf1 5000 002f")).toBe(0);
    expect(m.state.cr(15)).toBe(0x1111111111111111n);
    expect(m.state.cr(0)).toBe(0x2222222222222222n);
    expect(m.state.cr(1)).toBe(0x3333333333333333n);
  });

  it("LCTL replaces bits 32-63 only, STCTL stores them", () => {
    m.state.setCr(3, 0xaaaaaaaabbbbbbbbn);
    m.ram.setU32(OPERAND, 0x12345678);
    expect(m.execute("b733 5000")).toBe(0);
    expect(m.state.cr(3)).toBe(0xaaaaaaaa12345678n);
    expect(m.execute("b633 5004")).toBe(0);
    expect(m.ram.u32(OPERAND + 4)).toBe(0x12345678);
    expect(m.execute("eb33 5008 0025")).toBe(0);
    expect(m.u64(OPERAND + 8)).toBe(0xaaaaaaaa12345678n);
  });

  it("sixteen registers are stored and loaded in one go", () => {
    for (let n = 0; n < 16; n++) m.state.setCr(n, BigInt(n) * 0x0101010101n);
    expect(m.execute("eb0f 5000 0025")).toBe(0);
    for (let n = 0; n < 16; n++) expect(m.u64(OPERAND + n * 8)).toBe(BigInt(n) * 0x0101010101n);
    expect(m.execute("eb10 5000 002f")).toBe(0); // from 1 around to 0
    expect(m.state.cr(1)).toBe(0n);
    expect(m.state.cr(0)).toBe(15n * 0x0101010101n);
  });

  it("operands need word and doubleword boundaries", () => {
    expect(m.execute("b700 5002")).toBe(SPECIFICATION);
    expect(m.execute("eb00 5004 002f")).toBe(SPECIFICATION);
  });

  it("the translation buffer goes when low-address protection changes, not when an ASCE does", () => {
    m.setU64(OPERAND, 0x7000n);
    const before = m.counts.purge;
    m.execute("eb11 5000 002f");
    expect(m.counts.purge).toBe(before);
    m.setU64(OPERAND, 0x10000000n);
    m.execute("eb00 5000 002f");
    expect(m.counts.purge).toBe(before + 1);
  });

  it("a fault on the second page loads nothing", () => {
    m.state.setGr(5, BigInt(RAM_BYTES - 8));
    m.setU64(RAM_BYTES - 8, 0x5555n);
    m.state.setCr(1, 0x77n);
    expect(m.execute("eb12 5000 002f")).toBe(0x05);
    expect(m.state.cr(1)).toBe(0x77n);
  });
});

describe("system mask", () => {
  it("STNSM stores the old mask and clears bits, STOSM sets them", () => {
    m.setPsw(MASK64 | 0x0300000000000000n, 0n);
    expect(m.execute("acfc 5000")).toBe(0);
    expect(m.ram.u8(OPERAND)).toBe(0x03);
    expect(m.pswMask()).toBe(MASK64);
    expect(m.execute("ad07 5001")).toBe(0);
    expect(m.ram.u8(OPERAND + 1)).toBe(0);
    expect(m.pswMask()).toBe(MASK64 | 0x0700000000000000n);
  });

  it("SSM replaces bits 0-7; SSM-suppression control makes it a special operation", () => {
    m.ram.setU8(OPERAND, 0x02);
    expect(m.execute("8000 5000")).toBe(0);
    expect(m.pswMask()).toBe(MASK64 | 0x0200000000000000n);
    m.state.setCr(0, 0x40000000n);
    expect(m.execute("8000 5000")).toBe(SPECIAL_OPERATION);
  });

  it("an invalid mask is an exception past the instruction, with its length (QEMU test exrl-ssm-early)", () => {
    m.ram.setU8(OPERAND, 0x08);
    expect(m.execute("8000 5000")).toBe(SPECIFICATION);
    m.interrupts.deliverProgram();
    expect(m.ram.u16(0x8c)).toBe(4);
    expect(m.u64(0x150)).toBe(0x0800000180000000n);
    expect(m.u64(0x158)).toBe(BigInt(AT + 4));
  });

  it("a mask that cannot be stored is not changed", () => {
    m.state.setGr(5, BigInt(RAM_BYTES));
    expect(m.execute("ad07 5000")).toBe(0x05);
    expect(m.pswMask()).toBe(MASK64);
  });
});

describe("keys and PSW parts", () => {
  it("SPKA takes the key from address bits 56-59; the problem state needs the CR3 mask", () => {
    m.state.setGr(5, 0x1270n);
    expect(m.execute("b20a 5000")).toBe(0);
    expect(m.dat.pswKey()).toBe(7);
    m.setPsw(MASK64 | PROBLEM, 0n);
    expect(m.execute("b20a 5000")).toBe(PRIVILEGED);
    m.state.setCr(3, BigInt(0x80000000 >>> 7));
    expect(m.execute("b20a 5000")).toBe(0);
    expect(m.dat.pswKey()).toBe(7);
  });

  it("IPK puts the key into GR2 bits 56-59 and zeros bits 60-63", () => {
    m.setPsw(MASK64 | (9n << 52n), 0n);
    m.state.setGr(2, 0xffffffffffffffffn);
    expect(m.execute("b20b 0000")).toBe(0);
    expect(m.state.gr(2)).toBe(0xffffffffffffff90n);
  });

  it("EPSW gives both halves with the current condition code", () => {
    m.setPsw(MASK64 | 0x0100000000000000n, 0n);
    m.state.setI32(Cpu.cc, 2);
    m.state.setGr(1, 0xffffffff00000000n);
    m.state.setGr(2, 0xeeeeeeee00000000n);
    expect(m.execute("b98d 0012")).toBe(0);
    expect(m.state.gr(1)).toBe(0xffffffff01002001n);
    expect(m.state.gr(2)).toBe(0xeeeeeeee80000000n);
  });
});

describe("address-space control", () => {
  beforeEach(() => {
    m.state.setCr(0, 0x04000000n);
    m.setPsw(MASK64 | DAT_ON, 0n);
  });

  it.each([
    [0x000n, 0n, 0],
    [0x100n, 2n, 1],
    [0x200n, 1n, 2],
    [0x300n, 3n, 3],
  ])("SACF %i sets PSW bits 16-17 to %i; IAC gives the code back", (operand, bits, cc) => {
    m.state.setGr(5, operand);
    expect(m.execute("b279 5000")).toBe(0);
    expect((m.pswMask() >> 46n) & 3n).toBe(bits);
    m.state.setGr(1, 0xffffn);
    expect(m.execute("b224 0010")).toBe(0);
    expect(m.state.gr(1)).toBe(operand | 0xffn);
    expect(m.state.i32(Cpu.cc)).toBe(cc);
  });

  it("needs DAT and secondary-space control, a known code, and the supervisor state for home", () => {
    m.state.setGr(5, 0x400n);
    expect(m.execute("b219 5000")).toBe(SPECIFICATION);
    m.state.setGr(5, 0x100n);
    m.setPsw(MASK64, 0n);
    expect(m.execute("b219 5000")).toBe(SPECIAL_OPERATION);
    m.setPsw(MASK64 | DAT_ON, 0n);
    m.state.setCr(0, 0n);
    expect(m.execute("b279 5000")).toBe(SPECIAL_OPERATION);
    m.state.setCr(0, 0x04000000n);
    m.setPsw(MASK64 | DAT_ON | PROBLEM, 0n);
    m.state.setGr(5, 0x300n);
    expect(m.execute("b279 5000")).toBe(PRIVILEGED);
    expect((m.pswMask() >> 46n) & 3n).toBe(0n);
  });

  it("leaving the home space with space-switch control is an event after the change", () => {
    m.setPsw(MASK64 | DAT_ON | (3n << 46n), 0n);
    m.state.setCr(1, 0x40n);
    m.state.setGr(5, 0n);
    expect(m.execute("b279 5000")).toBe(0x1c);
    expect((m.pswMask() >> 46n) & 3n).toBe(0n);
  });
});

describe("prefix, CPU address and id", () => {
  it("SPX moves the prefix in units of 8 KiB and purges; STPX shows it", () => {
    m.ram.setU32(OPERAND, 0x8000ffff | 0);
    const before = m.counts.purge;
    expect(m.execute("b210 5000")).toBe(0);
    expect(m.state.i32(Cpu.prefix)).toBe(0xe000);
    expect(m.counts.purge).toBe(before + 1);
    expect(m.execute("b211 5008")).toBe(0);
    expect(m.ram.u32(OPERAND + 8)).toBe(0xe000);
  });

  it("SPX refuses a prefix area outside storage", () => {
    m.ram.setU32(OPERAND, RAM_BYTES);
    expect(m.execute("b210 5000")).toBe(0x05);
    expect(m.state.i32(Cpu.prefix)).toBe(0);
  });

  it("STAP stores the CPU address, STIDP the machine type of the model", () => {
    m.ram.setU16(OPERAND, 0xffff);
    expect(m.execute("b212 5000")).toBe(0);
    expect(m.ram.u16(OPERAND)).toBe(0);
    expect(m.execute("b202 5000")).toBe(0);
    expect(m.u64(OPERAND)).toBe(0x0000000085618000n);
    expect(m.execute("b212 5001")).toBe(SPECIFICATION);
    expect(m.execute("b202 5004")).toBe(SPECIFICATION);
  });
});

describe("MONITOR CALL", () => {
  it("is an event when CR8 has the class's mask bit, in any state", () => {
    m.setPsw(MASK64 | PROBLEM, 0n);
    m.state.setCr(8, 0x8000n >> 3n);
    m.state.setGr(5, 0x1234567890n);
    expect(m.execute("af03 5001")).toBe(0x40);
    m.interrupts.deliverProgram();
    expect(m.ram.u16(0x94)).toBe(3);
    expect(m.u64(0xb0)).toBe(0x1234567891n);
    expect(m.u64(0x158)).toBe(BigInt(AT + 4));
  });

  it("is nothing without the mask bit, and bits 8-11 of the class must be zero", () => {
    m.state.setCr(8, 0x7fffn);
    expect(m.execute("af00 5000")).toBe(0);
    expect(m.execute("af10 5000")).toBe(SPECIFICATION);
  });
});
