/** Shifts, rotates, rotate-then-selected-bits, find leftmost one, population count. SA22-7832 chapter 7. */
import { type I32, type I64, i32, i64 } from "../wasm/index.ts";
import type { Body } from "./body.ts";
import type { RegisterField } from "./formats.ts";
import { Facility, type Row, row } from "./row.ts";
import { ZERO64 } from "./sources.ts";

const HW = Facility.z196;
const GIE = Facility.generalExtension;

/** The second-operand address is not an address: its rightmost six bits are the amount. */
function amount(b: Body): I64 {
  return i64.and(b.address(), i64.const(63));
}

type Shift = "shl" | "shrU" | "shrS";

/** 32-bit shifts by up to 63: done on 64 bits so that amounts above 31 work. */
function shifted32(b: Body, kind: Shift, source: RegisterField): I32 {
  const value = kind === "shrS" ? b.gr32S64(source) : b.gr32U64(source);
  return i32.wrap(i64[kind](value, amount(b)));
}

function single(kind: "shl" | "shrU", source: RegisterField) {
  return (b: Body): void => b.setGr32("r1", shifted32(b, kind, source));
}

function single64(kind: "shl" | "shrU", source: RegisterField) {
  return (b: Body): void => b.setGr("r1", i64[kind](b.gr(source), amount(b)));
}

function arithmeticRight32(source: RegisterField) {
  return (b: Body): void => {
    const r = b.let32(shifted32(b, "shrS", source));
    b.setGr32("r1", r);
    b.setCcSigned32(r);
  };
}

function arithmeticRight64(source: RegisterField) {
  return (b: Body): void => {
    const r = b.let64(i64.shrS(b.gr(source), amount(b)));
    b.setGr("r1", r);
    b.setCcSigned64(r);
  };
}

/**
 * SHIFT LEFT SINGLE: the sign stays, 31 (63) numeric bits shift; overflow if a bit unlike the sign is
 * shifted out. `value` is the number sign-extended to 64 bits; `bits` the numeric bits.
 */
function arithmeticLeft32(source: RegisterField) {
  return (b: Body): void => {
    const value = b.let64(b.gr32S64(source));
    const n = b.let64(amount(b));
    // Shifting by more than 31 loses everything a shift by 32 does not keep; 63 would lose the evidence.
    const few = b.let64(i64.select(n, i64.const(32), i64.ltU(n, i64.const(32))));
    const wide = b.let64(i64.shl(value, few));
    const r = b.let32(
      i32.or(
        i32.and(i32.wrap(i64.shl(value, n)), i32.const(0x7fffffff)),
        i32.and(i32.wrap(value), i32.const(-0x80000000)),
      ),
    );
    b.setGr32("r1", r);
    // In range: the wide result is the sign extension of its lower 32 bits.
    const overflow = i32.or(
      i64.ne(wide, i64.extend32S(wide)),
      i32.and(i64.geU(n, i64.const(32)), i64.ne(value, ZERO64)),
    );
    b.if(
      overflow,
      () => b.overflow(),
      () => b.setCcSigned32(r),
    );
  };
}

function arithmeticLeft64(source: (b: Body) => I64, put: (b: Body, value: I64) => void) {
  return (b: Body): void => {
    const value = b.let64(source(b));
    const n = b.let64(amount(b));
    const r = b.let64(
      i64.or(
        i64.and(i64.shl(value, n), i64.const((1n << 63n) - 1n)),
        i64.and(value, i64.const(-(1n << 63n))),
      ),
    );
    put(b, r);
    // Shifting back arithmetically restores the number exactly when no unlike bit was lost.
    b.if(
      i64.ne(i64.shrS(i64.shl(value, n), n), value),
      () => b.overflow(),
      () => b.setCcSigned64(r),
    );
  };
}

/** The even-odd pair r1 as one 64-bit number of two 32-bit words. */
function pair(b: Body): I64 {
  oddPair(b);
  return i64.or(i64.shl(b.gr32U64("r1"), i64.const(32)), i64.fromU(b.gr32("r1", true)));
}

function setPair(b: Body, value: I64): void {
  b.setGr32("r1", i32.wrap(i64.shrU(value, i64.const(32))));
  b.setGr32("r1", i32.wrap(value), true);
}

/** r1 must be even. */
function oddPair(b: Body): void {
  b.specificationIf(b.isOdd("r1"));
}

function double(kind: Shift) {
  return (b: Body): void => {
    const r = b.let64(i64[kind](b.let64(pair(b)), amount(b)));
    setPair(b, r);
    if (kind === "shrS") b.setCcSigned64(r);
  };
}

function rotate32(b: Body): void {
  b.setGr32("r1", i32.rotl(b.gr32("r3"), i32.wrap(b.address())));
}

function rotate64(b: Body): void {
  b.setGr("r1", i64.rotl(b.gr("r3"), b.address()));
}

const ZERO_FLAG = 0x80;
const TEST_FLAG = 0x40;

function selectedMask(b: Body): I64 {
  return b.wideField;
}

/** ROTATE THEN INSERT SELECTED BITS. */
function rotateInsert(b: Body): void {
  b.setCcSigned64(rotateInsertQuietly(b));
}

/** The same without a condition code. */
export function rotateInsertQuietly(b: Body): I64 {
  const mask = b.let64(selectedMask(b));
  const extra = b.let32(b.extra);
  const rotated = i64.rotl(b.gr("r2"), i64.fromU(extra));
  const keep = i64.select(
    ZERO64,
    i64.and(b.gr("r1"), i64.xor(mask, i64.const(-1))),
    i32.and(extra, i32.const(ZERO_FLAG)),
  );
  const r = b.let64(i64.or(i64.and(rotated, mask), keep));
  b.setGr("r1", r);
  return r;
}

/** ROTATE THEN AND / OR / EXCLUSIVE OR SELECTED BITS; with the T bit r1 is not changed. */
function rotateCombine(op: "and" | "or" | "xor") {
  return (b: Body): void => {
    const mask = b.let64(selectedMask(b));
    const extra = b.let32(b.extra);
    const rotated = b.let64(i64.rotl(b.gr("r2"), i64.fromU(extra)));
    const outside = i64.xor(mask, i64.const(-1));
    const second = op === "and" ? i64.or(rotated, outside) : i64.and(rotated, mask);
    const r = b.let64(i64[op](b.gr("r1"), second));
    b.if(i32.eqz(i32.and(extra, i32.const(TEST_FLAG))), () => b.setGr("r1", r));
    b.setCc(i64.ne(i64.and(r, mask), ZERO64));
  };
}

/** RISBHG, RISBLG: insertion into one word of r1; the other word stays, the condition code too. */
function rotateInsertWord(high: boolean) {
  return (b: Body): void => {
    const mask = b.let64(selectedMask(b));
    const extra = b.let32(b.extra);
    const rotated = i64.and(i64.rotl(b.gr("r2"), i64.fromU(extra)), mask);
    const half = i64.const(high ? 0xffffffffn << 32n : 0xffffffffn);
    const other = i64.xor(half, i64.const(-1));
    const kept = i64.select(
      other,
      i64.xor(mask, i64.const(-1)),
      i32.and(extra, i32.const(ZERO_FLAG)),
    );
    b.setGr("r1", i64.or(rotated, i64.and(b.gr("r1"), kept)));
  };
}

/** FIND LEFTMOST ONE: r1 = leading zeros (64 for zero), r1 + 1 = the number without its leftmost one. */
function findLeftmostOne(b: Body): void {
  oddPair(b);
  const value = b.let64(b.gr("r2"));
  const zeros = b.let64(i64.clz(value));
  b.setGr("r1", zeros);
  const bit = i64.shrU(i64.const(-(1n << 63n)), zeros);
  const rest = i64.and(value, i64.xor(bit, i64.const(-1)));
  b.setGr("r1", i64.select(ZERO64, rest, i64.eqz(value)), true);
  b.setCc(i32.shl(i64.ne(value, ZERO64), i32.const(1)));
}

const WHOLE = 8; // M3 bit 0, from facility 61; without it M3 should be zero

/** POPULATION COUNT: one count for each byte, or one of them all. */
function populationCount(b: Body): void {
  const v = b.variable64(b.gr("r2"));
  const step = (bits: number, mask: bigint): void =>
    b.set(
      v,
      i64.add(
        i64.and(v.get, i64.const(BigInt.asIntN(64, mask))),
        i64.and(i64.shrU(v.get, i64.const(bits)), i64.const(BigInt.asIntN(64, mask))),
      ),
    );
  step(1, 0x5555555555555555n);
  step(2, 0x3333333333333333n);
  step(4, 0x0f0f0f0f0f0f0f0fn);
  b.if(i32.and(b.extra, i32.const(WHOLE)), () => b.set(v, i64.popcnt(b.gr("r2"))));
  b.setGr("r1", v.get);
  b.setCc(i64.ne(v.get, ZERO64));
}

export const shiftRotateRows: readonly Row[] = [
  row("SLL", 0x89, "RS", single("shl", "r1")),
  row("SRL", 0x88, "RS", single("shrU", "r1")),
  row("SLA", 0x8b, "RS", arithmeticLeft32("r1")),
  row("SRA", 0x8a, "RS", arithmeticRight32("r1")),
  row("SLLG", 0xeb0d, "RSY", single64("shl", "r3")),
  row("SRLG", 0xeb0c, "RSY", single64("shrU", "r3")),
  row(
    "SLAG",
    0xeb0b,
    "RSY",
    arithmeticLeft64(
      (b) => b.gr("r3"),
      (b, r) => b.setGr("r1", r),
    ),
  ),
  row("SRAG", 0xeb0a, "RSY", arithmeticRight64("r3")),
  row("SLLK", 0xebdf, "RSY", single("shl", "r3"), HW),
  row("SRLK", 0xebde, "RSY", single("shrU", "r3"), HW),
  row("SLAK", 0xebdd, "RSY", arithmeticLeft32("r3"), HW),
  row("SRAK", 0xebdc, "RSY", arithmeticRight32("r3"), HW),
  row("SLDL", 0x8d, "RS", double("shl")),
  row("SRDL", 0x8c, "RS", double("shrU")),
  row("SRDA", 0x8e, "RS", double("shrS")),
  row("SLDA", 0x8f, "RS", arithmeticLeft64(pair, setPair)),
  row("RLL", 0xeb1d, "RSY", rotate32),
  row("RLLG", 0xeb1c, "RSY", rotate64),
  row("RISBG", 0xec55, "RIE_f", rotateInsert, GIE),
  row("RNSBG", 0xec54, "RIE_f", rotateCombine("and"), GIE),
  row("ROSBG", 0xec56, "RIE_f", rotateCombine("or"), GIE),
  row("RXSBG", 0xec57, "RIE_f", rotateCombine("xor"), GIE),
  row("RISBHG", 0xec5d, "RIE_fh", rotateInsertWord(true), HW),
  row("RISBLG", 0xec51, "RIE_fl", rotateInsertWord(false), HW),
  row("FLOGR", 0xb983, "RRE", findLeftmostOne),
  row("POPCNT", 0xb9e1, "RRF", populationCount, HW),
];
