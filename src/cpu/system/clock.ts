/**
 * Timing instructions: STCK, STCKF, STCKE, SCK, SCKPF, SCKC, STCKC, SPT, STPT, PTFF, ECTG. Source: SA22-7832 chapters
 * 4 (formats), 7 and 10; STCKE's 16 bytes: epoch index, TOD bits 0-103, programmable field. PTFF's
 * parameter blocks: Linux arch/s390/include/asm/timex.h.
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

/** PTFF function codes: queries. Those that control the clock (from 0x40 on) are not available. */
const PTFF_AVAILABLE = 0;
const PTFF_TOD_OFFSET = 1;
const PTFF_CODE = 0x7f;
const PTFF_RESERVED = 0x80;
/** Bytes of the parameter blocks of the queries: functions, TOD offset, steering information, physical clock. */
const PTFF_BLOCKS = [16, 32, 56, 8] as const;

/** PERFORM TIMING FACILITY FUNCTION: the clock is never steered. */
export function ptff(sys: SystemContext): void {
  const { guest, view, timing } = sys;
  const control = guest.grLow(0);
  if ((control & PTFF_RESERVED) !== 0) {
    guest.program(SPECIFICATION);
    return;
  }
  const code = control & PTFF_CODE;
  const length = PTFF_BLOCKS[code];
  if (length === undefined) {
    if (code < 0x40 || !sys.problem()) guest.setCc(3);
    return;
  }
  guest.formRegisterAddress(1);
  if (!touchable(sys, length)) return;
  sys.buffer.fill(0, 0, length);
  if (code === PTFF_AVAILABLE) {
    view.setUint8(0, 0xf0); // one bit for each function
  } else {
    timing.readPhysicalClock();
    view.setInt32(0, timing.high);
    view.setInt32(4, timing.low);
    if (code === PTFF_TOD_OFFSET) {
      for (const at of [8, 16]) {
        view.setInt32(at, sys.state.high(Cpu.todOffset));
        view.setInt32(at + 4, sys.state.low(Cpu.todOffset));
      }
    }
  }
  if (guest.store(sys.buffer, length)) guest.setCc(0);
}

/**
 * EXTRACT CPU TIME: GR0 = first operand less the CPU timer, GR1 = second operand, R3 = the doubleword at the
 * address in R3.
 */
export function ectg(sys: SystemContext): void {
  const { guest, view, timing, buffer } = sys;
  const register = sys.r8;
  const operand = (at: number): boolean => {
    if (!guest.fetch(buffer, 8)) return false;
    view.setBigUint64(at, view.getBigUint64(0));
    return true;
  };
  sys.formFirstAddress();
  if (!operand(8)) return;
  sys.formSecondAddress();
  if (!operand(16)) return;
  guest.formRegisterAddress(register);
  if (!operand(24)) return;
  timing.readCpuTimer();
  const timer = (BigInt(timing.high) << 32n) | BigInt(timing.low >>> 0);
  sys.state.setGr(0, view.getBigUint64(8) - timer);
  sys.state.setGr(1, view.getBigUint64(16));
  sys.state.setGr(register, view.getBigUint64(24));
}
