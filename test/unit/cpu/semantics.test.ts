/** Results and condition codes of single instructions; numbers from SA22-7832 chapter 7. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Cpu } from "../../../src/cpu/index.ts";
import { cpuRig } from "../../support/cpu-rig.ts";

const CODE = 0x1000;
const rig = cpuRig();
const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
/** Values where carries and signs turn over, beside random ones. */
const operand = fc.oneof(
  u64,
  fc.constantFrom(0n, 1n, 0x7fffffffn, 0x80000000n, 0xffffffffn, 1n << 63n, (1n << 64n) - 1n),
);
const s64 = (value: bigint): bigint => BigInt.asIntN(64, value);
const s32 = (value: bigint): bigint => BigInt.asIntN(32, value);

/** Runs one instruction; r2 and r3 hold the operands of register forms. */
function execute(
  hex: string,
  registers: Record<number, bigint>,
  cc = 0,
): { cc: number; code: number } {
  rig.put(CODE, `${hex} 000000000000`);
  for (const [n, value] of Object.entries(registers)) rig.state.setGr(Number(n), value);
  rig.state.setI32(Cpu.cc, cc);
  rig.state.setI32(Cpu.programCode, 0);
  rig.ram.setU16(0x8e, 0);
  // Program new PSW: disabled wait, so that an interruption ends the run at once.
  rig.put(0x1d0, "00020001800000000000000000000000");
  rig.start(CODE);
  rig.vcpu.run(1);
  const waited = rig.state.low(Cpu.pswAddress) === 0;
  const oldCc = (rig.ram.u16(0x152) >> 12) & 3;
  return { cc: waited ? oldCc : rig.state.i32(Cpu.cc), code: rig.ram.u16(0x8e) };
}

function signCode(value: bigint): number {
  return value === 0n ? 0 : value < 0n ? 1 : 2;
}

test("AGR and SGR give the 64-bit result, and 3 exactly when it does not fit", () => {
  for (const [hex, op] of [
    ["b9080012", (a: bigint, b: bigint) => a + b],
    ["b9090012", (a: bigint, b: bigint) => a - b],
  ] as const) {
    fc.assert(
      fc.property(operand, operand, (a, b) => {
        const exact = op(s64(a), s64(b));
        const { cc } = execute(hex, { 1: a, 2: b });
        expect(rig.state.gr(1)).toBe(BigInt.asUintN(64, exact));
        expect(cc).toBe(s64(exact) === exact ? signCode(exact) : 3);
      }),
      { numRuns: 60 },
    );
  }
});

test("AR leaves bits 0-31 of the register alone", () => {
  fc.assert(
    fc.property(operand, operand, (a, b) => {
      const exact = s32(a) + s32(b);
      const { cc } = execute("1a12", { 1: a, 2: b });
      expect(rig.state.gr(1)).toBe(((a >> 32n) << 32n) | BigInt.asUintN(32, exact));
      expect(cc).toBe(s32(exact) === exact ? signCode(exact) : 3);
    }),
    { numRuns: 60 },
  );
});

test("ALCGR takes the carry of condition codes 2 and 3 and gives its own", () => {
  fc.assert(
    fc.property(operand, operand, fc.nat(3), (a, b, before) => {
      const exact = a + b + BigInt(before >> 1);
      const { cc } = execute("b9880012", { 1: a, 2: b }, before);
      const result = BigInt.asUintN(64, exact);
      expect(rig.state.gr(1)).toBe(result);
      expect(cc).toBe((exact >> 64n ? 2 : 0) + (result === 0n ? 0 : 1));
    }),
    { numRuns: 80 },
  );
});

test("SLBGR subtracts the borrow of condition codes 0 and 1", () => {
  fc.assert(
    fc.property(operand, operand, fc.nat(3), (a, b, before) => {
      const exact = a - b - (before < 2 ? 1n : 0n);
      const { cc } = execute("b9890012", { 1: a, 2: b }, before);
      const result = BigInt.asUintN(64, exact);
      expect(rig.state.gr(1)).toBe(result);
      expect(cc).toBe((exact >= 0n ? 2 : 0) + (result === 0n ? 0 : 1));
    }),
    { numRuns: 80 },
  );
});

test("MLGR and DLGR are 128-bit: a product divided by its factor gives the other", () => {
  fc.assert(
    fc.property(operand, operand, (a, b) => {
      execute("b9860024", { 3: a, 4: b }); // mlgr %r2,%r4
      const product = (rig.state.gr(2) << 64n) | rig.state.gr(3);
      expect(product).toBe(a * b);
      if (b === 0n || product >> 64n >= b) return;
      execute("b9870024", { 4: b }); // dlgr %r2,%r4
      expect(rig.state.gr(2)).toBe(product % b);
      expect(rig.state.gr(3)).toBe(product / b);
    }),
    { numRuns: 80 },
  );
});

test("a division by zero or with a quotient too large is a fixed-point-divide exception", () => {
  expect(execute("b9870024", { 2: 5n, 3: 0n, 4: 5n }).code).toBe(9);
  expect(execute("b90d0024", { 3: 1n << 63n, 4: (1n << 64n) - 1n }).code).toBe(9);
  expect(execute("1d24", { 2: 0x80000000n, 3: 0n, 4: 0xffffffffn }).code).toBe(9);
});

test("SLA gives 3 when a bit unlike the sign is lost, and keeps the sign", () => {
  expect(execute("8b100001", { 1: 0x40000000n }).cc).toBe(3);
  expect(rig.state.gr(1)).toBe(0n);
  expect(execute("8b10001f", { 1: 0xffffffffn }).cc).toBe(1);
  expect(rig.state.gr(1)).toBe(0x80000000n);
  expect(execute("8b100020", { 1: 0xffffffffn }).cc).toBe(3);
  expect(execute("8b10003f", { 1: 0n }).cc).toBe(0);
});

test("LPGR, LCGR of the most negative number overflow; LNGR does not", () => {
  const min = 1n << 63n;
  expect(execute("b9000012", { 2: min }).cc).toBe(3);
  expect(execute("b9030012", { 2: min }).cc).toBe(3);
  expect(execute("b9010012", { 2: min }).cc).toBe(1);
  expect(rig.state.gr(1)).toBe(min);
});

test("an overflow with the program-mask bit on completes, then interrupts with code 8", () => {
  rig.put(CODE, "b9080012");
  rig.state.setGr(1, (1n << 63n) - 1n);
  rig.state.setGr(2, 1n);
  rig.put(0x1d0, "00020001800000000000000000000000");
  rig.start(CODE, 0x00000801);
  rig.vcpu.run(5);
  expect(rig.state.gr(1)).toBe(1n << 63n);
  expect(rig.ram.u16(0x8e)).toBe(8);
  expect(rig.ram.u16(0x8c)).toBe(4);
  expect(rig.ram.u32(0x15c)).toBe(CODE + 4);
  expect((rig.ram.u16(0x152) >> 12) & 3).toBe(3);
});

test("TMLL tells all zeros, all ones, and which way a mixture begins", () => {
  const cases = [
    [0x0000n, 0],
    [0x00f0n, 3],
    [0x0080n, 2],
    [0x0040n, 1],
  ] as const;
  for (const [value, cc] of cases) {
    expect(execute("a71100f0", { 1: value }).cc).toBe(cc); // tmll %r1,0x00f0
  }
  expect(execute("a7110000", { 1: 0xffffn }).cc).toBe(0);
});

test("ICM sets the condition code by the leftmost inserted bit; a zero mask changes nothing", () => {
  rig.put(0x2000, "80010000");
  const icm = (mask: string, before: bigint) =>
    execute(`bf1${mask}5000`, { 1: before, 5: 0x2000n });
  expect(icm("8", 0n).cc).toBe(1);
  expect(rig.state.gr(1)).toBe(0x80000000n);
  expect(icm("5", 0n).cc).toBe(1);
  expect(rig.state.gr(1)).toBe(0x00800001n);
  expect(icm("0", 7n).cc).toBe(0);
  expect(rig.state.gr(1)).toBe(7n);
});

test("RISBG with the zero flag clears the rest, without it keeps the rest", () => {
  // risbg %r1,%r2,48,63,8: rotate left 8, insert bits 48-63
  const before = { 1: 0xaaaaaaaaaaaaaaaan, 2: 0x1122334455667788n };
  expect(execute("ec12303f0855", before).cc).toBe(1);
  expect(rig.state.gr(1)).toBe(0xaaaaaaaaaaaa8811n);
  expect(execute("ec1230bf0855", before).cc).toBe(2);
  expect(rig.state.gr(1)).toBe(0x8811n);
});

test("FLOGR counts leading zeros, removes the leftmost one, and calls zero 64", () => {
  expect(execute("b9830023", { 3: 0x00f0n }).cc).toBe(2);
  expect([rig.state.gr(2), rig.state.gr(3)]).toEqual([56n, 0x70n]);
  expect(execute("b9830024", { 4: 0n }).cc).toBe(0);
  expect([rig.state.gr(2), rig.state.gr(3)]).toEqual([64n, 0n]);
});

test("compare-and-trap with its condition met is a data exception with DXC 0xff", () => {
  expect(execute("b9608012", { 1: 5n, 2: 5n }).code).toBe(7); // cgrte
  expect(rig.ram.u32(0x90)).toBe(0xff);
  expect(execute("b9608012", { 1: 5n, 2: 6n }).code).toBe(0);
});

test("floating-point register 1 needs the AFP-register control, register 2 does not", () => {
  rig.state.setHalves(Cpu.cr, 0, 0);
  expect(execute("2812", {}).code).toBe(7); // ldr %f1,%f2
  expect(rig.ram.u32(0x90)).toBe(1);
  expect(execute("2824", {}).code).toBe(0);
  expect(execute("b38c0010", {}).code).toBe(7); // efpc: a BFP instruction
  expect(rig.ram.u32(0x90)).toBe(2);
  rig.state.setHalves(Cpu.cr, 0, 0x40000);
  expect(execute("2812", {}).code).toBe(0);
});

test("CVB and CVD are each other's inverse; a bad digit is a data exception", () => {
  execute("4e105000", { 1: 0xffffff85n, 5: 0x2000n }); // cvd
  expect(rig.hex(0x2000, 8)).toBe("000000000000123d");
  execute("4f205000", { 2: 0n });
  expect(rig.state.gr(2)).toBe(0xffffff85n);
  rig.put(0x2000, "00000000000012ad");
  expect(execute("4f205000", {}).code).toBe(7);
  expect(rig.ram.u32(0x90)).toBe(0);
});

test("CS exchanges when equal, loads when not, and refuses a misaligned operand", () => {
  rig.put(0x2000, "00000005");
  expect(execute("ba135000", { 1: 5n, 3: 9n, 5: 0x2000n }).cc).toBe(0);
  expect(rig.hex(0x2000, 4)).toBe("00000009");
  expect(execute("ba135000", { 1: 5n, 3: 7n }).cc).toBe(1);
  expect(rig.state.gr(1)).toBe(9n);
  expect(execute("ba135002", {}).code).toBe(6);
});

test("LAAG adds to storage in guest byte order and returns the old value", () => {
  rig.put(0x2000, "00000000000000ff");
  expect(execute("eb13500000e8", { 1: 0n, 3: 2n, 5: 0x2000n }).cc).toBe(2);
  expect(rig.hex(0x2000, 8)).toBe("0000000000000101");
  expect(rig.state.gr(1)).toBe(0xffn);
});

test("an opcode that nobody defines is an operation exception with the PSW behind it", () => {
  expect(execute("b9ff0000", {}).code).toBe(1);
  expect(rig.ram.u32(0x15c)).toBe(CODE + 4);
});

test("the z10 model has no distinct-operands facility", () => {
  const z10 = cpuRig({ model: "z10" });
  z10.put(0x1d0, "00020001800000000000000000000000");
  z10.put(CODE, "b9e83012"); // agrk %r1,%r2,%r3
  z10.start(CODE);
  z10.vcpu.run(2);
  expect(z10.ram.u16(0x8e)).toBe(1);
});
