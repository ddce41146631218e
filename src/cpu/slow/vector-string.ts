/**
 * Vector string instructions: searches within a register, with the zero that ends a string. The index that they find is of a
 * byte, 16 where there is none. Source: SA22-7832-11 chapter 23.
 */
import type { SlowContext, SlowInstruction } from "./context.ts";
import {
  DOUBLEWORDS,
  elementsOf,
  resultElements,
  specification,
  vectorInstruction,
  WORDS,
} from "./vector-registers.ts";

const NOT_FOUND = 16;
/** M5 of VFAE, VFEE, VFENE, VISTR; M6 of VSTRC. */
const INVERTED = 8;
const RESULT_TYPE = 4;
const ZERO_SEARCH = 2;
const SETS_CC = 1;

/** Byte index of the first element that holds, or 16. */
function firstIndex(matches: readonly boolean[], size: number): number {
  const index = matches.indexOf(true);
  return index < 0 ? NOT_FOUND : index << size;
}

function zeroIndex(elements: readonly bigint[], flags: number, size: number): number {
  if ((flags & ZERO_SEARCH) === 0) return NOT_FOUND;
  return firstIndex(
    elements.map((element) => element === 0n),
    size,
  );
}

function storeIndex(c: SlowContext, ...indexes: readonly number[]): void {
  resultElements(c, [BigInt(Math.min(...indexes)), 0n], DOUBLEWORDS);
}

/** 0 a zero before any match, 1 a match and no zero, 2 a match before the zero, 3 neither. */
function ccOf(match: number, zero: number): number {
  if (zero === NOT_FOUND) return match === NOT_FOUND ? 3 : 1;
  return match < zero ? 2 : 0;
}

/** What VFAE and VSTRC do with the elements that match: a mask, or the index of the first. */
function deliver(
  c: SlowContext,
  elements: readonly bigint[],
  found: readonly boolean[],
  flags: number,
  size: number,
): void {
  const matches = (flags & INVERTED) === 0 ? found : found.map((match) => !match);
  const zero = zeroIndex(elements, flags, size);
  const match = firstIndex(matches, size);
  if ((flags & RESULT_TYPE) === 0) storeIndex(c, match, zero);
  else {
    const masks = matches.map((one) => (one ? -1n : 0n));
    resultElements(c, masks, size);
  }
  if ((flags & SETS_CC) !== 0) c.cc = ccOf(match, zero);
}

/** FIND ANY ELEMENT EQUAL. */
function vfae(c: SlowContext): void {
  const size = c.field(32, 4);
  if (size > WORDS) return specification(c);
  const elements = elementsOf(c, 12, size);
  const wanted = elementsOf(c, 16, size);
  const found = elements.map((element) => wanted.includes(element));
  deliver(c, elements, found, c.field(24, 4), size);
}

/** Element size and M5 of the instructions that know two flags; undefined with the exception recorded. */
function sizeAndFlags(c: SlowContext, known: number): readonly [number, number] | undefined {
  const size = c.field(32, 4);
  const flags = c.field(24, 4);
  if (size <= WORDS && (flags & ~known) === 0) return [size, flags];
  specification(c);
  return undefined;
}

/** FIND ELEMENT EQUAL. */
function vfee(c: SlowContext): void {
  const fields = sizeAndFlags(c, ZERO_SEARCH | SETS_CC);
  if (fields === undefined) return;
  const [size, flags] = fields;
  const a = elementsOf(c, 12, size);
  const b = elementsOf(c, 16, size);
  const zero = zeroIndex(a, flags, size);
  const match = firstIndex(
    a.map((element, n) => element === b[n]),
    size,
  );
  storeIndex(c, match, zero);
  if ((flags & SETS_CC) !== 0) c.cc = ccOf(match, zero);
}

/** FIND ELEMENT NOT EQUAL: condition code 1 where the element of the second operand is less, 2 where it is higher. */
function vfene(c: SlowContext): void {
  const fields = sizeAndFlags(c, ZERO_SEARCH | SETS_CC);
  if (fields === undefined) return;
  const [size, flags] = fields;
  const a = elementsOf(c, 12, size);
  const b = elementsOf(c, 16, size);
  const unequal = a.map((element, n) => element !== b[n]);
  const zero = zeroIndex(a, flags, size);
  const match = firstIndex(unequal, size);
  storeIndex(c, match, zero);
  if ((flags & SETS_CC) === 0) return;
  if (match === NOT_FOUND && zero === NOT_FOUND) c.cc = 3;
  else if (zero < match) c.cc = 0;
  else c.cc = (a[match >> size] as bigint) < (b[match >> size] as bigint) ? 1 : 2;
}

/** ISOLATE STRING: zeros behind the zero that ends it. */
function vistr(c: SlowContext): void {
  const fields = sizeAndFlags(c, SETS_CC);
  if (fields === undefined) return;
  const [size, flags] = fields;
  const a = elementsOf(c, 12, size);
  const end = a.indexOf(0n);
  const kept = a.map((element, n) => (end >= 0 && n > end ? 0n : element));
  resultElements(c, kept, size);
  if ((flags & SETS_CC) !== 0) c.cc = end < 0 ? 3 : 0;
}

/** One comparison of a range: bits 0-2 of the control element say equal, low, high. */
function inRange(element: bigint, limit: bigint, control: bigint, bits: number): boolean {
  const allowed = Number(control >> BigInt(bits - 3));
  if (element === limit) return (allowed & 4) !== 0;
  return (allowed & (element < limit ? 2 : 1)) !== 0;
}

/** STRING RANGE COMPARE: each element against pairs of limits. */
function vstrc(c: SlowContext): void {
  const size = c.field(20, 4);
  if (size > WORDS) return specification(c);
  const bits = 8 << size;
  const elements = elementsOf(c, 12, size);
  const limits = elementsOf(c, 16, size);
  const controls = elementsOf(c, 32, size);
  const holds = (element: bigint, n: number): boolean =>
    inRange(element, limits[n] as bigint, controls[n] as bigint, bits);
  const found = elements.map((element) =>
    limits.some((_, n) => n % 2 === 0 && holds(element, n) && holds(element, n + 1)),
  );
  deliver(c, elements, found, c.field(24, 4), size);
}

export const vectorStringRows: readonly (readonly [number, string, SlowInstruction])[] = [
  [0xe782, "VFAE", vectorInstruction(vfae)],
  [0xe780, "VFEE", vectorInstruction(vfee)],
  [0xe781, "VFENE", vectorInstruction(vfene)],
  [0xe75c, "VISTR", vectorInstruction(vistr)],
  [0xe78a, "VSTRC", vectorInstruction(vstrc)],
];
