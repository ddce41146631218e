/**
 * Exact arithmetic on binary floating-point numbers, rounded once. NaN operands come first: a signaling one
 * before a quiet one, the first operand before the second; an invalid operation gives the default NaN.
 * Sources: SA22-7832 chapter 19 (result figures); order of NaNs of MULTIPLY AND ADD: as QEMU 10.2 has it.
 */
import {
  type Bfp,
  type BfpFormat,
  defaultNan,
  finite,
  Ieee,
  type IeeeOutcome,
  infinity,
  isNan,
  Kind,
  negated,
  pack,
  quieted,
  Rounding,
  zero,
} from "./bfp-number.ts";

/** Bits beyond the precision that a quotient or a root is computed to; the rest is sticky. */
const GUARD_BITS = 4;

/** Bits of the NaN that the operands call for, or undefined when none is a NaN. */
export function nanResult(
  operands: readonly Bfp[],
  from: BfpFormat,
  to: BfpFormat,
  outcome: IeeeOutcome,
): bigint | undefined {
  const signaling = operands.find((operand) => operand.kind === Kind.signaling);
  if (signaling !== undefined) outcome.raise(Ieee.invalid);
  const chosen = signaling ?? operands.find(isNan);
  return chosen === undefined ? undefined : quieted(chosen, from, to);
}

function invalid(format: BfpFormat, outcome: IeeeOutcome): bigint {
  outcome.raise(Ieee.invalid);
  return defaultNan(format);
}

/** Exact sum of numbers that are no NaNs and no infinities of opposite signs. */
function sum(a: Bfp, b: Bfp, outcome: IeeeOutcome): Bfp {
  if (a.kind === Kind.infinity) return a;
  if (b.kind === Kind.infinity) return b;
  if (a.kind === Kind.zero && b.kind === Kind.zero) {
    return a.sign === b.sign ? a : zero(outcome.rounding === Rounding.down);
  }
  if (a.kind === Kind.zero) return b;
  if (b.kind === Kind.zero) return a;
  const exponent = Math.min(a.exponent, b.exponent);
  const left = a.significand << BigInt(a.exponent - exponent);
  const right = b.significand << BigInt(b.exponent - exponent);
  const total = (a.sign ? -left : left) + (b.sign ? -right : right);
  if (total === 0n) return zero(outcome.rounding === Rounding.down);
  return total < 0n ? finite(true, -total, exponent) : finite(false, total, exponent);
}

function opposed(a: Bfp, b: Bfp): boolean {
  return a.kind === Kind.infinity && b.kind === Kind.infinity && a.sign !== b.sign;
}

/** An operation of two numbers in one format. */
export type Binary = (a: Bfp, b: Bfp, format: BfpFormat, outcome: IeeeOutcome) => bigint;

export function add(a: Bfp, b: Bfp, format: BfpFormat, outcome: IeeeOutcome): bigint {
  const nan = nanResult([a, b], format, format, outcome);
  if (nan !== undefined) return nan;
  if (opposed(a, b)) return invalid(format, outcome);
  return pack(sum(a, b, outcome), false, { format }, outcome);
}

export function subtract(a: Bfp, b: Bfp, format: BfpFormat, outcome: IeeeOutcome): bigint {
  return add(a, isNan(b) ? b : negated(b), format, outcome);
}

function product(a: Bfp, b: Bfp): Bfp {
  const sign = a.sign !== b.sign;
  if (a.kind === Kind.infinity || b.kind === Kind.infinity) return infinity(sign);
  return finite(sign, a.significand * b.significand, a.exponent + b.exponent);
}

function infinityTimesZero(a: Bfp, b: Bfp): boolean {
  return (
    (a.kind === Kind.infinity && b.kind === Kind.zero) ||
    (a.kind === Kind.zero && b.kind === Kind.infinity)
  );
}

/** @param from format of the operands, which may be shorter than the result's */
export function multiply(
  a: Bfp,
  b: Bfp,
  from: BfpFormat,
  format: BfpFormat,
  outcome: IeeeOutcome,
): bigint {
  const nan = nanResult([a, b], from, format, outcome);
  if (nan !== undefined) return nan;
  if (infinityTimesZero(a, b)) return invalid(format, outcome);
  return pack(product(a, b), false, { format }, outcome);
}

/** a x b in the operands' own format. */
export function times(a: Bfp, b: Bfp, format: BfpFormat, outcome: IeeeOutcome): bigint {
  return multiply(a, b, format, format, outcome);
}

/** a x b + c, or a x b - c, rounded once. */
export function multiplyAdd(
  a: Bfp,
  b: Bfp,
  c: Bfp,
  subtracts: boolean,
  format: BfpFormat,
  outcome: IeeeOutcome,
): bigint {
  const impossible = infinityTimesZero(a, b);
  if (impossible && c.kind !== Kind.signaling) return invalid(format, outcome);
  const nan = nanResult([a, b, c], format, format, outcome);
  if (nan !== undefined) return impossible ? defaultNan(format) : nan;
  const addend = subtracts ? negated(c) : c;
  const left = product(a, b);
  if (opposed(left, addend)) return invalid(format, outcome);
  return pack(sum(left, addend, outcome), false, { format }, outcome);
}

export function divide(a: Bfp, b: Bfp, format: BfpFormat, outcome: IeeeOutcome): bigint {
  const nan = nanResult([a, b], format, format, outcome);
  if (nan !== undefined) return nan;
  const sign = a.sign !== b.sign;
  const bothZero = a.kind === Kind.zero && b.kind === Kind.zero;
  const bothInfinite = a.kind === Kind.infinity && b.kind === Kind.infinity;
  if (bothZero || bothInfinite) return invalid(format, outcome);
  if (a.kind === Kind.infinity) return pack(infinity(sign), false, { format }, outcome);
  if (a.kind === Kind.zero || b.kind === Kind.infinity) {
    return pack(zero(sign), false, { format }, outcome);
  }
  if (b.kind === Kind.zero) {
    outcome.raise(Ieee.divideByZero);
    return pack(infinity(sign), false, { format }, outcome);
  }
  // Enough bits in front that the quotient has more than the precision.
  const shift = 2 * (format.fractionBits + 1) + GUARD_BITS;
  const dividend = a.significand << BigInt(shift);
  const quotient = dividend / b.significand;
  const sticky = quotient * b.significand !== dividend;
  const exponent = a.exponent - b.exponent - shift;
  return pack(finite(sign, quotient, exponent), sticky, { format }, outcome);
}

export function squareRoot(a: Bfp, format: BfpFormat, outcome: IeeeOutcome): bigint {
  const nan = nanResult([a], format, format, outcome);
  if (nan !== undefined) return nan;
  if (a.kind === Kind.zero) return pack(a, false, { format }, outcome);
  if (a.sign) return invalid(format, outcome);
  if (a.kind === Kind.infinity) return pack(a, false, { format }, outcome);
  let shift = 2 * (format.fractionBits + 1 + GUARD_BITS);
  if (((a.exponent - shift) & 1) !== 0) shift++;
  const radicand = a.significand << BigInt(shift);
  const root = integerRoot(radicand);
  const sticky = root * root !== radicand;
  return pack(finite(false, root, (a.exponent - shift) / 2), sticky, { format }, outcome);
}

/** Largest integer whose square is not larger (Newton's method from above). */
function integerRoot(value: bigint): bigint {
  let root = 1n << BigInt((value.toString(2).length + 1) >> 1);
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

/** What a comparison raises: invalid for a signaling NaN, or for any NaN when it `signals`. */
export function raiseForNans(a: Bfp, b: Bfp, signals: boolean, outcome: IeeeOutcome): void {
  const signaling = a.kind === Kind.signaling || b.kind === Kind.signaling;
  if (signaling || (signals && (isNan(a) || isNan(b)))) outcome.raise(Ieee.invalid);
}

/** Condition code of a comparison: equal, low, high, unordered. */
export function compare(a: Bfp, b: Bfp): 0 | 1 | 2 | 3 {
  if (isNan(a) || isNan(b)) return 3;
  const order = ordered(a, b);
  if (order === 0) return 0;
  return order < 0 ? 1 : 2;
}

function ordered(a: Bfp, b: Bfp): number {
  if (a.kind === Kind.zero && b.kind === Kind.zero) return 0;
  const signA = a.kind === Kind.zero ? 0 : a.sign ? -1 : 1;
  const signB = b.kind === Kind.zero ? 0 : b.sign ? -1 : 1;
  if (signA !== signB) return signA - signB;
  if (a.kind === Kind.infinity || b.kind === Kind.infinity) {
    if (a.kind === b.kind) return 0;
    return a.kind === Kind.infinity ? signA : -signA;
  }
  const exponent = Math.min(a.exponent, b.exponent);
  const left = a.significand << BigInt(a.exponent - exponent);
  const right = b.significand << BigInt(b.exponent - exponent);
  if (left === right) return 0;
  return left > right ? signA : -signA;
}
