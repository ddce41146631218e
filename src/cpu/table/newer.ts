/**
 * Instructions of the facilities after z196: load and trap, load and store on condition 2, load and zero rightmost
 * byte, miscellaneous instruction extensions 1 to 3. Only models that announce the facility have them.
 * SA22-7832-13 chapters 4 and 7.
 */
import { type I32, type I64, i32, i64 } from "../wasm/index.ts";
import { long, signed64 } from "./arithmetic.ts";
import type { Body } from "./body.ts";
import { trap, trap32, trap64 } from "./compare.ts";
import { onCondition } from "./load-store.ts";
import { evenPair, highProduct, single64 } from "./multiply-divide.ts";
import { Facility, type Row, row } from "./row.ts";
import { rotateInsertQuietly } from "./shift-rotate.ts";
import * as from from "./sources.ts";
import { type Source32, type Source64, ZERO32, ZERO64 } from "./sources.ts";

const { zEC12, z13, z14, z15 } = Facility;
const ALL = i32.const(-1);
const ALL64 = i64.const(-1);
const RIGHTMOST_BYTE = 0xff;

const hint = (): void => undefined;

// Load and trap: the register is loaded, then a zero is a data exception

function loadAndTrap32(source: Source32, put: (b: Body, value: I32) => void) {
  return (b: Body): void => {
    const value = source(b);
    put(b, value);
    b.if(i32.eqz(value), () => trap(b));
  };
}

function loadAndTrap64(source: Source64) {
  return (b: Body): void => {
    const value = source(b);
    b.setGr("r1", value);
    b.if(i64.eqz(value), () => trap(b));
  };
}

const mem31: Source64 = (b) => b.let64(i64.and(from.mem32U64(b), i64.const(0x7fffffff)));

// Zero rightmost byte

const zeroed32: Source32 = (b) => b.let32(i32.and(from.mem32(b), i32.const(~RIGHTMOST_BYTE)));
const zeroed64: Source64 = (b) => b.let64(i64.and(from.mem64(b), i64.const(~RIGHTMOST_BYTE)));
const zeroed32U64: Source64 = (b) => b.let64(i64.and(from.mem32U64(b), i64.const(~RIGHTMOST_BYTE)));

// Multiplication with a condition code, or of 64 by 64 bits with sign

function multiply32(b: Body, x: I32, y: I32): void {
  const product = b.let64(i64.mul(i64.fromS(x), i64.fromS(y)));
  const r = b.let32(i32.wrap(product));
  b.setGr32("r1", r);
  b.if(
    i64.ne(product, i64.fromS(r)),
    () => b.overflow(),
    () => b.setCcSigned32(r),
  );
}

/** Upper half of a signed product: the unsigned one less an operand for each sign. */
function signedHigh(b: Body, x: I64, y: I64): I64 {
  const high = b.let64(highProduct(b, x, y));
  const sign = i64.const(63);
  const less = i64.add(i64.and(i64.shrS(x, sign), y), i64.and(i64.shrS(y, sign), x));
  return b.let64(i64.sub(high, less));
}

function multiply64(b: Body, x: I64, y: I64): void {
  const high = signedHigh(b, x, y);
  const r = b.let64(i64.mul(x, y));
  b.setGr("r1", r);
  b.if(
    i64.ne(high, i64.shrS(r, i64.const(63))),
    () => b.overflow(),
    () => b.setCcSigned64(r),
  );
}

function multiplyPair(b: Body, x: I64, y: I64): void {
  const high = signedHigh(b, x, y);
  const low = b.let64(i64.mul(x, y));
  b.setGr("r1", high);
  b.setGr("r1", low, true);
}

// Logic with a complement

type Logic32 = (x: I32, y: I32) => I32;
type Logic64 = (x: I64, y: I64) => I64;

function logic32(op: Logic32) {
  return (b: Body): void => {
    const r = b.let32(op(b.gr32("r2"), b.gr32("r3")));
    b.setGr32("r1", r);
    b.setCc(i32.ne(r, ZERO32));
  };
}

function logic64(op: Logic64) {
  return (b: Body): void => {
    const r = b.let64(op(b.gr("r2"), b.gr("r3")));
    b.setGr("r1", r);
    b.setCc(i64.ne(r, ZERO64));
  };
}

function logic(name: string, key: number, op32: Logic32, op64: Logic64): Row[] {
  return [
    row(`${name}RK`, key, "RRF", logic32(op32), z15),
    row(`${name}GRK`, key - 0x10, "RRF", logic64(op64), z15),
  ];
}

export const newerRows: readonly Row[] = [
  row("PPA", 0xb2e8, "none", hint, zEC12),
  row("NIAI", 0xb2fa, "none", hint, zEC12),
  row("BPP", 0xc7, "none", hint, zEC12),
  row("BPRP", 0xc5, "none", hint, zEC12),
  row(
    "LAT",
    0xe39f,
    "RXY",
    loadAndTrap32(from.mem32, (b, v) => b.setGr32("r1", v)),
    zEC12,
  ),
  row(
    "LFHAT",
    0xe3c8,
    "RXY",
    loadAndTrap32(from.mem32, (b, v) => b.setGrHigh("r1", v)),
    zEC12,
  ),
  row("LGAT", 0xe385, "RXY", loadAndTrap64(from.mem64), zEC12),
  row("LLGFAT", 0xe39d, "RXY", loadAndTrap64(from.mem32U64), zEC12),
  row("LLGTAT", 0xe39c, "RXY", loadAndTrap64(mem31), zEC12),
  row("CLT", 0xeb23, "RSY", trap32(from.mem32, true), zEC12),
  row("CLGT", 0xeb2b, "RSY", trap64(from.mem64, true), zEC12),
  row("RISBGN", 0xec59, "RIE_f", (b) => void rotateInsertQuietly(b), zEC12),

  row(
    "LOCHI",
    0xec42,
    "RIE_g",
    onCondition((b) => b.setGr32("r1", b.immediate)),
    z13,
  ),
  row(
    "LOCGHI",
    0xec46,
    "RIE_g",
    onCondition((b) => b.setGr("r1", b.immediateS64)),
    z13,
  ),
  row(
    "LOCHHI",
    0xec4e,
    "RIE_g",
    onCondition((b) => b.setGrHigh("r1", b.immediate)),
    z13,
  ),
  row(
    "LOCFHR",
    0xb9e0,
    "RRF",
    onCondition((b) => b.setGrHigh("r1", b.grHigh("r2"))),
    z13,
  ),
  row(
    "LOCFH",
    0xebe0,
    "RSY",
    onCondition((b) => b.setGrHigh("r1", from.mem32(b))),
    z13,
  ),
  row(
    "STOCFH",
    0xebe1,
    "RSY",
    onCondition((b) => b.store(4, b.address(), b.grHigh("r1"))),
    z13,
  ),
  row("LZRF", 0xe33b, "RXY", (b) => b.setGr32("r1", zeroed32(b)), z13),
  row("LZRG", 0xe32a, "RXY", (b) => b.setGr("r1", zeroed64(b)), z13),
  row("LLZRGF", 0xe33a, "RXY", (b) => b.setGr("r1", zeroed32U64(b)), z13),

  row("AGH", 0xe338, "RXY", long(signed64, false, from.mem16S64), z14),
  row("SGH", 0xe339, "RXY", long(signed64, true, from.mem16S64), z14),
  row("MGH", 0xe33c, "RXY", single64(from.mem16S64), z14),
  row(
    "MG",
    0xe384,
    "RXY",
    (b) => {
      evenPair(b);
      const y = from.mem64(b);
      multiplyPair(b, b.let64(b.gr("r1", true)), y);
    },
    z14,
  ),
  row(
    "MGRK",
    0xb9ec,
    "RRF",
    (b) => {
      evenPair(b);
      multiplyPair(b, from.reg64(b), from.third64(b));
    },
    z14,
  ),
  row(
    "MSC",
    0xe353,
    "RXY",
    (b) => {
      const y = from.mem32(b);
      multiply32(b, b.let32(b.gr32("r1")), y);
    },
    z14,
  ),
  row(
    "MSGC",
    0xe383,
    "RXY",
    (b) => {
      const y = from.mem64(b);
      multiply64(b, b.let64(b.gr("r1")), y);
    },
    z14,
  ),
  row("MSRKC", 0xb9fd, "RRF", (b) => multiply32(b, from.reg32(b), from.third32(b)), z14),
  row("MSGRKC", 0xb9ed, "RRF", (b) => multiply64(b, from.reg64(b), from.third64(b)), z14),
  row(
    "BIC",
    0xe347,
    "RXY",
    (b) => {
      b.if(b.maskSelectsCc(), () => b.jump(b.let64(i64.and(from.mem64(b), b.addressMask))));
    },
    z14,
  ),

  ...logic(
    "NC",
    0xb9f5,
    (x, y) => i32.and(x, i32.xor(y, ALL)),
    (x, y) => i64.and(x, i64.xor(y, ALL64)),
  ),
  ...logic(
    "OC",
    0xb975,
    (x, y) => i32.or(x, i32.xor(y, ALL)),
    (x, y) => i64.or(x, i64.xor(y, ALL64)),
  ),
  ...logic(
    "NN",
    0xb974,
    (x, y) => i32.xor(i32.and(x, y), ALL),
    (x, y) => i64.xor(i64.and(x, y), ALL64),
  ),
  ...logic(
    "NO",
    0xb976,
    (x, y) => i32.xor(i32.or(x, y), ALL),
    (x, y) => i64.xor(i64.or(x, y), ALL64),
  ),
  ...logic(
    "NX",
    0xb977,
    (x, y) => i32.xor(i32.xor(x, y), ALL),
    (x, y) => i64.xor(i64.xor(x, y), ALL64),
  ),
  row(
    "SELR",
    0xb9f0,
    "RRF_a",
    (b) => b.setGr32("r1", i32.select(b.gr32("r2"), b.gr32("r3"), b.maskSelectsCc())),
    z15,
  ),
  row(
    "SELGR",
    0xb9e3,
    "RRF_a",
    (b) => b.setGr("r1", i64.select(b.gr("r2"), b.gr("r3"), b.maskSelectsCc())),
    z15,
  ),
  row(
    "SELFHR",
    0xb9c0,
    "RRF_a",
    (b) => b.setGrHigh("r1", i32.select(b.grHigh("r2"), b.grHigh("r3"), b.maskSelectsCc())),
    z15,
  ),
];
