/**
 * Vector floating-point instructions of facilities 129 (the long format, and its conversions) and 135 (short, extended). An IEEE exception whose mask is
 * one suppresses the whole instruction: a vector-processing exception names it and the element. With the
 * single-element control only element 0 counts; the others may become anything.
 * Source: SA22-7832-11 chapter 24.
 */
import { ProgramCode } from "../../abi/lowcore.ts";
import { Cpu } from "../state.ts";
import * as arithmetic from "./bfp-arithmetic.ts";
import * as convert from "./bfp-convert.ts";
import {
  type Bfp,
  type BfpFormat,
  dataClass,
  EXTENDED,
  Ieee,
  IeeeOutcome,
  isNan,
  LONG,
  Rounding,
  roundingOfMode,
  SHORT,
  unpack,
} from "./bfp-number.ts";
import type { SlowContext, SlowInstruction } from "./context.ts";
import { chooseExtreme, FMAX } from "./vector-extreme.ts";
import {
  ccOfAll,
  DOUBLEWORDS,
  elementsOf,
  FACILITY_ENHANCEMENTS,
  join,
  QUADWORDS,
  resultElements,
  setElement,
  specification,
  split,
  vectorInstruction,
  WORDS,
  withEnhancements,
} from "./vector-registers.ts";

const SINGLE_ELEMENT = 8;
const INEXACT_SUPPRESSED = 4;
/** M5 of the comparisons: quiet NaNs are invalid as well. */
const SIGNALING = 4;
const SETS_CC = 1;
/** Highest rounding method. */
const METHOD_MAX = 7;

/** Formats by element size; without the enhancements of z14 there is only the long one. */
const FORMATS: Readonly<Record<number, BfpFormat>> = {
  [WORDS]: SHORT,
  [DOUBLEWORDS]: LONG,
  [QUADWORDS]: EXTENDED,
};

/** Vector interruption codes of the IEEE exceptions, in their order. */
const INTERRUPTION_CODES = [
  [Ieee.invalid, 1],
  [Ieee.divideByZero, 2],
  [Ieee.overflow, 3],
  [Ieee.underflow, 4],
  [Ieee.inexact, 5],
] as const;

/** What an instruction makes of element `n`. */
type Compute = (n: number, outcome: IeeeOutcome) => bigint;

/**
 * Computes the elements; stores nothing when one of them ends with a vector-processing exception.
 * @returns them, or undefined with the exception recorded
 */
function compute(
  c: SlowContext,
  count: number,
  single: boolean,
  each: Compute,
  rounding?: Rounding,
): bigint[] | undefined {
  const fpc = c.state.i32(Cpu.fpc);
  const results = new Array<bigint>(count).fill(0n);
  let flags = 0;
  for (let n = 0; n < (single ? 1 : count); n++) {
    const outcome = new IeeeOutcome((fpc >>> 24) & 0xff, rounding ?? roundingOfMode(fpc));
    results[n] = each(n, outcome);
    const exception = INTERRUPTION_CODES.find(([bit]) => (outcome.dxc & bit) !== 0);
    if (exception !== undefined) {
      c.state.setI32(Cpu.dxc, (n << 4) | exception[1]);
      c.program(ProgramCode.vectorProcessing);
      return undefined;
    }
    flags |= outcome.flags;
  }
  c.state.setI32(Cpu.fpc, fpc | (flags << 16));
  return results;
}

interface Operation {
  readonly size: number;
  readonly format: BfpFormat;
  readonly count: number;
  readonly single: boolean;
  readonly flags: number;
}

/**
 * Format in the field at `sizeAt` and the flags in bits 28-31; undefined with the exception recorded.
 * @param known flags that the instruction has
 */
function operationOf(
  c: SlowContext,
  sizeAt: 20 | 32,
  known = SINGLE_ELEMENT,
): Operation | undefined {
  const size = c.field(sizeAt, 4);
  const flags = c.field(28, 4);
  const format = FORMATS[size];
  const there = size === DOUBLEWORDS || c.has(FACILITY_ENHANCEMENTS);
  if (format === undefined || !there || (flags & ~known) !== 0) {
    specification(c);
    return undefined;
  }
  const single = (flags & SINGLE_ELEMENT) !== 0;
  return { size, format, count: 16 >> size, single, flags };
}

function numbers(c: SlowContext, field: 8 | 12 | 16 | 32, operation: Operation): Bfp[] {
  return elementsOf(c, field, operation.size).map((bits) => unpack(bits, operation.format));
}

/** VRR-c: M4 the format, M5 the single-element control. */
function binary(combine: arithmetic.Binary): SlowInstruction {
  return (c) => {
    const operation = operationOf(c, 32);
    if (operation === undefined) return;
    const { size, format, count, single } = operation;
    const [a, b] = [numbers(c, 12, operation), numbers(c, 16, operation)];
    const results = compute(c, count, single, (n, outcome) =>
      combine(a[n] as Bfp, b[n] as Bfp, format, outcome),
    );
    if (results !== undefined) resultElements(c, results, size);
  };
}

/** Rounding of a number whose sign changes afterwards. */
function mirrored(rounding: Rounding): Rounding {
  if (rounding === Rounding.up) return Rounding.down;
  return rounding === Rounding.down ? Rounding.up : rounding;
}

/** -(a x b + c), or -(a x b - c): the sign changes before the one rounding, that of a NaN never. */
function negatedSum(
  a: Bfp,
  b: Bfp,
  c: Bfp,
  subtracts: boolean,
  format: BfpFormat,
  outcome: IeeeOutcome,
): bigint {
  const trial = new IeeeOutcome(0, outcome.rounding);
  let bits = arithmetic.multiplyAdd(a, b, c, subtracts, format, trial);
  if (isNan(unpack(bits, format))) {
    return arithmetic.multiplyAdd(a, b, c, subtracts, format, outcome);
  }
  // What is exact has no rounding, but a zero whose sign depends on it.
  const exact = (trial.flags & Ieee.inexact) === 0;
  const other = new IeeeOutcome(
    outcome.masks,
    exact ? outcome.rounding : mirrored(outcome.rounding),
  );
  bits = arithmetic.multiplyAdd(a, b, c, subtracts, format, other);
  outcome.flags |= other.flags;
  outcome.dxc = other.dxc;
  return bits ^ (1n << (format.bits - 1n));
}

/** VRR-e: M6 the format, M5 the single-element control. */
function multiplyAdd(subtracts: boolean, negates: boolean): SlowInstruction {
  const body: SlowInstruction = (c) => {
    const operation = operationOf(c, 20);
    if (operation === undefined) return;
    const { size, format, count, single } = operation;
    const [a, b, addend] = ([12, 16, 32] as const).map((field) => numbers(c, field, operation));
    if (a === undefined || b === undefined || addend === undefined) return;
    const sum = negates ? negatedSum : arithmetic.multiplyAdd;
    const results = compute(c, count, single, (n, outcome) =>
      sum(a[n] as Bfp, b[n] as Bfp, addend[n] as Bfp, subtracts, format, outcome),
    );
    if (results !== undefined) resultElements(c, results, size);
  };
  return negates ? withEnhancements(body) : body;
}

function squareRoot(c: SlowContext): void {
  const operation = operationOf(c, 32);
  if (operation === undefined) return;
  const { size, format, count, single } = operation;
  const a = numbers(c, 12, operation);
  const results = compute(c, count, single, (n, outcome) =>
    arithmetic.squareRoot(a[n] as Bfp, format, outcome),
  );
  if (results !== undefined) resultElements(c, results, size);
}

type Change = (element: bigint, format: BfpFormat, quiet: boolean, outcome: IeeeOutcome) => bigint;

/**
 * VRR-a: M3 the format, M4 single element and no inexact exception, M5 the rounding method.
 * @param takes whether the instruction has a format that there is
 */
function converting(
  change: Change,
  takes: (size: number) => boolean,
  deliver: (c: SlowContext, results: readonly bigint[], size: number) => void = resultElements,
): SlowInstruction {
  return (c) => {
    const operation = operationOf(c, 32, SINGLE_ELEMENT | INEXACT_SUPPRESSED);
    if (operation === undefined) return;
    const { size, format, count, single, flags } = operation;
    const method = c.field(24, 4);
    if (method === 2 || method > METHOD_MAX || !takes(size)) return specification(c);
    const quiet = (flags & INEXACT_SUPPRESSED) !== 0;
    const elements = elementsOf(c, 12, size);
    const results = compute(
      c,
      count,
      single,
      (n, outcome) => change(elements[n] as bigint, format, quiet, outcome),
      method === 0 ? undefined : (method as Rounding),
    );
    if (results !== undefined) deliver(c, results, size);
  };
}

const onlyLong = (size: number): boolean => size === DOUBLEWORDS;

function toFixed(signed: boolean): SlowInstruction {
  const type = { bits: 64, signed } as const;
  return converting(
    (element, format, quiet, outcome) =>
      convert.toInteger(unpack(element, format), type, quiet, outcome).value,
    onlyLong,
  );
}

function fromFixed(signed: boolean): SlowInstruction {
  return converting(
    (element, format, quiet, outcome) =>
      convert.fromInteger(signed ? BigInt.asIntN(64, element) : element, format, quiet, outcome),
    onlyLong,
  );
}

const loadIntegral = converting(
  (element, format, quiet, outcome) =>
    convert.toIntegral(unpack(element, format), format, quiet, outcome),
  () => true,
);

/** To half the size, into the left half of each element's place. */
const loadRounded = converting(
  (element, format, quiet, outcome) =>
    convert.rounded(
      unpack(element, format),
      format,
      format === LONG ? SHORT : LONG,
      quiet,
      outcome,
    ),
  (size) => size !== WORDS,
  (c, results, size) => {
    const halves = results.flatMap((half) => [half, 0n]);
    if (size === QUADWORDS) setElement(c, DOUBLEWORDS, 0, results[0] as bigint);
    else resultElements(c, halves, size - 1);
  },
);

/** Every second element becomes twice as long. */
function loadLengthened(c: SlowContext): void {
  const size = c.field(32, 4);
  const flags = c.field(28, 4);
  const there = size === WORDS || (size === DOUBLEWORDS && c.has(FACILITY_ENHANCEMENTS));
  if (!there || (flags & ~SINGLE_ELEMENT) !== 0) return specification(c);
  const [from, to] = size === WORDS ? [SHORT, LONG] : [LONG, EXTENDED];
  const elements = elementsOf(c, 12, size);
  const results = compute(c, 8 >> size, flags !== 0, (n, outcome) =>
    convert.lengthened(unpack(elements[2 * n] as bigint, from), from, to, outcome),
  );
  if (results !== undefined) resultElements(c, results, size + 1);
}

/** With the single-element control nothing but element 0 changes. */
function deliverSome(c: SlowContext, operation: Operation, elements: readonly bigint[]): void {
  if (operation.single) setElement(c, operation.size, 0, elements[0] as bigint);
  else resultElements(c, elements, operation.size);
}

/** PERFORM SIGN OPERATION: M5 0 complement, 1 negative, 2 positive. */
function signOperation(c: SlowContext): void {
  const operation = operationOf(c, 32);
  if (operation === undefined) return;
  const change = c.field(24, 4);
  if (change > 2) return specification(c);
  const sign = 1n << (operation.format.bits - 1n);
  const signed = elementsOf(c, 12, operation.size).map((bits) =>
    change === 0 ? bits ^ sign : change === 1 ? bits | sign : bits & ~sign,
  );
  // The word beside a short element 0 comes along.
  if (operation.single && operation.size === WORDS) {
    signed[1] = elementsOf(c, 12, WORDS)[1] as bigint;
    setElement(c, DOUBLEWORDS, 0, split(join(signed, WORDS), DOUBLEWORDS)[0] as bigint);
  } else deliverSome(c, operation, signed);
}

/** Matches as element masks, and their condition code. */
function masksOf(matches: readonly boolean[]): bigint[] {
  return matches.map((match) => (match ? -1n : 0n));
}

function ccOf(matches: readonly boolean[], single: boolean): 0 | 1 | 3 {
  return ccOfAll(single ? matches.slice(0, 1) : matches);
}

/** TEST DATA CLASS IMMEDIATE: as TEST DATA CLASS, for each element. */
function testDataClass(c: SlowContext): void {
  const operation = operationOf(c, 32);
  if (operation === undefined) return;
  const { size, format } = operation;
  const mask = c.field(16, 12);
  const matches = elementsOf(c, 12, size).map(
    (bits) => ((mask >> (11 - dataClass(bits, format))) & 1) !== 0,
  );
  deliverSome(c, operation, masksOf(matches));
  c.cc = ccOf(matches, operation.single);
}

/** WFC and WFK: element 0 alone sets the condition code. */
function compareScalar(signals: boolean): SlowInstruction {
  return (c) => {
    const operation = operationOf(c, 32, 0);
    if (operation === undefined) return;
    const a = numbers(c, 8, operation)[0] as Bfp;
    const b = numbers(c, 12, operation)[0] as Bfp;
    const done = compute(c, 1, true, (_, outcome) => {
      arithmetic.raiseForNans(a, b, signals, outcome);
      return 0n;
    });
    if (done !== undefined) c.cc = arithmetic.compare(a, b);
  };
}

/** VRR-c: M6 bit 3 sets the condition code. `holds` are the outcomes of a comparison that count. */
function compareEach(...holds: readonly number[]): SlowInstruction {
  return (c) => {
    const known = c.has(FACILITY_ENHANCEMENTS) ? SINGLE_ELEMENT | SIGNALING : SINGLE_ELEMENT;
    const operation = operationOf(c, 32, known);
    if (operation === undefined) return;
    const control = c.field(24, 4);
    if ((control & ~SETS_CC) !== 0) return specification(c);
    const { count, single, size, flags } = operation;
    const [a, b] = [numbers(c, 12, operation), numbers(c, 16, operation)];
    const results = compute(c, count, single, (n, outcome) => {
      const [left, right] = [a[n] as Bfp, b[n] as Bfp];
      arithmetic.raiseForNans(left, right, (flags & SIGNALING) !== 0, outcome);
      return holds.includes(arithmetic.compare(left, right)) ? 1n : 0n;
    });
    if (results === undefined) return;
    const matches = results.map((match) => match !== 0n);
    resultElements(c, masksOf(matches), size);
    if (control !== 0) c.cc = ccOf(matches, single);
  };
}

/** VFMIN, VFMAX: M6 names the rules for NaNs and zeros, bit 0 of it takes magnitudes. */
function extreme(most: boolean): SlowInstruction {
  return withEnhancements((c) => {
    const operation = operationOf(c, 32);
    if (operation === undefined) return;
    const rules = c.field(24, 4) & 7;
    if (rules > FMAX) return specification(c);
    const magnitudes = (c.field(24, 4) & 8) !== 0;
    const { size, format, count, single } = operation;
    const [a, b] = [elementsOf(c, 12, size), elementsOf(c, 16, size)];
    const results = compute(c, count, single, (n, outcome) =>
      chooseExtreme(
        { a: a[n] as bigint, b: b[n] as bigint, format, most, rules, magnitudes },
        outcome,
      ),
    );
    if (results !== undefined) resultElements(c, results, size);
  });
}

const EQUAL = 0;
const HIGH = 2;

const { add, subtract, times, divide } = arithmetic;

const rows: readonly (readonly [number, string, SlowInstruction])[] = [
  [0xe7e3, "VFA", binary(add)],
  [0xe7e2, "VFS", binary(subtract)],
  [0xe7e7, "VFM", binary(times)],
  [0xe7e5, "VFD", binary(divide)],
  [0xe78f, "VFMA", multiplyAdd(false, false)],
  [0xe78e, "VFMS", multiplyAdd(true, false)],
  [0xe79f, "VFNMA", multiplyAdd(false, true)],
  [0xe79e, "VFNMS", multiplyAdd(true, true)],
  [0xe7ce, "VFSQ", squareRoot],
  [0xe7ee, "VFMIN", extreme(false)],
  [0xe7ef, "VFMAX", extreme(true)],
  [0xe7c7, "VFI", loadIntegral],
  [0xe7c2, "VCGD", toFixed(true)],
  [0xe7c0, "VCLGD", toFixed(false)],
  [0xe7c3, "VCDG", fromFixed(true)],
  [0xe7c1, "VCDLG", fromFixed(false)],
  [0xe7c4, "VLDE", loadLengthened],
  [0xe7c5, "VLED", loadRounded],
  [0xe7cc, "VFPSO", signOperation],
  [0xe74a, "VFTCI", testDataClass],
  [0xe7cb, "WFC", compareScalar(false)],
  [0xe7ca, "WFK", compareScalar(true)],
  [0xe7e8, "VFCE", compareEach(EQUAL)],
  [0xe7eb, "VFCH", compareEach(HIGH)],
  [0xe7ea, "VFCHE", compareEach(EQUAL, HIGH)],
];

export const vectorFloatRows: typeof rows = rows.map(
  ([key, name, body]) => [key, name, vectorInstruction(body)] as const,
);
