/**
 * Vector floating-point instructions of facility 129: the long format, and its conversions. An IEEE exception whose mask is
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
  Ieee,
  IeeeOutcome,
  isNan,
  isSubnormal,
  Kind,
  LONG,
  type Rounding,
  roundingOfMode,
  SHORT,
  unpack,
} from "./bfp-number.ts";
import type { SlowContext, SlowInstruction } from "./context.ts";
import {
  ccOfAll,
  DOUBLEWORDS,
  elementsOf,
  resultElements,
  setElement,
  specification,
  vectorInstruction,
  WORDS,
} from "./vector-registers.ts";

const SIGN = 1n << 63n;
const SINGLE_ELEMENT = 8;
const INEXACT_SUPPRESSED = 4;
const SETS_CC = 1;
/** Highest rounding method. */
const METHOD_MAX = 7;

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
  single: boolean,
  each: Compute,
  rounding?: Rounding,
): bigint[] | undefined {
  const fpc = c.state.i32(Cpu.fpc);
  const results = [0n, 0n];
  let flags = 0;
  for (let n = 0; n < (single ? 1 : 2); n++) {
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

function longs(c: SlowContext, field: 12 | 16 | 32): Bfp[] {
  return elementsOf(c, field, DOUBLEWORDS).map((bits) => unpack(bits, LONG));
}

/** VRR-c: M4 the format, M5 the single-element control. */
function binary(operation: (a: Bfp, b: Bfp, outcome: IeeeOutcome) => bigint): SlowInstruction {
  return (c) => {
    const flags = c.field(28, 4);
    if (c.field(32, 4) !== DOUBLEWORDS || (flags & ~SINGLE_ELEMENT) !== 0) return specification(c);
    const [a, b] = [longs(c, 12), longs(c, 16)];
    const results = compute(c, flags !== 0, (n, outcome) =>
      operation(a[n] as Bfp, b[n] as Bfp, outcome),
    );
    if (results !== undefined) resultElements(c, results, DOUBLEWORDS);
  };
}

/** VRR-e: M6 the format, M5 the single-element control. */
function multiplyAdd(subtracts: boolean): SlowInstruction {
  return (c) => {
    const flags = c.field(28, 4);
    if (c.field(20, 4) !== DOUBLEWORDS || (flags & ~SINGLE_ELEMENT) !== 0) return specification(c);
    const [a, b, addend] = [longs(c, 12), longs(c, 16), longs(c, 32)];
    const results = compute(c, flags !== 0, (n, outcome) =>
      arithmetic.multiplyAdd(a[n] as Bfp, b[n] as Bfp, addend[n] as Bfp, subtracts, LONG, outcome),
    );
    if (results !== undefined) resultElements(c, results, DOUBLEWORDS);
  };
}

function squareRoot(c: SlowContext): void {
  const flags = c.field(28, 4);
  if (c.field(32, 4) !== DOUBLEWORDS || (flags & ~SINGLE_ELEMENT) !== 0) return specification(c);
  const a = longs(c, 12);
  const results = compute(c, flags !== 0, (n, outcome) =>
    arithmetic.squareRoot(a[n] as Bfp, LONG, outcome),
  );
  if (results !== undefined) resultElements(c, results, DOUBLEWORDS);
}

/** VRR-a: M3 the format, M4 single element and no inexact exception, M5 the rounding method. */
function converting(
  change: (element: bigint, quiet: boolean, outcome: IeeeOutcome) => bigint,
  finish: (c: SlowContext, results: bigint[]) => void = (c, results) =>
    resultElements(c, results, DOUBLEWORDS),
): SlowInstruction {
  return (c) => {
    const flags = c.field(28, 4);
    const method = c.field(24, 4);
    const known = SINGLE_ELEMENT | INEXACT_SUPPRESSED;
    const refused = (flags & ~known) !== 0 || method === 2 || method > METHOD_MAX;
    if (c.field(32, 4) !== DOUBLEWORDS || refused) return specification(c);
    const elements = elementsOf(c, 12, DOUBLEWORDS);
    const results = compute(
      c,
      (flags & SINGLE_ELEMENT) !== 0,
      (n, outcome) => change(elements[n] as bigint, (flags & INEXACT_SUPPRESSED) !== 0, outcome),
      method === 0 ? undefined : (method as Rounding),
    );
    if (results !== undefined) finish(c, results);
  };
}

function toFixed(signed: boolean): SlowInstruction {
  const type = { bits: 64, signed } as const;
  return converting(
    (element, quiet, outcome) =>
      convert.toInteger(unpack(element, LONG), type, quiet, outcome).value,
  );
}

function fromFixed(signed: boolean): SlowInstruction {
  return converting((element, quiet, outcome) =>
    convert.fromInteger(signed ? BigInt.asIntN(64, element) : element, LONG, quiet, outcome),
  );
}

const loadIntegral = converting((element, quiet, outcome) =>
  convert.toIntegral(unpack(element, LONG), LONG, quiet, outcome),
);

/** Long to short, into the left word of each doubleword. */
const loadRounded = converting(
  // No wide result: a trap suppresses.
  (element, quiet, outcome) => convert.rounded(unpack(element, LONG), LONG, SHORT, quiet, outcome),
  (c, results) =>
    resultElements(
      c,
      results.flatMap((word) => [word, 0n]),
      WORDS,
    ),
);

function loadLengthened(c: SlowContext): void {
  const flags = c.field(28, 4);
  if (c.field(32, 4) !== WORDS || (flags & ~SINGLE_ELEMENT) !== 0) return specification(c);
  const words = elementsOf(c, 12, WORDS);
  const results = compute(c, flags !== 0, (n, outcome) =>
    convert.lengthened(unpack(words[2 * n] as bigint, SHORT), SHORT, LONG, outcome),
  );
  if (results !== undefined) resultElements(c, results, DOUBLEWORDS);
}

/** PERFORM SIGN OPERATION: M5 0 complement, 1 negative, 2 positive. */
function signOperation(c: SlowContext): void {
  const flags = c.field(28, 4);
  const change = c.field(24, 4);
  const refused = (flags & ~SINGLE_ELEMENT) !== 0 || change > 2;
  if (c.field(32, 4) !== DOUBLEWORDS || refused) return specification(c);
  const signed = elementsOf(c, 12, DOUBLEWORDS).map((bits) =>
    change === 0 ? bits ^ SIGN : change === 1 ? bits | SIGN : bits & ~SIGN,
  );
  if (flags === 0) resultElements(c, signed, DOUBLEWORDS);
  else setElement(c, DOUBLEWORDS, 0, signed[0] as bigint);
}

/** TEST DATA CLASS IMMEDIATE: as TEST DATA CLASS, for each element. */
function testDataClass(c: SlowContext): void {
  const flags = c.field(28, 4);
  if (c.field(32, 4) !== DOUBLEWORDS || (flags & ~SINGLE_ELEMENT) !== 0) return specification(c);
  const mask = c.field(16, 12);
  const matches = elementsOf(c, 12, DOUBLEWORDS).map((bits) => {
    const value = unpack(bits, LONG);
    const order = [0, isSubnormal(bits, LONG) ? 2 : 1, 3, 4, 5][value.kind] as number;
    return ((mask >> (11 - 2 * order - (value.sign ? 1 : 0))) & 1) !== 0;
  });
  const masks = matches.map((match) => (match ? -1n : 0n));
  if (flags === 0) resultElements(c, masks, DOUBLEWORDS);
  else setElement(c, DOUBLEWORDS, 0, masks[0] as bigint);
  c.cc = ccOfAll(flags === 0 ? matches : matches.slice(0, 1));
}

/** WFC and WFK: element 0 alone sets the condition code. */
function compareScalar(signals: boolean): SlowInstruction {
  return (c) => {
    if (c.field(32, 4) !== DOUBLEWORDS || c.field(28, 4) !== 0) return specification(c);
    const a = unpack(elementsOf(c, 8, DOUBLEWORDS)[0] as bigint, LONG);
    const b = unpack(elementsOf(c, 12, DOUBLEWORDS)[0] as bigint, LONG);
    const done = compute(c, true, (_, outcome) => {
      raiseForNans(a, b, signals, outcome);
      return 0n;
    });
    if (done !== undefined) c.cc = arithmetic.compare(a, b);
  };
}

function raiseForNans(a: Bfp, b: Bfp, signals: boolean, outcome: IeeeOutcome): void {
  const signaling = a.kind === Kind.signaling || b.kind === Kind.signaling;
  if (signaling || (signals && (isNan(a) || isNan(b)))) outcome.raise(Ieee.invalid);
}

/** VRR-c: M6 bit 3 sets the condition code. `holds` are the outcomes of a comparison that count. */
function compareEach(...holds: readonly number[]): SlowInstruction {
  return (c) => {
    const flags = c.field(28, 4);
    const control = c.field(24, 4);
    const refused = (flags & ~SINGLE_ELEMENT) !== 0 || (control & ~SETS_CC) !== 0;
    if (c.field(32, 4) !== DOUBLEWORDS || refused) return specification(c);
    const [a, b] = [longs(c, 12), longs(c, 16)];
    const results = compute(c, flags !== 0, (n, outcome) => {
      const [left, right] = [a[n] as Bfp, b[n] as Bfp];
      raiseForNans(left, right, false, outcome);
      return holds.includes(arithmetic.compare(left, right)) ? 1n : 0n;
    });
    if (results === undefined) return;
    const matches = results.map((match) => match !== 0n);
    const masks = matches.map((match) => (match ? -1n : 0n));
    resultElements(c, masks, DOUBLEWORDS);
    if (control !== 0) c.cc = ccOfAll(flags === 0 ? matches : matches.slice(0, 1));
  };
}

const EQUAL = 0;
const HIGH = 2;

const { add, subtract, multiply, divide } = arithmetic;

const rows: readonly (readonly [number, string, SlowInstruction])[] = [
  [0xe7e3, "VFA", binary((a, b, outcome) => add(a, b, LONG, outcome))],
  [0xe7e2, "VFS", binary((a, b, outcome) => subtract(a, b, LONG, outcome))],
  [0xe7e7, "VFM", binary((a, b, outcome) => multiply(a, b, LONG, LONG, outcome))],
  [0xe7e5, "VFD", binary((a, b, outcome) => divide(a, b, LONG, outcome))],
  [0xe78f, "VFMA", multiplyAdd(false)],
  [0xe78e, "VFMS", multiplyAdd(true)],
  [0xe7ce, "VFSQ", squareRoot],
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
