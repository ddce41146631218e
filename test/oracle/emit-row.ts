/** Emits one instruction of a table row with random operands: one function per instruction format. */
import type { FormatName } from "./formats.ts";
import type { Generator, Operand } from "./generator.ts";
import type { Row } from "./instructions.ts";

type Emitter = (g: Generator, row: Row) => void;

/** First register field as the row wants it. */
function first(g: Generator, row: Row): number {
  if (row.fp1) return g.fpr1(row.pair1);
  if (row.writes1 === 2) return g.targetPair();
  if (row.even1) return g.evenAny();
  return row.writes1 === 1 ? g.target() : g.any();
}

function second(g: Generator, row: Row): number {
  if (row.no2) return 0;
  if (row.fp2) return g.fpr1(row.pair2);
  if (row.writes2 === 2) return g.targetPair();
  if (row.even2) return g.evenAny();
  return row.writes2 === 1 ? g.target() : g.any();
}

function third(g: Generator, row: Row): number {
  if (row.fp3) return g.fpr1(false);
  return row.even3 ? g.evenAny() : g.any();
}

/**
 * STCM and ICM go byte by byte in QEMU, up to the page that faults; CLM need not look at the second page
 * when the first one decides.
 */
function mayCross(g: Generator, row: Row): boolean {
  return !g.faulting || !/^(stcm|icm|clm)/.test(row.name);
}

/** Address fields of an operand that is a number, not a place: shift amounts, LA. */
function loose(g: Generator, row: Row, wide: boolean): { b2: number; d2: number; x: number } {
  const far = wide ? g.below(0x100000) - 0x80000 : g.below(0x1000);
  const d2 = row.shift && g.chance(70) ? g.below(130) : far;
  const b2 = row.shift && g.chance(60) ? 0 : g.any();
  return { b2, d2, x: row.shift ? 0 : g.any() };
}

function memory(g: Generator, row: Row, wide: boolean): { b2: number; d2: number; x: number } {
  if (row.shift || row.address) return loose(g, row, wide);
  const operand = g.operand(Math.max(1, row.size), row.align, wide, true, mayCross(g, row));
  return { b2: operand.b, d2: operand.d, x: operand.x };
}

function indexed(g: Generator, row: Row, wide: boolean): void {
  const fields = memory(g, row, wide);
  const r1 = first(g, row);
  if (row.address) g.clearHigh(r1);
  g.put(row, { ...fields, r1 });
}

function based(g: Generator, row: Row, wide: boolean): { b2: number; d2: number } {
  if (row.shift || row.address) {
    const { b2, d2 } = loose(g, row, wide);
    return { b2, d2 };
  }
  const operand = g.operand(Math.max(1, row.size), row.align, wide, false, mayCross(g, row));
  return { b2: operand.b, d2: operand.d };
}

function bitPosition(g: Generator): number {
  return g.chance(85) ? g.below(64) | (g.chance(30) ? 0x80 : 0) : g.below(256);
}

/** I3 of RNSBG, ROSBG, RXSBG: the test bit kills QEMU, see `qemu-faults.ts`. */
const withoutTestBit = 0x7f;

/** M3. Rounding method 3 is refused without facility 37, by us only: see `qemu-faults.ts`. */
function modifier(g: Generator, row: Row): number {
  const m = g.below(16);
  return m === 3 && (row.fp1 || row.fp2) && !g.roundings ? 4 : m;
}

/** SS lengths: mostly short, sometimes any. */
function ssLength(g: Generator): number {
  return g.chance(70) ? g.below(24) : g.below(256);
}

/** An operand within `distance` bytes of another one, or undefined where there is no room for it. */
function overlapping(
  g: Generator,
  near: Operand,
  distance: number,
  length: number,
): Operand | undefined {
  const shift = g.below(2 * distance) - distance;
  const d = near.d + shift;
  if (d < 0 || d > 0xfff || !g.fits(near.address + shift, length)) return undefined;
  return { ...near, d, address: near.address + shift };
}

const emitters: Partial<Record<FormatName, Emitter>> = {
  E: (g, row) => g.put(row, {}),
  RR: (g, row) => g.put(row, { r1: first(g, row), r2: second(g, row) }),
  RRE: (g, row) => g.put(row, { r1: first(g, row), r2: second(g, row) }),
  RRFa: (g, row) => {
    const m = row.name.startsWith("sel") ? g.below(16) : 0;
    g.put(row, { r1: first(g, row), r2: second(g, row), r3: third(g, row), m });
  },
  RRFc: (g, row) => {
    const i4 = g.roundings && g.chance(50) ? 4 : 0;
    g.put(row, { r1: first(g, row), r2: second(g, row), m: modifier(g, row), i4 });
  },
  RRD: (g, row) => g.put(row, { r1: first(g, row), r2: second(g, row), r3: third(g, row) }),
  RI: (g, row) => g.put(row, { r1: first(g, row), i: g.imm16() }),
  RIL: (g, row) => g.put(row, { r1: first(g, row), i: g.imm32() }),
  RILr: (g, row) => {
    const r1 = first(g, row);
    if (row.address) {
      g.clearHigh(r1);
      // QEMU overflows beyond 31 bits, and does not truncate in the small modes.
      const i = g.smallModes ? -g.below(0x1000) : g.imm32() >> 2;
      g.put(row, { r1, i });

      return;
    }
    // QEMU does not test the alignment: no wild placement.
    const wildness = g.wildness;
    g.wildness = 0;
    const address = g.place(row.size, Math.max(2, row.align));
    g.wildness = wildness;
    g.put(row, { r1, i: (address - g.here) / 2 });
  },
  RIEd: (g, row) => g.put(row, { r1: first(g, row), r3: g.any(), i: g.imm16() }),
  RIEf: (g, row) =>
    g.put(row, {
      r1: first(g, row),
      r2: g.any(),
      i3: bitPosition(g) & (row.name.startsWith("ri") ? 255 : withoutTestBit),
      i4: bitPosition(g),
      i5: bitPosition(g) & (g.chance(95) ? 63 : 255),
    }),
  RIEg: (g, row) => g.put(row, { r1: first(g, row), m: g.below(16), i: g.imm16() }),
  RIEa: (g, row) => g.put(row, { r1: first(g, row), m: g.below(16), i: g.imm16() }),
  RX: (g, row) => indexed(g, row, false),
  RXE: (g, row) => g.put(row, { ...memory(g, row, false), r1: first(g, row) }),
  RXF: (g, row) => g.put(row, { ...memory(g, row, false), r1: first(g, row), r3: third(g, row) }),
  RXY: (g, row) => indexed(g, row, true),
  RS: (g, row) => g.put(row, { ...based(g, row, false), r1: first(g, row), r3: third(g, row) }),
  RSY: (g, row) => g.put(row, { ...based(g, row, true), r1: first(g, row), r3: third(g, row) }),
  RSm: (g, row) => g.put(row, { ...based(g, row, false), r1: first(g, row), m: g.below(16) }),
  RSYm: (g, row) => g.put(row, { ...based(g, row, true), r1: first(g, row), m: g.below(16) }),
  RSL: (g, row) => {
    const operand = g.operand(16, 1, false, false);
    g.put(row, { l1: g.below(16), b1: operand.b, d1: operand.d });
  },
  SI: (g, row) => {
    const operand = g.operand(Math.max(1, row.size), row.align, false, false);
    g.put(row, { b1: operand.b, d1: operand.d, i: g.imm16() & 255 });
  },
  SIY: (g, row) => {
    const operand = g.operand(Math.max(1, row.size), row.align, true, false);
    g.put(row, { b1: operand.b, d1: operand.d, i: g.imm16() & 255 });
  },
  SIL: (g, row) => {
    const operand = g.operand(Math.max(1, row.size), row.align, false, false);
    g.put(row, { b1: operand.b, d1: operand.d, i: g.imm16() });
  },
  S: (g, row) => g.put(row, based(g, row, false)),
  S1: (g, row) => g.put(row, based(g, row, false)),
  SSa: (g, row) => {
    const l1 = ssLength(g);
    const crossing = !(g.faulting && row.name === "tr");
    const one = g.operand(256, 1, false, false, crossing);
    const two =
      (g.chance(35) && overlapping(g, one, 24, 256)) || g.operand(256, 1, false, false, crossing);
    g.put(row, { l1, b1: one.b, d1: one.d, b2: two.b, d2: two.d });
    if (row.name === "trt" || row.name === "trtr") g.wrote(1, 2);
    if (row.name === "edmk") g.wrote(1);
  },
  /** LMD: R1 to R3 from two operands, the high halves and the low ones. */
  SSd: (g, row) => {
    const count = 1 + g.below(4);
    const one = g.operand(count * 4, 1, false, false);
    const two = g.operand(count * 4, 1, false, false);
    const r1 = g.target();
    g.put(row, { r1, r3: (r1 + count - 1) & 15, b1: one.b, d1: one.d, b2: two.b, d2: two.d });
    for (let n = 0; n < count; n++) g.wrote((r1 + n) & 15);
  },
  SSb: (g, row) => {
    // Which page of several faults first is not defined for operands processed right to left.
    const one = g.operand(16, 1, false, false, !g.faulting);
    const unpack = row.name === "unpk";
    const near = !unpack && !g.faulting && g.chance(25) && overlapping(g, one, 8, 16);
    let two = near || g.operand(16, 1, false, false, !g.faulting);
    while (unpack && Math.abs(two.address - one.address) < 16) {
      two = g.operand(16, 1, false, false, !g.faulting);
    }
    const l2 = unpack ? 1 + g.below(15) : g.below(16);
    // QEMU's UNPK drops the leftmost byte of the second operand.
    const l1 = g.below(unpack ? Math.min(16, 2 * l2 - 1) : 16);
    g.put(row, { l1, l2, b1: one.b, d1: one.d, b2: two.b, d2: two.d });
  },
};

export function emitRow(g: Generator, row: Row): void {
  const emitter = emitters[row.format];
  if (emitter === undefined) throw new Error(`no generator for format ${row.format} (${row.name})`);
  emitter(g, row);
}
