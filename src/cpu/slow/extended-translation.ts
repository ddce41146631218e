/**
 * Extended-translation facility 2 and SEARCH STRING UNICODE: one- and two-byte characters translated through a
 * table, compared and moved. At most `UNITS` characters per execution, then condition code 3; an access exception
 * after some characters ends with condition code 3 too. SA22-7832 chapter 7. MOVE RIGHT TO LEFT is here as well.
 */
import { ProgramCode } from "../../abi/lowcore.ts";
import type { SlowContext, SlowInstruction } from "./context.ts";

const UNITS = 256;
const FACILITY_MISCELLANEOUS_3 = 61;
/** M3 bit 3: no test character. */
const NO_TEST = 1;

type Width = 1 | 2;

/** A character, or -1 with the access exception recorded. */
function character(c: SlowContext, address: bigint, width: Width): number {
  const bytes = c.read(address, width);
  if (!bytes) return -1;
  const first = bytes[0] as number;
  return width === 1 ? first : (first << 8) | (bytes[1] as number);
}

function encoded(value: number, width: Width): Uint8Array {
  return Uint8Array.from(width === 1 ? [value & 0xff] : [(value >> 8) & 0xff, value & 0xff]);
}

/** TRANSLATE ONE/TWO TO ONE/TWO: the table is at GR1, the test character in GR0. */
function translate(from: Width, to: Width): SlowInstruction {
  return (c) => {
    const r1 = c.field(24, 4);
    const r2 = c.field(28, 4);
    let left = c.lengthIn(r1 + 1);
    if ((r1 & 1) !== 0 || left % BigInt(from) !== 0n) {
      c.program(ProgramCode.specification);
      return;
    }
    const tested = (c.field(16, 4) & NO_TEST) === 0;
    const test = c.gr32(0) & (to === 1 ? 0xff : 0xffff);
    const table = c.addressIn(1) & ~7n;
    let target = c.addressIn(r1);
    let source = c.addressIn(r2);
    let cc = 3;
    for (let done = 0; done < UNITS; done++) {
      if (left === 0n) {
        cc = 0;
        break;
      }
      const code = character(c, source, from);
      const entry = (table + BigInt(code * to)) & c.addressMask;
      const result = code < 0 ? -1 : character(c, entry, to);
      if (result >= 0 && tested && result === test) {
        cc = 1;
        break;
      }
      if (result < 0 || !c.write(target, encoded(result, to))) {
        if (done === 0) return;
        c.forgetFault();
        break;
      }
      target = (target + BigInt(to)) & c.addressMask;
      source = (source + BigInt(from)) & c.addressMask;
      left -= BigInt(from);
    }
    c.updateAddress(r1, target);
    c.setLength(r1 + 1, left);
    c.updateAddress(r2, source);
    c.cc = cc;
  };
}

interface UnicodeOperand {
  readonly register: number;
  address: bigint;
  length: bigint;
}

/** Both operands of MVCLU and CLCLU; odd registers and lengths are refused. */
function unicodeOperands(c: SlowContext): readonly [UnicodeOperand, UnicodeOperand] | undefined {
  const both = [c.field(8, 4), c.field(12, 4)].map((register) => ({
    register,
    address: c.addressIn(register),
    length: c.lengthIn(register + 1),
  }));
  const [first, second] = both;
  const odd = both.some(({ register, length }) => (register & 1) !== 0 || (length & 1n) !== 0n);
  if (first && second && !odd) return [first, second];
  c.program(ProgramCode.specification);
  return undefined;
}

function advance(c: SlowContext, operand: UnicodeOperand): void {
  if (operand.length === 0n) return;
  operand.address = (operand.address + 2n) & c.addressMask;
  operand.length -= 2n;
}

function putBack(c: SlowContext, ...operands: readonly UnicodeOperand[]): void {
  for (const operand of operands) {
    c.updateAddress(operand.register, operand.address);
    c.setLength(operand.register + 1, operand.length);
  }
}

function padding(c: SlowContext): number {
  return Number(c.longDisplacement() & 0xffffn);
}

function mvclu(c: SlowContext): void {
  const both = unicodeOperands(c);
  if (!both) return;
  const [first, second] = both;
  const pad = padding(c);
  const { length } = first;
  const code = length === second.length ? 0 : length < second.length ? 1 : 2;
  for (let done = 0; done < UNITS && first.length > 0n; done++) {
    const value = second.length === 0n ? pad : character(c, second.address, 2);
    if (value < 0 || !c.write(first.address, encoded(value, 2))) {
      if (done === 0) return;
      c.forgetFault();
      break;
    }
    advance(c, first);
    advance(c, second);
  }
  putBack(c, second, first);
  c.cc = first.length === 0n ? code : 3;
}

function clclu(c: SlowContext): void {
  const both = unicodeOperands(c);
  if (!both) return;
  const [first, second] = both;
  const pad = padding(c);
  let cc = 3;
  for (let done = 0; done < UNITS; done++) {
    if (first.length === 0n && second.length === 0n) {
      cc = 0;
      break;
    }
    const left = first.length === 0n ? pad : c.ofFirst(() => character(c, first.address, 2));
    const right = left < 0 ? -1 : second.length === 0n ? pad : character(c, second.address, 2);
    if (right < 0) {
      if (done === 0) return;
      c.forgetFault();
      break;
    }
    if (left !== right) {
      cc = left < right ? 1 : 2;
      break;
    }
    advance(c, first);
    advance(c, second);
  }
  putBack(c, second, first);
  c.cc = cc;
}

/** SEARCH STRING UNICODE: R1 = end, R2 = start; condition code 1 found (R1 = its address), 2 not found. */
function srstu(c: SlowContext): void {
  const wanted = c.gr32(0);
  if (wanted > 0xffff) {
    c.program(ProgramCode.specification);
    return;
  }
  const r1 = c.field(24, 4);
  const r2 = c.field(28, 4);
  const end = c.addressIn(r1);
  let at = c.addressIn(r2);
  for (let done = 0; done < UNITS; done++) {
    if (at === end) {
      c.cc = 2;
      return;
    }
    const value = character(c, at, 2);
    if (value < 0) {
      if (done === 0) return;
      c.forgetFault();
      break;
    }
    if (value === wanted) {
      c.updateAddress(r1, at);
      c.cc = 1;
      return;
    }
    at = (at + 2n) & c.addressMask;
  }
  c.updateAddress(r2, at);
  c.cc = 3;
}

/** MOVE RIGHT TO LEFT: up to 256 bytes, the length less one in GR0. */
function mvcrl(c: SlowContext): void {
  if (!c.has(FACILITY_MISCELLANEOUS_3)) {
    c.program(ProgramCode.operation);
    return;
  }
  const length = (c.gr32(0) & 0xff) + 1;
  const target = c.baseDisplacement(16);
  const source = c.baseDisplacement(32);
  if (!c.mayWrite(target, length) || !c.read(source, length)) return;
  for (let i = length - 1; i >= 0; i--) {
    const byte = c.read((source + BigInt(i)) & c.addressMask, 1);
    if (!byte || !c.write((target + BigInt(i)) & c.addressMask, byte)) return;
  }
}

export const extendedTranslationRows: readonly (readonly [number, string, SlowInstruction])[] = [
  [0xb993, "TROO", translate(1, 1)],
  [0xb992, "TROT", translate(1, 2)],
  [0xb991, "TRTO", translate(2, 1)],
  [0xb990, "TRTT", translate(2, 2)],
  [0xeb8e, "MVCLU", mvclu],
  [0xeb8f, "CLCLU", clclu],
  [0xb9be, "SRSTU", srstu],
  [0xe50a, "MVCRL", mvcrl],
];
