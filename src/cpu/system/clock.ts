/**
 * Timing instructions: STCK, STCKF, STCKE, SCK, SCKPF, SCKC, STCKC, SPT, STPT. Source: SA22-7832 chapters 4
 * (formats) and 10; STCKE's 16 bytes: epoch index, TOD bits 0-103, programmable field.
 */
import { STORE } from "../seam.ts";
import { Cpu } from "../state.ts";
import { SPECIFICATION, type SystemContext } from "./context.ts";

export function stck(sys: SystemContext): void {
  storeClock(sys, true);
}

export function stckf(sys: SystemContext): void {
  storeClock(sys, false);
}

function storeClock(sys: SystemContext, unique: boolean): void {
  sys.guest.formOperandAddress();
  if (!touchable(sys, 8)) return;
  sys.timing.readTod(unique);
  sys.view.setInt32(0, sys.timing.high);
  sys.view.setInt32(4, sys.timing.low);
  if (sys.guest.store(sys.buffer, 8)) sys.state.setI32(Cpu.cc, 0);
}

export function stcke(sys: SystemContext): void {
  sys.guest.formOperandAddress();
  if (!touchable(sys, 16)) return;
  sys.timing.readTod(true);
  const { view } = sys;
  view.setUint8(0, 0); // epoch index: no multiple-epoch facility
  view.setInt32(1, sys.timing.high);
  view.setInt32(5, sys.timing.low);
  view.setUint32(9, 0);
  view.setUint8(13, 1); // the rightmost clock bits are never all zeros
  view.setUint16(14, sys.state.i32(Cpu.todProgrammable));
  if (sys.guest.store(sys.buffer, 16)) sys.state.setI32(Cpu.cc, 0);
}

/** An instruction that meets an access exception must not use up a unique clock value. */
function touchable(sys: SystemContext, length: number): boolean {
  return sys.guest.prepare(length, STORE, sys.dat.currentSpace(STORE), sys.dat.pswKey());
}

export function sck(sys: SystemContext): void {
  if (sys.problem() || sys.misaligned(8) || !sys.guest.fetch(sys.buffer, 8)) return;
  sys.timing.setTod(sys.view.getInt32(0), sys.view.getInt32(4));
  sys.state.setI32(Cpu.cc, 0);
  sys.hooks.pswChanged();
}

export function sckpf(sys: SystemContext): void {
  if (sys.problem()) return;
  const value = sys.guest.grLow(0);
  if (value >>> 16 !== 0) {
    sys.guest.program(SPECIFICATION);
    return;
  }
  sys.state.setI32(Cpu.todProgrammable, value);
}

export function sckc(sys: SystemContext): void {
  if (sys.problem() || sys.misaligned(8) || !sys.guest.fetch(sys.buffer, 8)) return;
  sys.timing.setClockComparator(sys.view.getInt32(0), sys.view.getInt32(4));
  sys.hooks.pswChanged();
}

export function stckc(sys: SystemContext): void {
  if (sys.problem() || sys.misaligned(8)) return;
  sys.view.setInt32(0, sys.state.high(Cpu.clockComparator));
  sys.view.setInt32(4, sys.state.low(Cpu.clockComparator));
  sys.guest.store(sys.buffer, 8);
}

export function spt(sys: SystemContext): void {
  if (sys.problem() || sys.misaligned(8) || !sys.guest.fetch(sys.buffer, 8)) return;
  sys.timing.setCpuTimer(sys.view.getInt32(0), sys.view.getInt32(4));
  sys.hooks.pswChanged();
}

export function stpt(sys: SystemContext): void {
  if (sys.problem() || sys.misaligned(8)) return;
  sys.timing.readCpuTimer();
  sys.view.setInt32(0, sys.timing.high);
  sys.view.setInt32(4, sys.timing.low);
  sys.guest.store(sys.buffer, 8);
}
