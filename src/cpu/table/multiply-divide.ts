/** Multiplication and division. SA22-7832 chapter 7. */
import { ProgramCode } from "../../abi/lowcore.ts";
import { type I32, type I64, i32, i64 } from "../wasm/index.ts";
import type { Body } from "./body.ts";
import { Facility, type Row, row } from "./row.ts";
import * as from from "./sources.ts";
import { type Source32, type Source64, ZERO32, ZERO64 } from "./sources.ts";

const GIE = Facility.generalExtension;

export function evenPair(b: Body): void {
  b.specificationIf(b.isOdd("r1"));
}

const single32 =
  (source: Source32) =>
  (b: Body): void => {
    const y = source(b);
    b.setGr32("r1", i32.mul(b.gr32("r1"), y));
  };

export const single64 =
  (source: Source64) =>
  (b: Body): void => {
    const y = source(b);
    b.setGr("r1", i64.mul(b.gr("r1"), y));
  };

/** 32 x 32 -> 64 into the even-odd pair's words. */
function multiply(source: Source32, signed: boolean) {
  return (b: Body): void => {
    evenPair(b);
    const y = source(b);
    const odd = b.gr32("r1", true);
    const x = signed ? i64.fromS(odd) : i64.fromU(odd);
    const product = b.let64(i64.mul(x, signed ? i64.fromS(y) : i64.fromU(y)));
    b.setGr32("r1", i32.wrap(i64.shrU(product, i64.const(32))));
    b.setGr32("r1", i32.wrap(product), true);
  };
}

/** 64 x 64 -> 128, unsigned. */
function multiplyLong(source: Source64) {
  return (b: Body): void => {
    evenPair(b);
    const y = source(b);
    const x = b.let64(b.gr("r1", true));
    b.setGr("r1", highProduct(b, x, y));
    b.setGr("r1", i64.mul(x, y), true);
  };
}

/** Upper half of an unsigned product, from four 32-bit partial products. */
export function highProduct(b: Body, x: I64, y: I64): I64 {
  const low = i64.const(0xffffffff);
  const shift = i64.const(32);
  const x0 = b.let64(i64.and(x, low));
  const x1 = b.let64(i64.shrU(x, shift));
  const y0 = b.let64(i64.and(y, low));
  const y1 = b.let64(i64.shrU(y, shift));
  const p00 = b.let64(i64.mul(x0, y0));
  const p10 = b.let64(i64.mul(x1, y0));
  const middle = b.let64(
    i64.add(i64.add(i64.mul(x0, y1), i64.and(p10, low)), i64.shrU(p00, shift)),
  );
  return i64.add(i64.add(i64.mul(x1, y1), i64.shrU(p10, shift)), i64.shrU(middle, shift));
}

function divideFault(b: Body): void {
  b.program(ProgramCode.fixedPointDivide);
}

/** 64 / 32, signed: the pair's words; quotient to the odd, remainder to the even register. */
function divide(source: Source32) {
  return (b: Body): void => {
    evenPair(b);
    const y = b.let64(i64.fromS(source(b)));
    b.if(i64.eqz(y), () => divideFault(b));
    const x = b.let64(pairWords(b));
    // The one quotient that wasm traps on is out of range anyway.
    b.if(isMinByMinusOne(x, y), () => divideFault(b));
    const q = b.let64(i64.divS(x, y));
    b.if(i64.ne(q, i64.extend32S(q)), () => divideFault(b));
    b.setGr32("r1", i32.wrap(i64.remS(x, y)));
    b.setGr32("r1", i32.wrap(q), true);
  };
}

function pairWords(b: Body): I64 {
  return i64.or(i64.shl(b.gr32U64("r1"), i64.const(32)), i64.fromU(b.gr32("r1", true)));
}

function isMinByMinusOne(x: I64, y: I64): I32 {
  return i32.and(i64.eq(x, i64.const(-(1n << 63n))), i64.eq(y, i64.const(-1)));
}

/** 64 / 32, unsigned. */
function divideLogical(source: Source32) {
  return (b: Body): void => {
    evenPair(b);
    const y = b.let64(i64.fromU(source(b)));
    b.if(i64.eqz(y), () => divideFault(b));
    const x = b.let64(pairWords(b));
    const q = b.let64(i64.divU(x, y));
    b.if(i64.ne(i64.shrU(q, i64.const(32)), ZERO64), () => divideFault(b));
    b.setGr32("r1", i32.wrap(i64.remU(x, y)));
    b.setGr32("r1", i32.wrap(q), true);
  };
}

/** DIVIDE SINGLE: 64 / 64, signed; the dividend is the odd register. */
function divideSingle(source: Source64) {
  return (b: Body): void => {
    evenPair(b);
    const y = source(b);
    const x = b.let64(b.gr("r1", true));
    b.if(i32.or(i64.eqz(y), isMinByMinusOne(x, y)), () => divideFault(b));
    b.setGr("r1", i64.remS(x, y));
    b.setGr("r1", i64.divS(x, y), true);
  };
}

/** 128 / 64, unsigned: one bit of the quotient at a time unless the high half is zero. */
function divideLong(source: Source64) {
  return (b: Body): void => {
    evenPair(b);
    const y = source(b);
    const high = b.variable64(b.gr("r1"));
    const low = b.variable64(b.gr("r1", true));
    // Covers division by zero too: no high half is below zero.
    b.if(i64.geU(high.get, y), () => divideFault(b));
    b.if(
      i64.eqz(high.get),
      () => {
        b.setGr("r1", i64.remU(low.get, y));
        b.setGr("r1", i64.divU(low.get, y), true);
      },
      () => {
        const count = b.variable32(i32.const(64));
        b.loop((again) => {
          const carry = b.let64(i64.shrU(high.get, i64.const(63)));
          b.set(high, i64.or(i64.shl(high.get, i64.const(1)), i64.shrU(low.get, i64.const(63))));
          b.set(low, i64.shl(low.get, i64.const(1)));
          b.if(i32.or(i32.wrap(carry), i64.geU(high.get, y)), () => {
            b.set(high, i64.sub(high.get, y));
            b.set(low, i64.or(low.get, i64.const(1)));
          });
          b.set(count, i32.sub(count.get, i32.const(1)));
          b.fn.brIf(again, i32.ne(count.get, ZERO32));
        });
        b.setGr("r1", high.get);
        b.setGr("r1", low.get, true);
      },
    );
  };
}

export const multiplyDivideRows: readonly Row[] = [
  row("MSR", 0xb252, "RRE", single32(from.reg32)),
  row("MSGR", 0xb90c, "RRE", single64(from.reg64)),
  row("MSGFR", 0xb91c, "RRE", single64(from.reg32S64)),
  row("MS", 0x71, "RX", single32(from.mem32)),
  row("MSY", 0xe351, "RXY", single32(from.mem32)),
  row("MSG", 0xe30c, "RXY", single64(from.mem64)),
  row("MSGF", 0xe31c, "RXY", single64(from.mem32S64)),
  row("MSFI", 0xc21, "RIL", single32(from.imm32), GIE),
  row("MSGFI", 0xc20, "RIL", single64(from.immS64), GIE),
  row("MHI", 0xa7c, "RI", single32(from.imm32)),
  row("MGHI", 0xa7d, "RI", single64(from.immS64)),
  row("MH", 0x4c, "RX", single32(from.mem16S32)),
  row("MHY", 0xe37c, "RXY", single32(from.mem16S32), GIE),
  row("MR", 0x1c, "RR", multiply(from.reg32, true)),
  row("M", 0x5c, "RX", multiply(from.mem32, true)),
  row("MFY", 0xe35c, "RXY", multiply(from.mem32, true), GIE),
  row("MLR", 0xb996, "RRE", multiply(from.reg32, false)),
  row("ML", 0xe396, "RXY", multiply(from.mem32, false)),
  row("MLGR", 0xb986, "RRE", multiplyLong(from.reg64)),
  row("MLG", 0xe386, "RXY", multiplyLong(from.mem64)),
  row("DR", 0x1d, "RR", divide(from.reg32)),
  row("D", 0x5d, "RX", divide(from.mem32)),
  row("DLR", 0xb997, "RRE", divideLogical(from.reg32)),
  row("DL", 0xe397, "RXY", divideLogical(from.mem32)),
  row("DSGR", 0xb90d, "RRE", divideSingle(from.reg64)),
  row("DSG", 0xe30d, "RXY", divideSingle(from.mem64)),
  row("DSGFR", 0xb91d, "RRE", divideSingle(from.reg32S64)),
  row("DSGF", 0xe31d, "RXY", divideSingle(from.mem32S64)),
  row("DLGR", 0xb987, "RRE", divideLong(from.reg64)),
  row("DLG", 0xe387, "RXY", divideLong(from.mem64)),
];
