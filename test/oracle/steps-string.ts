/**
 * Steps for the interruptible and string instructions: each loads the registers the instruction works
 * on (addresses in the data pages, bounded lengths, terminators that exist), and repeats the
 * instruction while it ends with condition code 3, because how much one execution does is up to the
 * machine.
 */
import type { Generator } from "./generator.ts";
import { encode, type Insn, insn, type Row } from "./instructions.ts";
import { PAGE } from "./layout.ts";
import { generatedRows } from "./rows.ts";

const strings = generatedRows("strings");
const translations = generatedRows("translation");
const extendedTranslations = generatedRows("extendedTranslation").filter(
  // Tables of 64 and 128 KiB do not fit into a slot.
  (row) => row.name !== "trto" && row.name !== "trtt",
);

export function stringStep(g: Generator): void {
  oneOf(g, strings);
}

export function translationStep(g: Generator): void {
  oneOf(g, translations);
}

export function extendedTranslationStep(g: Generator): void {
  oneOf(g, extendedTranslations);
}

function oneOf(g: Generator, choices: readonly Row[]): void {
  const row = g.rng.pick(choices);
  const saved = g.wildness;
  g.wildness = 0;
  const recipe = recipes[row.name] ?? recipes[row.format];
  if (recipe === undefined) throw new Error(`no recipe for ${row.name}`);
  recipe(g, row);
  g.wildness = saved;
}

type Recipe = (g: Generator, row: Row) => void;

/**
 * Repeats while cc 3.
 * @param lost registers that the last execution leaves alone while earlier ones may have advanced them:
 * their content depends on how often cc 3 came, so it is dropped
 */
export function untilDone(g: Generator, one: Insn, lost: readonly number[] = []): void {
  const loop = insn("brc", { m: 1, i: -one.bytes.length / 2 });
  g.emitFused(one, loop, ...lost.map((r1) => insn("llilf", { r1, i: 0 })));
}

/** Loads an address and a length into an even-odd pair; junk where the length has fewer bits. */
function loadPair(g: Generator, pair: number, length: number): number {
  // How far an instruction gets before the page that faults is up to the machine: stay in one page there.
  const page = g.chance(50) ? g.dataStart : g.pageBoundary;
  const address = g.faulting
    ? g.place(Math.max(1, length), 1, page, page + PAGE, false)
    : g.place(Math.max(1, length));
  g.loadConstant(pair, g.disguisedForString(address));
  g.loadConstant(pair + 1, BigInt(length));
  return address;
}

export function pairOf(g: Generator, ...avoid: readonly number[]): number {
  for (;;) {
    const pair = g.targetPair() & 14;
    if (!avoid.includes(pair)) return pair;
  }
}

function length(g: Generator): number {
  const kind = g.below(10);
  if (kind < 5) return g.below(40);
  return kind < 9 ? g.below(0x300) : g.below(g.faulting ? PAGE : 0x1100);
}

/** Two lengths, equal half of the time. */
function twoLengths(g: Generator): [number, number] {
  const one = length(g);
  return [one, g.chance(50) ? one : length(g)];
}

/** MVCL, CLCL: 24-bit lengths, padding byte above the second one. */
const long24: Recipe = (g, row) => {
  const r1 = pairOf(g);
  const r2 = pairOf(g, r1);
  const [l1, l2] = twoLengths(g);
  g.lock(r1, r1 + 1, r2, r2 + 1);
  loadPair(g, r1, l1);
  loadPair(g, r2, l2);
  const pad = g.below(256);
  g.emit(insn("iilf", { r1: r1 + 1, i: (g.below(256) << 24) | l1 }));
  g.emit(insn("iilf", { r1: r2 + 1, i: (pad << 24) | l2 }));
  if (row.name === "clcl" && g.chance(50)) copyFirst(g, r1, r2);
  g.unlock(r1, r1 + 1, r2, r2 + 1);
  g.put(row, { r1, r2 });
};

/** Makes the first bytes of both operands equal, so that a compare goes beyond them. */
function copyFirst(g: Generator, r1: number, r2: number): void {
  if (r1 > 0 && r2 > 0) g.emit(insn("mvc", { l1: g.below(200), b1: r1, b2: r2 }));
}

/** MVCLE, CLCLE, MVCLU, CLCLU. */
const longExtended: Recipe = (g, row) => {
  const r1 = pairOf(g);
  const r3 = pairOf(g, r1);
  const even = row.name.endsWith("u") ? -2 : -1;
  const [l1, l2] = twoLengths(g);
  g.lock(r1, r1 + 1, r3, r3 + 1);
  const to = loadPair(g, r1, l1 & even);
  const from = loadPair(g, r3, l2 & even);
  // Destructive overlap is unpredictable: then the destination becomes the lower one.
  if (row.name.startsWith("mv") && to > from && to < from + l2) {
    g.loadConstant(r1, g.disguisedForString(from));
    g.loadConstant(r3, g.disguisedForString(from));
  }
  if (row.name.startsWith("cl") && g.chance(50)) copyFirst(g, r1, r3);
  g.unlock(r1, r1 + 1, r3, r3 + 1);
  g.wrote(r1, r1 + 1, r3, r3 + 1);
  untilDone(g, encode(row, { r1, r3, d2: g.below(0x1000) }));
};

/** MVST, CLST: strings with terminators put in place, the destination never ahead of the source. */
const terminated: Recipe = (g, row) => {
  const [r1, r2] = [distinct(g, 0), 0];
  g.lock(0, r1);
  const source = distinct(g, r1);
  g.lock(source);
  const terminator = g.below(256);
  const span = 1 + g.below(g.chance(70) ? 40 : 0x700);
  const from = g.pageBoundary + g.below(0x1000 - span);
  const to = g.dataStart + g.below(0x1000 - span);
  g.loadConstant(source, g.disguised(from + span - 1));
  g.emit(insn("mvi", { b1: source, d1: 0, i: terminator }));
  g.loadConstant(r1, g.disguised(to + span - 1));
  if (row.name === "clst") g.emit(insn("mvi", { b1: r1, d1: 0, i: terminator }));
  // QEMU's CLST clears the left half in the small modes.
  const plain = row.name === "clst" ? 0xffff_ffffn : 0xffff_ffff_ffff_ffffn;
  g.loadConstant(source, g.disguisedForString(from) & plain);
  g.loadConstant(r1, g.disguisedForString(to) & plain);
  if (row.name === "clst" && g.chance(60)) {
    g.emit(insn("mvc", { l1: g.below(Math.min(256, span)), b1: r1, b2: source }));
  }
  g.loadConstant(0, BigInt(terminator));
  g.unlock(0, r1, source);
  g.wrote(r1, source, r2);
  const lost = row.name === "clst" ? [r1, source] : [source];
  const whole = withinPage(from, span) && withinPage(to, span) && !g.faulting;
  untilDone(g, encode(row, { r1, r2: source }), whole && span < 256 ? [] : lost);
};

/** One execution gets to the end of such a string in both emulators. */
function withinPage(address: number, length: number): boolean {
  return (address & 0xfff) + length <= 0x1000;
}

/** A register that is not 0 and not `other`. */
function distinct(g: Generator, other: number): number {
  for (;;) {
    const register = g.freeNonzero();
    if (register !== other) return register;
  }
}

/** SRST, SRSTU: ends at the address in R1. */
const search: Recipe = (g, row) => {
  const wide = row.name === "srstu";
  g.lock(0);
  const end = distinct(g, 0);
  g.lock(end);
  const start = distinct(g, end);
  const count = g.below(0x300) * 2;
  const from = g.place(count + 2);
  g.loadConstant(0, BigInt(wide ? g.below(0x10000) : g.below(256)));
  g.loadConstant(end, g.disguisedForString(from + count));
  g.loadConstant(start, g.disguisedForString(from));
  g.unlock(0, end);
  g.wrote(end, start);
  const whole = withinPage(from, count + 2) && count < 256;
  untilDone(g, encode(row, { r1: end, r2: start }), whole ? [] : [start]);
};

const checksum: Recipe = (g, row) => {
  const r2 = pairOf(g);
  loadPair(g, r2, length(g));
  const r1 = distinctFromPair(g, r2);
  g.wrote(r1, r2, r2 + 1);
  untilDone(g, encode(row, { r1, r2 }));
};

function distinctFromPair(g: Generator, pair: number): number {
  for (;;) {
    const register = g.free();
    if (register >> 1 !== pair >> 1) return register;
  }
}

/** CUSE: substring length in GR0, padding byte in GR1. */
const untilSubstring: Recipe = (g, row) => {
  g.lock(0, 1);
  const r1 = pairOf(g, 0);
  const r2 = pairOf(g, 0, r1);
  g.lock(r1, r1 + 1, r2, r2 + 1);
  const [l1, l2] = twoLengths(g);
  loadPair(g, r1, l1);
  loadPair(g, r2, l2);
  if (g.chance(50)) copyFirst(g, r1, r2);
  g.loadConstant(0, BigInt(g.below(6)));
  g.loadConstant(1, BigInt(g.below(256)));
  g.unlock(0, 1, r1, r1 + 1, r2, r2 + 1);
  g.wrote(r1, r1 + 1, r2, r2 + 1);
  untilDone(g, encode(row, { r1, r2 }));
};

/** TRE: test byte in GR0, 256-byte table at R2. */
const translateExtended: Recipe = (g, row) => {
  g.lock(0, 1);
  const r1 = pairOf(g);
  const count = length(g);
  g.loadConstant(r1, BigInt(g.place(Math.max(1, count))));
  g.loadConstant(r1 + 1, BigInt(count));
  g.lock(r1, r1 + 1);
  const r2 = distinctFromPair(g, r1);
  g.loadConstant(r2, BigInt(g.place(256)));
  g.loadConstant(0, BigInt(g.below(256)));
  g.unlock(0, 1, r1, r1 + 1);
  g.wrote(r1, r1 + 1);
  untilDone(g, encode(row, { r1, r2 }));
};

/** TROO, TROT: table at GR1, test character in GR0. */
const translateTable: Recipe = (g, row) => {
  g.lock(0, 1);
  const r1 = pairOf(g);
  g.lock(r1, r1 + 1);
  const r2 = distinct(g, 1);
  g.lock(r2);
  const count = 2 + g.below(0x200); // 0: a fault, see qemu-faults.ts
  // TROT makes two bytes of each one.
  g.loadConstant(r1, g.disguised(g.place(Math.max(1, 2 * count))));
  g.loadConstant(r1 + 1, BigInt(count));
  g.loadConstant(r2, g.disguised(g.place(Math.max(1, count))));
  g.loadConstant(1, g.disguised(g.place(512, 8)));
  g.loadConstant(0, BigInt(g.below(256)));
  const m = g.below(2);
  g.unlock(0, 1, r1, r1 + 1, r2);
  g.wrote(r1, r1 + 1, r2);
  untilDone(g, encode(row, { r1, r2, m }));
};

/** Unicode conversions: destination pair R1, source pair R2. */
const unicode: Recipe = (g, row) => {
  const r1 = pairOf(g);
  const r2 = pairOf(g, r1);
  g.lock(r1, r1 + 1, r2, r2 + 1);
  loadPair(g, r1, g.below(0x300));
  const from = loadPair(g, r2, g.below(0x200));
  const plain = g.chance(60);
  if (plain) {
    const text = plainText(g, row.name);
    const at = g.literal(text, 2);
    g.loadConstant(r2, g.disguised(at % 0x0800_0000));
    g.loadConstant(r2 + 1, BigInt(text.length - g.below(3)));
  } else if (from < 0) {
    throw new Error("no source");
  }
  g.unlock(r1, r1 + 1, r2, r2 + 1);
  g.wrote(r1, r1 + 1, r2, r2 + 1);
  // Checking of noise would run into QEMU's idea of what is ill-formed UTF-8.
  const m = plain || !row.name.startsWith("cu1") ? g.below(2) : 0;
  untilDone(g, encode(row, { r1, r2, m }));
};

const samples = [
  "plain",
  "gr\u00fc\u00dfe",
  "\u20ac 12",
  "\u4e2d\u6587",
  "a\u{1f600}b",
  "\u07ff\u1000\uffff",
];

/** Well-formed text in the source encoding of a CUxy instruction (1 = UTF-8, 2 = UTF-16, 4 = UTF-32). */
function plainText(g: Generator, name: string): number[] {
  const text = g.rng.pick(samples) + g.rng.pick(samples);
  const source = name[2];
  if (source === "1") return [...new TextEncoder().encode(text)];
  if (source === "2") {
    return Array.from({ length: text.length }, (_, n) => text.charCodeAt(n)).flatMap((unit) => [
      unit >> 8,
      unit & 255,
    ]);
  }
  return [...text].flatMap((character) => {
    const point = character.codePointAt(0) ?? 0;
    return [0, point >> 16, (point >> 8) & 255, point & 255];
  });
}

/** MVPG: data page 1 over data page 2 or the other way round. */
const movePage: Recipe = (g, row) => {
  g.lock(0);
  const r1 = distinct(g, 0);
  g.lock(r1);
  const r2 = distinct(g, r1);
  const [to, from] = g.chance(50) ? [g.dataStart, g.pageBoundary] : [g.pageBoundary, g.dataStart];
  g.loadConstant(r1, g.disguised(to + g.below(0x1000)));
  g.loadConstant(r2, g.disguised(from + g.below(0x1000)));
  g.loadConstant(0, 0n);
  g.unlock(0, r1);
  g.put(row, { r1, r2 });
};

const recipes: Readonly<Record<string, Recipe>> = {
  mvcl: long24,
  clcl: long24,
  RS: longExtended,
  RSY: longExtended,
  mvst: terminated,
  clst: terminated,
  srst: search,
  srstu: search,
  cksm: checksum,
  cuse: untilSubstring,
  tre: translateExtended,
  RRFc: translateTable,
  mvpg: movePage,
  cu12: unicode,
  cu14: unicode,
  cu21: unicode,
  cu24: unicode,
  cu41: unicode,
  cu42: unicode,
};
