/**
 * Decimal arithmetic on packed numbers of up to 31 digits, shifts, editing. Both operands are fetched and the
 * first one is made sure of before anything is stored, so an exception changes nothing, and operands that
 * overlap as they may count as they were. SA22-7832 chapter 8.
 */
import { ProgramCode } from "../../abi/lowcore.ts";
import { Cpu } from "../state.ts";
import type { SlowContext, SlowInstruction } from "./context.ts";
import { dataException, packNumber, unpackNumber } from "./decimal.ts";

const DECIMAL_OVERFLOW_MASK = 0x400; // PSW bit 21 in the upper half
/** Longest multiplier and divisor: 15 digits and sign. */
const SHORT_OPERAND = 8;

interface Operand {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

function operand(c: SlowContext, address: bigint, length: number): Operand | undefined {
  const bytes = c.read(address, length);
  return bytes && { address, bytes };
}

/** The first operand, known to be changeable. */
function target(c: SlowContext, length: number): Operand | undefined {
  const address = c.baseDisplacement(16);
  if (!c.mayWrite(address, length)) return undefined;
  return c.ofFirst(() => operand(c, address, length));
}

/** First and second operand of the SS format with two lengths. */
function operands(c: SlowContext): readonly [Operand, Operand] | undefined {
  const second = operand(c, c.baseDisplacement(32), c.field(12, 4) + 1);
  const first = second && target(c, c.field(8, 4) + 1);
  return first && [first, second];
}

function isNegative(bytes: Uint8Array): boolean {
  const sign = (bytes[bytes.length - 1] as number) & 15;
  return sign === 0xb || sign === 0xd;
}

function magnitude(value: bigint): bigint {
  return value < 0n ? -value : value;
}

/** Stores a result with its condition code; digits that do not fit are an overflow. */
function finish(c: SlowContext, first: Operand, value: bigint): void {
  const { length } = first.bytes;
  const kept = magnitude(value) % 10n ** BigInt(length * 2 - 1);
  const overflow = kept !== magnitude(value);
  if (!c.write(first.address, packNumber(kept, length, value < 0n))) return;
  c.cc = overflow ? 3 : value === 0n ? 0 : value < 0n ? 1 : 2;
  const asked = (c.state.high(Cpu.pswMask) & DECIMAL_OVERFLOW_MASK) !== 0;
  if (overflow && asked) c.program(ProgramCode.decimalOverflow);
}

function addition(combine: (a: bigint, b: bigint) => bigint): SlowInstruction {
  return (c) => {
    const both = operands(c);
    if (!both) return;
    const [first, second] = both;
    const a = unpackNumber(first.bytes);
    const b = unpackNumber(second.bytes);
    if (a === undefined || b === undefined) dataException(c);
    else finish(c, first, combine(a, b));
  };
}

const ap = addition((a, b) => a + b);
const sp = addition((a, b) => a - b);

function zap(c: SlowContext): void {
  const both = operands(c);
  if (!both) return;
  const value = unpackNumber(both[1].bytes);
  if (value === undefined) dataException(c);
  else finish(c, both[0], value);
}

function cp(c: SlowContext): void {
  const second = operand(c, c.baseDisplacement(32), c.field(12, 4) + 1);
  const length = c.field(8, 4) + 1;
  const first = second && c.ofFirst(() => operand(c, c.baseDisplacement(16), length));
  if (!first) return;
  const a = unpackNumber(first.bytes);
  const b = unpackNumber(second.bytes);
  if (a === undefined || b === undefined) dataException(c);
  else c.cc = a === b ? 0 : a < b ? 1 : 2;
}

/** The second operand of MP and DP has at most 8 bytes and is the shorter one. */
function lengthsRefused(c: SlowContext): boolean {
  const [length1, length2] = [c.field(8, 4), c.field(12, 4)];
  const bad = length2 >= SHORT_OPERAND || length2 >= length1;
  return bad && c.program(ProgramCode.specification);
}

/** The sign follows the rules of algebra, also of a product that is zero. */
function mp(c: SlowContext): void {
  if (lengthsRefused(c)) return;
  const both = operands(c);
  if (!both) return;
  const [first, second] = both;
  const a = unpackNumber(first.bytes);
  const b = unpackNumber(second.bytes);
  const room = first.bytes.subarray(0, second.bytes.length).every((byte) => byte === 0);
  if (a === undefined || b === undefined || !room) {
    dataException(c);
    return;
  }
  const negative = isNegative(first.bytes) !== isNegative(second.bytes);
  c.write(first.address, packNumber(magnitude(a * b), first.bytes.length, negative));
}

/** Quotient on the left, remainder with the dividend's sign on the right. */
function dp(c: SlowContext): void {
  if (lengthsRefused(c)) return;
  const both = operands(c);
  if (!both) return;
  const [first, second] = both;
  const a = unpackNumber(first.bytes);
  const b = unpackNumber(second.bytes);
  if (a === undefined || b === undefined) {
    dataException(c);
    return;
  }
  const size = second.bytes.length;
  const quotientSize = first.bytes.length - size;
  const quotient = b === 0n ? -1n : magnitude(a) / magnitude(b);
  if (quotient < 0n || quotient >= 10n ** BigInt(quotientSize * 2 - 1)) {
    c.program(ProgramCode.decimalDivide);
    return;
  }
  const dividendNegative = isNegative(first.bytes);
  const result = new Uint8Array(first.bytes.length);
  result.set(packNumber(quotient, quotientSize, dividendNegative !== isNegative(second.bytes)));
  const rest = magnitude(a) % magnitude(b);
  result.set(packNumber(rest, size, dividendNegative), quotientSize);
  c.write(first.address, result);
}

/** SHIFT AND ROUND DECIMAL: bits 58-63 of the second address are a signed number of digits. */
function srp(c: SlowContext): void {
  const shift = (Number(c.baseDisplacement(32) & 63n) << 26) >> 26;
  const rounding = c.field(12, 4);
  const first = target(c, c.field(8, 4) + 1);
  if (!first) return;
  const value = unpackNumber(first.bytes);
  if (value === undefined || rounding > 9) {
    dataException(c);
    return;
  }
  let shifted = magnitude(value);
  if (shift >= 0) shifted *= 10n ** BigInt(shift);
  else {
    const beyond = shifted / 10n ** BigInt(-shift - 1);
    shifted = (beyond + BigInt(rounding)) / 10n;
  }
  finish(c, first, value < 0n ? -shifted : shifted);
}

// Editing

const DIGIT_SELECTOR = 0x20;
const SIGNIFICANCE_STARTER = 0x21;
const FIELD_SEPARATOR = 0x22;

/** The source digits of an edit, fetched as they are needed. */
class Source {
  readonly #c: SlowContext;
  #address: bigint;
  /** Right digit of the byte fetched last, or -1. */
  #right = -1;
  /** The digit just taken stands beside a plus sign. */
  plus = false;

  constructor(c: SlowContext) {
    this.#c = c;
    this.#address = c.baseDisplacement(32);
  }

  /** The next digit; -1 with an exception recorded. */
  digit(): number {
    this.plus = false;
    if (this.#right >= 0) {
      const digit = this.#right;
      this.#right = -1;
      return digit;
    }
    const host = this.#c.fetchByte(this.#address);
    if (host < 0) return -1;
    this.#address = (this.#address + 1n) & this.#c.addressMask;
    const byte = this.#c.bytes[host] as number;
    const left = byte >> 4;
    const right = byte & 15;
    if (left > 9) {
      dataException(this.#c);
      return -1;
    }
    if (right <= 9) this.#right = right;
    else this.plus = right !== 0xb && right !== 0xd;
    return left;
  }
}

function edit(marks: boolean): SlowInstruction {
  return (c) => {
    const pattern = target(c, c.field(8, 8) + 1);
    if (!pattern) return;
    const source = new Source(c);
    const result = Uint8Array.from(pattern.bytes);
    const fill = pattern.bytes[0] as number;
    let significant = false;
    let nonzero = false;
    let mark: bigint | undefined;
    for (let i = 0; i < result.length; i++) {
      const byte = pattern.bytes[i] as number;
      if (byte === DIGIT_SELECTOR || byte === SIGNIFICANCE_STARTER) {
        const digit = source.digit();
        if (digit < 0) return;
        if (!significant && digit !== 0) mark = (pattern.address + BigInt(i)) & c.addressMask;
        result[i] = significant || digit !== 0 ? 0xf0 | digit : fill;
        if (digit !== 0) nonzero = true;
        significant ||= digit !== 0 || byte === SIGNIFICANCE_STARTER;
        if (source.plus) significant = false;
      } else if (byte === FIELD_SEPARATOR) {
        result[i] = fill;
        significant = false;
        nonzero = false;
      } else if (!significant) {
        result[i] = fill;
      }
    }
    if (!c.write(pattern.address, result)) return;
    if (marks && mark !== undefined) c.updateAddress(1, mark);
    c.cc = !nonzero ? 0 : significant ? 1 : 2;
  };
}

// Testing, and packing of ASCII and Unicode digits

/** TEST DECIMAL: condition code bit 1 = a digit is invalid, bit 0 = the sign is. */
function tp(c: SlowContext): void {
  const bytes = c.read(c.baseDisplacement(16), c.field(8, 4) + 1);
  if (!bytes) return;
  const last = bytes.length - 1;
  const digits = bytes.every((byte, i) => byte >> 4 <= 9 && (i === last || (byte & 15) <= 9));
  const sign = ((bytes[last] as number) & 15) > 9;
  c.cc = (digits ? 0 : 2) | (sign ? 0 : 1);
}

const PACKED_BYTES = 16;

/** Bytes of up to 32 characters, or undefined with a specification exception recorded. */
function charactersLength(c: SlowContext, width: 1 | 2): number | undefined {
  const length = c.field(8, 8) + 1;
  if (length <= 32 * width && length % width === 0) return length;
  c.program(ProgramCode.specification);
  return undefined;
}

/** PACK ASCII, PACK UNICODE: the right digits of up to 32 characters, always plus. */
function packCharacters(width: 1 | 2): SlowInstruction {
  return (c) => {
    const length = charactersLength(c, width);
    if (length === undefined) return;
    const source = c.read(c.baseDisplacement(32), length);
    if (!source) return;
    const result = new Uint8Array(PACKED_BYTES);
    result[PACKED_BYTES - 1] = 0x0c;
    for (let n = 1; n * width <= length && n < 32; n++) {
      const digit = (source[length - 1 - (n - 1) * width] as number) & 15;
      const index = PACKED_BYTES - 1 - (n >> 1);
      result[index] = (result[index] as number) | ((n & 1) === 1 ? digit << 4 : digit);
    }
    c.write(c.baseDisplacement(16), result);
  };
}

/** UNPACK ASCII, UNPACK UNICODE: condition code by the sign, which the result does not have. */
function unpackCharacters(width: 1 | 2): SlowInstruction {
  return (c) => {
    const length = charactersLength(c, width);
    if (length === undefined) return;
    const source = c.read(c.baseDisplacement(32), PACKED_BYTES);
    if (!source) return;
    const result = new Uint8Array(length);
    for (let n = 1; n * width <= length; n++) {
      const byte = n < 32 ? (source[PACKED_BYTES - 1 - (n >> 1)] as number) : 0;
      result[length - 1 - (n - 1) * width] = 0x30 | ((n & 1) === 1 ? byte >> 4 : byte & 15);
    }
    if (!c.write(c.baseDisplacement(16), result)) return;
    const sign = (source[PACKED_BYTES - 1] as number) & 15;
    c.cc = sign <= 9 ? 3 : isNegative(source) ? 1 : 0;
  };
}

export const packedRows: readonly (readonly [number, string, SlowInstruction])[] = [
  [0xf0, "SRP", srp],
  [0xf8, "ZAP", zap],
  [0xf9, "CP", cp],
  [0xfa, "AP", ap],
  [0xfb, "SP", sp],
  [0xfc, "MP", mp],
  [0xfd, "DP", dp],
  [0xde, "ED", edit(false)],
  [0xdf, "EDMK", edit(true)],
  [0xebc0, "TP", tp],
  [0xe9, "PKA", packCharacters(1)],
  [0xe1, "PKU", packCharacters(2)],
  [0xea, "UNPKA", unpackCharacters(1)],
  [0xe2, "UNPKU", unpackCharacters(2)],
];
