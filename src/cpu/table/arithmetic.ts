/**
 * Addition and subtraction, signed and logical, with carry and borrow, immediate and in storage; complement
 * and absolute value. Source: SA22-7832 chapter 7 (condition codes of each instruction).
 */
import { type I32, type I64, i32, i64 } from "../wasm/index.ts";
import type { Body } from "./body.ts";
import type { RegisterField } from "./formats.ts";
import { Facility, type Row, row } from "./row.ts";
import * as from from "./sources.ts";
import { type Source32, type Source64, ZERO32, ZERO64 } from "./sources.ts";

type Put32 = (b: Body, value: I32) => void;
type Put64 = (b: Body, value: I64) => void;

/** x + y or x - y with condition code; `put` stores the result before an overflow is reported. */
function signed32(b: Body, subtract: boolean, x: I32, y: I32, put: Put32): void {
  const r = b.let32(subtract ? i32.sub(x, y) : i32.add(x, y));
  put(b, r);
  const other = subtract ? i32.xor(x, y) : i32.xor(r, y);
  b.if(
    i32.ltS(i32.and(i32.xor(x, r), other), ZERO32),
    () => b.overflow(),
    () => b.setCcSigned32(r),
  );
}

export function signed64(b: Body, subtract: boolean, x: I64, y: I64, put: Put64): void {
  const r = b.let64(subtract ? i64.sub(x, y) : i64.add(x, y));
  put(b, r);
  const other = subtract ? i64.xor(x, y) : i64.xor(r, y);
  b.if(
    i64.ltS(i64.and(i64.xor(x, r), other), ZERO64),
    () => b.overflow(),
    () => b.setCcSigned64(r),
  );
}

/**
 * Logical add: cc = carry * 2 + (result != 0); logical subtract: no borrow * 2 + (result != 0). ADD LOGICAL
 * WITH SIGNED IMMEDIATE needs no case of its own: for y < 0 the carry is the "no borrow" of x - (-y).
 */
function logical32(b: Body, subtract: boolean, x: I32, y: I32, put: Put32): void {
  const r = b.let32(subtract ? i32.sub(x, y) : i32.add(x, y));
  put(b, r);
  const carry = subtract ? i32.geU(x, y) : i32.ltU(r, x);
  b.setCc(i32.or(i32.shl(carry, i32.const(1)), i32.ne(r, ZERO32)));
}

function logical64(b: Body, subtract: boolean, x: I64, y: I64, put: Put64): void {
  const r = b.let64(subtract ? i64.sub(x, y) : i64.add(x, y));
  put(b, r);
  const carry = subtract ? i64.geU(x, y) : i64.ltU(r, x);
  b.setCc(i32.or(i32.shl(carry, i32.const(1)), i64.ne(r, ZERO64)));
}

const putR1: Put32 = (b, value) => b.setGr32("r1", value);
const putR1Long: Put64 = (b, value) => b.setGr("r1", value);

const x32 = (b: Body, field: RegisterField): I32 => b.let32(b.gr32(field));
const x64 = (b: Body, field: RegisterField): I64 => b.let64(b.gr(field));

function word(
  op: typeof signed32,
  subtract: boolean,
  source: Source32,
  first: RegisterField = "r1",
) {
  return (b: Body): void => {
    const y = source(b);
    op(b, subtract, x32(b, first), y, putR1);
  };
}

export function long(
  op: typeof signed64,
  subtract: boolean,
  source: Source64,
  first: RegisterField = "r1",
) {
  return (b: Body): void => {
    const y = source(b);
    op(b, subtract, x64(b, first), y, putR1Long);
  };
}

const nowhere = (): void => undefined;

/** First operand in storage, immediate second operand (ASI, ALGSI, ...); an overflow comes last. */
function storage32(op: typeof signed32): (b: Body) => void {
  return (b) => {
    const x = b.fn.temp32();
    const y = from.imm32(b);
    b.change(b.address(), 4, (host) => {
      b.set(x, b.swap32(i32.load(host)));
      b.fn.emit(i32.store(host, b.swap32(i32.add(x.get, y))));
    });
    op(b, false, x.get, y, nowhere);
  };
}

function storage64(op: typeof signed64): (b: Body) => void {
  return (b) => {
    const x = b.fn.temp64();
    const y = from.immS64(b);
    b.change(b.address(), 8, (host) => {
      b.set(x, b.swap64(i64.load(host)));
      const sum = b.swap64(i64.add(x.get, y));
      b.fn.emit(i64.store(host, sum));
    });
    op(b, false, x.get, y, nowhere);
  };
}

/** ADD LOGICAL WITH CARRY: the carry is bit 0 of the two-bit condition code. */
function addWithCarry32(source: Source32) {
  return (b: Body): void => {
    const y = source(b);
    const carry = b.let64(i64.fromU(i32.shrU(b.cc(), i32.const(1))));
    const sum = b.let64(i64.add(i64.add(b.gr32U64("r1"), i64.fromU(y)), carry));
    b.setGr32("r1", i32.wrap(sum));
    const carryOut = i32.wrap(i64.shrU(sum, i64.const(32)));
    b.setCc(i32.or(i32.shl(carryOut, i32.const(1)), i32.ne(i32.wrap(sum), ZERO32)));
  };
}

function addWithCarry64(source: Source64) {
  return (b: Body): void => {
    const y = source(b);
    const x = x64(b, "r1");
    const partial = b.let64(i64.add(x, y));
    const r = b.let64(i64.add(partial, i64.fromU(i32.shrU(b.cc(), i32.const(1)))));
    b.setGr("r1", r);
    const carryOut = i32.or(i64.ltU(partial, x), i64.ltU(r, partial));
    b.setCc(i32.or(i32.shl(carryOut, i32.const(1)), i64.ne(r, ZERO64)));
  };
}

/** SUBTRACT LOGICAL WITH BORROW: condition codes 0 and 1 stand for a borrow. */
function subtractWithBorrow32(source: Source32) {
  return (b: Body): void => {
    const y = source(b);
    const borrow = i64.fromU(i32.ltU(b.cc(), i32.const(2)));
    const r = b.let64(i64.sub(i64.sub(b.gr32U64("r1"), i64.fromU(y)), borrow));
    b.setGr32("r1", i32.wrap(r));
    const noBorrow = i64.geS(r, ZERO64);
    b.setCc(i32.or(i32.shl(noBorrow, i32.const(1)), i32.ne(i32.wrap(r), ZERO32)));
  };
}

function subtractWithBorrow64(source: Source64) {
  return (b: Body): void => {
    const y = source(b);
    const x = x64(b, "r1");
    const partial = b.let64(i64.sub(x, y));
    const borrow = b.let64(i64.fromU(i32.ltU(b.cc(), i32.const(2))));
    const r = b.let64(i64.sub(partial, borrow));
    b.setGr("r1", r);
    const borrowOut = i32.or(i64.ltU(x, y), i64.ltU(partial, borrow));
    b.setCc(i32.or(i32.shl(i32.eqz(borrowOut), i32.const(1)), i64.ne(r, ZERO64)));
  };
}

const MIN32 = i32.const(-0x80000000);
const MIN64 = i64.const(-(1n << 63n));

/** LOAD COMPLEMENT / POSITIVE / NEGATIVE. */
function complement32(b: Body): void {
  const y = from.reg32(b);
  b.setGr32("r1", i32.sub(ZERO32, y));
  b.if(
    i32.eq(y, MIN32),
    () => b.overflow(),
    () => b.setCcSigned32(b.let32(i32.sub(ZERO32, y))),
  );
}

function complement64(source: Source64) {
  return (b: Body): void => {
    const y = source(b);
    b.setGr("r1", i64.sub(ZERO64, y));
    b.if(
      i64.eq(y, MIN64),
      () => b.overflow(),
      () => b.setCcSigned64(b.let64(i64.sub(ZERO64, y))),
    );
  };
}

function positive32(b: Body): void {
  const y = from.reg32(b);
  const r = b.let32(i32.select(i32.sub(ZERO32, y), y, i32.ltS(y, ZERO32)));
  b.setGr32("r1", r);
  b.if(
    i32.eq(r, MIN32),
    () => b.overflow(),
    () => b.setCc(i32.shl(i32.ne(r, ZERO32), i32.const(1))),
  );
}

function positive64(source: Source64) {
  return (b: Body): void => {
    const y = source(b);
    const r = b.let64(i64.select(i64.sub(ZERO64, y), y, i64.ltS(y, ZERO64)));
    b.setGr("r1", r);
    b.if(
      i64.eq(r, MIN64),
      () => b.overflow(),
      () => b.setCc(i32.shl(i64.ne(r, ZERO64), i32.const(1))),
    );
  };
}

function negative32(b: Body): void {
  const y = from.reg32(b);
  const r = b.let32(i32.select(i32.sub(ZERO32, y), y, i32.gtS(y, ZERO32)));
  b.setGr32("r1", r);
  b.setCc(i32.ne(r, ZERO32));
}

function negative64(source: Source64) {
  return (b: Body): void => {
    const y = source(b);
    const r = b.let64(i64.select(i64.sub(ZERO64, y), y, i64.gtS(y, ZERO64)));
    b.setGr("r1", r);
    b.setCc(i64.ne(r, ZERO64));
  };
}

/** High-word arithmetic: operands in bits 0-31 of registers. */
function highWord(op: typeof signed32, subtract: boolean, lowThird: boolean) {
  return (b: Body): void => {
    const y = b.let32(lowThird ? b.gr32("r3") : b.grHigh("r3"));
    op(b, subtract, b.let32(b.grHigh("r2")), y, (_, r) => b.setGrHigh("r1", r));
  };
}

const HW = Facility.z196;
const GIE = Facility.generalExtension;

export const arithmeticRows: readonly Row[] = [
  row("AR", 0x1a, "RR", word(signed32, false, from.reg32)),
  row("AGR", 0xb908, "RRE", long(signed64, false, from.reg64)),
  row("AGFR", 0xb918, "RRE", long(signed64, false, from.reg32S64)),
  row("A", 0x5a, "RX", word(signed32, false, from.mem32)),
  row("AY", 0xe35a, "RXY", word(signed32, false, from.mem32)),
  row("AG", 0xe308, "RXY", long(signed64, false, from.mem64)),
  row("AGF", 0xe318, "RXY", long(signed64, false, from.mem32S64)),
  row("AH", 0x4a, "RX", word(signed32, false, from.mem16S32)),
  row("AHY", 0xe37a, "RXY", word(signed32, false, from.mem16S32)),
  row("AHI", 0xa7a, "RI", word(signed32, false, from.imm32)),
  row("AGHI", 0xa7b, "RI", long(signed64, false, from.immS64)),
  row("AFI", 0xc29, "RIL", word(signed32, false, from.imm32)),
  row("AGFI", 0xc28, "RIL", long(signed64, false, from.immS64)),
  row("ASI", 0xeb6a, "SIY_s", storage32(signed32), GIE),
  row("AGSI", 0xeb7a, "SIY_s", storage64(signed64), GIE),
  row("ARK", 0xb9f8, "RRF", word(signed32, false, from.third32, "r2"), HW),
  row("AGRK", 0xb9e8, "RRF", long(signed64, false, from.third64, "r2"), HW),
  row("AHIK", 0xecd8, "RIE_d", word(signed32, false, from.imm32, "r3"), HW),
  row("AGHIK", 0xecd9, "RIE_d", long(signed64, false, from.immS64, "r3"), HW),

  row("SR", 0x1b, "RR", word(signed32, true, from.reg32)),
  row("SGR", 0xb909, "RRE", long(signed64, true, from.reg64)),
  row("SGFR", 0xb919, "RRE", long(signed64, true, from.reg32S64)),
  row("S", 0x5b, "RX", word(signed32, true, from.mem32)),
  row("SY", 0xe35b, "RXY", word(signed32, true, from.mem32)),
  row("SG", 0xe309, "RXY", long(signed64, true, from.mem64)),
  row("SGF", 0xe319, "RXY", long(signed64, true, from.mem32S64)),
  row("SH", 0x4b, "RX", word(signed32, true, from.mem16S32)),
  row("SHY", 0xe37b, "RXY", word(signed32, true, from.mem16S32)),
  row("SRK", 0xb9f9, "RRF", word(signed32, true, from.third32, "r2"), HW),
  row("SGRK", 0xb9e9, "RRF", long(signed64, true, from.third64, "r2"), HW),

  row("ALR", 0x1e, "RR", word(logical32, false, from.reg32)),
  row("ALGR", 0xb90a, "RRE", long(logical64, false, from.reg64)),
  row("ALGFR", 0xb91a, "RRE", long(logical64, false, from.reg32U64)),
  row("AL", 0x5e, "RX", word(logical32, false, from.mem32)),
  row("ALY", 0xe35e, "RXY", word(logical32, false, from.mem32)),
  row("ALG", 0xe30a, "RXY", long(logical64, false, from.mem64)),
  row("ALGF", 0xe31a, "RXY", long(logical64, false, from.mem32U64)),
  row("ALFI", 0xc2b, "RIL", word(logical32, false, from.imm32)),
  row("ALGFI", 0xc2a, "RIL", long(logical64, false, from.immU64)),
  row("ALSI", 0xeb6e, "SIY_s", storage32(logical32), GIE),
  row("ALGSI", 0xeb7e, "SIY_s", storage64(logical64), GIE),
  row("ALRK", 0xb9fa, "RRF", word(logical32, false, from.third32, "r2"), HW),
  row("ALGRK", 0xb9ea, "RRF", long(logical64, false, from.third64, "r2"), HW),
  row("ALHSIK", 0xecda, "RIE_d", word(logical32, false, from.imm32, "r3"), HW),
  row("ALGHSIK", 0xecdb, "RIE_d", long(logical64, false, from.immS64, "r3"), HW),

  row("SLR", 0x1f, "RR", word(logical32, true, from.reg32)),
  row("SLGR", 0xb90b, "RRE", long(logical64, true, from.reg64)),
  row("SLGFR", 0xb91b, "RRE", long(logical64, true, from.reg32U64)),
  row("SL", 0x5f, "RX", word(logical32, true, from.mem32)),
  row("SLY", 0xe35f, "RXY", word(logical32, true, from.mem32)),
  row("SLG", 0xe30b, "RXY", long(logical64, true, from.mem64)),
  row("SLGF", 0xe31b, "RXY", long(logical64, true, from.mem32U64)),
  row("SLFI", 0xc25, "RIL", word(logical32, true, from.imm32)),
  row("SLGFI", 0xc24, "RIL", long(logical64, true, from.immU64)),
  row("SLRK", 0xb9fb, "RRF", word(logical32, true, from.third32, "r2"), HW),
  row("SLGRK", 0xb9eb, "RRF", long(logical64, true, from.third64, "r2"), HW),

  row("ALCR", 0xb998, "RRE", addWithCarry32(from.reg32)),
  row("ALCGR", 0xb988, "RRE", addWithCarry64(from.reg64)),
  row("ALC", 0xe398, "RXY", addWithCarry32(from.mem32)),
  row("ALCG", 0xe388, "RXY", addWithCarry64(from.mem64)),
  row("SLBR", 0xb999, "RRE", subtractWithBorrow32(from.reg32)),
  row("SLBGR", 0xb989, "RRE", subtractWithBorrow64(from.reg64)),
  row("SLB", 0xe399, "RXY", subtractWithBorrow32(from.mem32)),
  row("SLBG", 0xe389, "RXY", subtractWithBorrow64(from.mem64)),

  row("LCR", 0x13, "RR", complement32),
  row("LCGR", 0xb903, "RRE", complement64(from.reg64)),
  row("LCGFR", 0xb913, "RRE", complement64(from.reg32S64)),
  row("LPR", 0x10, "RR", positive32),
  row("LPGR", 0xb900, "RRE", positive64(from.reg64)),
  row("LPGFR", 0xb910, "RRE", positive64(from.reg32S64)),
  row("LNR", 0x11, "RR", negative32),
  row("LNGR", 0xb901, "RRE", negative64(from.reg64)),
  row("LNGFR", 0xb911, "RRE", negative64(from.reg32S64)),

  row("AHHHR", 0xb9c8, "RRF", highWord(signed32, false, false), HW),
  row("AHHLR", 0xb9d8, "RRF", highWord(signed32, false, true), HW),
  row("SHHHR", 0xb9c9, "RRF", highWord(signed32, true, false), HW),
  row("SHHLR", 0xb9d9, "RRF", highWord(signed32, true, true), HW),
  row("ALHHHR", 0xb9ca, "RRF", highWord(logical32, false, false), HW),
  row("ALHHLR", 0xb9da, "RRF", highWord(logical32, false, true), HW),
  row("SLHHHR", 0xb9cb, "RRF", highWord(logical32, true, false), HW),
  row("SLHHLR", 0xb9db, "RRF", highWord(logical32, true, true), HW),
  row("AIH", 0xcc8, "RIL", highImmediate(signed32), HW),
  row("ALSIH", 0xcca, "RIL", highImmediate(logical32), HW),
  row("ALSIHN", 0xccb, "RIL", addHighQuietly, HW),
];

function highImmediate(op: typeof signed32): (b: Body) => void {
  return (b) => op(b, false, b.let32(b.grHigh("r1")), b.let32(b.d), (_, r) => b.setGrHigh("r1", r));
}

/** ALSIHN leaves the condition code alone. */
function addHighQuietly(b: Body): void {
  b.setGrHigh("r1", i32.add(b.grHigh("r1"), b.d));
}
