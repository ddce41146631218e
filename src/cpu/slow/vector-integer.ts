/** Vector integer instructions: arithmetic, comparison, logic, shifts. Source: SA22-7832-11 chapter 22. */
import type { SlowContext, SlowInstruction } from "./context.ts";
import {
  BYTES,
  ccOfAll,
  DOUBLEWORDS,
  elementsOf,
  FACILITY_ENHANCEMENTS,
  operand,
  QUADWORDS,
  result,
  resultElements,
  specification,
  vectorInstruction,
  WORDS,
  withEnhancements,
} from "./vector-registers.ts";

const ALL = (1n << 128n) - 1n;

const signed = (value: bigint, bits: number): bigint => BigInt.asIntN(bits, value);

type Unary = (a: bigint, bits: number) => bigint;
type Binary = (a: bigint, b: bigint, bits: number) => bigint;
type Ternary = (a: bigint, b: bigint, c: bigint, bits: number) => bigint;

/** VRR-a: M3 is the element size. */
function unary(most: number, compute: Unary): SlowInstruction {
  return (c) => {
    const size = c.field(32, 4);
    if (size > most) return specification(c);
    const values = elementsOf(c, 12, size).map((a) => compute(a, 8 << size));
    resultElements(c, values, size);
  };
}

/** VRR-c: M4 is the element size. */
function binary(most: number, compute: Binary): SlowInstruction {
  return (c) => {
    const size = c.field(32, 4);
    if (size > most) return specification(c);
    const b = elementsOf(c, 16, size);
    const values = elementsOf(c, 12, size).map((a, n) => compute(a, b[n] as bigint, 8 << size));
    resultElements(c, values, size);
  };
}

/** VRR-d: M5 (bits 20-23) is the element size. */
function ternary(least: number, most: number, compute: Ternary): SlowInstruction {
  return (c) => {
    const size = c.field(20, 4);
    if (size < least || size > most) return specification(c);
    const b = elementsOf(c, 16, size);
    const third = elementsOf(c, 32, size);
    const values = elementsOf(c, 12, size).map((a, n) =>
      compute(a, b[n] as bigint, third[n] as bigint, 8 << size),
    );
    resultElements(c, values, size);
  };
}

/** Whole registers. */
function logic(compute: (a: bigint, b: bigint) => bigint): SlowInstruction {
  return (c) => result(c, compute(operand(c, 12), operand(c, 16)));
}

const sumOf: Binary = (a, b) => a + b;
const carryOf: Binary = (a, b, bits) => (a + b) >> BigInt(bits);
const differenceOf: Binary = (a, b) => a - b;
const noBorrow: Binary = (a, b) => (a >= b ? 1n : 0n);
const average: Binary = (a, b, bits) => (signed(a, bits) + signed(b, bits) + 1n) >> 1n;
const averageLogical: Binary = (a, b) => (a + b + 1n) >> 1n;
const larger: Binary = (a, b, bits) => (signed(a, bits) > signed(b, bits) ? a : b);
const smaller: Binary = (a, b, bits) => (signed(a, bits) < signed(b, bits) ? a : b);
const largerLogical: Binary = (a, b) => (a - b > 0n ? a : b);
const smallerLogical: Binary = (a, b) => (a - b < 0n ? a : b);

/** The rightmost bit of the third operand is the carry, or no borrow. */
const addWithCarry: Ternary = (a, b, carry) => a + b + (carry & 1n);
const carryWithCarry: Ternary = (a, b, carry, bits) => (a + b + (carry & 1n)) >> BigInt(bits);
const inverted = (value: bigint, bits: number): bigint => BigInt.asUintN(bits, ~value);
const subtractWithBorrow: Ternary = (a, b, borrow, bits) => a + inverted(b, bits) + (borrow & 1n);
const borrowWithBorrow: Ternary = (a, b, borrow, bits) =>
  (a + inverted(b, bits) + (borrow & 1n)) >> BigInt(bits);

function leadingZeros(a: bigint, bits: number): bigint {
  return BigInt(a === 0n ? bits : bits - a.toString(2).length);
}

function trailingZeros(a: bigint, bits: number): bigint {
  return a === 0n ? BigInt(bits) : BigInt((a & -a).toString(2).length - 1);
}

function population(a: bigint): bigint {
  return BigInt(a.toString(2).replaceAll("0", "").length);
}

/** Elements wider than bytes came with z14. */
function vpopct(c: SlowContext): void {
  unary(c.has(FACILITY_ENHANCEMENTS) ? DOUBLEWORDS : BYTES, population)(c);
}

function compareEach(compare: (a: bigint, b: bigint, bits: number) => boolean): SlowInstruction {
  return (c) => {
    const size = c.field(32, 4);
    if (size > DOUBLEWORDS) return specification(c);
    const b = elementsOf(c, 16, size);
    const matches = elementsOf(c, 12, size).map((a, n) => compare(a, b[n] as bigint, 8 << size));
    resultElements(
      c,
      matches.map((match) => (match ? -1n : 0n)),
      size,
    );
    if ((c.field(24, 4) & 1) !== 0) c.cc = ccOfAll(matches);
  };
}

/** ELEMENT COMPARE: the rightmost element of the left doubleword. */
function compareElement(logical: boolean): SlowInstruction {
  return (c) => {
    const size = c.field(32, 4);
    if (size > DOUBLEWORDS) return specification(c);
    const index = (8 >> size) - 1;
    const [a, b] = ([8, 12] as const).map((field) => {
      const element = elementsOf(c, field, size)[index] as bigint;
      return logical ? element : signed(element, 8 << size);
    }) as [bigint, bigint];
    c.cc = a === b ? 0 : a < b ? 1 : 2;
  };
}

// Products

const high =
  (sign: boolean): Ternary =>
  (a, b, addend, bits) => {
    const [x, y, z] = sign
      ? [signed(a, bits), signed(b, bits), signed(addend, bits)]
      : [a, b, addend];
    return (x * y + z) >> BigInt(bits);
  };

const low: Ternary = (a, b, addend) => a * b + addend;

/** Products without an addend: VRR-c. */
function product(compute: Ternary): SlowInstruction {
  return binary(WORDS, (a, b, bits) => compute(a, b, 0n, bits));
}

/** @param odd which element of each pair; the products are twice as wide */
function widening(odd: 0 | 1, sign: boolean, adds: boolean): SlowInstruction {
  return (c) => {
    const size = adds ? c.field(20, 4) : c.field(32, 4);
    if (size > WORDS) return specification(c);
    const bits = 8 << size;
    const value = (element: bigint): bigint => (sign ? signed(element, bits) : element);
    const [a, b] = [elementsOf(c, 12, size), elementsOf(c, 16, size)];
    const addends = adds ? elementsOf(c, 32, size + 1) : [];
    const products = Array.from({ length: 8 >> size }, (_, n) => {
      const at = 2 * n + odd;
      return value(a[at] as bigint) * value(b[at] as bigint) + (addends[n] ?? 0n);
    });
    resultElements(c, products, size + 1);
  };
}

/** Product of polynomials over GF(2). */
function carryless(a: bigint, b: bigint): bigint {
  let sum = 0n;
  for (let rest = b, shifted = a; rest !== 0n; rest >>= 1n, shifted <<= 1n) {
    if ((rest & 1n) !== 0n) sum ^= shifted;
  }
  return sum;
}

/** GALOIS FIELD MULTIPLY SUM: the products of each pair of elements, added (and accumulated). */
function galois(accumulates: boolean): SlowInstruction {
  return (c) => {
    const size = accumulates ? c.field(20, 4) : c.field(32, 4);
    if (size > DOUBLEWORDS) return specification(c);
    const [a, b] = [elementsOf(c, 12, size), elementsOf(c, 16, size)];
    const addends = accumulates ? elementsOf(c, 32, size + 1) : [];
    const sums = Array.from({ length: 8 >> size }, (_, n) => {
      const left = carryless(a[2 * n] as bigint, b[2 * n] as bigint);
      const right = carryless(a[2 * n + 1] as bigint, b[2 * n + 1] as bigint);
      return left ^ right ^ (addends[n] ?? 0n);
    });
    resultElements(c, sums, size + 1);
  };
}

/** MULTIPLY SUM LOGICAL: both products, each doubled if M6 says so, and the third operand. */
function vmsl(c: SlowContext): void {
  const doubled = c.field(24, 4);
  if (c.field(20, 4) !== DOUBLEWORDS || (doubled & 3) !== 0) return specification(c);
  const [a, b] = [elementsOf(c, 12, DOUBLEWORDS), elementsOf(c, 16, DOUBLEWORDS)];
  const sum = [8, 4].reduce(
    (total, bit, n) => {
      const product = (a[n] as bigint) * (b[n] as bigint);
      return total + ((doubled & bit) !== 0 ? product << 1n : product);
    },
    operand(c, 32),
  );
  resultElements(c, [sum], QUADWORDS);
}

/** BIT PERMUTE: sixteen bits of the second operand, named by the bytes of the third, into bits 48-63. */
function vbperm(c: SlowContext): void {
  const source = operand(c, 12);
  const bits = elementsOf(c, 16, BYTES).reduce((chosen, index) => {
    const bit = index < 128n ? (source >> (127n - index)) & 1n : 0n;
    return (chosen << 1n) | bit;
  }, 0n);
  result(c, bits << 64n);
}

// Sums across elements

/** Sums of all elements of the second operand within each wide element, and the rightmost of the third there. */
function sumAcross(least: number, most: number, wide: number): SlowInstruction {
  return (c) => {
    const size = c.field(32, 4);
    if (size < least || size > most) return specification(c);
    const inside = 1 << (wide - size);
    const [a, b] = [elementsOf(c, 12, size), elementsOf(c, 16, size)];
    const sums = Array.from({ length: 16 >> wide }, (_, n) => {
      const own = a.slice(n * inside, (n + 1) * inside);
      return own.reduce((sum, element) => sum + element, b[(n + 1) * inside - 1] as bigint);
    });
    resultElements(c, sums, wide);
  };
}

/** CHECKSUM: words with end-around carry, into word 1. */
function vcksm(c: SlowContext): void {
  const start = elementsOf(c, 16, WORDS)[1] as bigint;
  const sum = elementsOf(c, 12, WORDS).reduce((total, word) => {
    const next = total + word;
    return (next & 0xffffffffn) + (next >> 32n);
  }, start);
  resultElements(c, [0n, sum, 0n, 0n], WORDS);
}

/** TEST UNDER MASK: all selected bits zero, mixed, all one. */
function vtm(c: SlowContext): void {
  const mask = operand(c, 12);
  const selected = operand(c, 8) & mask;
  c.cc = selected === 0n ? 0 : selected === mask ? 3 : 1;
}

// Shifts

const left: Binary = (a, amount) => a << amount;
const right: Binary = (a, amount) => a >> amount;
const rightSigned: Binary = (a, amount, bits) => signed(a, bits) >> amount;
const rotated: Binary = (a, amount, bits) => (a << amount) | (a >> (BigInt(bits) - amount));

/** Each element by the amount in the third operand's. */
function byElement(shift: Binary): SlowInstruction {
  return binary(DOUBLEWORDS, (a, b, bits) => shift(a, b & BigInt(bits - 1), bits));
}

/** All elements by the second-operand address. */
function byAddress(shift: Binary): SlowInstruction {
  return (c) => {
    const address = c.baseDisplacement(16);
    unary(DOUBLEWORDS, (a, bits) => shift(a, address & BigInt(bits - 1), bits))(c);
  };
}

/** @param mask which bits of byte 7 of the third operand count: 7 = bits, 0x78 = bytes */
function whole(shift: Binary, mask: bigint): SlowInstruction {
  return (c) => {
    const amount = (elementsOf(c, 16, BYTES)[7] as bigint) & mask;
    resultElements(c, [shift(operand(c, 12), amount, 128)], QUADWORDS);
  };
}
const IN_BITS = 7n;
const IN_BYTES = 0x78n;

/** ELEMENT ROTATE AND INSERT UNDER MASK. */
function verim(c: SlowContext): void {
  const size = c.field(32, 4);
  if (size > DOUBLEWORDS) return specification(c);
  const bits = 8 << size;
  const amount = BigInt(c.field(24, 8) & (bits - 1));
  const source = elementsOf(c, 12, size);
  const masks = elementsOf(c, 16, size);
  const inserted = elementsOf(c, 8, size).map((old, n) => {
    const mask = masks[n] as bigint;
    return (old & ~mask) | (rotated(source[n] as bigint, amount, bits) & mask);
  });
  resultElements(c, inserted, size);
}

const rows: readonly (readonly [number, string, SlowInstruction])[] = [
  [0xe7f3, "VA", binary(QUADWORDS, sumOf)],
  [0xe7f1, "VACC", binary(QUADWORDS, carryOf)],
  [0xe7bb, "VAC", ternary(QUADWORDS, QUADWORDS, addWithCarry)],
  [0xe7b9, "VACCC", ternary(QUADWORDS, QUADWORDS, carryWithCarry)],
  [0xe7f7, "VS", binary(QUADWORDS, differenceOf)],
  [0xe7f5, "VSCBI", binary(QUADWORDS, noBorrow)],
  [0xe7bf, "VSBI", ternary(QUADWORDS, QUADWORDS, subtractWithBorrow)],
  [0xe7bd, "VSBCBI", ternary(QUADWORDS, QUADWORDS, borrowWithBorrow)],
  [0xe7f2, "VAVG", binary(DOUBLEWORDS, average)],
  [0xe7f0, "VAVGL", binary(DOUBLEWORDS, averageLogical)],
  [0xe7ff, "VMX", binary(DOUBLEWORDS, larger)],
  [0xe7fd, "VMXL", binary(DOUBLEWORDS, largerLogical)],
  [0xe7fe, "VMN", binary(DOUBLEWORDS, smaller)],
  [0xe7fc, "VMNL", binary(DOUBLEWORDS, smallerLogical)],
  [0xe753, "VCLZ", unary(DOUBLEWORDS, leadingZeros)],
  [0xe752, "VCTZ", unary(DOUBLEWORDS, trailingZeros)],
  [0xe750, "VPOPCT", vpopct],
  [0xe7de, "VLC", unary(DOUBLEWORDS, (a) => -a)],
  [0xe7df, "VLP", unary(DOUBLEWORDS, (a, bits) => (signed(a, bits) < 0n ? -a : a))],
  [0xe7f8, "VCEQ", compareEach((a, b) => a === b)],
  [0xe7fb, "VCH", compareEach((a, b, bits) => signed(a, bits) > signed(b, bits))],
  [0xe7f9, "VCHL", compareEach((a, b) => a > b)],
  [0xe7db, "VEC", compareElement(false)],
  [0xe7d9, "VECL", compareElement(true)],
  [0xe768, "VN", logic((a, b) => a & b)],
  [0xe769, "VNC", logic((a, b) => a & (b ^ ALL))],
  [0xe76a, "VO", logic((a, b) => a | b)],
  [0xe76b, "VNO", logic((a, b) => (a | b) ^ ALL)],
  [0xe76d, "VX", logic((a, b) => a ^ b)],
  [0xe76e, "VNN", withEnhancements(logic((a, b) => (a & b) ^ ALL))],
  [0xe76f, "VOC", withEnhancements(logic((a, b) => a | (b ^ ALL)))],
  [0xe76c, "VNX", withEnhancements(logic((a, b) => a ^ b ^ ALL))],
  [0xe7b8, "VMSL", withEnhancements(vmsl)],
  [0xe785, "VBPERM", withEnhancements(vbperm)],
  [0xe7a2, "VML", product(low)],
  [0xe7a3, "VMH", product(high(true))],
  [0xe7a1, "VMLH", product(high(false))],
  [0xe7aa, "VMAL", ternary(BYTES, WORDS, low)],
  [0xe7ab, "VMAH", ternary(BYTES, WORDS, high(true))],
  [0xe7a9, "VMALH", ternary(BYTES, WORDS, high(false))],
  [0xe7a6, "VME", widening(0, true, false)],
  [0xe7a4, "VMLE", widening(0, false, false)],
  [0xe7a7, "VMO", widening(1, true, false)],
  [0xe7a5, "VMLO", widening(1, false, false)],
  [0xe7ae, "VMAE", widening(0, true, true)],
  [0xe7ac, "VMALE", widening(0, false, true)],
  [0xe7af, "VMAO", widening(1, true, true)],
  [0xe7ad, "VMALO", widening(1, false, true)],
  [0xe7b4, "VGFM", galois(false)],
  [0xe7bc, "VGFMA", galois(true)],
  [0xe764, "VSUM", sumAcross(0, 1, WORDS)],
  [0xe765, "VSUMG", sumAcross(1, 2, DOUBLEWORDS)],
  [0xe767, "VSUMQ", sumAcross(2, 3, QUADWORDS)],
  [0xe766, "VCKSM", vcksm],
  [0xe7d8, "VTM", vtm],
  [0xe773, "VERLLV", byElement(rotated)],
  [0xe733, "VERLL", byAddress(rotated)],
  [0xe770, "VESLV", byElement(left)],
  [0xe730, "VESL", byAddress(left)],
  [0xe77a, "VESRAV", byElement(rightSigned)],
  [0xe73a, "VESRA", byAddress(rightSigned)],
  [0xe778, "VESRLV", byElement(right)],
  [0xe738, "VESRL", byAddress(right)],
  [0xe772, "VERIM", verim],
  [0xe774, "VSL", whole(left, IN_BITS)],
  [0xe775, "VSLB", whole(left, IN_BYTES)],
  [0xe77e, "VSRA", whole(rightSigned, IN_BITS)],
  [0xe77f, "VSRAB", whole(rightSigned, IN_BYTES)],
  [0xe77c, "VSRL", whole(right, IN_BITS)],
  [0xe77d, "VSRLB", whole(right, IN_BYTES)],
];

export const vectorIntegerRows: typeof rows = rows.map(
  ([key, name, body]) => [key, name, vectorInstruction(body)] as const,
);
