/**
 * Floating-point loads, stores, moves, signs, and reading the floating-point-control register. Arithmetic is not
 * here. Registers other than 0, 2, 4, 6 need the AFP-register control (CR0 bit 45), else data exception
 * with DXC 1; the FPC instructions need it always, else DXC 2. SA22-7832 chapters 9 and 19.
 */

import { Cpu } from "../state.ts";
import { type I32, i32, i64 } from "../wasm/index.ts";
import type { Body } from "./body.ts";
import { type Row, row } from "./row.ts";
import { ZERO32, ZERO64 } from "./sources.ts";

const AFP_CONTROL = 0x40000; // CR0 bit 45 in the low half
const DXC_AFP_REGISTER = 1;
const DXC_BFP_INSTRUCTION = 2;
/** Bits 0-31 of a floating-point register. */
const SHORT = 4;

function afpOff(b: Body): I32 {
  return i32.eqz(i32.and(i32.load(b.area, Cpu.cr), i32.const(AFP_CONTROL)));
}

function withRegisters(then: (b: Body) => void) {
  return (b: Body): void => {
    b.if(i32.and(i32.ne(b.extra, ZERO32), afpOff(b)), () => b.dataException(DXC_AFP_REGISTER));
    then(b);
  };
}

function withBfp(then: (b: Body) => void) {
  return (b: Body): void => {
    b.if(afpOff(b), () => b.dataException(DXC_BFP_INSTRUCTION));
    then(b);
  };
}

const loadShort = withRegisters((b) => {
  const value = b.let32(b.load32(b.address()));
  b.fn.emit(i32.store(b.pointer("r1"), value, SHORT));
});
const loadLong = withRegisters((b) => {
  const value = b.let64(b.load64(b.address()));
  b.setGr("r1", value);
});
const storeShort = withRegisters((b) => b.store(4, b.address(), i32.load(b.pointer("r1"), SHORT)));
const storeLong = withRegisters((b) => b.store(8, b.address(), b.gr("r1")));

const SIGN = i64.const(-(1n << 63n));
const MAGNITUDE = i64.const((1n << 63n) - 1n);

/** A 128-bit operand is in registers n and n + 2; n must not have the bit of value 2. */
function validPair(b: Body, field: "r1" | "r2"): void {
  b.specificationIf(i32.and(i32.sub(b.pointer(field), b.host(Cpu.vr)), i32.const(32)));
}

export const floatingRows: readonly Row[] = [
  row("LE", 0x78, "RX_f", loadShort),
  row("LEY", 0xed64, "RXY_f", loadShort),
  row("LD", 0x68, "RX_f", loadLong),
  row("LDY", 0xed65, "RXY_f", loadLong),
  row("STE", 0x70, "RX_f", storeShort),
  row("STEY", 0xed66, "RXY_f", storeShort),
  row("STD", 0x60, "RX_f", storeLong),
  row("STDY", 0xed67, "RXY_f", storeLong),
  row(
    "LER",
    0x38,
    "RR_f",
    withRegisters((b) =>
      b.fn.emit(i32.store(b.pointer("r1"), i32.load(b.pointer("r2"), SHORT), SHORT)),
    ),
  ),
  row(
    "LDR",
    0x28,
    "RR_f",
    withRegisters((b) => b.setGr("r1", b.gr("r2"))),
  ),
  row(
    "LXR",
    0xb365,
    "RRE_f",
    withRegisters((b) => {
      validPair(b, "r1");
      validPair(b, "r2");
      const high = b.let64(b.gr("r2"));
      const low = b.let64(i64.load(b.pointer("r2"), 32));
      b.setGr("r1", high);
      b.fn.emit(i64.store(b.pointer("r1"), low, 32));
    }),
  ),
  row(
    "LZER",
    0xb374,
    "RRE_f1",
    withRegisters((b) => b.fn.emit(i32.store(b.pointer("r1"), ZERO32, SHORT))),
  ),
  row(
    "LZDR",
    0xb375,
    "RRE_f1",
    withRegisters((b) => b.setGr("r1", ZERO64)),
  ),
  row(
    "LZXR",
    0xb376,
    "RRE_f1",
    withRegisters((b) => {
      validPair(b, "r1");
      b.setGr("r1", ZERO64);
      b.fn.emit(i64.store(b.pointer("r1"), ZERO64, 32));
    }),
  ),
  row(
    "LDGR",
    0xb3c1,
    "RRE_fr",
    withRegisters((b) => b.setGr("r1", b.gr("r2"))),
  ),
  row(
    "LGDR",
    0xb3cd,
    "RRE_rf",
    withRegisters((b) => b.setGr("r1", b.gr("r2"))),
  ),
  row(
    "LPDFR",
    0xb370,
    "RRE_f",
    withRegisters((b) => b.setGr("r1", i64.and(b.gr("r2"), MAGNITUDE))),
  ),
  row(
    "LNDFR",
    0xb371,
    "RRE_f",
    withRegisters((b) => b.setGr("r1", i64.or(b.gr("r2"), SIGN))),
  ),
  row(
    "LCDFR",
    0xb373,
    "RRE_f",
    withRegisters((b) => b.setGr("r1", i64.xor(b.gr("r2"), SIGN))),
  ),
  row(
    "CPSDR",
    0xb372,
    "RRF_f",
    withRegisters((b) =>
      b.setGr("r1", i64.or(i64.and(b.gr("r3"), SIGN), i64.and(b.gr("r2"), MAGNITUDE))),
    ),
  ),
  row(
    "EFPC",
    0xb38c,
    "RRE",
    withBfp((b) => b.setGr32("r1", i32.load(b.area, Cpu.fpc))),
  ),
  row(
    "STFPC",
    0xb29c,
    "S",
    withBfp((b) => b.store(4, b.address(), i32.load(b.area, Cpu.fpc))),
  ),
  row(
    "SRNM",
    0xb299,
    "S",
    withBfp((b) => {
      const mode = i32.and(i32.wrap(b.address()), i32.const(3));
      const rest = i32.and(i32.load(b.area, Cpu.fpc), i32.const(~7));
      b.fn.emit(i32.store(b.area, i32.or(rest, mode), Cpu.fpc));
    }),
  ),
];
