/** Where an instruction's second operand comes from; the value may be used more than once. */
import { type I32, type I64, i32, i64 } from "../wasm/index.ts";
import type { Body } from "./body.ts";

export type Source32 = (b: Body) => I32;
export type Source64 = (b: Body) => I64;

export const reg32: Source32 = (b) => b.let32(b.gr32("r2"));
export const reg64: Source64 = (b) => b.let64(b.gr("r2"));
export const reg32S64: Source64 = (b) => b.let64(b.gr32S64("r2"));
export const reg32U64: Source64 = (b) => b.let64(b.gr32U64("r2"));
export const third32: Source32 = (b) => b.let32(b.gr32("r3"));
export const third64: Source64 = (b) => b.let64(b.gr("r3"));

export const mem32: Source32 = (b) => b.let32(b.load32(b.address()));
export const mem64: Source64 = (b) => b.let64(b.load64(b.address()));
export const mem32S64: Source64 = (b) => b.let64(i64.fromS(b.load32(b.address())));
export const mem32U64: Source64 = (b) => b.let64(i64.fromU(b.load32(b.address())));
export const mem16S32: Source32 = (b) => b.let32(b.load16S(b.address()));
export const mem16U32: Source32 = (b) => b.let32(b.load16(b.address()));
export const mem16S64: Source64 = (b) => b.let64(i64.fromS(b.load16S(b.address())));
export const mem16U64: Source64 = (b) => b.let64(i64.fromU(b.load16(b.address())));

export const near32: Source32 = (b) => b.let32(b.load32(b.relativeAddress()));
export const near64: Source64 = (b) => b.let64(b.load64(b.relativeAddress()));
export const near32S64: Source64 = (b) => b.let64(i64.fromS(b.load32(b.relativeAddress())));
export const near32U64: Source64 = (b) => b.let64(i64.fromU(b.load32(b.relativeAddress())));
export const near16S32: Source32 = (b) => b.let32(b.load16S(b.relativeAddress()));
export const near16U32: Source32 = (b) => b.let32(b.load16(b.relativeAddress()));
export const near16S64: Source64 = (b) => b.let64(i64.fromS(b.load16S(b.relativeAddress())));
export const near16U64: Source64 = (b) => b.let64(i64.fromU(b.load16(b.relativeAddress())));

export const imm32: Source32 = (b) => b.let32(b.immediate);
export const immS64: Source64 = (b) => b.let64(b.immediateS64);
export const immU64: Source64 = (b) => b.let64(b.immediateU64);

export const ZERO32 = i32.const(0);
export const ZERO64 = i64.const(0);
