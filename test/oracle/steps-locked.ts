/**
 * Steps of the families `parsing` and `locked`: TRTE and TRTRE over tables with few function codes, and every function of
 * PERFORM LOCKED OPERATION, with comparands that are equal more often than not.
 */
import type { Generator } from "./generator.ts";
import { encode, insn, rowNamed } from "./instructions.ts";
import { pairOf, untilDone } from "./steps-string.ts";

const CODES_FOUND = 6;

/** Arguments of 1 or 2 bytes, the latter limited to 255: tables for 65,536 do not fit into a slot. */
export function parsingStep(g: Generator): void {
  if (!g.hasRoom(700)) return;
  const row = rowNamed(g.chance(50) ? "trte" : "trtre");
  const wide = g.chance(40);
  const codeSize = g.chance(50) ? 2 : 1;
  const table = new Array<number>(256 * codeSize).fill(0);
  for (let n = 0; n < CODES_FOUND; n++) table[g.below(table.length)] = 1 + g.below(255);
  g.lock(1);
  const r1 = pairOf(g);
  g.lock(r1, r1 + 1);
  const size = wide ? 2 : 1;
  const count = g.below(0x300) * size;
  const from = g.place(Math.max(size, count), 1);
  const start = row.name === "trte" ? from : from + Math.max(0, count - size);
  g.loadConstant(r1, BigInt(start));
  g.loadConstant(r1 + 1, BigInt(count));
  g.loadConstant(1, BigInt(g.literal(table, 8)));
  const r2 = pairOf(g, r1);
  g.loadConstant(r2, g.word64());
  g.unlock(1, r1, r1 + 1);
  g.wrote(r1, r1 + 1, r2);
  untilDone(g, encode(row, { r1, r2, m: (wide ? 10 : 0) | (codeSize === 2 ? 4 : 0) }));
}

/** Offsets of operands and of the parameter list in one stretch of storage. */
const SECOND = 0x00;
const FOURTH = 0x20;
const OTHERS = [0x40, 0x60];
const LIST = 0x80;
const STRETCH = 0x120;
const ADDRESSES = [72, 104, 136];
const SIZES = [4, 8, 8, 16];

export function lockedStep(g: Generator): void {
  if (!g.hasRoom(260)) return;
  const testing = g.chance(5);
  const code = testing ? g.below(40) : g.below(24);
  const size = SIZES[code & 3] ?? 4;
  const group = code >> 2;
  const inList = (code & 1) !== 0;
  g.lock(0, 1);
  const r1 = pairOf(g, 0);
  const r3 = pairOf(g, 0, r1);
  g.lock(r1, r1 + 1, r3, r3 + 1);
  const base = g.freeNonzero();
  g.lock(base);
  const scratch = g.freeNonzero();
  const stretch = g.place(STRETCH, 16);
  for (const [n, at] of ADDRESSES.entries()) {
    const target = [FOURTH, ...OTHERS][n] ?? FOURTH;
    g.loadConstant(scratch, BigInt(stretch + target));
    g.loadConstant(base, BigInt(stretch));
    g.emit(insn("stg", { r1: scratch, b2: base, d2: LIST + at }));
  }
  g.loadConstant(0, BigInt(code | (testing ? 0x100 : 0)));
  const equal = (register: number, field: number, from: number): void => {
    if (!g.chance(70)) return;
    const to = LIST + field * 16 + 16 - size;
    if (inList) g.emit(insn("mvc", { l1: size - 1, b1: base, d1: to, b2: base, d2: from }));
    else g.emit(insn(size === 4 ? "l" : "lg", { r1: register, b2: base, d2: from }));
  };
  equal(r1, 0, SECOND);
  if (group === 2) equal(r3, 2, FOURTH);
  // Where the list is not used, the last operand is the fourth itself.
  const direct = !inList && group < 4;
  const d2 = direct ? FOURTH : LIST;
  g.emit(insn("plo", { r1, r3, b1: base, d1: SECOND, b2: base, d2 }));
  g.unlock(0, 1, r1, r1 + 1, r3, r3 + 1, base);
  g.wrote(0, r1, r1 + 1, r3, r3 + 1, base, scratch);
}
