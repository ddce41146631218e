/**
 * Conversions between binary floating-point formats and integers, and rounding to an integer in the format.
 * Source: SA22-7832 chapter 19 (CONVERT FROM FIXED, CONVERT TO FIXED, LOAD FP INTEGER, LOAD LENGTHENED,
 * LOAD ROUNDED). Infinity or a number out of range is an invalid operation and inexact as well, a NaN is only
 * invalid; QEMU 7.2 agrees.
 */
import { nanResult } from "./bfp-arithmetic.ts";
import {
  type Bfp,
  type BfpFormat,
  finite,
  Ieee,
  type IeeeOutcome,
  isNan,
  Kind,
  pack,
  roundOff,
  zero,
} from "./bfp-number.ts";

export interface IntegerType {
  readonly bits: 32 | 64;
  readonly signed: boolean;
}

export function fromInteger(
  value: bigint,
  format: BfpFormat,
  quiet: boolean,
  outcome: IeeeOutcome,
): bigint {
  const number = finite(value < 0n, value < 0n ? -value : value, 0);
  return pack(number, false, { format, quiet }, outcome);
}

export interface ToInteger {
  readonly value: bigint;
  readonly cc: 0 | 1 | 2 | 3;
}

/** The integer as the register holds it, in the width of `type`. */
export function toInteger(
  a: Bfp,
  type: IntegerType,
  quiet: boolean,
  outcome: IeeeOutcome,
): ToInteger {
  const width = type.bits;
  const least = type.signed ? -(1n << BigInt(width - 1)) : 0n;
  const largest = (1n << BigInt(type.signed ? width - 1 : width)) - 1n;
  const special = (value: bigint): ToInteger => {
    outcome.raise(Ieee.invalid);
    return { value: BigInt.asUintN(width, value), cc: 3 };
  };
  const outOfRange = (): ToInteger => {
    const result = special(a.sign ? least : largest);
    if (!outcome.suppressed && !quiet) outcome.inexact(false);
    return result;
  };
  if (isNan(a)) return special(least);
  if (a.kind === Kind.infinity) return outOfRange();
  if (a.kind === Kind.zero) return { value: 0n, cc: 0 };
  const cut = roundOff(a.significand, -a.exponent, false, a.sign, outcome.rounding);
  const value = a.sign ? -cut.kept : cut.kept;
  if (value < least || value > largest) return outOfRange();
  if (!cut.exact && !quiet) outcome.inexact(cut.incremented);
  return { value: BigInt.asUintN(width, value), cc: a.sign ? 1 : 2 };
}

/** LOAD FP INTEGER. The sign stays, also of a result that is zero. */
export function toIntegral(
  a: Bfp,
  format: BfpFormat,
  quiet: boolean,
  outcome: IeeeOutcome,
): bigint {
  const nan = nanResult([a], format, format, outcome);
  if (nan !== undefined) return nan;
  if (a.kind !== Kind.finite || a.exponent >= 0) return pack(a, false, { format }, outcome);
  const cut = roundOff(a.significand, -a.exponent, false, a.sign, outcome.rounding);
  if (!cut.exact && !quiet) outcome.inexact(cut.incremented);
  const result = cut.kept === 0n ? zero(a.sign) : finite(a.sign, cut.kept, 0);
  return pack(result, false, { format }, outcome);
}

export function lengthened(a: Bfp, from: BfpFormat, to: BfpFormat, outcome: IeeeOutcome): bigint {
  return nanResult([a], from, to, outcome) ?? pack(a, false, { format: to }, outcome);
}

export function rounded(
  a: Bfp,
  from: BfpFormat,
  to: BfpFormat,
  quiet: boolean,
  outcome: IeeeOutcome,
): bigint {
  const nan = nanResult([a], from, to, outcome);
  return nan ?? pack(a, false, { format: to, wide: from, quiet }, outcome);
}
