/** Comparisons: signed and logical, compare-and-branch, compare-and-trap. SA22-7832 chapter 7. */
import { i32 } from "../wasm/index.ts";
import type { Body } from "./body.ts";
import type { RegisterField } from "./formats.ts";
import { Facility, type Row, row } from "./row.ts";
import type { Source32, Source64 } from "./sources.ts";
import * as from from "./sources.ts";

const HW = Facility.z196;
const GIE = Facility.generalExtension;
const DXC_COMPARE_AND_TRAP = 0xff;

function word(source: Source32, unsigned: boolean, first: Source32 = (b) => b.gr32("r1")) {
  return (b: Body): void => {
    const y = source(b);
    b.setCcCompare32(b.let32(first(b)), y, unsigned);
  };
}

function long(source: Source64, unsigned: boolean) {
  return (b: Body): void => {
    const y = source(b);
    b.setCcCompare64(b.let64(b.gr("r1")), y, unsigned);
  };
}

/** Operand of a relative-long comparison, with its alignment. */
function aligned32(source: Source32, bytes: number): Source32 {
  return (b) => {
    b.specificationIf(i32.and(i32.wrap(b.relativeAddress()), i32.const(bytes - 1)));
    return source(b);
  };
}

function aligned64(source: Source64, bytes: number): Source64 {
  return (b) => {
    b.specificationIf(i32.and(i32.wrap(b.relativeAddress()), i32.const(bytes - 1)));
    return source(b);
  };
}

function branch32(source: Source32, unsigned: boolean) {
  return (b: Body): void => {
    const y = source(b);
    b.if(b.comparisonSelected32(b.let32(b.gr32("r1")), y, unsigned), () => b.jumpRelative());
  };
}

function branch64(source: Source64, unsigned: boolean) {
  return (b: Body): void => {
    const y = source(b);
    b.if(b.comparisonSelected64(b.let64(b.gr("r1")), y, unsigned), () => b.jumpRelative());
  };
}

/** RRS and RIS forms: the branch address is a storage address. */
function branchTo32(source: Source32, unsigned: boolean) {
  return (b: Body): void => {
    const y = source(b);
    b.if(b.comparisonSelected32(b.let32(b.gr32("r1")), y, unsigned), () => b.jump(b.address()));
  };
}

function branchTo64(source: Source64, unsigned: boolean) {
  return (b: Body): void => {
    const y = source(b);
    b.if(b.comparisonSelected64(b.let64(b.gr("r1")), y, unsigned), () => b.jump(b.address()));
  };
}

/** Data exception as compare-and-trap and load-and-trap make it. */
export function trap(b: Body): void {
  b.dataException(DXC_COMPARE_AND_TRAP);
}

export function trap32(source: Source32, unsigned: boolean) {
  return (b: Body): void => {
    const y = source(b);
    b.if(b.comparisonSelected32(b.let32(b.gr32("r1")), y, unsigned), () => trap(b));
  };
}

export function trap64(source: Source64, unsigned: boolean) {
  return (b: Body): void => {
    const y = source(b);
    b.if(b.comparisonSelected64(b.let64(b.gr("r1")), y, unsigned), () => trap(b));
  };
}

/** Storage compared with an immediate: storage is the first operand. */
function storage32(load: Source32, unsigned: boolean) {
  return (b: Body): void => {
    const x = load(b);
    b.setCcCompare32(x, b.let32(b.immediate), unsigned);
  };
}

function storage64(unsigned: boolean) {
  return (b: Body): void => {
    const x = from.mem64(b);
    b.setCcCompare64(x, b.let64(unsigned ? b.immediateU64 : b.immediateS64), unsigned);
  };
}

const byte: Source32 = (b) => b.let32(b.load8(b.address()));
const high =
  (field: RegisterField): Source32 =>
  (b) =>
    b.let32(b.grHigh(field));

export const compareRows: readonly Row[] = [
  row("CR", 0x19, "RR", word(from.reg32, false)),
  row("CGR", 0xb920, "RRE", long(from.reg64, false)),
  row("CGFR", 0xb930, "RRE", long(from.reg32S64, false)),
  row("C", 0x59, "RX", word(from.mem32, false)),
  row("CY", 0xe359, "RXY", word(from.mem32, false)),
  row("CG", 0xe320, "RXY", long(from.mem64, false)),
  row("CGF", 0xe330, "RXY", long(from.mem32S64, false)),
  row("CH", 0x49, "RX", word(from.mem16S32, false)),
  row("CHY", 0xe379, "RXY", word(from.mem16S32, false)),
  row("CGH", 0xe334, "RXY", long(from.mem16S64, false), GIE),
  row("CHI", 0xa7e, "RI", word(from.imm32, false)),
  row("CGHI", 0xa7f, "RI", long(from.immS64, false)),
  row("CFI", 0xc2d, "RIL", word(from.imm32, false)),
  row("CGFI", 0xc2c, "RIL", long(from.immS64, false)),
  row("CRL", 0xc6d, "RIL_b", word(aligned32(from.near32, 4), false), GIE),
  row("CGRL", 0xc68, "RIL_b", long(aligned64(from.near64, 8), false), GIE),
  row("CGFRL", 0xc6c, "RIL_b", long(aligned64(from.near32S64, 4), false), GIE),
  row("CHRL", 0xc65, "RIL_b", word(from.near16S32, false), GIE),
  row("CGHRL", 0xc64, "RIL_b", long(from.near16S64, false), GIE),
  row("CHHSI", 0xe554, "SIL", storage32(from.mem16S32, false), GIE),
  row("CHSI", 0xe55c, "SIL", storage32(from.mem32, false), GIE),
  row("CGHSI", 0xe558, "SIL", storage64(false), GIE),

  row("CLR", 0x15, "RR", word(from.reg32, true)),
  row("CLGR", 0xb921, "RRE", long(from.reg64, true)),
  row("CLGFR", 0xb931, "RRE", long(from.reg32U64, true)),
  row("CL", 0x55, "RX", word(from.mem32, true)),
  row("CLY", 0xe355, "RXY", word(from.mem32, true)),
  row("CLG", 0xe321, "RXY", long(from.mem64, true)),
  row("CLGF", 0xe331, "RXY", long(from.mem32U64, true)),
  row("CLFI", 0xc2f, "RIL", word(from.imm32, true)),
  row("CLGFI", 0xc2e, "RIL", long(from.immU64, true)),
  row("CLRL", 0xc6f, "RIL_b", word(aligned32(from.near32, 4), true), GIE),
  row("CLGRL", 0xc6a, "RIL_b", long(aligned64(from.near64, 8), true), GIE),
  row("CLGFRL", 0xc6e, "RIL_b", long(aligned64(from.near32U64, 4), true), GIE),
  row("CLHRL", 0xc67, "RIL_b", word(from.near16U32, true), GIE),
  row("CLGHRL", 0xc66, "RIL_b", long(from.near16U64, true), GIE),
  row("CLI", 0x95, "SI", storage32(byte, true)),
  row("CLIY", 0xeb55, "SIY", storage32(byte, true)),
  row("CLHHSI", 0xe555, "SIL_u", storage32(from.mem16U32, true), GIE),
  row("CLFHSI", 0xe55d, "SIL_u", storage32(from.mem32, true), GIE),
  row("CLGHSI", 0xe559, "SIL_u", storage64(true), GIE),

  row("CRJ", 0xec76, "RIE_b", branch32(from.reg32, false), GIE),
  row("CGRJ", 0xec64, "RIE_b", branch64(from.reg64, false), GIE),
  row("CIJ", 0xec7e, "RIE_c", branch32(from.imm32, false), GIE),
  row("CGIJ", 0xec7c, "RIE_c", branch64(from.immS64, false), GIE),
  row("CLRJ", 0xec77, "RIE_b", branch32(from.reg32, true), GIE),
  row("CLGRJ", 0xec65, "RIE_b", branch64(from.reg64, true), GIE),
  row("CLIJ", 0xec7f, "RIE_cu", branch32(from.imm32, true), GIE),
  row("CLGIJ", 0xec7d, "RIE_cu", branch64(from.immU64, true), GIE),
  row("CRB", 0xecf6, "RRS", branchTo32(from.reg32, false), GIE),
  row("CGRB", 0xece4, "RRS", branchTo64(from.reg64, false), GIE),
  row("CIB", 0xecfe, "RIS", branchTo32(from.imm32, false), GIE),
  row("CGIB", 0xecfc, "RIS", branchTo64(from.immS64, false), GIE),
  row("CLRB", 0xecf7, "RRS", branchTo32(from.reg32, true), GIE),
  row("CLGRB", 0xece5, "RRS", branchTo64(from.reg64, true), GIE),
  row("CLIB", 0xecff, "RIS_u", branchTo32(from.imm32, true), GIE),
  row("CLGIB", 0xecfd, "RIS_u", branchTo64(from.immU64, true), GIE),

  row("CRT", 0xb972, "RRF", trap32(from.reg32, false), GIE),
  row("CGRT", 0xb960, "RRF", trap64(from.reg64, false), GIE),
  row("CIT", 0xec72, "RIE_a", trap32(from.imm32, false), GIE),
  row("CGIT", 0xec70, "RIE_a", trap64(from.immS64, false), GIE),
  row("CLRT", 0xb973, "RRF", trap32(from.reg32, true), GIE),
  row("CLGRT", 0xb961, "RRF", trap64(from.reg64, true), GIE),
  row("CLFIT", 0xec73, "RIE_au", trap32(from.imm32, true), GIE),
  row("CLGIT", 0xec71, "RIE_au", trap64(from.immU64, true), GIE),

  row("CHHR", 0xb9cd, "RRE", word(high("r2"), false, high("r1")), HW),
  row("CHLR", 0xb9dd, "RRE", word(from.reg32, false, high("r1")), HW),
  row("CLHHR", 0xb9cf, "RRE", word(high("r2"), true, high("r1")), HW),
  row("CLHLR", 0xb9df, "RRE", word(from.reg32, true, high("r1")), HW),
  row("CHF", 0xe3cd, "RXY", word(from.mem32, false, high("r1")), HW),
  row("CLHF", 0xe3cf, "RXY", word(from.mem32, true, high("r1")), HW),
  row("CIH", 0xccd, "RIL", word(from.imm32, false, high("r1")), HW),
  row("CLIH", 0xccf, "RIL", word(from.imm32, true, high("r1")), HW),
];
