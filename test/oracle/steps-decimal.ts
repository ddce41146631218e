/**
 * Steps for packed decimal: operands with valid numbers, sometimes with a wrong code, beside each other or
 * overlapping as the instruction allows, in storage of their own behind the code.
 */
import type { Generator } from "./generator.ts";
import { rowNamed, rowsOf } from "./instructions.ts";

const instructions = [
  ...rowsOf("decimalArithmetic"),
  ...["cvdg", "pka", "pku", "unpka", "unpku"].map(rowNamed),
];

/** A packed number of `length` bytes: few digits or many, any sign code, a wrong code now and then. */
function packed(g: Generator, length: number, wrong = 6): number[] {
  const nibbles = length * 2;
  const leading = g.chance(60) ? g.below(nibbles) : 0;
  const digits = Array.from({ length: nibbles }, (_, n) => {
    if (n === nibbles - 1) return 10 + g.below(6);
    return n < leading ? 0 : g.chance(15) ? 9 : g.below(10);
  });
  if (g.chance(wrong)) digits[g.below(nibbles)] = g.below(16);
  return pairs(digits);
}

function pairs(nibbles: readonly number[]): number[] {
  return Array.from({ length: nibbles.length / 2 }, (_, n) => {
    return ((nibbles[2 * n] ?? 0) << 4) | (nibbles[2 * n + 1] ?? 0);
  });
}

/** A pattern of EDIT: fill byte, then selectors, starters, separators and message bytes. */
function pattern(g: Generator, length: number): number[] {
  return Array.from({ length }, (_, n) => {
    if (n === 0 && g.chance(70)) return g.rng.pick([0x40, 0x5c]);
    const kind = g.below(20);
    if (kind < 13) return 0x20;
    if (kind < 15) return 0x21;
    return kind === 15 ? 0x22 : g.rng.pick([0x6b, 0x4b, 0xc3, 0xd9, 0x00]);
  });
}

export function decimalStep(g: Generator): void {
  const row = g.rng.pick(instructions);
  if (!g.hasRoom(220)) return;
  const base = g.freeNonzero();
  g.lock(base);
  const place = (bytes: readonly number[]): void => {
    g.loadConstant(base, BigInt(g.literal(bytes)));
  };
  if (row.format === "RX" || row.format === "RXY") {
    place(packed(g, row.size));
    g.put(row, { r1: row.stores ? g.any() : g.target(), b2: base, d2: 0, x: 0 });
  } else if (row.name === "ed" || row.name === "edmk") {
    const length = 1 + g.below(24);
    // What is stored before a wrong digit is met is up to the machine.
    const source = Array.from({ length: 16 }, () => packed(g, 1 + g.below(6), 0)).flat();
    place([...pattern(g, length), ...source]);
    g.put(row, { l1: length - 1, b1: base, d1: 0, b2: base, d2: length });
    g.wrote(1);
  } else if (row.name === "srp") {
    const length = 1 + g.below(16);
    place(packed(g, length));
    const i3 = g.chance(90) ? g.below(10) : g.below(16);
    g.put(row, { l1: length - 1, l2: i3, b1: base, d1: 0, b2: 0, d2: g.below(64) });
  } else if (row.name.startsWith("pk")) {
    const length = 1 + g.below(row.name === "pka" ? 33 : 65);
    const characters = Array.from({ length }, () => 0x30 + g.below(g.chance(90) ? 10 : 208));
    place([...characters, ...new Array<number>(16).fill(0xff)]);
    g.put(row, { l1: length - 1, b1: base, d1: length, b2: base, d2: 0 });
  } else if (row.name.startsWith("unpk")) {
    const length = 1 + g.below(row.name === "unpka" ? 33 : 65);
    place([...packed(g, 16), ...new Array<number>(length).fill(0xff)]);
    g.put(row, { l1: length - 1, b1: base, d1: 16, b2: base, d2: 0 });
  } else {
    arithmetic(g, row, base, place);
  }
  g.unlock(base);
}

function arithmetic(
  g: Generator,
  row: (typeof instructions)[number],
  base: number,
  place: (bytes: readonly number[]) => void,
): void {
  const length1 = 1 + g.below(16);
  const longDivision = row.name === "mp" || row.name === "dp";
  const most = longDivision && g.chance(90) ? Math.max(1, Math.min(8, length1 - 1)) : 16;
  const length2 = 1 + g.below(most);
  const first = packed(g, length1);
  if (row.name === "mp" && g.chance(90)) first.fill(0, 0, Math.min(length2, length1 - 1));
  const same = g.chance(8);
  place([...first, ...packed(g, length2)]);
  g.put(row, {
    l1: length1 - 1,
    l2: same ? length1 - 1 : length2 - 1,
    b1: base,
    d1: 0,
    b2: base,
    d2: same ? 0 : length1,
  });
}
