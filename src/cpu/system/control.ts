/**
 * Control instructions over PSW and control registers: LPSW(E), LCTL(G), STCT(G), SSM, STNSM, STOSM, SPKA,
 * IPK, EPSW, SAC, SACF, IAC, SPX, STPX, STAP, STIDP, MC, LPP, EPAR, ESAR. Source: SA22-7832 chapter 10.
 */
import { ProgramCode } from "../../abi/lowcore.ts";
import { SPACE_HOME } from "../dat.ts";
import { Cpu, PswBit } from "../state.ts";
import {
  ADDRESSING,
  CR0_SECONDARY_SPACE,
  CR0_SSM_SUPPRESSION,
  extractionRefused,
  SPECIAL_OPERATION,
  SPECIFICATION,
  type SystemContext,
} from "./context.ts";

const { spaceSwitchEvent: SPACE_SWITCH_EVENT, monitorEvent: MONITOR_EVENT } = ProgramCode;
/** Bit 12 of a short PSW is one; in the CPU it is zero. */
const SHORT_PSW_BIT = 0x00080000;

export function lpswe(sys: SystemContext): void {
  if (sys.problem() || sys.misaligned(8) || !sys.guest.fetch(sys.buffer, 16)) return;
  const { view } = sys;
  loadPsw(sys, view.getInt32(0), view.getInt32(4), view.getInt32(8), view.getInt32(12));
}

export function lpsw(sys: SystemContext): void {
  if (sys.problem() || sys.misaligned(8) || !sys.guest.fetch(sys.buffer, 8)) return;
  const high = sys.view.getInt32(0);
  const low = sys.view.getInt32(4);
  loadPsw(sys, high ^ SHORT_PSW_BIT, low & PswBit.ba31Low, 0, low & 0x7fffffff);
}

function loadPsw(sys: SystemContext, mh: number, ml: number, ah: number, al: number): void {
  breakHere(sys);
  if (!sys.psw.load(mh, ml, ah, al)) sys.interrupts.earlySpecification();
}

/** Sets the breaking-event address to the instruction in progress. */
function breakHere(sys: SystemContext): void {
  const { state } = sys;
  const low = state.low(Cpu.pswAddress);
  const back = state.i32(Cpu.ilc);
  const high = state.high(Cpu.pswAddress) - (low >>> 0 < back ? 1 : 0);
  state.setHalves(Cpu.breakingEvent, high | 0, (low - back) | 0);
}

export const lctl = (sys: SystemContext): void => loadControl(sys, 4);
export const lctlg = (sys: SystemContext): void => loadControl(sys, 8);
export const stctl = (sys: SystemContext): void => storeControl(sys, 4);
export const stctg = (sys: SystemContext): void => storeControl(sys, 8);

function loadControl(sys: SystemContext, size: 4 | 8): void {
  if (sys.problem() || sys.misaligned(size)) return;
  const first = sys.r8;
  const count = ((sys.r12 - first) & 15) + 1;
  if (!sys.guest.fetch(sys.buffer, count * size)) return;
  const before = sys.state.low(Cpu.cr);
  for (let i = 0; i < count; i++) {
    const register = Cpu.cr + ((first + i) & 15) * 8;
    const high = size === 8 ? sys.view.getInt32(i * 8) : sys.state.high(register);
    sys.state.setHalves(register, high, sys.view.getInt32(i * size + size - 4));
  }
  sys.controlChanged(before);
}

function storeControl(sys: SystemContext, size: 4 | 8): void {
  if (sys.problem() || sys.misaligned(size)) return;
  const first = sys.r8;
  const count = ((sys.r12 - first) & 15) + 1;
  for (let i = 0; i < count; i++) {
    const register = Cpu.cr + ((first + i) & 15) * 8;
    if (size === 8) sys.view.setInt32(i * 8, sys.state.high(register));
    sys.view.setInt32(i * size + size - 4, sys.state.low(register));
  }
  sys.guest.store(sys.buffer, count * size);
}

export function ssm(sys: SystemContext): void {
  if (sys.problem()) return;
  if ((sys.state.low(Cpu.cr) & CR0_SSM_SUPPRESSION) !== 0) {
    sys.guest.program(SPECIAL_OPERATION);
    return;
  }
  sys.guest.formOperandAddress();
  if (!sys.guest.fetch(sys.buffer, 1)) return;
  setSystemMask(sys, 0xff000000, sys.view.getUint8(0) << 24);
}

export function stnsm(sys: SystemContext): void {
  if (storeSystemMask(sys)) setSystemMask(sys, ~(sys.immediate << 24) & 0xff000000, 0);
}

export function stosm(sys: SystemContext): void {
  if (storeSystemMask(sys)) setSystemMask(sys, 0, sys.immediate << 24);
}

function storeSystemMask(sys: SystemContext): boolean {
  if (sys.problem()) return false;
  sys.formFirstAddress();
  sys.view.setUint8(0, sys.psw.maskHigh >>> 24);
  return sys.guest.store(sys.buffer, 1);
}

/** An invalid system mask is an early exception of the instruction itself: its ILC, PSW past it. */
function setSystemMask(sys: SystemContext, clear: number, set: number): void {
  if (!sys.psw.replaceHigh(clear, set)) sys.guest.program(SPECIFICATION);
}

export function spka(sys: SystemContext): void {
  sys.guest.formOperandAddress();
  const key = (sys.guest.addressLow >>> 4) & 15;
  if (sys.keyRefused(key)) return;
  sys.psw.replaceHigh(PswBit.keyHigh, key << 20);
}

export function ipk(sys: SystemContext): void {
  if (extractionRefused(sys)) return;
  const low = (sys.guest.grLow(2) & ~0xff) | (sys.dat.pswKey() << 4);
  sys.guest.setGr(2, sys.guest.grHigh(2), low);
}

export function epsw(sys: SystemContext): void {
  const { maskHigh, maskLow } = sys.psw;
  const second = sys.r28;
  sys.guest.setGr(sys.r24, sys.guest.grHigh(sys.r24), maskHigh);
  if (second !== 0) sys.guest.setGr(second, sys.guest.grHigh(second), maskLow);
}

/** SAC and SACF: 0 primary, 1 secondary, 2 AR, 3 home; the PSW holds the two bits the other way round. */
export function setAddressSpace(sys: SystemContext): void {
  const { state } = sys;
  const before = sys.psw.maskHigh;
  if ((before & PswBit.datHigh) === 0 || (state.low(Cpu.cr) & CR0_SECONDARY_SPACE) === 0) {
    sys.guest.program(SPECIAL_OPERATION);
    return;
  }
  sys.guest.formOperandAddress();
  const code = (sys.guest.addressLow >>> 8) & 15;
  if (code > 3) {
    sys.guest.program(SPECIFICATION);
    return;
  }
  if (code === 3 && sys.problem()) return;
  const space = reversed(code);
  sys.psw.replaceHigh(PswBit.spaceHigh, space << 14);
  const wasHome = ((before >>> 14) & 3) === SPACE_HOME;
  const switched = wasHome !== (space === SPACE_HOME);
  const watched = (state.low(Cpu.cr + 8) | state.low(Cpu.cr + 13 * 8)) & 0x40; // bit 57 of CR1, CR13
  if (switched && watched !== 0) {
    sys.guest.program(SPACE_SWITCH_EVENT);
    state.setHalves(Cpu.teid, 0, wasHome ? 0x80000000 : state.low(Cpu.cr + 4 * 8) & 0xffff);
  }
}

function reversed(twoBits: number): number {
  return ((twoBits & 1) << 1) | (twoBits >>> 1);
}

export function iac(sys: SystemContext): void {
  if (extractionRefused(sys)) return;
  const mask = sys.psw.maskHigh;
  if ((mask & PswBit.datHigh) === 0) {
    sys.guest.program(SPECIAL_OPERATION);
    return;
  }
  const code = reversed((mask >>> 14) & 3);
  const register = sys.r24;
  const low = (sys.guest.grLow(register) & ~0xff00) | (code << 8);
  sys.guest.setGr(register, sys.guest.grHigh(register), low);
  sys.state.setI32(Cpu.cc, code);
}

export const epar = (sys: SystemContext): void => extractAddressSpaceNumber(sys, 4);
export const esar = (sys: SystemContext): void => extractAddressSpaceNumber(sys, 3);

/** EXTRACT PRIMARY or SECONDARY ASN: bits 48-63 of the control register. */
function extractAddressSpaceNumber(sys: SystemContext, control: 3 | 4): void {
  if (extractionRefused(sys)) return;
  if ((sys.psw.maskHigh & PswBit.datHigh) === 0) {
    sys.guest.program(SPECIAL_OPERATION);
    return;
  }
  const register = sys.r24;
  const number = sys.state.low(Cpu.cr + control * 8) & 0xffff;
  sys.guest.setGr(register, sys.guest.grHigh(register), number);
}

export function spx(sys: SystemContext): void {
  if (sys.problem() || sys.misaligned(4) || !sys.guest.fetch(sys.buffer, 4)) return;
  if (!sys.setPrefix(sys.view.getInt32(0) & 0x7fffe000)) sys.guest.program(ADDRESSING);
}

export function stpx(sys: SystemContext): void {
  if (sys.problem() || sys.misaligned(4)) return;
  sys.view.setInt32(0, sys.state.i32(Cpu.prefix));
  sys.guest.store(sys.buffer, 4);
}

export function stap(sys: SystemContext): void {
  if (sys.problem() || sys.misaligned(2)) return;
  sys.view.setUint16(0, sys.guest.cpuAddress);
  sys.guest.store(sys.buffer, 2);
}

/** Version and identification zero, the machine type, and the sign of a z/Architecture CPU id. */
export function stidp(sys: SystemContext): void {
  if (sys.problem() || sys.misaligned(8)) return;
  sys.view.setUint32(0, 0);
  sys.view.setUint16(4, sys.model.machineType);
  sys.view.setUint16(6, 0x8000);
  sys.guest.store(sys.buffer, 8);
}

/** MONITOR CALL: class in bits 12-15, masks in CR8 bits 48-63. */
export function mc(sys: SystemContext): void {
  const monitorClass = sys.immediate;
  if (monitorClass > 15) {
    sys.guest.program(SPECIFICATION);
    return;
  }
  if ((sys.state.low(Cpu.cr + 8 * 8) & (0x8000 >>> monitorClass)) === 0) return;
  sys.formFirstAddress();
  sys.state.setI32(Cpu.monitorClass, monitorClass);
  sys.state.setHalves(Cpu.monitorCode, sys.guest.addressHigh, sys.guest.addressLow);
  sys.guest.program(MONITOR_EVENT);
}

/** LOAD PROGRAM PARAMETER: nothing here takes samples, so nothing ever shows it. */
export function lpp(sys: SystemContext): void {
  if (sys.problem()) return;
  sys.guest.formOperandAddress();
  sys.guest.fetch(sys.buffer, 8);
}
