/**
 * The s390x instruction formats as the oracle encodes them: fields in, bytes and a readable line out.
 * Deliberately independent of src/: an encoder shared with the CPU under test would hide its mistakes.
 * Source: z/Architecture Principles of Operation (SA22-7832), chapter 5, "Instruction formats".
 */

/** Every field any format has; unused ones stay 0. Displacements are signed for the 20-bit formats. */
export interface Fields {
  readonly r1: number;
  readonly r2: number;
  readonly r3: number;
  readonly m: number;
  readonly x: number;
  readonly b1: number;
  readonly d1: number;
  readonly b2: number;
  readonly d2: number;
  /** Immediate, or a relative offset in halfwords. */
  readonly i: number;
  readonly i3: number;
  readonly i4: number;
  readonly i5: number;
  /** Length codes as encoded (one less than the length). */
  readonly l1: number;
  readonly l2: number;
}

export const noFields: Fields = {
  r1: 0,
  r2: 0,
  r3: 0,
  m: 0,
  x: 0,
  b1: 0,
  d1: 0,
  b2: 0,
  d2: 0,
  i: 0,
  i3: 0,
  i4: 0,
  i5: 0,
  l1: 0,
  l2: 0,
};

type Encoder = (op: number, f: Fields) => number[];
type Printer = (f: Fields) => string;

interface Format {
  readonly encode: Encoder;
  readonly text: Printer;
}

const nibbles = (high: number, low: number): number => ((high & 15) << 4) | (low & 15);
const half = (value: number): [number, number] => [(value >> 8) & 255, value & 255];
const word = (value: number): [number, number, number, number] => [
  (value >>> 24) & 255,
  (value >>> 16) & 255,
  (value >>> 8) & 255,
  value & 255,
];
/** Base and 12-bit displacement. */
const base12 = (b: number, d: number): [number, number] => {
  if (d < 0 || d > 0xfff) throw new RangeError(`displacement ${d} does not fit into 12 bits`);
  return [nibbles(b, d >> 8), d & 255];
};
/** Base, low 12 bits and high 8 bits of a signed 20-bit displacement. */
const base20 = (b: number, d: number): [number, number, number] => [
  nibbles(b, (d & 0xfff) >> 8),
  d & 255,
  (d >> 12) & 255,
];

const r = (n: number): string => `%r${n}`;
const storage = (d: number, b: number): string => `${d}(${r(b)})`;
const indexed = (d: number, x: number, b: number): string => `${d}(${r(x)},${r(b)})`;
const relative = (i: number): string => `.${i < 0 ? "-" : "+"}0x${Math.abs(i * 2).toString(16)}`;

const high = (op: number): number => (op >> 8) & 255;

/** Formats by the name the manual gives them; `op` holds all opcode bits, left part first. */
export const formats = {
  E: { encode: (op) => half(op), text: () => "" },
  I: { encode: (op, f) => [op, f.i & 255], text: (f) => `${f.i}` },
  RR: {
    encode: (op, f) => [op, nibbles(f.r1, f.r2)],
    text: (f) => `${r(f.r1)},${r(f.r2)}`,
  },
  /** RR with a mask in place of the first register (BCR). */
  RRm: { encode: (op, f) => [op, nibbles(f.m, f.r2)], text: (f) => `${f.m},${r(f.r2)}` },
  RRE: {
    encode: (op, f) => [...half(op), 0, nibbles(f.r1, f.r2)],
    text: (f) => `${r(f.r1)},${r(f.r2)}`,
  },
  /** RRF with a third register in bits 16-19: operands R1,R2,R3. */
  RRFa: {
    encode: (op, f) => [...half(op), nibbles(f.r3, f.m), nibbles(f.r1, f.r2)],
    text: (f) => `${r(f.r1)},${r(f.r2)},${r(f.r3)}`,
  },
  /** RRF with a mask in bits 16-19. */
  RRFc: {
    encode: (op, f) => [...half(op), nibbles(f.m, f.i4), nibbles(f.r1, f.r2)],
    text: (f) => `${r(f.r1)},${r(f.r2)},${f.m}`,
  },
  /** RRF, FPR form: R1 in bits 16-19 (multiply and add). */
  RRD: {
    encode: (op, f) => [...half(op), nibbles(f.r1, 0), nibbles(f.r3, f.r2)],
    text: (f) => `${r(f.r1)},${r(f.r3)},${r(f.r2)}`,
  },
  RI: {
    encode: (op, f) => [op >> 4, nibbles(f.r1, op), ...half(f.i)],
    text: (f) => `${r(f.r1)},${f.i}`,
  },
  /** RI with a relative offset (BRCT, BRAS). */
  RIr: {
    encode: (op, f) => [op >> 4, nibbles(f.r1, op), ...half(f.i)],
    text: (f) => `${r(f.r1)},${relative(f.i)}`,
  },
  /** RI with a mask and a relative offset (BRC). */
  RIm: {
    encode: (op, f) => [op >> 4, nibbles(f.m, op), ...half(f.i)],
    text: (f) => `${f.m},${relative(f.i)}`,
  },
  RIL: {
    encode: (op, f) => [op >> 4, nibbles(f.r1, op), ...word(f.i)],
    text: (f) => `${r(f.r1)},${f.i}`,
  },
  /** RIL with a relative offset (LARL, LRL, BRASL). */
  RILr: {
    encode: (op, f) => [op >> 4, nibbles(f.r1, op), ...word(f.i)],
    text: (f) => `${r(f.r1)},${relative(f.i)}`,
  },
  RILm: {
    encode: (op, f) => [op >> 4, nibbles(f.m, op), ...word(f.i)],
    text: (f) => `${f.m},${relative(f.i)}`,
  },
  RIEa: {
    encode: (op, f) => [high(op), nibbles(f.r1, 0), ...half(f.i), nibbles(f.m, 0), op & 255],
    text: (f) => `${r(f.r1)},${f.i},${f.m}`,
  },
  RIEb: {
    encode: (op, f) => [high(op), nibbles(f.r1, f.r2), ...half(f.i), nibbles(f.m, 0), op & 255],
    text: (f) => `${r(f.r1)},${r(f.r2)},${f.m},${relative(f.i)}`,
  },
  RIEc: {
    encode: (op, f) => [high(op), nibbles(f.r1, f.m), ...half(f.i), f.i3 & 255, op & 255],
    text: (f) => `${r(f.r1)},${f.i3},${f.m},${relative(f.i)}`,
  },
  RIEd: {
    encode: (op, f) => [high(op), nibbles(f.r1, f.r3), ...half(f.i), 0, op & 255],
    text: (f) => `${r(f.r1)},${r(f.r3)},${f.i}`,
  },
  RIEe: {
    encode: (op, f) => [high(op), nibbles(f.r1, f.r3), ...half(f.i), 0, op & 255],
    text: (f) => `${r(f.r1)},${r(f.r3)},${relative(f.i)}`,
  },
  RIEf: {
    encode: (op, f) => [
      high(op),
      nibbles(f.r1, f.r2),
      f.i3 & 255,
      f.i4 & 255,
      f.i5 & 255,
      op & 255,
    ],
    text: (f) => `${r(f.r1)},${r(f.r2)},${f.i3},${f.i4},${f.i5}`,
  },
  RIEg: {
    encode: (op, f) => [high(op), nibbles(f.r1, f.m), ...half(f.i), 0, op & 255],
    text: (f) => `${r(f.r1)},${f.i},${f.m}`,
  },
  RRS: {
    encode: (op, f) => [
      high(op),
      nibbles(f.r1, f.r2),
      ...base12(f.b2, f.d2),
      nibbles(f.m, 0),
      op & 255,
    ],
    text: (f) => `${r(f.r1)},${r(f.r2)},${f.m},${storage(f.d2, f.b2)}`,
  },
  RIS: {
    encode: (op, f) => [high(op), nibbles(f.r1, f.m), ...base12(f.b2, f.d2), f.i3 & 255, op & 255],
    text: (f) => `${r(f.r1)},${f.i3},${f.m},${storage(f.d2, f.b2)}`,
  },
  RX: {
    encode: (op, f) => [op, nibbles(f.r1, f.x), ...base12(f.b2, f.d2)],
    text: (f) => `${r(f.r1)},${indexed(f.d2, f.x, f.b2)}`,
  },
  RXm: {
    encode: (op, f) => [op, nibbles(f.m, f.x), ...base12(f.b2, f.d2)],
    text: (f) => `${f.m},${indexed(f.d2, f.x, f.b2)}`,
  },
  RXE: {
    encode: (op, f) => [
      high(op),
      nibbles(f.r1, f.x),
      ...base12(f.b2, f.d2),
      nibbles(f.m, 0),
      op & 255,
    ],
    text: (f) => `${r(f.r1)},${indexed(f.d2, f.x, f.b2)}`,
  },
  /** RXF: R1 in bits 32-35 (multiply and add, storage). */
  RXF: {
    encode: (op, f) => [
      high(op),
      nibbles(f.r3, f.x),
      ...base12(f.b2, f.d2),
      nibbles(f.r1, 0),
      op & 255,
    ],
    text: (f) => `${r(f.r1)},${r(f.r3)},${indexed(f.d2, f.x, f.b2)}`,
  },
  RXY: {
    encode: (op, f) => [high(op), nibbles(f.r1, f.x), ...base20(f.b2, f.d2), op & 255],
    text: (f) => `${r(f.r1)},${indexed(f.d2, f.x, f.b2)}`,
  },
  RS: {
    encode: (op, f) => [op, nibbles(f.r1, f.r3), ...base12(f.b2, f.d2)],
    text: (f) => `${r(f.r1)},${r(f.r3)},${storage(f.d2, f.b2)}`,
  },
  RSm: {
    encode: (op, f) => [op, nibbles(f.r1, f.m), ...base12(f.b2, f.d2)],
    text: (f) => `${r(f.r1)},${f.m},${storage(f.d2, f.b2)}`,
  },
  RSY: {
    encode: (op, f) => [high(op), nibbles(f.r1, f.r3), ...base20(f.b2, f.d2), op & 255],
    text: (f) => `${r(f.r1)},${r(f.r3)},${storage(f.d2, f.b2)}`,
  },
  RSYm: {
    encode: (op, f) => [high(op), nibbles(f.r1, f.m), ...base20(f.b2, f.d2), op & 255],
    text: (f) => `${r(f.r1)},${f.m},${storage(f.d2, f.b2)}`,
  },
  RSI: {
    encode: (op, f) => [op, nibbles(f.r1, f.r3), ...half(f.i)],
    text: (f) => `${r(f.r1)},${r(f.r3)},${relative(f.i)}`,
  },
  /** RSL: one storage operand with a 4-bit length (TP). */
  RSL: {
    encode: (op, f) => [high(op), nibbles(f.l1, 0), ...base12(f.b1, f.d1), 0, op & 255],
    text: (f) => `${f.d1}(${f.l1 + 1},${r(f.b1)})`,
  },
  SI: {
    encode: (op, f) => [op, f.i & 255, ...base12(f.b1, f.d1)],
    text: (f) => `${storage(f.d1, f.b1)},${f.i & 255}`,
  },
  SIY: {
    encode: (op, f) => [high(op), f.i & 255, ...base20(f.b1, f.d1), op & 255],
    text: (f) => `${storage(f.d1, f.b1)},${f.i & 255}`,
  },
  SIL: {
    encode: (op, f) => [...half(op), ...base12(f.b1, f.d1), ...half(f.i)],
    text: (f) => `${storage(f.d1, f.b1)},${f.i}`,
  },
  S: {
    encode: (op, f) => [...half(op), ...base12(f.b2, f.d2)],
    text: (f) => storage(f.d2, f.b2),
  },
  /** S with a one-byte opcode (TS, SSM, LPSW). */
  S1: {
    encode: (op, f) => [op, 0, ...base12(f.b2, f.d2)],
    text: (f) => storage(f.d2, f.b2),
  },
  /** One length for both operands. */
  SSa: {
    encode: (op, f) => [op, f.l1 & 255, ...base12(f.b1, f.d1), ...base12(f.b2, f.d2)],
    text: (f) => `${f.d1}(${f.l1 + 1},${r(f.b1)}),${storage(f.d2, f.b2)}`,
  },
  /** A length for each operand. */
  SSb: {
    encode: (op, f) => [op, nibbles(f.l1, f.l2), ...base12(f.b1, f.d1), ...base12(f.b2, f.d2)],
    text: (f) => `${f.d1}(${f.l1 + 1},${r(f.b1)}),${f.d2}(${f.l2 + 1},${r(f.b2)})`,
  },
  /** Length and key registers (MVCP, MVCS, MVCK). */
  SSd: {
    encode: (op, f) => [op, nibbles(f.r1, f.r3), ...base12(f.b1, f.d1), ...base12(f.b2, f.d2)],
    text: (f) => `${f.d1}(${r(f.r1)},${r(f.b1)}),${storage(f.d2, f.b2)},${r(f.r3)}`,
  },
  /** Second length in an 8-bit field (PKA, PKU, UNPKA use bits 8-15 for the zoned operand). */
  SSE: {
    encode: (op, f) => [...half(op), ...base12(f.b1, f.d1), ...base12(f.b2, f.d2)],
    text: (f) => `${storage(f.d1, f.b1)},${storage(f.d2, f.b2)}`,
  },
  SSF: {
    encode: (op, f) => [op >> 4, nibbles(f.r3, op), ...base12(f.b1, f.d1), ...base12(f.b2, f.d2)],
    text: (f) => `${storage(f.d1, f.b1)},${storage(f.d2, f.b2)},${r(f.r3)}`,
  },
} satisfies Record<string, Format>;

export type FormatName = keyof typeof formats;

export function isFormat(name: string): name is FormatName {
  return Object.hasOwn(formats, name);
}
