/**
 * MOVE LONG and COMPARE LOGICAL LONG with their extended forms: operands of any length with padding. Each
 * execution handles at most one page of each operand, updates the registers and then either repeats the
 * instruction (MVCL, CLCL: interruptible) or sets condition code 3 (MVCLE, CLCLE). An access exception
 * therefore always meets registers that say what has been done. SA22-7832 chapter 7.
 */
import { ProgramCode } from "../../abi/lowcore.ts";
import type { SlowContext } from "./context.ts";

/** One operand: address register, and the register of its length. */
interface Operand {
  readonly register: number;
  address: bigint;
  length: bigint;
}

const LENGTH_24 = 0xffffffn;

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

/** Bits 8-11 and 12-15 (MVCL, CLCL), or 8-11 and 12-15 as R1 and R3 (MVCLE, CLCLE); both even. */
function pairs(c: SlowContext): [number, number] | undefined {
  const first = c.field(8, 4);
  const second = c.field(12, 4);
  if (((first | second) & 1) === 0) return [first, second];
  c.program(ProgramCode.specification);
  return undefined;
}

function shortOperand(c: SlowContext, register: number): Operand {
  const length = BigInt(c.gr32(register + 1)) & LENGTH_24;
  return { register, address: c.addressIn(register), length };
}

function longOperand(c: SlowContext, register: number): Operand {
  return { register, address: c.addressIn(register), length: c.lengthIn(register + 1) };
}

function putShortLength(c: SlowContext, operand: Operand): void {
  const keep = c.gr32(operand.register + 1) & 0xff000000;
  c.setGr32(operand.register + 1, keep | Number(operand.length));
}

function putLong(c: SlowContext, operand: Operand): void {
  c.updateAddress(operand.register, operand.address);
  c.setLength(operand.register + 1, operand.length);
}

function advance(c: SlowContext, operand: Operand, bytes: bigint): void {
  const by = min(bytes, operand.length);
  operand.address = (operand.address + by) & c.addressMask;
  operand.length -= by;
}

/** Compares lengths: the condition code that both moves begin with. */
function lengthCode(first: Operand, second: Operand): number {
  if (first.length === second.length) return 0;
  return first.length < second.length ? 1 : 2;
}

/**
 * Moves up to the end of a page of either operand, or pads. Operands that overlap destructively are refused
 * by MVCL and unpredictable in MVCLE.
 * @returns false when an access exception was recorded
 */
function moveUnit(c: SlowContext, first: Operand, second: Operand, pad: number): boolean {
  let bytes = min(first.length, BigInt(c.untilPageEnd(first.address)));
  const padding = second.length === 0n;
  if (!padding) {
    bytes = min(bytes, min(second.length, BigInt(c.untilPageEnd(second.address))));
  }
  if (bytes === 0n) return true;
  const count = Number(bytes);
  const source = padding ? 0 : c.fetchByte(second.address);
  if (source < 0) return false;
  const target = c.storeByte(first.address, count);
  if (target < 0) return false;
  if (padding) c.bytes.fill(pad, target, target + count);
  else c.bytes.copyWithin(target, source, source + count);
  advance(c, first, bytes);
  if (!padding) advance(c, second, bytes);
  return true;
}

/** Would bytes be used as a source after they were stored into? */
function overlapsDestructively(c: SlowContext, first: Operand, second: Operand): boolean {
  const used = min(first.length, second.length);
  const distance = (first.address - second.address) & c.addressMask;
  return used > 1n && distance > 0n && distance < used;
}

export function mvcl(c: SlowContext): void {
  const registers = pairs(c);
  if (!registers) return;
  const first = shortOperand(c, registers[0]);
  const second = shortOperand(c, registers[1]);
  if (overlapsDestructively(c, first, second)) {
    c.cc = 3;
    return;
  }
  const code = lengthCode(first, second);
  const pad = c.gr32(registers[1] + 1) >>> 24;
  if (!moveUnit(c, first, second, pad)) return;
  for (const operand of [second, first]) {
    c.setAddress(operand.register, operand.address);
    putShortLength(c, operand);
  }
  // Until the last unit the condition code stays: it compares what is left as it compares the lengths.
  if (first.length === 0n) c.cc = code;
  else c.repeat();
}

export function mvcle(c: SlowContext): void {
  const registers = pairs(c);
  if (!registers) return;
  const pad = Number(c.baseDisplacement(16) & 0xffn);
  const first = longOperand(c, registers[0]);
  const second = longOperand(c, registers[1]);
  const code = lengthCode(first, second);
  if (!moveUnit(c, first, second, pad)) return;
  putLong(c, second);
  putLong(c, first);
  c.cc = first.length === 0n ? code : 3;
}

/** Outcome of a unit of comparison: -1 exception, 3 go on, else the condition code. */
function compareUnit(c: SlowContext, first: Operand, second: Operand, pad: number): number {
  const left = first.length === 0n ? 0 : c.ofFirst(() => c.fetchByte(first.address));
  if (left < 0) return -1;
  const right = second.length === 0n ? 0 : c.fetchByte(second.address);
  if (right < 0) return -1;
  const firstEmpty = first.length === 0n;
  const secondEmpty = second.length === 0n;
  if (firstEmpty && secondEmpty) return 0;
  let bytes = 4096n;
  if (!firstEmpty) bytes = min(bytes, min(first.length, BigInt(c.untilPageEnd(first.address))));
  if (!secondEmpty) bytes = min(bytes, min(second.length, BigInt(c.untilPageEnd(second.address))));
  const count = Number(bytes);
  for (let i = 0; i < count; i++) {
    const x = firstEmpty ? pad : (c.bytes[left + i] as number);
    const y = secondEmpty ? pad : (c.bytes[right + i] as number);
    if (x === y) continue;
    advance(c, first, BigInt(i));
    advance(c, second, BigInt(i));
    return x < y ? 1 : 2;
  }
  advance(c, first, bytes);
  advance(c, second, bytes);
  return first.length === 0n && second.length === 0n ? 0 : 3;
}

export function clcl(c: SlowContext): void {
  const registers = pairs(c);
  if (!registers) return;
  const first = shortOperand(c, registers[0]);
  const second = shortOperand(c, registers[1]);
  const pad = c.gr32(registers[1] + 1) >>> 24;
  const code = compareUnit(c, first, second, pad);
  if (code < 0) return;
  for (const operand of [second, first]) {
    c.updateAddress(operand.register, operand.address);
    putShortLength(c, operand);
  }
  if (code === 3) c.repeat();
  else c.cc = code;
}

export function clcle(c: SlowContext): void {
  const registers = pairs(c);
  if (!registers) return;
  const pad = Number(c.baseDisplacement(16) & 0xffn);
  const first = longOperand(c, registers[0]);
  const second = longOperand(c, registers[1]);
  const code = compareUnit(c, first, second, pad);
  if (code < 0) return;
  putLong(c, second);
  putLong(c, first);
  c.cc = code;
}
