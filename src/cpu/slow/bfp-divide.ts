/**
 * DIVIDE TO INTEGER: an integer quotient and the remainder that goes with it. A quotient that has more digits
 * than the format is truncated to as many as fit (the remainder is then incomplete, the program goes on with
 * it); one beyond the format's range is delivered scaled. Only the remainder can underflow or be inexact.
 * Source: SA22-7832 chapter 19 (condition codes, result figure); remainders are rounded by the FPC's mode.
 */
import { nanResult } from "./bfp-arithmetic.ts";
import {
  type Bfp,
  type BfpFormat,
  bitLength,
  defaultNan,
  finite,
  Ieee,
  IeeeOutcome,
  Kind,
  pack,
  Rounding,
  roundOff,
  zero,
} from "./bfp-number.ts";

export interface IntegerDivision {
  readonly quotient: bigint;
  readonly remainder: bigint;
  /** 0 complete, 2 incomplete remainder; 1 more: the quotient overflowed or is a NaN. */
  readonly cc: 0 | 1 | 2 | 3;
}

/** Extra digits in front of which a quotient is rounded. */
const GUARD_BITS = 2;

export function divideToInteger(
  a: Bfp,
  b: Bfp,
  format: BfpFormat,
  rounding: Rounding,
  outcome: IeeeOutcome,
): IntegerDivision {
  const nan = nanResult([a, b], format, format, outcome);
  if (nan !== undefined) return { quotient: nan, remainder: nan, cc: 1 };
  if (a.kind === Kind.infinity || b.kind === Kind.zero) {
    outcome.raise(Ieee.invalid);
    return { quotient: defaultNan(format), remainder: defaultNan(format), cc: 1 };
  }
  const sign = a.sign !== b.sign;
  if (a.kind === Kind.zero || b.kind === Kind.infinity) {
    const quotient = pack(zero(sign), false, { format }, outcome);
    return { quotient, remainder: pack(a, false, { format }, outcome), cc: 0 };
  }
  return ofNumbers(a, b, sign, format, rounding, outcome);
}

function ofNumbers(
  a: Bfp,
  b: Bfp,
  sign: boolean,
  format: BfpFormat,
  rounding: Rounding,
  outcome: IeeeOutcome,
): IntegerDivision {
  const unit = Math.min(a.exponent, b.exponent);
  const dividend = a.significand << BigInt(a.exponent - unit);
  const divisor = b.significand << BigInt(b.exponent - unit);
  const whole = dividend / divisor;
  const excess = bitLength(whole) - (format.fractionBits + 1);
  const wide = (dividend << BigInt(GUARD_BITS)) / divisor;
  const sticky = wide * divisor !== dividend << BigInt(GUARD_BITS);
  const integer =
    excess > 0
      ? (whole >> BigInt(excess)) << BigInt(excess)
      : roundOff(wide, GUARD_BITS, sticky, sign, rounding).kept;
  const rest = dividend - integer * divisor;
  const partial = excess > 0 && rest !== 0n;
  const signOfRest = rest === 0n || rest > 0n ? a.sign : !a.sign;
  const remainder = finite(signOfRest, rest < 0n ? -rest : rest, unit);
  const overflow = bitLength(integer) - 1 > format.maxExponent;
  const silent = new IeeeOutcome(0, Rounding.tiesToEven);
  const quotient = finite(sign, integer, overflow ? -format.scale : 0);
  return {
    quotient: pack(quotient, false, { format }, silent),
    remainder: pack(remainder, false, { format }, outcome),
    cc: partial ? (overflow ? 3 : 2) : overflow ? 1 : 0,
  };
}
