/**
 * Instructions that replace the floating-point-control register or a part of it: LFPC, SFPC, SRNMB, SRNMT, and
 * LFAS, SFASR, which signal what the old flags and the new masks have in common. Sources: SA22-7832 chapters 9
 * and 19; rounding mode 7 and SRNMB came with facility 37, SRNMT with 41. The simulated DXCs are those of QEMU 7.2.
 */
import { ProgramCode } from "../../abi/lowcore.ts";
import { Cpu } from "../state.ts";
import { afpOff, dataException, FACILITY_FLOATING_POINT_EXTENSION } from "./bfp-exceptions.ts";
import { Ieee } from "./bfp-number.ts";
import type { SlowContext, SlowInstruction } from "./context.ts";

/** Bits that no facility of ours defines. */
const FPC_UNASSIGNED = 0x03030088;
const FPC_FLAGS = 0x00f80000;
const BFP_ROUNDING = 7;
const DFP_ROUNDING = 0x70;

/** 4, 5 and 6 are unassigned; 7 is round to prepare for shorter precision. */
function isRoundingMode(c: SlowContext, mode: number): boolean {
  return mode < 4 || (mode === 7 && c.has(FACILITY_FLOATING_POINT_EXTENSION));
}

function isValid(c: SlowContext, fpc: number): boolean {
  return (fpc & FPC_UNASSIGNED) === 0 && isRoundingMode(c, fpc & BFP_ROUNDING);
}

function setFpc(c: SlowContext, fpc: number): void {
  if (isValid(c, fpc)) c.state.setI32(Cpu.fpc, fpc);
  else c.program(ProgramCode.specification);
}

function setAndSignal(c: SlowContext, fpc: number): void {
  if (!isValid(c, fpc)) {
    c.program(ProgramCode.specification);
    return;
  }
  const before = c.state.i32(Cpu.fpc);
  c.state.setI32(Cpu.fpc, fpc | (before & FPC_FLAGS));
  const dxc = simulatedDxc((before >>> 16) & (fpc >>> 24) & 0xf8);
  if (dxc !== 0) dataException(c, dxc);
}

/** Of several exceptions the first counts; overflow and underflow may come with an inexact result. */
function simulatedDxc(exceptions: number): number {
  const { invalid, divideByZero, overflow, underflow, inexact } = Ieee;
  if (exceptions === 0) return 0;
  const first = [invalid, divideByZero, overflow | inexact, underflow | inexact].find(
    (kind) => (exceptions & kind & ~inexact) !== 0,
  );
  return (exceptions & (first ?? inexact)) | 3;
}

/** The word that the storage operand holds, or undefined with an access exception recorded. */
function fetchWord(c: SlowContext): number | undefined {
  const bytes = c.read(c.baseDisplacement(16), 4);
  return bytes && new DataView(bytes.buffer).getInt32(0);
}

function lfpc(c: SlowContext): void {
  if (afpOff(c)) return;
  const fpc = fetchWord(c);
  if (fpc !== undefined) setFpc(c, fpc);
}

function sfpc(c: SlowContext): void {
  if (!afpOff(c)) setFpc(c, c.gr32(c.field(24, 4)) | 0);
}

function lfas(c: SlowContext): void {
  if (afpOff(c)) return;
  const fpc = fetchWord(c);
  if (fpc !== undefined) setAndSignal(c, fpc);
}

function sfasr(c: SlowContext): void {
  if (!afpOff(c)) setAndSignal(c, c.gr32(c.field(24, 4)) | 0);
}

function srnmb(c: SlowContext): void {
  if (afpOff(c)) return;
  if (!c.has(FACILITY_FLOATING_POINT_EXTENSION)) {
    c.program(ProgramCode.operation);
    return;
  }
  const mode = Number(c.baseDisplacement(16) & 0xffn);
  if (!isRoundingMode(c, mode)) {
    c.program(ProgramCode.specification);
    return;
  }
  c.state.setI32(Cpu.fpc, (c.state.i32(Cpu.fpc) & ~BFP_ROUNDING) | mode);
}

function srnmt(c: SlowContext): void {
  if (afpOff(c)) return;
  const mode = Number(c.baseDisplacement(16) & 7n) << 4;
  c.state.setI32(Cpu.fpc, (c.state.i32(Cpu.fpc) & ~DFP_ROUNDING) | mode);
}

export const bfpControlRows: readonly (readonly [number, string, SlowInstruction])[] = [
  [0xb29d, "LFPC", lfpc],
  [0xb384, "SFPC", sfpc],
  [0xb2bd, "LFAS", lfas],
  [0xb385, "SFASR", sfasr],
  [0xb2b8, "SRNMB", srnmb],
  [0xb2b9, "SRNMT", srnmt],
];
