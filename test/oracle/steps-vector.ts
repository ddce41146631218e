/**
 * Steps of the vector families. Each row of the table is an instruction of facility 129 or 135: opcode byte, where its operands and
 * its fields are, element sizes. A sequence loads all vector registers at its start and folds them into
 * the floating-point registers at its end, which is what the harness looks at.
 * Source: SA22-7832-11 chapters 21-24, independent of src/.
 */
import type { Generator } from "./generator.ts";
import { type Insn, insn } from "./instructions.ts";
import { Slot } from "./layout.ts";

/**
 * a V1 V2; c V1 V2 V3; d V1 V2 V3 V4, size in bits 20-23; e V1 V2 V3 V4. Element sizes follow; pN=M: the bits of M at bit N
 * are random; oN=a,b,...: one of these values at bit N.
 */
const table = `
  va f3 c 0-4; vacc f1 c 0-4; vac bb d 4-4; vaccc b9 d 4-4; vs f7 c 0-4; vscbi f5 c 0-4; vsbi bf d 4-4; vsbcbi bd d 4-4
  vavg f2 c 0-3; vavgl f0 c 0-3; vmx ff c 0-3; vmxl fd c 0-3; vmn fe c 0-3; vmnl fc c 0-3; vclz 53 a 0-3; vctz 52 a 0-3
  vpopct 50 a 0-3; vnn 6e c; voc 6f c; vnx 6c c; vmsl b8 d 3-3 p24=12; vbperm 85 c; vlc de a 0-3; vlp df a 0-3; vceq f8 c 0-3 p24=1; vch fb c 0-3 p24=1; vchl f9 c 0-3 p24=1
  vec db a 0-3; vecl d9 a 0-3; vn 68 c; vnc 69 c; vo 6a c; vno 6b c; vx 6d c; vml a2 c 0-2; vmh a3 c 0-2; vmlh a1 c 0-2
  vmal aa d 0-2; vmah ab d 0-2; vmalh a9 d 0-2; vme a6 c 0-2; vmle a4 c 0-2; vmo a7 c 0-2; vmlo a5 c 0-2
  vmae ae d 0-2; vmale ac d 0-2; vmao af d 0-2; vmalo ad d 0-2; vgfm b4 c 0-3; vgfma bc d 0-3; vsum 64 c 0-1
  vsumg 65 c 1-2; vsumq 67 c 2-3; vtm d8 a; verllv 73 c 0-3; veslv 70 c 0-3; vesrav 7a c 0-3; vesrlv 78 c 0-3
  vslb 75 c; vsrab 7f c; vsrlb 7d c`;

const supportTable = `
  vlr 56 a; vmrh 61 c 0-3; vmrl 60 c 0-3; vpk 94 c 1-3; vpks 97 c 1-3 p24=1; vpkls 95 c 1-3 p24=1; vuph d7 a 0-2
  vupl d6 a 0-2; vuplh d5 a 0-2; vupll d4 a 0-2; vseg 5f a 0-2; vperm 8c e; vsel 8d e; vpdi 84 c o32=0,1,4,5`;

const stringTable = `
  vfae 82 c 0-2 p24=15; vfee 80 c 0-2 p24=3; vfene 81 c 0-2 p24=3; vistr 5c a 0-2 p24=1; vstrc 8a d 0-2 p24=15`;

const floatTable = `
  vfa e3 c 2-4 p28=8; vfs e2 c 2-4 p28=8; vfm e7 c 2-4 p28=8; vfd e5 c 2-4 p28=8; vfma 8f f 2-4 p28=8
  vfnma 9f f 2-4 p28=8; vfnms 9e f 2-4 p28=8; vfmin ee c 2-4 p28=8 o24=0,1,2,3,4,8,9,10,11,12
  vfmax ef c 2-4 p28=8 o24=0,1,2,3,4,8,9,10,11,12; vfms 8e f 2-4 p28=8; vfsq ce a 2-4 p28=8; vfi c7 a 2-4 p28=8 o24=0,1,3,4,5,6,7; vcgd c2 a 3-3 p28=8 o24=0,1,3,4,5,6,7
  vclgd c0 a 3-3 p28=8 o24=0,1,3,4,5,6,7; vcdg c3 a 3-3 p28=8 o24=0,1,3,4,5,6,7
  vcdlg c1 a 3-3 p28=8 o24=0,1,3,4,5,6,7; vlde c4 a 2-3 p28=8; vled c5 a 3-4 p28=8 o24=0,1,3,4,5,6,7
  vfpso cc a 2-4 p28=8 o24=0,1,2; wfc cb a 2-4; wfk ca a 2-4; vfce e8 c 2-4 p28=12 p24=1; vfch eb c 2-4 p28=12 p24=1
  vfche ea c 2-4 p28=12 p24=1`;

interface VectorRow {
  readonly name: string;
  readonly op: number;
  /** Operands V1... in fields at these bits. */
  readonly operands: readonly number[];
  readonly sizeAt: number;
  readonly sizes?: readonly [number, number];
  readonly bits: readonly (readonly [number, number])[];
  readonly choices: readonly (readonly [number, readonly number[]])[];
}

const shapes: Readonly<Record<string, readonly [readonly number[], number]>> = {
  a: [[8, 12], 32],
  c: [[8, 12, 16], 32],
  d: [[8, 12, 16, 32], 20],
  e: [[8, 12, 16, 32], 20],
  f: [[8, 12, 16, 32], 20], // multiplication with addition
};

function parse(text: string): readonly VectorRow[] {
  return text
    .split(/[;\n]/)
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .map((line) => {
      const [name = "", op = "", shape = "", ...more] = line.split(" ");
      const [operands, sizeAt] = shapes[shape] ?? [[], 0];
      const sizes = more.find((word) => /^\d-\d$/.test(word));
      const fields = more.filter((word) => word.includes("=")).map((word) => word.split("="));
      const at = (word: string | undefined): number => Number(word?.slice(1));
      return {
        name,
        op: Number.parseInt(op, 16),
        operands,
        sizeAt,
        ...(sizes === undefined ? {} : { sizes: [Number(sizes[0]), Number(sizes[2])] as const }),
        bits: fields
          .filter(([f]) => f?.startsWith("p"))
          .map(([f, v]) => [at(f), Number(v)] as const),
        choices: fields
          .filter(([f]) => f?.startsWith("o"))
          .map(([f, v]) => [at(f), (v ?? "").split(",").map(Number)] as const),
      };
    });
}

/** Nibbles by bit position; operands with their register number, 0-31. */
interface VectorFields {
  readonly nibbles?: Readonly<Record<number, number>>;
  readonly vectors: Readonly<Record<number, number>>;
  /** Bits 16-31: base and displacement, or an immediate. */
  readonly half?: number;
}

const HIGH_BITS: Readonly<Record<number, number>> = { 8: 8, 12: 4, 16: 2, 32: 1 };

export function vector(name: string, op: number, fields: VectorFields): Insn {
  const at = new Array<number>(9).fill(0);
  if (fields.half !== undefined) {
    [12, 8, 4, 0].forEach((shift, n) => {
      at[4 + n] = ((fields.half ?? 0) >> shift) & 15;
    });
  }
  for (const [bit, value] of Object.entries(fields.nibbles ?? {})) at[Number(bit) / 4] = value;
  let high = 0;
  for (const [bit, register] of Object.entries(fields.vectors)) {
    at[Number(bit) / 4] = register & 15;
    if (register > 15) high |= HIGH_BITS[Number(bit)] ?? 0;
  }
  const pair = (n: number): number => ((at[n] ?? 0) << 4) | (at[n + 1] ?? 0);
  const bytes = [0xe7, pair(2), pair(4), pair(6), ((at[8] ?? 0) << 4) | high, op];
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return { name, bytes, text: `${name} ${hex}` };
}

const any = (g: Generator): number => g.below(32);

/** A size that the row has; now and then one that no instruction has. */
function sizeOf(g: Generator, row: VectorRow): number {
  if (row.sizes === undefined) return 0;
  if (g.chance(2)) return 5 + g.below(11);
  const [least, most] = row.sizes;
  return least + g.below(most - least + 1);
}

function emitTableRow(g: Generator, row: VectorRow): void {
  const vectors: Record<number, number> = {};
  for (const bit of row.operands) vectors[bit] = any(g);
  const nibbles: Record<number, number> = {};
  if (row.sizes !== undefined) nibbles[row.sizeAt] = sizeOf(g, row);
  for (const [bit, mask] of row.bits) nibbles[bit] = g.below(16) & mask;
  for (const [bit, values] of row.choices) nibbles[bit] = g.rng.pick(values);
  g.emit(vector(row.name, row.op, { nibbles, vectors }));
}

const integers = parse(table);
const supports = parse(supportTable);
const strings = parse(stringTable);
const floats = parse(floatTable);

/** Adds zero to the operands of a multiplication with addition: their NaNs become quiet, see qemu-faults.ts. */
function emitSum(g: Generator, row: VectorRow): void {
  const [zero, ...operands] = [any(g), any(g), any(g), any(g)];
  const size = 2 + g.below(3);
  const [v2, v3, v4] = operands.map((v) => (v === zero ? (v + 1) & 31 : v));
  const vectors = { 8: any(g), 12: v2 ?? 0, 16: v3 ?? 0, 32: v4 ?? 0 };
  const quieted = operands.map((_, n) => {
    const register = [v2, v3, v4][n] ?? 0;
    const sum = { 8: register, 12: register, 16: zero ?? 0 };
    return vector("vfa", 0xe3, { nibbles: { 32: size }, vectors: sum });
  });
  const nibbles = { 20: size, 28: g.below(2) * 8 };
  g.emitFused(
    vector("vgbm", 0x44, { half: 0, vectors: { 8: zero ?? 0 } }),
    ...quieted,
    vector(row.name, row.op, { nibbles, vectors }),
  );
}

// Shifts, rotates and searches with operands of their own

/** Amounts at an address; whole-register shifts want the same amount in all bytes of the third operand. */
export function vectorIntegerStep(g: Generator): void {
  if (g.chance(80)) {
    emitTableRow(g, g.rng.pick(integers));
    return;
  }
  const kind = g.below(3);
  if (kind === 0) {
    const [name, op] = g.rng.pick([
      ["vesl", 0x30],
      ["verll", 0x33],
      ["vesrl", 0x38],
      ["vesra", 0x3a],
    ] as const);
    const half = g.chance(60) ? g.below(64) : ((1 + g.below(15)) << 12) | g.below(0x1000);
    const nibbles = { 32: g.below(4) };
    g.emit(vector(name, op, { half, nibbles, vectors: { 8: any(g), 12: any(g) } }));
  } else if (kind === 1) {
    const amount = any(g);
    const even = vector("vrep", 0x4d, { half: 7, vectors: { 8: amount, 12: any(g) } });
    const [name, op] = g.rng.pick([
      ["vsl", 0x74],
      ["vsrl", 0x7c],
      ["vsra", 0x7e],
    ] as const);
    g.emitFused(even, vector(name, op, { vectors: { 8: any(g), 12: any(g), 16: amount } }));
  } else {
    const nibbles = { 24: g.below(16), 28: g.below(16), 32: g.below(4) };
    g.emit(vector("verim", 0x72, { nibbles, vectors: { 8: any(g), 12: any(g), 16: any(g) } }));
  }
}

/** Strings have few different elements: a register of bytes that repeat, before the search. */
export function vectorStringStep(g: Generator): void {
  const row = g.rng.pick(strings);
  if (g.chance(50)) {
    // A copy of one of the operands with one element changed.
    const [from, to] = [any(g), any(g)];
    g.emit(vector("vlr", 0x56, { vectors: { 8: to, 12: from } }));
    const nibbles = { 32: g.below(16) };
    g.emit(vector("vleib", 0x40, { half: g.below(3), nibbles, vectors: { 8: to } }));
    const vectors: Record<number, number> = {};
    for (const bit of row.operands) vectors[bit] = bit === 12 ? from : bit === 16 ? to : any(g);
    const flags: Record<number, number> = { [row.sizeAt]: sizeOf(g, row) };
    for (const [bit, mask] of row.bits) flags[bit] = g.below(16) & mask;
    g.emit(vector(row.name, row.op, { nibbles: flags, vectors }));
    return;
  }
  emitTableRow(g, row);
}

// Storage and elements

type Emitter = (g: Generator) => void;

/** Base and displacement of an operand in the data pages as the half at bit 16. */
function place(g: Generator, length: number): number {
  const { b, d } = g.operand(length, 1, false, false);
  return (b << 12) | d;
}

function indexed(g: Generator, length: number): { half: number; x: number } {
  const { b, d, x } = g.operand(length, 1, false, true);
  return { half: (b << 12) | d, x };
}

/** An element that exists; now and then one that does not. */
function elementOf(g: Generator, size: number): number {
  return g.chance(3) ? g.below(16) : g.below(16 >> size);
}

function storage(name: string, op: number, length: number, m3: (g: Generator) => number): Emitter {
  return (g) => {
    const { half, x } = indexed(g, length);
    g.emit(vector(name, op, { half, nibbles: { 12: x, 32: m3(g) }, vectors: { 8: any(g) } }));
  };
}

const elements: readonly (readonly [string, number, string, number, string, number, number])[] = [
  ["vleb", 0x00, "vsteb", 0x08, "vleib", 0x40, 0],
  ["vleh", 0x01, "vsteh", 0x09, "vleih", 0x41, 1],
  ["vleg", 0x02, "vsteg", 0x0a, "vleig", 0x42, 3],
  ["vlef", 0x03, "vstef", 0x0b, "vleif", 0x43, 2],
];

function byElement(g: Generator): void {
  const [load, loadOp, store, storeOp, immediate, immediateOp, size] = g.rng.pick(elements);
  const kind = g.below(3);
  if (kind === 0) storage(load, loadOp, 1 << size, () => elementOf(g, size))(g);
  else if (kind === 1) storage(store, storeOp, 1 << size, () => elementOf(g, size))(g);
  else {
    const nibbles = { 32: elementOf(g, size) };
    g.emit(
      vector(immediate, immediateOp, { half: g.imm16() & 0xffff, nibbles, vectors: { 8: any(g) } }),
    );
  }
}

/** Gather and scatter: the index element is set before. */
function gathered(g: Generator): void {
  const size = g.chance(50) ? 2 : 3;
  const index = any(g);
  const element = g.below(16 >> size);
  const set = vector(size === 2 ? "vleif" : "vleig", size === 2 ? 0x43 : 0x42, {
    half: g.below(0x200),
    nibbles: { 32: element },
    vectors: { 8: index },
  });
  const stores = g.chance(50);
  const op = (stores ? 0x1a : 0x12) + (size === 2 ? 1 : 0);
  const name = `${stores ? "vsce" : "vge"}${size === 2 ? "f" : "g"}`;
  const half = place(g, 0x208);
  g.emitFused(
    set,
    vector(name, op, { half, nibbles: { 32: element }, vectors: { 8: any(g), 12: index } }),
  );
}

function multiple(g: Generator): void {
  const count = g.chance(70) ? 1 + g.below(4) : 1 + g.below(16);
  const first = g.below(33 - count);
  const half = place(g, count * 16);
  const [name, op] = g.chance(50) ? (["vlm", 0x36] as const) : (["vstm", 0x3e] as const);
  g.emit(vector(name, op, { half, vectors: { 8: first, 12: first + count - 1 } }));
}

/** VLL, VSTL: the length is in a general register. */
function withLength(g: Generator): void {
  const half = place(g, 16);
  const [name, op] = g.chance(50) ? (["vll", 0x37] as const) : (["vstl", 0x3f] as const);
  if (g.chance(60)) {
    const r3 = g.target();
    g.emit(insn("lghi", { r1: r3, i: g.below(20) }));
    g.wrote(r3);
    if (half >> 12 !== r3) {
      g.emit(vector(name, op, { half, nibbles: { 12: r3 }, vectors: { 8: any(g) } }));
    }
    return;
  }
  g.emit(vector(name, op, { half, nibbles: { 12: g.any() }, vectors: { 8: any(g) } }));
}

function lcbb(g: Generator): void {
  const { half, x } = indexed(g, 1);
  const r1 = g.target();
  g.emit(vector("lcbb", 0x27, { half, nibbles: { 8: r1, 12: x, 32: g.below(7) }, vectors: {} }));
  g.wrote(r1);
}

/** VLGV, VLVG, VLVGP, VREP, VREPI, VGBM, VGM, VSLDB. */
function ofRegisters(g: Generator): void {
  const size = g.below(4);
  const half = g.chance(70) ? g.below(16) : ((1 + g.below(15)) << 12) | g.below(0x1000);
  const nibbles = { 32: size };
  const emitters: readonly Emitter[] = [
    () => {
      const r1 = g.target();
      g.emit(
        vector("vlgv", 0x21, { half, nibbles: { ...nibbles, 8: r1 }, vectors: { 12: any(g) } }),
      );
      g.wrote(r1);
    },
    () => {
      const fields = { half, nibbles: { ...nibbles, 12: g.any() }, vectors: { 8: any(g) } };
      g.emit(vector("vlvg", 0x22, fields));
    },
    () => {
      g.emit(
        vector("vlvgp", 0x62, { nibbles: { 12: g.any(), 16: g.any() }, vectors: { 8: any(g) } }),
      );
    },
    () => {
      const index = g.chance(4) ? g.below(0x10000) : g.below(16 >> size);
      g.emit(vector("vrep", 0x4d, { half: index, nibbles, vectors: { 8: any(g), 12: any(g) } }));
    },
    () =>
      g.emit(vector("vrepi", 0x45, { half: g.imm16() & 0xffff, nibbles, vectors: { 8: any(g) } })),
    () => g.emit(vector("vgbm", 0x44, { half: g.below(0x10000), vectors: { 8: any(g) } })),
    () => g.emit(vector("vgm", 0x46, { half: g.below(0x10000), nibbles, vectors: { 8: any(g) } })),
    () => {
      const fields = {
        nibbles: { 28: g.below(16) },
        vectors: { 8: any(g), 12: any(g), 16: any(g) },
      };
      g.emit(vector("vsldb", 0x77, fields));
    },
  ];
  g.rng.pick(emitters)(g);
}

const storageSteps: readonly Emitter[] = [
  storage("vl", 0x06, 16, () => 0),
  storage("vst", 0x0e, 16, () => 0),
  storage("vlrep", 0x05, 8, (g) => g.below(4)),
  storage("vllez", 0x04, 8, (g) => g.rng.pick([0, 1, 2, 3, 6])),
  storage("vlbb", 0x07, 16, (g) => g.below(7)),
  byElement,
  byElement,
  gathered,
  multiple,
  withLength,
  lcbb,
];

export function vectorSupportStep(g: Generator): void {
  const kind = g.below(10);
  if (kind < 3) emitTableRow(g, g.rng.pick(supports));
  else if (kind < 5) ofRegisters(g);
  else g.rng.pick(storageSteps)(g);
}

/** TEST DATA CLASS has its mask where others have operands. */
export function vectorFloatStep(g: Generator): void {
  if (g.chance(92)) {
    const row = g.rng.pick(floats);
    if (row.operands.length > 3) emitSum(g, row);
    else emitTableRow(g, row);
    return;
  }
  const nibbles = { 28: g.chance(50) ? 8 : 0, 32: 2 + g.below(3) };
  const half = g.below(0x1000) << 4;
  g.emit(vector("vftci", 0x4a, { half, nibbles, vectors: { 8: any(g), 12: any(g) } }));
}

// Beginning and end of a sequence

const FIRST_HALF = 0;
const SECOND_HALF = 16;
const HALF_BYTES = 0x100;

/** All registers from the first data page. Register 0 as a base means none, so it is free for nobody's pointer. */
export function loadVectors(g: Generator): void {
  const base = g.freeNonzero();
  g.loadConstant(base, BigInt(g.slot + Slot.data));
  for (const [n, first] of [FIRST_HALF, SECOND_HALF].entries()) {
    const half = (base << 12) | (n * HALF_BYTES);
    g.emit(vector("vlm", 0x36, { half, vectors: { 8: first, 12: first + 15 } }));
  }
}

/** Both doublewords of the upper registers from the floating-point registers, which hold numbers worth their name. */
export function spreadNumbers(g: Generator): void {
  for (let n = 0; n < 32; n++) {
    const vectors = { 8: 31 - n, 12: g.below(16), 16: g.below(16) };
    if (n < 16) g.emit(vector("vmrh", 0x61, { nibbles: { 32: 3 }, vectors }));
    else g.emit(vector("vmrh", 0x61, { nibbles: { 32: 3 }, vectors: { ...vectors, 12: 31 - n } }));
  }
}

/** All registers to the last bytes of the data, then both doublewords of two registers into one floating-point register. */
export function foldVectors(g: Generator): void {
  const base = g.freeNonzero();
  g.loadConstant(base, BigInt(g.slot + Slot.dataEnd - 2 * HALF_BYTES));
  for (const [n, first] of [FIRST_HALF, SECOND_HALF].entries()) {
    const half = (base << 12) | (n * HALF_BYTES);
    g.emit(vector("vstm", 0x3e, { half, vectors: { 8: first, 12: first + 15 } }));
  }
  for (let n = 0; n < 16; n++) {
    const swapped = 16 + n;
    g.emit(
      vector("vx", 0x6d, { vectors: { 8: n, 12: n, 16: swapped } }),
      vector("vpdi", 0x84, { nibbles: { 32: 4 }, vectors: { 8: swapped, 12: n, 16: n } }),
      vector("va", 0xf3, { nibbles: { 32: 3 }, vectors: { 8: n, 12: n, 16: swapped } }),
    );
  }
}
