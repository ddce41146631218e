/** Vector support instructions: loads, stores, packing, permuting, elements. Source: SA22-7832-11 chapter 21. */
import type { SlowContext, SlowInstruction } from "./context.ts";
import {
  BYTES,
  DOUBLEWORDS,
  elementsOf,
  FACILITY_ENHANCEMENTS,
  join,
  load,
  operand,
  QUADWORDS,
  readVector,
  registerAt,
  result,
  resultElements,
  setElement,
  specification,
  split,
  store,
  toNumber,
  vectorInstruction,
  WORDS,
  withFacility,
  writeVector,
} from "./vector-registers.ts";

const VECTOR = 16;
/** Registers of one VLM or VSTM. */
const MULTIPLE_MAX = 16;

const widthOf = (size: number): number => 1 << size;
const countOf = (size: number): number => VECTOR >> size;

// Storage

function vl(c: SlowContext): void {
  const value = load(c, c.indexedAddress(), VECTOR);
  if (value !== undefined) result(c, value);
}

function vst(c: SlowContext): void {
  store(c, c.indexedAddress(), operand(c, 8), VECTOR);
}

/** VLEB...: the element that M3 names. */
function loadElement(size: number): SlowInstruction {
  return (c) => {
    const index = c.field(32, 4);
    if (index >= countOf(size)) return specification(c);
    const value = load(c, c.indexedAddress(), widthOf(size));
    if (value !== undefined) setElement(c, size, index, value);
  };
}

function storeElement(size: number): SlowInstruction {
  return (c) => {
    const index = c.field(32, 4);
    if (index >= countOf(size)) return specification(c);
    store(c, c.indexedAddress(), elementsOf(c, 8, size)[index] as bigint, widthOf(size));
  };
}

function loadElementImmediate(size: number): SlowInstruction {
  return (c) => {
    const index = c.field(32, 4);
    if (index >= countOf(size)) return specification(c);
    setElement(c, size, index, immediate(c));
  };
}

/** I2 in bits 16-31, signed. */
function immediate(c: SlowContext): bigint {
  return BigInt.asIntN(16, BigInt(c.field(16, 16)));
}

/** Address of VGEF...: base and displacement, and the element of V2 that M3 names. */
function indexedByElement(c: SlowContext, size: number): bigint {
  const element = elementsOf(c, 12, size)[c.field(32, 4)] as bigint;
  return (c.baseDisplacement(16) + element) & c.addressMask;
}

function gather(size: number): SlowInstruction {
  return (c) => {
    const index = c.field(32, 4);
    if (index >= countOf(size)) return specification(c);
    const value = load(c, indexedByElement(c, size), widthOf(size));
    if (value !== undefined) setElement(c, size, index, value);
  };
}

function scatter(size: number): SlowInstruction {
  return (c) => {
    const index = c.field(32, 4);
    if (index >= countOf(size)) return specification(c);
    const value = elementsOf(c, 8, size)[index] as bigint;
    store(c, indexedByElement(c, size), value, widthOf(size));
  };
}

function vlrep(c: SlowContext): void {
  const size = c.field(32, 4);
  if (size > DOUBLEWORDS) return specification(c);
  const value = load(c, c.indexedAddress(), widthOf(size));
  if (value !== undefined) resultElements(c, new Array(countOf(size)).fill(value), size);
}

/** M3 of VLLEZ that came with z14: a word at the left. */
const LEFT_WORD = 6;

/** LOAD LOGICAL ELEMENT AND ZERO: right in the left doubleword. */
function vllez(c: SlowContext): void {
  const size = c.field(32, 4);
  if (size === LEFT_WORD && c.has(FACILITY_ENHANCEMENTS)) {
    const word = load(c, c.indexedAddress(), widthOf(WORDS));
    if (word !== undefined) result(c, word << 96n);
    return;
  }
  if (size > DOUBLEWORDS) return specification(c);
  const value = load(c, c.indexedAddress(), widthOf(size));
  if (value !== undefined) result(c, value << 64n);
}

/** Bytes from an address to the next block boundary, sixteen at most; M3 names the block's size. */
function untilBoundary(c: SlowContext): number | undefined {
  const code = c.field(32, 4);
  if (code > 6) {
    specification(c);
    return undefined;
  }
  const block = 64n << BigInt(code);
  const left = block - (c.indexedAddress() & (block - 1n));
  return left < BigInt(VECTOR) ? Number(left) : VECTOR;
}

function vlbb(c: SlowContext): void {
  const length = untilBoundary(c);
  if (length !== undefined) loadLeft(c, c.indexedAddress(), length);
}

function lcbb(c: SlowContext): void {
  const length = untilBoundary(c);
  if (length === undefined) return;
  c.setGr32(c.field(8, 4), length);
  c.cc = length === VECTOR ? 0 : 3;
}

/** The first bytes; zeros behind them. */
function loadLeft(c: SlowContext, address: bigint, length: number): void {
  const value = load(c, address, length);
  if (value !== undefined) result(c, value << BigInt(8 * (VECTOR - length)));
}

/** Length of VLL and VSTL: R3 names the last byte. */
function lengthInRegister(c: SlowContext): number {
  return Math.min(c.gr32(c.field(12, 4)) + 1, VECTOR);
}

function vll(c: SlowContext): void {
  loadLeft(c, c.baseDisplacement(16), lengthInRegister(c));
}

function vstl(c: SlowContext): void {
  const length = lengthInRegister(c);
  const value = operand(c, 8) >> BigInt(8 * (VECTOR - length));
  store(c, c.baseDisplacement(16), value, length);
}

/** First register and count of VLM and VSTM; undefined with the exception recorded. */
function range(c: SlowContext): readonly [number, number] | undefined {
  const first = registerAt(c, 8);
  const count = registerAt(c, 12) - first + 1;
  if (count >= 1 && count <= MULTIPLE_MAX) return [first, count];
  specification(c);
  return undefined;
}

function vlm(c: SlowContext): void {
  const registers = range(c);
  if (registers === undefined) return;
  const [first, count] = registers;
  const bytes = c.read(c.baseDisplacement(16), count * VECTOR);
  if (bytes === undefined) return;
  for (let n = 0; n < count; n++) {
    writeVector(c, first + n, toNumber(bytes.subarray(n * VECTOR, (n + 1) * VECTOR)));
  }
}

function vstm(c: SlowContext): void {
  const registers = range(c);
  if (registers === undefined) return;
  const [first, count] = registers;
  let all = 0n;
  for (let n = 0; n < count; n++) all = (all << 128n) | readVector(c, first + n);
  store(c, c.baseDisplacement(16), all, count * VECTOR);
}

// Registers and elements

function vlr(c: SlowContext): void {
  result(c, operand(c, 12));
}

function vlgv(c: SlowContext): void {
  const size = c.field(32, 4);
  if (size > DOUBLEWORDS) return specification(c);
  c.setGr(c.field(8, 4), elementsOf(c, 12, size)[elementIndex(c, size)] as bigint);
}

function vlvg(c: SlowContext): void {
  const size = c.field(32, 4);
  if (size > DOUBLEWORDS) return specification(c);
  setElement(c, size, elementIndex(c, size), c.gr(c.field(12, 4)));
}

/** Rightmost bits of the second-operand address. */
function elementIndex(c: SlowContext, size: number): number {
  return Number(c.baseDisplacement(16) & BigInt(countOf(size) - 1));
}

function vlvgp(c: SlowContext): void {
  result(c, (c.gr(c.field(12, 4)) << 64n) | c.gr(c.field(16, 4)));
}

function vgbm(c: SlowContext): void {
  const mask = c.field(16, 16);
  const bytes = Array.from({ length: VECTOR }, (_, n) => ((mask << n) & 0x8000 ? 0xffn : 0n));
  resultElements(c, bytes, BYTES);
}

/** Ones from bit I2 to bit I3 of each element, around its end where I3 is less. */
function vgm(c: SlowContext): void {
  const size = c.field(32, 4);
  if (size > DOUBLEWORDS) return specification(c);
  const bits = 8 << size;
  const from = c.field(16, 8) & (bits - 1);
  const to = c.field(24, 8) & (bits - 1);
  let element = 0n;
  for (let bit = from; ; bit = (bit + 1) & (bits - 1)) {
    element |= 1n << BigInt(bits - 1 - bit);
    if (bit === to) break;
  }
  resultElements(c, new Array(countOf(size)).fill(element), size);
}

function vrep(c: SlowContext): void {
  const size = c.field(32, 4);
  const index = c.field(16, 16);
  if (size > DOUBLEWORDS || index >= countOf(size)) return specification(c);
  resultElements(c, new Array(countOf(size)).fill(elementsOf(c, 12, size)[index]), size);
}

function vrepi(c: SlowContext): void {
  const size = c.field(32, 4);
  if (size > DOUBLEWORDS) return specification(c);
  resultElements(c, new Array(countOf(size)).fill(immediate(c)), size);
}

/** @param half 0 = the left halves of both operands, 1 = the right ones */
function merge(half: 0 | 1): SlowInstruction {
  return (c) => {
    const size = c.field(32, 4);
    if (size > DOUBLEWORDS) return specification(c);
    const first = (countOf(size) / 2) * half;
    const [a, b] = [elementsOf(c, 12, size), elementsOf(c, 16, size)];
    const merged = Array.from({ length: countOf(size) }, (_, n) => {
      return (n & 1 ? b : a)[first + (n >> 1)] as bigint;
    });
    resultElements(c, merged, size);
  };
}

/** What an element of `bits` becomes in half the bits. */
type Narrow = (element: bigint, bits: number) => bigint;

const truncated: Narrow = (element, bits) => BigInt.asUintN(bits / 2, element);

const saturated: Narrow = (element, bits) => {
  const value = BigInt.asIntN(bits, element);
  const most = (1n << BigInt(bits / 2 - 1)) - 1n;
  return value > most ? most : value < -most - 1n ? -most - 1n : value;
};

const saturatedLogical: Narrow = (element, bits) => {
  const most = (1n << BigInt(bits / 2)) - 1n;
  return element > most ? most : element;
};

/** @param tells M5 bit 3 sets the condition code: none, some or all saturated */
function pack(narrow: Narrow, tells: boolean): SlowInstruction {
  return (c) => {
    const size = c.field(32, 4);
    if (size === BYTES || size > DOUBLEWORDS) return specification(c);
    const bits = 8 << size;
    const all = [...elementsOf(c, 12, size), ...elementsOf(c, 16, size)];
    const packed = all.map((element) => narrow(element, bits));
    const lost = packed.filter((value, n) => BigInt.asUintN(bits, value) !== all[n]).length;
    resultElements(c, packed, size - 1);
    if (tells && (c.field(24, 4) & 1) !== 0) c.cc = lost === 0 ? 0 : lost === all.length ? 3 : 1;
  };
}

/** @param half 0 = the left half is widened, 1 = the right one */
function unpack(half: 0 | 1, signed: boolean): SlowInstruction {
  return (c) => {
    const size = c.field(32, 4);
    if (size > WORDS) return specification(c);
    const count = countOf(size) / 2;
    const elements = elementsOf(c, 12, size).slice(half * count, (half + 1) * count);
    const bits = 8 << size;
    const widened = signed ? elements.map((element) => BigInt.asIntN(bits, element)) : elements;
    resultElements(c, widened, size + 1);
  };
}

/** SIGN EXTEND TO DOUBLEWORD: the rightmost element of each. */
function vseg(c: SlowContext): void {
  const size = c.field(32, 4);
  if (size > WORDS) return specification(c);
  const extended = elementsOf(c, 12, DOUBLEWORDS).map((element) =>
    BigInt.asIntN(8 << size, element),
  );
  resultElements(c, extended, DOUBLEWORDS);
}

function vperm(c: SlowContext): void {
  const source = [...elementsOf(c, 12, BYTES), ...elementsOf(c, 16, BYTES)];
  const chosen = elementsOf(c, 32, BYTES).map((n) => source[Number(n & 31n)] as bigint);
  resultElements(c, chosen, BYTES);
}

/** M4 bits 1 and 3: which doubleword of each operand. */
function vpdi(c: SlowContext): void {
  const choice = c.field(32, 4);
  const left = elementsOf(c, 12, DOUBLEWORDS)[(choice >> 2) & 1] as bigint;
  const right = elementsOf(c, 16, DOUBLEWORDS)[choice & 1] as bigint;
  resultElements(c, [left, right], DOUBLEWORDS);
}

function vsel(c: SlowContext): void {
  const mask = operand(c, 32);
  const kept = split(mask, QUADWORDS)[0] as bigint;
  result(c, (operand(c, 12) & kept) | (operand(c, 16) & BigInt.asUintN(128, ~mask)));
}

/** SHIFT LEFT DOUBLE BY BYTE: sixteen bytes of both operands from byte I4 on. */
function vsldb(c: SlowContext): void {
  const both = [...elementsOf(c, 12, BYTES), ...elementsOf(c, 16, BYTES)];
  const from = c.field(24, 8) & 15;
  result(c, join(both.slice(from, from + VECTOR), BYTES));
}

const rows: readonly (readonly [number, string, SlowInstruction])[] = [
  [0xe706, "VL", vl],
  [0xe70e, "VST", vst],
  [0xe700, "VLEB", loadElement(0)],
  [0xe701, "VLEH", loadElement(1)],
  [0xe702, "VLEG", loadElement(3)],
  [0xe703, "VLEF", loadElement(2)],
  [0xe708, "VSTEB", storeElement(0)],
  [0xe709, "VSTEH", storeElement(1)],
  [0xe70a, "VSTEG", storeElement(3)],
  [0xe70b, "VSTEF", storeElement(2)],
  [0xe740, "VLEIB", loadElementImmediate(0)],
  [0xe741, "VLEIH", loadElementImmediate(1)],
  [0xe742, "VLEIG", loadElementImmediate(3)],
  [0xe743, "VLEIF", loadElementImmediate(2)],
  [0xe712, "VGEG", gather(3)],
  [0xe713, "VGEF", gather(2)],
  [0xe71a, "VSCEG", scatter(3)],
  [0xe71b, "VSCEF", scatter(2)],
  [0xe705, "VLREP", vlrep],
  [0xe704, "VLLEZ", vllez],
  [0xe707, "VLBB", vlbb],
  [0xe737, "VLL", vll],
  [0xe73f, "VSTL", vstl],
  [0xe736, "VLM", vlm],
  [0xe73e, "VSTM", vstm],
  [0xe756, "VLR", vlr],
  [0xe721, "VLGV", vlgv],
  [0xe722, "VLVG", vlvg],
  [0xe762, "VLVGP", vlvgp],
  [0xe744, "VGBM", vgbm],
  [0xe746, "VGM", vgm],
  [0xe74d, "VREP", vrep],
  [0xe745, "VREPI", vrepi],
  [0xe761, "VMRH", merge(0)],
  [0xe760, "VMRL", merge(1)],
  [0xe794, "VPK", pack(truncated, false)],
  [0xe797, "VPKS", pack(saturated, true)],
  [0xe795, "VPKLS", pack(saturatedLogical, true)],
  [0xe7d7, "VUPH", unpack(0, true)],
  [0xe7d6, "VUPL", unpack(1, true)],
  [0xe7d5, "VUPLH", unpack(0, false)],
  [0xe7d4, "VUPLL", unpack(1, false)],
  [0xe75f, "VSEG", vseg],
  [0xe78c, "VPERM", vperm],
  [0xe784, "VPDI", vpdi],
  [0xe78d, "VSEL", vsel],
  [0xe777, "VSLDB", vsldb],
];

export const vectorSupportRows: typeof rows = [
  ...rows.map(([key, name, body]) => [key, name, vectorInstruction(body)] as const),
  [0xe727, "LCBB", withFacility(lcbb)],
];
