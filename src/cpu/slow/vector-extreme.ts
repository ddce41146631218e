/**
 * Which of two numbers VECTOR FP MAXIMUM and MINIMUM choose. The five sets of rules differ in NaNs and in zeros of opposite
 * signs. Source: SA22-7832-11 chapter 24 (result figures); QEMU 7.2 agrees.
 */
import { compare, nanResult } from "./bfp-arithmetic.ts";
import {
  type BfpFormat,
  Ieee,
  type IeeeOutcome,
  isNan,
  Kind,
  quieted,
  unpack,
} from "./bfp-number.ts";

/** M6: IEEE 754 maxNum, Java's Math.max, the macro a > b ? a : b, C++'s std::max, C's fmax. */
const IEEE = 0;
const JAVA = 1;
const MACRO = 2;
export const FMAX = 4;

export interface Choice {
  readonly a: bigint;
  readonly b: bigint;
  readonly format: BfpFormat;
  readonly most: boolean;
  readonly rules: number;
  readonly magnitudes: boolean;
}

export function chooseExtreme(choice: Choice, outcome: IeeeOutcome): bigint {
  const { format, rules, magnitudes } = choice;
  if (rules === IEEE) return chooseIeee(choice, outcome);
  const sign = 1n << (format.bits - 1n);
  const a = magnitudes ? choice.a & ~sign : choice.a;
  const b = magnitudes ? choice.b & ~sign : choice.b;
  return choose({ ...choice, a, b }, outcome);
}

/** A quiet NaN gives way to a number; magnitudes decide first, then signs. */
function chooseIeee({ a, b, format, most, magnitudes }: Choice, outcome: IeeeOutcome): bigint {
  const [x, y] = [unpack(a, format), unpack(b, format)];
  if (isNan(x) || isNan(y)) {
    const signaling = x.kind === Kind.signaling || y.kind === Kind.signaling;
    if (!signaling && !(isNan(x) && isNan(y))) return isNan(x) ? b : a;
    return nanResult([x, y], format, format, outcome) ?? a;
  }
  const size = magnitudes ? compare({ ...x, sign: false }, { ...y, sign: false }) : 0;
  const order = size !== 0 ? size : compareSigned(a, b, format);
  return (order === 2) === most ? a : b;
}

/** As a comparison, but minus zero is less than plus zero. 0 equal, 1 low, 2 high. */
function compareSigned(a: bigint, b: bigint, format: BfpFormat): number {
  const [x, y] = [unpack(a, format), unpack(b, format)];
  if (x.kind !== Kind.zero || y.kind !== Kind.zero) return compare(x, y);
  return x.sign === y.sign ? 0 : x.sign ? 1 : 2;
}

function choose({ a, b, format, most, rules }: Choice, outcome: IeeeOutcome): bigint {
  const [x, y] = [unpack(a, format), unpack(b, format)];
  if (isNan(x) || isNan(y)) {
    const compares = rules !== JAVA && rules !== FMAX;
    if (compares || x.kind === Kind.signaling || y.kind === Kind.signaling) {
      outcome.raise(Ieee.invalid);
    }
    if (rules === JAVA) {
      if (x.kind === Kind.signaling) return quieted(x, format, format);
      if (y.kind === Kind.signaling) return quieted(y, format, format);
      return isNan(x) ? a : b;
    }
    if (rules === FMAX) return isNan(y) ? a : b;
    return rules === MACRO ? b : a;
  }
  if (x.kind === Kind.zero && y.kind === Kind.zero) {
    if (rules === JAVA || rules === FMAX) return x.sign === most ? b : a;
    return rules === MACRO ? b : a;
  }
  return (compare(x, y) === 2) === most ? a : b;
}
