/**
 * Binary floating-point data in BigInt arithmetic: the three formats, unpacking, NaNs, and rounding with its
 * exceptions. Sources: SA22-7832 chapter 9 (formats, rounding, IEEE exceptions); IEEE 754-2008.
 */

export interface BfpFormat {
  readonly bytes: 4 | 8 | 16;
  readonly bits: bigint;
  /** Bits of the fraction field. */
  readonly fractionBits: number;
  /** Largest exponent of a number 1.f x 2^e; also the bias. */
  readonly maxExponent: number;
  /** Exponent adjustment of results that a trap delivers. */
  readonly scale: number;
}

export const SHORT: BfpFormat = {
  bytes: 4,
  bits: 32n,
  fractionBits: 23,
  maxExponent: 127,
  scale: 192,
};
export const LONG: BfpFormat = {
  bytes: 8,
  bits: 64n,
  fractionBits: 52,
  maxExponent: 1023,
  scale: 1536,
};
export const EXTENDED: BfpFormat = {
  bytes: 16,
  bits: 128n,
  fractionBits: 112,
  maxExponent: 16383,
  scale: 24576,
};

export const Kind = { zero: 0, finite: 1, infinity: 2, quiet: 3, signaling: 4 } as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

/** Value of a finite number: significand x 2^exponent. Of a NaN, `significand` is its fraction field. */
export interface Bfp {
  readonly kind: Kind;
  readonly sign: boolean;
  readonly significand: bigint;
  readonly exponent: number;
}

export function zero(sign: boolean): Bfp {
  return { kind: Kind.zero, sign, significand: 0n, exponent: 0 };
}

export function infinity(sign: boolean): Bfp {
  return { kind: Kind.infinity, sign, significand: 0n, exponent: 0 };
}

export function finite(sign: boolean, significand: bigint, exponent: number): Bfp {
  if (significand === 0n) return zero(sign);
  return { kind: Kind.finite, sign, significand, exponent };
}

export function isNan(value: Bfp): boolean {
  return value.kind >= Kind.quiet;
}

export function negated(value: Bfp): Bfp {
  return { ...value, sign: !value.sign };
}

function quietBit(format: BfpFormat): bigint {
  return 1n << BigInt(format.fractionBits - 1);
}

export function unpack(bits: bigint, format: BfpFormat): Bfp {
  const width = BigInt(format.fractionBits);
  const sign = bits >> (format.bits - 1n) !== 0n;
  const fraction = bits & ((1n << width) - 1n);
  const biased = Number((bits >> width) & BigInt(2 * format.maxExponent + 1));
  const lowest = 1 - format.maxExponent - format.fractionBits;
  if (biased === 0) return finite(sign, fraction, lowest);
  if (biased <= 2 * format.maxExponent) {
    return finite(sign, fraction | (1n << width), lowest + biased - 1);
  }
  if (fraction === 0n) return infinity(sign);
  const kind = (fraction & quietBit(format)) === 0n ? Kind.signaling : Kind.quiet;
  return { kind, sign, significand: fraction, exponent: 0 };
}

/** Whether the bits are a subnormal number. */
function isSubnormal(bits: bigint, format: BfpFormat): boolean {
  const width = BigInt(format.fractionBits);
  const biased = (bits >> width) & BigInt(2 * format.maxExponent + 1);
  return biased === 0n && (bits & ((1n << width) - 1n)) !== 0n;
}

/** Position of a number's class, counted from 0, in masks of TEST DATA CLASS: bit 0 of 12 is plus zero, bit 1 minus zero. */
export function dataClass(bits: bigint, format: BfpFormat): number {
  const { kind, sign } = unpack(bits, format);
  const classes = [0, isSubnormal(bits, format) ? 2 : 1, 3, 4, 5];
  return 2 * (classes[kind] as number) + (sign ? 1 : 0);
}

function assemble(sign: boolean, biased: number, fraction: bigint, format: BfpFormat): bigint {
  const magnitude = (BigInt(biased) << BigInt(format.fractionBits)) | fraction;
  return sign ? magnitude | (1n << (format.bits - 1n)) : magnitude;
}

function infinityBits(sign: boolean, format: BfpFormat): bigint {
  return assemble(sign, 2 * format.maxExponent + 1, 0n, format);
}

export function defaultNan(format: BfpFormat): bigint {
  return assemble(false, 2 * format.maxExponent + 1, quietBit(format), format);
}

/** A NaN made quiet and brought from one format to another: bits leave or enter at the right. */
export function quieted(nan: Bfp, from: BfpFormat, to: BfpFormat): bigint {
  const shift = to.fractionBits - from.fractionBits;
  const fraction =
    shift >= 0 ? nan.significand << BigInt(shift) : nan.significand >> BigInt(-shift);
  return assemble(nan.sign, 2 * to.maxExponent + 1, fraction | quietBit(to), to);
}

/** Rounding methods by the number that the M3 field of an instruction gives them. */
export const Rounding = {
  tiesAway: 1,
  shorterPrecision: 3,
  tiesToEven: 4,
  towardZero: 5,
  up: 6,
  down: 7,
} as const;
export type Rounding = (typeof Rounding)[keyof typeof Rounding];

/** Rounding method of the FPC's BFP rounding mode (bits 29-31). */
export function roundingOfMode(mode: number): Rounding {
  switch (mode & 7) {
    case 1:
      return Rounding.towardZero;
    case 2:
      return Rounding.up;
    case 3:
      return Rounding.down;
    case 7:
      return Rounding.shorterPrecision;
    default:
      return Rounding.tiesToEven;
  }
}

/** IEEE exceptions as the FPC has them: masks in its byte 0, flags in byte 1, same order. */
export const Ieee = {
  invalid: 0x80,
  divideByZero: 0x40,
  overflow: 0x20,
  underflow: 0x10,
  inexact: 0x08,
} as const;

/** Data-exception codes of inexact results: truncated, or incremented in magnitude. */
const DXC_INCREMENTED = 0x04;

/**
 * What an operation raises. `masks` is byte 0 of the FPC: an exception whose mask is one sets no flag but
 * ends with a data exception, before (`suppressed`) or after the result is stored.
 */
export class IeeeOutcome {
  readonly masks: number;
  readonly rounding: Rounding;
  flags = 0;
  dxc = 0;
  suppressed = false;

  constructor(masks: number, rounding: Rounding) {
    this.masks = masks;
    this.rounding = rounding;
  }

  /** Invalid operation or division by zero. */
  raise(exception: typeof Ieee.invalid | typeof Ieee.divideByZero): void {
    if ((this.masks & exception) === 0) {
      this.flags |= exception;
      return;
    }
    this.dxc = exception;
    this.suppressed = true;
  }

  inexact(incremented: boolean): void {
    if ((this.masks & Ieee.inexact) === 0) this.flags |= Ieee.inexact;
    else if (this.dxc === 0) this.dxc = Ieee.inexact | (incremented ? DXC_INCREMENTED : 0);
  }

  /** Overflow or underflow that a trap delivers, with how the result was rounded. */
  trap(
    exception: typeof Ieee.overflow | typeof Ieee.underflow,
    exact: boolean,
    incremented: boolean,
  ): void {
    const rounded = exact ? 0 : Ieee.inexact | (incremented ? DXC_INCREMENTED : 0);
    this.dxc = exception | rounded;
  }
}

export function bitLength(value: bigint): number {
  return value.toString(2).length;
}

/** A significand cut off after some bits, and what became of the rest. */
interface Cut {
  readonly kept: bigint;
  readonly exact: boolean;
  readonly incremented: boolean;
}

/** Rounds significand / 2^drop to an integer; `sticky`: the true value lies a little above. */
export function roundOff(
  significand: bigint,
  drop: number,
  sticky: boolean,
  sign: boolean,
  rounding: Rounding,
): Cut {
  if (drop <= 0 && !sticky) {
    return { kept: significand << BigInt(-drop), exact: true, incremented: false };
  }
  // Two bits stand for what is dropped: half, and less than half.
  const shift = BigInt(drop);
  const kept = significand >> shift;
  const rest = significand - (kept << shift);
  const half = drop > 0 ? 1n << (shift - 1n) : 1n;
  const exact = rest === 0n && !sticky;
  const above = rest > half || (rest === half && sticky);
  const tie = rest === half && !sticky;
  const odd = (kept & 1n) === 1n;
  let incremented = false;
  if (!exact) {
    switch (rounding) {
      case Rounding.tiesToEven:
        incremented = above || (tie && odd);
        break;
      case Rounding.tiesAway:
        incremented = above || tie;
        break;
      case Rounding.up:
        incremented = !sign;
        break;
      case Rounding.down:
        incremented = sign;
        break;
      case Rounding.shorterPrecision:
        incremented = !odd;
        break;
      case Rounding.towardZero:
        break;
    }
  }
  return { kept: incremented ? kept + 1n : kept, exact, incremented };
}

/** What a rounded result is for: LOAD ROUNDED delivers trapped results in the format of its source. */
export interface RoundTarget {
  readonly format: BfpFormat;
  readonly wide?: BfpFormat;
  /** Inexact results raise nothing (M4 bit 1). */
  readonly quiet?: boolean;
}

/**
 * The bits of a finite number in a format, with the exceptions raised in `outcome`. `sticky`: the magnitude
 * is a little larger than `value` says; the significand must then have more bits than the format.
 */
export function pack(
  value: Bfp,
  sticky: boolean,
  target: RoundTarget,
  outcome: IeeeOutcome,
): bigint {
  const { format } = target;
  if (value.kind === Kind.infinity) return infinityBits(value.sign, format);
  if (value.kind === Kind.zero) return assemble(value.sign, 0, 0n, format);
  const { sign, significand, exponent } = value;
  const { rounding, masks } = outcome;
  const precision = format.fractionBits + 1;
  const minExponent = 1 - format.maxExponent;
  const top = exponent + bitLength(significand) - 1;
  const tiny = top < minExponent;
  const underflowTrap = tiny && (masks & Ieee.underflow) !== 0;
  // Exponent of the result's last bit
  let last = tiny && !underflowTrap ? minExponent - precision + 1 : top - precision + 1;
  const cut = roundOff(significand, last - exponent, sticky, sign, rounding);
  let { kept } = cut;
  if (bitLength(kept) > precision) {
    kept >>= 1n;
    last++;
  }
  const raised = last + precision - 1;
  if (underflowTrap) {
    outcome.trap(Ieee.underflow, cut.exact, cut.incremented);
    return trapped(sign, kept, last, format.scale, target);
  }
  if (raised > format.maxExponent) {
    if ((masks & Ieee.overflow) !== 0) {
      outcome.trap(Ieee.overflow, cut.exact, cut.incremented);
      return trapped(sign, kept, last, -format.scale, target);
    }
    outcome.flags |= Ieee.overflow;
    return overflowed(sign, target, outcome);
  }
  if (!cut.exact) {
    if (tiny) outcome.flags |= Ieee.underflow;
    if (target.quiet !== true) outcome.inexact(cut.incremented);
  }
  return normalForm(sign, kept, last, format);
}

/** Bits of kept x 2^last, which the format can hold exactly. */
function normalForm(sign: boolean, kept: bigint, last: number, format: BfpFormat): bigint {
  const hidden = 1n << BigInt(format.fractionBits);
  if (kept < hidden) return assemble(sign, 0, kept, format);
  const biased = last + format.fractionBits + format.maxExponent;
  return assemble(sign, biased, kept - hidden, format);
}

/** Overflow without a trap: infinity or the largest number, as the rounding method says. */
function overflowed(sign: boolean, target: RoundTarget, outcome: IeeeOutcome): bigint {
  const { rounding } = outcome;
  const toLargest =
    rounding === Rounding.towardZero ||
    rounding === Rounding.shorterPrecision ||
    rounding === (sign ? Rounding.up : Rounding.down);
  if (target.quiet !== true) outcome.inexact(!toLargest);
  const bits = infinityBits(sign, target.format);
  return toLargest ? bits - 1n : bits;
}

function trapped(
  sign: boolean,
  kept: bigint,
  last: number,
  scale: number,
  target: RoundTarget,
): bigint {
  const { format, wide } = target;
  if (wide === undefined) return normalForm(sign, kept, last + scale, format);
  const widened = wide.fractionBits - format.fractionBits;
  const silent = new IeeeOutcome(0, Rounding.tiesToEven);
  // A source that is itself subnormal has fewer bits than its format.
  return pack(
    finite(sign, kept << BigInt(widened), last - widened),
    false,
    { format: wide },
    silent,
  );
}
