/** Loads, stores, register moves, address formation, inserts under mask, multiple. SA22-7832 chapter 7. */

import { Cpu } from "../state.ts";
import { type I32, type I64, i32, i64 } from "../wasm/index.ts";
import type { Body } from "./body.ts";
import { Facility, type Row, row } from "./row.ts";
import * as from from "./sources.ts";
import { type Source32, type Source64, ZERO32 } from "./sources.ts";

const HW = Facility.z196;
const GIE = Facility.generalExtension;

const load32 =
  (source: Source32) =>
  (b: Body): void =>
    b.setGr32("r1", source(b));
const load64 =
  (source: Source64) =>
  (b: Body): void =>
    b.setGr("r1", source(b));
const loadHigh =
  (source: Source32) =>
  (b: Body): void =>
    b.setGrHigh("r1", source(b));

function loadAndTest32(source: Source32) {
  return (b: Body): void => {
    const value = source(b);
    b.setGr32("r1", value);
    b.setCcSigned32(value);
  };
}

function loadAndTest64(source: Source64) {
  return (b: Body): void => {
    const value = source(b);
    b.setGr("r1", value);
    b.setCcSigned64(value);
  };
}

const low = (b: Body): I32 => b.gr32("r2");
const mem8 = (b: Body): I32 => b.load8(b.address());
const mem8S = (b: Body): I32 => i32.extend8S(b.load8(b.address()));
const signed =
  (source: Source32): Source64 =>
  (b) =>
    i64.fromS(source(b));
const unsigned =
  (source: Source32): Source64 =>
  (b) =>
    i64.fromU(source(b));
const thirtyOne =
  (source: Source32): Source64 =>
  (b) =>
    i64.fromU(i32.and(source(b), i32.const(0x7fffffff)));

const swapped16 = (b: Body): I32 => b.swap16(b.load16(b.address()));
const swapped32 = (b: Body): I32 => i32.load(b.readable(b.address(), 4));
const swapped64 = (b: Body): I64 => i64.load(b.readable(b.address(), 8));

const store8 = (b: Body): void => b.store(1, b.address(), b.gr32("r1"));
const store16 = (b: Body): void => b.store(2, b.address(), b.gr32("r1"));
const store32 = (b: Body): void => b.store(4, b.address(), b.gr32("r1"));
const store64 = (b: Body): void => b.store(8, b.address(), b.gr("r1"));

/** LOAD ADDRESS: bits that the addressing mode does not use become zero, or stay in bits 0-31. */
function loadAddress(b: Body): void {
  b.setAddress("r1", b.address());
}

/** LOAD ADDRESS EXTENDED: as LA, and the access register says which space the base stands for. */
function loadAddressExtended(b: Body): void {
  b.setAddress("r1", b.address());
  const ar1 = i32.add(
    b.host(Cpu.ar),
    i32.shrU(i32.sub(b.pointer("r1"), b.host(Cpu.gr)), i32.const(1)),
  );
  const space = b.let32(
    i32.and(i32.shrU(i32.load(b.area, Cpu.pswMask + 4), i32.const(14)), i32.const(3)),
  );
  // PSW bits 16-17: 00 primary -> 0, 10 secondary -> 1, 11 home -> 2, 01 access register -> AR b2
  const fixed = i32.select(i32.sub(space, i32.const(1)), ZERO32, i32.gtU(space, i32.const(1)));
  const baseAr = i32.load(i32.add(b.host(Cpu.ar), i32.shl(b.extra, i32.const(2))));
  const fromAr = i32.select(baseAr, ZERO32, i32.ne(b.extra, ZERO32));
  b.fn.emit(i32.store(ar1, i32.select(fromAr, fixed, i32.eq(space, i32.const(1)))));
}

/** Runs `each` for the access registers r1, r1 + 1, ... r3 (wrapping from 15 to 0) with the distance in memory. */
function forAccessRegisters(b: Body, each: (register: I32, position: I32) => void): void {
  const register = b.variable32(b.pointer("r1"));
  const last = b.let32(b.pointer("r3"));
  const position = b.variable32(ZERO32);
  b.loop((again) => {
    each(register.get, position.get);
    b.if(i32.ne(register.get, last), () => {
      b.set(position, i32.add(position.get, i32.const(4)));
      b.set(register, i32.add(register.get, i32.const(4)));
      b.if(i32.eq(register.get, b.host(Cpu.ar + 64)), () => b.set(register, b.host(Cpu.ar)));
      b.fn.br(again);
    });
  });
}

/** Bytes of their storage operand: ((r3 - r1) mod 16 + 1) * 4. */
function accessRegistersBytes(b: Body): I32 {
  return i32.add(i32.and(i32.sub(b.pointer("r3"), b.pointer("r1")), i32.const(63)), i32.const(4));
}

function loadMultiple(unit: 4 | 8, high: boolean) {
  return (b: Body): void => {
    const bytes = b.let32(b.registersBytes(unit));
    const host = b.readable(b.address(), bytes);
    b.eachRegister(unit, (register, position) => {
      const at = b.let32(i32.add(host, position));
      if (unit === 8) register.set(b.swap64(i64.load(at)));
      else register.set32(b.swap32(i32.load(at)), high);
    });
  };
}

function storeMultiple(unit: 4 | 8, high: boolean) {
  return (b: Body): void => {
    const bytes = b.let32(b.registersBytes(unit));
    b.change(b.address(), bytes, (host) =>
      b.eachRegister(unit, (register, position) => {
        const at = b.let32(i32.add(host, position));
        if (unit === 8) b.fn.emit(i64.store(at, b.swap64(register.get())));
        else b.fn.emit(i32.store(at, b.swap32(register.get32(high))));
      }),
    );
  };
}

/** Access registers: the operand must be on a word boundary. */
function loadAccessMultiple(b: Body): void {
  const address = b.let64(b.address());
  b.specificationIf(i32.and(i32.wrap(address), i32.const(3)));
  const host = b.readable(address, b.let32(accessRegistersBytes(b)));
  forAccessRegisters(b, (register, position) => {
    const at = b.let32(i32.add(host, position));
    b.fn.emit(i32.store(register, b.swap32(i32.load(at))));
  });
}

function storeAccessMultiple(b: Body): void {
  const address = b.let64(b.address());
  b.specificationIf(i32.and(i32.wrap(address), i32.const(3)));
  b.change(address, b.let32(accessRegistersBytes(b)), (host) =>
    forAccessRegisters(b, (register, position) => {
      const at = b.let32(i32.add(host, position));
      b.fn.emit(i32.store(at, b.swap32(i32.load(register))));
    }),
  );
}

/**
 * The three instructions under a byte mask. The bytes of the register named by ones in the mask are, from
 * left to right, the bytes of a storage operand as long as the mask has ones. `offset` 4 means bits 0-31.
 */
function insertUnderMask(offset: 0 | 4) {
  return (b: Body): void => {
    const mask = b.let32(b.extra);
    const address = b.let64(b.address());
    // A zero mask accesses one byte for access exceptions and leaves the register alone.
    const length = i32.select(i32.popcnt(mask), i32.const(1), mask);
    const host = b.variable32(b.readable(address, b.let32(length)));
    const any = b.variable32(ZERO32);
    const first = b.variable32(ZERO32);
    for (let i = 0; i < 4; i++) {
      b.if(i32.and(mask, i32.const(8 >> i)), () => {
        const byte = b.let32(i32.load8U(host.get));
        b.insert("r1", byte, 1, 8 * (offset + 3 - i));
        b.set(any, i32.or(any.get, byte));
        // The leftmost inserted byte decides the sign: keep it when it is the first one seen.
        b.set(
          first,
          i32.select(first.get, i32.or(i32.shrU(byte, i32.const(7)), i32.const(2)), first.get),
        );
        b.set(host, i32.add(host.get, i32.const(1)));
      });
    }
    const sign = i32.select(i32.const(1), i32.const(2), i32.and(first.get, i32.const(1)));
    b.setCc(i32.select(sign, ZERO32, i32.ne(any.get, ZERO32)));
  };
}

/** Byte of r1, counted from its right end. */
function registerByte(b: Body, n: number): I32 {
  return i32.and(i32.wrap(i64.shrU(b.gr("r1"), i64.const(8 * n))), i32.const(0xff));
}

function storeUnderMask(offset: 0 | 4) {
  return (b: Body): void => {
    const mask = b.let32(b.extra);
    const address = b.let64(b.address());
    b.if(i32.ne(mask, ZERO32), () =>
      b.change(address, b.let32(i32.popcnt(mask)), (start) => {
        const host = b.variable32(start);
        for (let i = 0; i < 4; i++) {
          b.if(i32.and(mask, i32.const(8 >> i)), () => {
            b.fn.emit(i32.store8(host.get, registerByte(b, offset + 3 - i)));
            b.set(host, i32.add(host.get, i32.const(1)));
          });
        }
      }),
    );
  };
}

function compareUnderMask(offset: 0 | 4) {
  return (b: Body): void => {
    const mask = b.let32(b.extra);
    const length = i32.select(i32.popcnt(mask), i32.const(1), mask);
    const host = b.variable32(b.readable(b.address(), b.let32(length)));
    const x = b.variable32(ZERO32);
    const y = b.variable32(ZERO32);
    for (let i = 0; i < 4; i++) {
      b.if(i32.and(mask, i32.const(8 >> i)), () => {
        const shift = (value: I32, next: I32): I32 => i32.or(i32.shl(value, i32.const(8)), next);
        b.set(x, shift(x.get, registerByte(b, offset + 3 - i)));
        b.set(y, shift(y.get, i32.load8U(host.get)));
        b.set(host, i32.add(host.get, i32.const(1)));
      });
    }
    b.setCcCompare32(x.get, y.get, true);
  };
}

/** LOAD / STORE ON CONDITION: access exceptions may be recognised only when the condition holds. */
export function onCondition(then: (b: Body) => void) {
  return (b: Body): void => b.if(b.maskSelectsCc(), () => then(b));
}

function moveImmediate(width: 1 | 2 | 4 | 8) {
  return (b: Body): void => b.store(width, b.address(), width === 8 ? b.immediateS64 : b.immediate);
}

export const loadStoreRows: readonly Row[] = [
  row("LR", 0x18, "RR", load32(low)),
  row(
    "LGR",
    0xb904,
    "RRE",
    load64((b) => b.gr("r2")),
  ),
  row(
    "LGFR",
    0xb914,
    "RRE",
    load64((b) => b.gr32S64("r2")),
  ),
  row(
    "LLGFR",
    0xb916,
    "RRE",
    load64((b) => b.gr32U64("r2")),
  ),
  row("LLGTR", 0xb917, "RRE", load64(thirtyOne(low))),
  row(
    "LBR",
    0xb926,
    "RRE",
    load32((b) => i32.extend8S(low(b))),
  ),
  row(
    "LHR",
    0xb927,
    "RRE",
    load32((b) => i32.extend16S(low(b))),
  ),
  row(
    "LGBR",
    0xb906,
    "RRE",
    load64((b) => i64.extend8S(b.gr("r2"))),
  ),
  row(
    "LGHR",
    0xb907,
    "RRE",
    load64((b) => i64.extend16S(b.gr("r2"))),
  ),
  row(
    "LLCR",
    0xb994,
    "RRE",
    load32((b) => i32.and(low(b), i32.const(0xff))),
  ),
  row(
    "LLHR",
    0xb995,
    "RRE",
    load32((b) => i32.and(low(b), i32.const(0xffff))),
  ),
  row(
    "LLGCR",
    0xb984,
    "RRE",
    load64((b) => i64.and(b.gr("r2"), i64.const(0xff))),
  ),
  row(
    "LLGHR",
    0xb985,
    "RRE",
    load64((b) => i64.and(b.gr("r2"), i64.const(0xffff))),
  ),
  row("LTR", 0x12, "RR", loadAndTest32(from.reg32)),
  row("LTGR", 0xb902, "RRE", loadAndTest64(from.reg64)),
  row("LTGFR", 0xb912, "RRE", loadAndTest64(from.reg32S64)),
  row(
    "LHI",
    0xa78,
    "RI",
    load32((b) => b.d),
  ),
  row(
    "LGHI",
    0xa79,
    "RI",
    load64((b) => b.immediateS64),
  ),
  row(
    "LGFI",
    0xc01,
    "RIL",
    load64((b) => b.immediateS64),
  ),
  row("LARL", 0xc00, "RIL_b", (b) => b.setAddress("r1", b.relativeAddress())),
  row("LA", 0x41, "RX", loadAddress),
  row("LAY", 0xe371, "RXY", loadAddress),
  row("LAE", 0x51, "RX_l", loadAddressExtended),
  row("LAEY", 0xe375, "RXY_l", loadAddressExtended),

  row("L", 0x58, "RX", load32(from.mem32)),
  row("LY", 0xe358, "RXY", load32(from.mem32)),
  row("LG", 0xe304, "RXY", load64(from.mem64)),
  row("LGF", 0xe314, "RXY", load64(from.mem32S64)),
  row("LLGF", 0xe316, "RXY", load64(from.mem32U64)),
  row("LLGT", 0xe317, "RXY", load64(thirtyOne(from.mem32))),
  row("LT", 0xe312, "RXY", loadAndTest32(from.mem32)),
  row("LTG", 0xe302, "RXY", loadAndTest64(from.mem64)),
  row("LTGF", 0xe332, "RXY", loadAndTest64(from.mem32S64)),
  row("LH", 0x48, "RX", load32(from.mem16S32)),
  row("LHY", 0xe378, "RXY", load32(from.mem16S32)),
  row("LGH", 0xe315, "RXY", load64(from.mem16S64)),
  row("LLH", 0xe395, "RXY", load32(from.mem16U32)),
  row("LLGH", 0xe391, "RXY", load64(from.mem16U64)),
  row("LB", 0xe376, "RXY", load32(mem8S)),
  row("LGB", 0xe377, "RXY", load64(signed(mem8S))),
  row("LLC", 0xe394, "RXY", load32(mem8)),
  row("LLGC", 0xe390, "RXY", load64(unsigned(mem8))),
  row("IC", 0x43, "RX", insertByte),
  row("ICY", 0xe373, "RXY", insertByte),
  row("LRL", 0xc4d, "RIL_b", alignedLoad(4, load32(from.near32)), GIE),
  row("LGRL", 0xc48, "RIL_b", alignedLoad(8, load64(from.near64)), GIE),
  row("LGFRL", 0xc4c, "RIL_b", alignedLoad(4, load64(from.near32S64)), GIE),
  row("LLGFRL", 0xc4e, "RIL_b", alignedLoad(4, load64(from.near32U64)), GIE),
  row("LHRL", 0xc45, "RIL_b", load32(from.near16S32), GIE),
  row("LGHRL", 0xc44, "RIL_b", load64(from.near16S64), GIE),
  row("LLHRL", 0xc42, "RIL_b", load32(from.near16U32), GIE),
  row("LLGHRL", 0xc46, "RIL_b", load64(from.near16U64), GIE),

  row("ST", 0x50, "RX", store32),
  row("STY", 0xe350, "RXY", store32),
  row("STG", 0xe324, "RXY", store64),
  row("NTSTG", 0xe325, "RXY", store64),
  row("STH", 0x40, "RX", store16),
  row("STHY", 0xe370, "RXY", store16),
  row("STC", 0x42, "RX", store8),
  row("STCY", 0xe372, "RXY", store8),
  row(
    "STRL",
    0xc4f,
    "RIL_b",
    alignedLoad(4, (b) => b.store(4, b.relativeAddress(), b.gr32("r1"))),
    GIE,
  ),
  row(
    "STGRL",
    0xc4b,
    "RIL_b",
    alignedLoad(8, (b) => b.store(8, b.relativeAddress(), b.gr("r1"))),
    GIE,
  ),
  row("STHRL", 0xc47, "RIL_b", (b) => b.store(2, b.relativeAddress(), b.gr32("r1")), GIE),
  row("MVI", 0x92, "SI", moveImmediate(1)),
  row("MVIY", 0xeb52, "SIY", moveImmediate(1)),
  row("MVHHI", 0xe544, "SIL", moveImmediate(2), GIE),
  row("MVHI", 0xe54c, "SIL", moveImmediate(4), GIE),
  row("MVGHI", 0xe548, "SIL", moveImmediate(8), GIE),

  row("LRVR", 0xb91f, "RRE", (b) => b.setGr32("r1", b.swap32(low(b)))),
  row("LRVGR", 0xb90f, "RRE", (b) => b.setGr("r1", b.swap64(b.gr("r2")))),
  row("LRVH", 0xe31f, "RXY", (b) => {
    const value = b.let32(swapped16(b));
    b.insert("r1", value, 2, 0);
  }),
  row(
    "LRV",
    0xe31e,
    "RXY",
    load32((b) => b.let32(swapped32(b))),
  ),
  row(
    "LRVG",
    0xe30f,
    "RXY",
    load64((b) => b.let64(swapped64(b))),
  ),
  row("STRVH", 0xe33f, "RXY", (b) => b.store(2, b.address(), b.swap16(b.gr32("r1")))),
  row("STRV", 0xe33e, "RXY", (b) => b.store(4, b.address(), b.swap32(b.gr32("r1")))),
  row("STRVG", 0xe32f, "RXY", (b) => b.store(8, b.address(), b.swap64(b.gr("r1")))),

  row("LM", 0x98, "RS", loadMultiple(4, false)),
  row("LMY", 0xeb98, "RSY", loadMultiple(4, false)),
  row("LMG", 0xeb04, "RSY", loadMultiple(8, false)),
  row("LMH", 0xeb96, "RSY", loadMultiple(4, true)),
  row("STM", 0x90, "RS", storeMultiple(4, false)),
  row("STMY", 0xeb90, "RSY", storeMultiple(4, false)),
  row("STMG", 0xeb24, "RSY", storeMultiple(8, false)),
  row("STMH", 0xeb26, "RSY", storeMultiple(4, true)),
  row("LAM", 0x9a, "RS_a", loadAccessMultiple),
  row("LAMY", 0xeb9a, "RSY_a", loadAccessMultiple),
  row("STAM", 0x9b, "RS_a", storeAccessMultiple),
  row("STAMY", 0xeb9b, "RSY_a", storeAccessMultiple),
  row(
    "EAR",
    0xb24f,
    "RRE_ra",
    load32((b) => b.gr32("r2")),
  ),
  row("SAR", 0xb24e, "RRE_ar", (b) => b.fn.emit(i32.store(b.pointer("r1"), b.gr32("r2")))),
  row("CPYA", 0xb24d, "RRE_aa", (b) => b.fn.emit(i32.store(b.pointer("r1"), b.gr32("r2")))),

  row("ICM", 0xbf, "RS", insertUnderMask(0)),
  row("ICMY", 0xeb81, "RSY", insertUnderMask(0)),
  row("ICMH", 0xeb80, "RSY", insertUnderMask(4)),
  row("STCM", 0xbe, "RS", storeUnderMask(0)),
  row("STCMY", 0xeb2d, "RSY", storeUnderMask(0)),
  row("STCMH", 0xeb2c, "RSY", storeUnderMask(4)),
  row("CLM", 0xbd, "RS", compareUnderMask(0)),
  row("CLMY", 0xeb21, "RSY", compareUnderMask(0)),
  row("CLMH", 0xeb20, "RSY", compareUnderMask(4)),

  row("LOCR", 0xb9f2, "RRF", onCondition(load32(low)), HW),
  row("LOCGR", 0xb9e2, "RRF", onCondition(load64((b) => b.gr("r2"))), HW),
  row("LOC", 0xebf2, "RSY", onCondition(load32(from.mem32)), HW),
  row("LOCG", 0xebe2, "RSY", onCondition(load64(from.mem64)), HW),
  row("STOC", 0xebf3, "RSY", onCondition(store32), HW),
  row("STOCG", 0xebe3, "RSY", onCondition(store64), HW),

  row("PFD", 0xe336, "RXY", () => undefined, GIE),
  row("PFDRL", 0xc62, "RIL", () => undefined, GIE),

  row(
    "LBH",
    0xe3c0,
    "RXY",
    loadHigh((b) => b.let32(mem8S(b))),
    HW,
  ),
  row("LHH", 0xe3c4, "RXY", loadHigh(from.mem16S32), HW),
  row("LFH", 0xe3ca, "RXY", loadHigh(from.mem32), HW),
  row(
    "LLCH",
    0xe3c2,
    "RXY",
    loadHigh((b) => b.let32(mem8(b))),
    HW,
  ),
  row("LLHH", 0xe3c6, "RXY", loadHigh(from.mem16U32), HW),
  row("STCH", 0xe3c3, "RXY", (b) => b.store(1, b.address(), b.grHigh("r1")), HW),
  row("STHH", 0xe3c7, "RXY", (b) => b.store(2, b.address(), b.grHigh("r1")), HW),
  row("STFH", 0xe3cb, "RXY", (b) => b.store(4, b.address(), b.grHigh("r1")), HW),

  row("IPM", 0xb222, "RRE", (b) => {
    const programMask = i32.and(
      i32.shrU(i32.load(b.area, Cpu.pswMask + 4), i32.const(8)),
      i32.const(15),
    );
    const value = b.let32(i32.or(i32.shl(b.cc(), i32.const(4)), programMask));
    b.insert("r1", value, 1, 24);
  }),
  row("SPM", 0x04, "RR", (b) => {
    const value = b.let32(b.gr32("r1"));
    b.setCc(i32.and(i32.shrU(value, i32.const(28)), i32.const(3)));
    const rest = i32.and(i32.load(b.area, Cpu.pswMask + 4), i32.const(~0xf00));
    const programMask = i32.and(i32.shrU(value, i32.const(16)), i32.const(0xf00));
    b.fn.emit(i32.store(b.area, i32.or(rest, programMask), Cpu.pswMask + 4));
  }),
];

function insertByte(b: Body): void {
  const value = b.let32(mem8(b));
  b.insert("r1", value, 1, 0);
}

/** Relative-long operands of 4 and 8 bytes must be on their boundary. */
function alignedLoad(bytes: 4 | 8, body: (b: Body) => void) {
  return (b: Body): void => {
    b.specificationIf(i32.and(i32.wrap(b.relativeAddress()), i32.const(bytes - 1)));
    body(b);
  };
}
