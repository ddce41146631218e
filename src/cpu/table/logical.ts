/** AND, OR, exclusive OR, insert and test-under-mask on registers and single bytes. SA22-7832 chapter 7. */
import { type I32, i32, i64 } from "../wasm/index.ts";
import type { Body } from "./body.ts";
import type { RegisterField } from "./formats.ts";
import { Facility, type Row, row } from "./row.ts";
import * as from from "./sources.ts";
import { type Source32, type Source64, ZERO32, ZERO64 } from "./sources.ts";

type Op = "and" | "or" | "xor";

function word(op: Op, source: Source32, first: RegisterField = "r1") {
  return (b: Body): void => {
    const y = source(b);
    const r = b.let32(i32[op](b.gr32(first), y));
    b.setGr32("r1", r);
    b.setCc(i32.ne(r, ZERO32));
  };
}

function long(op: Op, source: Source64, first: RegisterField = "r1") {
  return (b: Body): void => {
    const y = source(b);
    const r = b.let64(i64[op](b.gr(first), y));
    b.setGr("r1", r);
    b.setCc(i64.ne(r, ZERO64));
  };
}

function highWord(op: Op) {
  return (b: Body): void => {
    const r = b.let32(i32[op](b.grHigh("r1"), b.d));
    b.setGrHigh("r1", r);
    b.setCc(i32.ne(r, ZERO32));
  };
}

/** Immediate on one halfword of r1: `shift` is the halfword's distance from the right end. */
function halfword(op: Op, shift: number) {
  const rest = op === "and" ? ~(0xffffn << BigInt(shift)) : 0n;
  return (b: Body): void => {
    const y = b.let64(i64.shl(b.immediateU64, i64.const(shift)));
    const r = b.let64(i64[op](b.gr("r1"), rest === 0n ? y : i64.or(y, i64.const(rest))));
    b.setGr("r1", r);
    b.setCc(i64.ne(i64.and(r, i64.const(0xffffn << BigInt(shift))), ZERO64));
  };
}

function insertHalfword(shift: number) {
  return (b: Body): void => {
    b.insert("r1", b.d, 2, shift);
  };
}

/** Zeros everywhere but in one halfword. */
function loadHalfword(shift: number) {
  return (b: Body): void => b.setGr("r1", i64.shl(b.immediateU64, i64.const(shift)));
}

/** Condition code of TEST UNDER MASK: 0 all zeros (or no bits), 3 all ones, 1 leftmost zero, 2 leftmost one. */
function testMask16(selected: I32, mask: I32): I32 {
  const leftmost = i32.shrU(i32.const(0x80000000 | 0), i32.clz(mask));
  const mixed = i32.select(i32.const(2), i32.const(1), i32.and(selected, leftmost));
  const some = i32.select(i32.const(3), mixed, i32.eq(selected, mask));
  return i32.select(some, ZERO32, i32.ne(selected, ZERO32));
}

function testHalfword(shift: number) {
  return (b: Body): void => {
    const mask = from.imm32(b);
    const selected = b.let32(i32.and(i32.wrap(i64.shrU(b.gr("r1"), i64.const(shift))), mask));
    b.setCc(testMask16(selected, mask));
  };
}

/** For one byte, 1 is any mixture. */
function testByte(b: Body): void {
  const value = b.load8(b.address());
  const mask = b.let32(b.immediate);
  const selected = b.let32(i32.and(value, mask));
  const some = i32.select(i32.const(3), i32.const(1), i32.eq(selected, mask));
  b.setCc(i32.select(some, ZERO32, i32.ne(selected, ZERO32)));
}

function byteImmediate(op: Op) {
  return (b: Body): void =>
    b.change(b.address(), 1, (host) => {
      const r = b.let32(i32[op](i32.load8U(host), b.immediate));
      b.fn.emit(i32.store8(host, r));
      b.setCc(i32.ne(r, ZERO32));
    });
}

/** Two-operand immediates on the lower word. */
const imm = (op: Op): ((b: Body) => void) => word(op, from.imm32);
const HW = Facility.z196;

function family(op: Op, name: string, keys: Record<string, number>): Row[] {
  const key = (form: string): number => keys[form] as number;
  return [
    row(`${name}R`, key("r"), "RR", word(op, from.reg32)),
    row(`${name}GR`, key("gr"), "RRE", long(op, from.reg64)),
    row(name, key("x"), "RX", word(op, from.mem32)),
    row(`${name}Y`, key("y"), "RXY", word(op, from.mem32)),
    row(`${name}G`, key("g"), "RXY", long(op, from.mem64)),
    row(`${name}RK`, key("rk"), "RRF", word(op, from.third32, "r2"), HW),
    row(`${name}GRK`, key("grk"), "RRF", long(op, from.third64, "r2"), HW),
    row(`${name}I`, key("i"), "SI", byteImmediate(op)),
    row(`${name}IY`, key("iy"), "SIY", byteImmediate(op)),
    row(`${name}IHF`, key("ihf"), "RIL", highWord(op)),
    row(`${name}ILF`, key("ilf"), "RIL", imm(op)),
  ];
}

const HALVES = [
  ["HH", 48],
  ["HL", 32],
  ["LH", 16],
  ["LL", 0],
] as const;

function halves(prefix: string, first: number, body: (shift: number) => (b: Body) => void): Row[] {
  return HALVES.map(([suffix, shift], i) =>
    row(`${prefix}${suffix}`, first + i, "RI_u", body(shift)),
  );
}

export const logicalRows: readonly Row[] = [
  ...family("and", "N", {
    r: 0x14,
    gr: 0xb980,
    x: 0x54,
    y: 0xe354,
    g: 0xe380,
    rk: 0xb9f4,
    grk: 0xb9e4,
    i: 0x94,
    iy: 0xeb54,
    ihf: 0xc0a,
    ilf: 0xc0b,
  }),
  ...family("or", "O", {
    r: 0x16,
    gr: 0xb981,
    x: 0x56,
    y: 0xe356,
    g: 0xe381,
    rk: 0xb9f6,
    grk: 0xb9e6,
    i: 0x96,
    iy: 0xeb56,
    ihf: 0xc0c,
    ilf: 0xc0d,
  }),
  ...family("xor", "X", {
    r: 0x17,
    gr: 0xb982,
    x: 0x57,
    y: 0xe357,
    g: 0xe382,
    rk: 0xb9f7,
    grk: 0xb9e7,
    i: 0x97,
    iy: 0xeb57,
    ihf: 0xc06,
    ilf: 0xc07,
  }),
  ...halves("II", 0xa50, insertHalfword),
  ...halves("NI", 0xa54, (shift) => halfword("and", shift)),
  ...halves("OI", 0xa58, (shift) => halfword("or", shift)),
  ...halves("LLI", 0xa5c, loadHalfword),
  row("TMHH", 0xa72, "RI_u", testHalfword(48)),
  row("TMHL", 0xa73, "RI_u", testHalfword(32)),
  row("TMLH", 0xa70, "RI_u", testHalfword(16)),
  row("TMLL", 0xa71, "RI_u", testHalfword(0)),
  row("IIHF", 0xc08, "RIL", (b) => b.setGrHigh("r1", b.d)),
  row("IILF", 0xc09, "RIL", (b) => b.setGr32("r1", b.d)),
  row("LLIHF", 0xc0e, "RIL", (b) => b.setGr("r1", i64.shl(b.immediateU64, i64.const(32)))),
  row("LLILF", 0xc0f, "RIL", (b) => b.setGr("r1", b.immediateU64)),
  row("TM", 0x91, "SI", testByte),
  row("TMY", 0xeb51, "SIY", testByte),
];
