/**
 * What the machine says about itself and to other CPUs: STFL, STFLE, STSI, ECAG, SIGP, DIAGNOSE. Sources:
 * SA22-7832 chapters 4 (SIGP) and 10; s390x-machine.md 3.3, 5, 5.1, 5.2.
 */
import { Lowcore } from "../../abi/lowcore.ts";
import { FACILITY_SENSE_RUNNING, FACILITY_VECTOR } from "../model.ts";
import { cpuReset, initialCpuReset } from "../reset.ts";
import {
  Cpu,
  LOCAL_CPU_RESET,
  LOCAL_EMERGENCY,
  LOCAL_EXTERNAL_CALL,
  LOCAL_INITIAL_RESET,
  LOCAL_RESTART,
  LOCAL_STOP,
  LOCAL_STORE_STATUS,
  PswBit,
  STOP_QUIT,
  STOP_RESET,
  STOP_SIGP,
} from "../state.ts";
import { storeStatus, storeStatusAt, storeVectorsAt, VECTOR_AREA_BYTES } from "../store-status.ts";
import { ADDRESSING, SPECIFICATION, type SystemContext } from "./context.ts";

const FACILITY_LIST = Lowcore.fields.facilityList.offset;

/** SIGP status bits (SA22-7832, "Status Bits"). */
const STATUS_INCORRECT_STATE = 0x200;
const STATUS_INVALID_PARAMETER = 0x100;
const STATUS_EXTERNAL_CALL_PENDING = 0x80;
const STATUS_STOPPED = 0x40;
const STATUS_INVALID_ORDER = 0x02;
const STATUS_NOT_RUNNING = 0x400;

/** A PSW that is enabled for I/O and external interruptions. */
const INTERRUPTIONS = PswBit.ioHigh | PswBit.externalHigh;

/** Orders that a CPU has taken and not followed yet. */
const LOCAL_UNDER_WAY =
  LOCAL_RESTART | LOCAL_STOP | LOCAL_STORE_STATUS | LOCAL_CPU_RESET | LOCAL_INITIAL_RESET;

/** DIAG 0x288 functions (1 = change). */
const WATCHDOG_INIT = 0;
const WATCHDOG_CANCEL = 2;
const WATCHDOG_SECONDS_MIN = 15;

/** DIAG 0x308 return codes: no configuration to store; block not acceptable (QEMU's values). */
const DIAG308_NO_CONFIGURATION = 0x102;
const DIAG308_INVALID = 0x402;

/**
 * DIAG 0x500 function code (GR1) by which a program of ours ends the VM: "ZM" in ASCII, out of the range
 * of the KVM hypercalls (0-4).
 */
const DIAG500_QUIT = 0x5a4d;

/** Stores the first facility word at real 200; low-address protection does not apply. */
export function stfl(sys: SystemContext): void {
  if (sys.problem()) return;
  const list = sys.model.facilityBytes;
  const lowcore = sys.state.i32(Cpu.prefix);
  for (let i = 0; i < 4; i++) sys.ram.setU8(lowcore + FACILITY_LIST + i, list[i] ?? 0);
}

export function stfle(sys: SystemContext): void {
  if (sys.misaligned(8)) return;
  const { guest, model } = sys;
  const available = model.facilityBytes.length / 8;
  const wanted = (guest.grLow(0) & 0xff) + 1;
  const stored = Math.min(available, wanted);
  if (!guest.store(model.facilityBytes, stored * 8)) return;
  guest.setGr(0, guest.grHigh(0), (guest.grLow(0) & ~0xff) | (available - 1));
  guest.setCc(wanted >= available ? 0 : 3);
}

export function stsi(sys: SystemContext): void {
  if (sys.problem()) return;
  const { guest } = sys;
  const selectors0 = guest.grLow(0);
  const selectors1 = guest.grLow(1);
  const level = selectors0 >>> 28;
  if (level > 3) {
    guest.setCc(3);
    return;
  }
  if ((selectors0 & 0x0fffff00) !== 0 || (selectors1 & 0xffff0000) !== 0) {
    guest.program(SPECIFICATION);
    return;
  }
  if (level === 0) {
    guest.setGr(0, guest.grHigh(0), 0x30000000);
    guest.setCc(0);
    return;
  }
  if (sys.misaligned(4096)) return;
  const block = sys.model.systemInformation(level, selectors0 & 0xff, selectors1 & 0xffff);
  if (block === undefined) {
    guest.setCc(3);
    return;
  }
  if (guest.store(block, 4096)) guest.setCc(0);
}

/** EXTRACT CPU ATTRIBUTE: no cache level is described; an attribute that is not there reads as ones. */
export function ecag(sys: SystemContext): void {
  sys.guest.formOperandAddress();
  const attribute = (sys.guest.addressLow >>> 4) & 15;
  const value = attribute === 0 ? 0 : -1;
  sys.guest.setGr(sys.r8, value, value);
}

export function sigp(sys: SystemContext): void {
  if (sys.problem()) return;
  const { guest } = sys;
  guest.formOperandAddress();
  const order = guest.addressLow & 0xff;
  const status = sys.r8;
  const parameter = guest.grLow(status | 1);
  if (order === 0x12) {
    // Set architecture is addressed to all CPUs; this machine knows only z/Architecture.
    refuse(sys, status, STATUS_INVALID_PARAMETER);
    return;
  }
  const cpu = guest.grLow(sys.r12) & 0xffff;
  if (cpu >= sys.signals.count) {
    guest.setCc(3);
    return;
  }
  guest.setCc(0);
  if (signal(sys, cpu, order, status)) return;
  if (cpu === guest.cpuAddress) orderSelf(sys, order, status, parameter);
  else orderOther(sys, cpu, order, status, parameter);
}

/** Orders that any CPU takes at any time. @returns whether it was one of them */
function signal(sys: SystemContext, cpu: number, order: number, status: number): boolean {
  const { signals } = sys;
  const callPending = signals.callPending(cpu);
  switch (order) {
    case 0x01: {
      // sense
      const seen =
        (callPending ? STATUS_EXTERNAL_CALL_PENDING : 0) |
        (signals.running(cpu) ? 0 : STATUS_STOPPED);
      if (seen !== 0) refuse(sys, status, seen);
      return true;
    }
    case 0x02: // external call
      if (!signals.externalCall(cpu, LOCAL_EXTERNAL_CALL)) {
        refuse(sys, status, STATUS_EXTERNAL_CALL_PENDING);
      } else if (cpu === sys.guest.cpuAddress) sys.hooks.pswChanged();
      return true;
    case 0x03: // emergency signal
      signals.emergency(cpu, LOCAL_EMERGENCY);
      if (cpu === sys.guest.cpuAddress) sys.hooks.pswChanged();
      return true;
    case 0x13: // conditional emergency signal
      if (!emergencyNeeded(sys, cpu)) {
        refuse(sys, status, STATUS_INCORRECT_STATE);
        return true;
      }
      signals.emergency(cpu, LOCAL_EMERGENCY);
      if (cpu === sys.guest.cpuAddress) sys.hooks.pswChanged();
      return true;
    case 0x15: // sense running status
      if (!sys.model.has(FACILITY_SENSE_RUNNING)) refuse(sys, status, STATUS_INVALID_ORDER);
      else if (!signals.executing(cpu) && cpu !== sys.guest.cpuAddress)
        refuse(sys, status, STATUS_NOT_RUNNING);
      return true;
    default:
      return false;
  }
}

/**
 * Whether a conditional emergency signal is sent: always to a CPU that operates (what it does cannot be seen from here), and
 * to a stopped one whose PSW is disabled for I/O or external interruptions, that waits at another address than 0, or
 * that was at work in the address space of the parameter. Source: QEMU target/s390x/sigp.c (behaviour).
 */
function emergencyNeeded(sys: SystemContext, cpu: number): boolean {
  if (sys.signals.running(cpu)) return true;
  const { state, psw } = sys.remote(cpu);
  if ((psw.maskHigh & INTERRUPTIONS) !== INTERRUPTIONS) return true;
  if ((psw.maskHigh & PswBit.waitHigh) !== 0) {
    return state.high(Cpu.pswAddress) !== 0 || state.low(Cpu.pswAddress) !== 0;
  }
  const asn = sys.guest.grLow(sys.r8 | 1) & 0xffff;
  return (
    asn === (state.low(Cpu.cr + 4 * 8) & 0xffff) || asn === (state.low(Cpu.cr + 3 * 8) & 0xffff)
  );
}

function orderSelf(sys: SystemContext, order: number, status: number, parameter: number): void {
  const { state } = sys;
  switch (order) {
    case 0x04: // start: operating already
      return;
    case 0x05: // stop
      sys.interrupts.stop(STOP_SIGP);
      return;
    case 0x06: // restart
      sys.signals.post(sys.guest.cpuAddress, LOCAL_RESTART);
      sys.hooks.pswChanged();
      return;
    case 0x09: // stop and store status
      storeStatus(state, sys.ram, sys.timing, sys.psw, state.i32(Cpu.prefix));
      sys.interrupts.stop(STOP_SIGP);
      return;
    case 0x0b: // initial CPU reset
      initialCpuReset(state);
      sys.timing.setCpuTimer(0, 0);
      resetDone(sys);
      return;
    case 0x0c: // CPU reset
      cpuReset(state);
      resetDone(sys);
      return;
    case 0x0d: // set prefix: only for a stopped CPU
      if (!sys.ram.contains(parameter & 0x7fffe000, 8192)) {
        refuse(sys, status, STATUS_INVALID_PARAMETER);
      } else {
        refuse(sys, status, STATUS_INCORRECT_STATE);
      }
      return;
    case 0x0e: // store status at address: only for a stopped CPU
      refuse(sys, status, STATUS_INCORRECT_STATE);
      return;
    case 0x17: // store additional status at address: likewise
      refuse(sys, status, vectors(sys) ? STATUS_INCORRECT_STATE : STATUS_INVALID_ORDER);
      return;
    default:
      refuse(sys, status, STATUS_INVALID_ORDER);
  }
}

/** Store additional status is an order of machines with vector registers. */
function vectors(sys: SystemContext): boolean {
  return sys.model.has(FACILITY_VECTOR);
}

/** Orders to another CPU, one at a time: one that has not followed yet is busy (cc 2). */
function orderOther(
  sys: SystemContext,
  cpu: number,
  order: number,
  status: number,
  parameter: number,
): void {
  const { signals } = sys;
  if ((signals.pending(cpu) & LOCAL_UNDER_WAY) !== 0 || !signals.beginOrder(cpu)) {
    sys.guest.setCc(2);
    return;
  }
  if (signals.running(cpu)) orderRunning(sys, cpu, order, status, parameter);
  else orderStopped(sys, cpu, order, status, parameter);
  signals.endOrder(cpu);
}

/** It follows at its next block boundary. */
function orderRunning(
  sys: SystemContext,
  cpu: number,
  order: number,
  status: number,
  parameter: number,
): void {
  const { signals } = sys;
  switch (order) {
    case 0x04:
      return;
    case 0x05:
      signals.post(cpu, LOCAL_STOP);
      return;
    case 0x06:
      signals.start(cpu, LOCAL_RESTART); // one in a disabled wait counts as going again
      return;
    case 0x09:
      signals.post(cpu, LOCAL_STOP | LOCAL_STORE_STATUS);
      return;
    case 0x0b:
      signals.post(cpu, LOCAL_INITIAL_RESET);
      return;
    case 0x0c:
      signals.post(cpu, LOCAL_CPU_RESET);
      return;
    default:
      orderSelf(sys, order, status, parameter); // refused in the same words
  }
}

function orderStopped(
  sys: SystemContext,
  cpu: number,
  order: number,
  status: number,
  parameter: number,
): void {
  const { state, psw, timing } = sys.remote(cpu);
  switch (order) {
    case 0x04:
      sys.signals.start(cpu, 0);
      return;
    case 0x05:
      return;
    case 0x06:
      sys.signals.start(cpu, LOCAL_RESTART);
      return;
    case 0x09:
      storeStatus(state, sys.ram, timing, psw, state.i32(Cpu.prefix));
      return;
    case 0x0b:
      initialCpuReset(state);
      timing.setCpuTimer(0, 0);
      return;
    case 0x0c:
      cpuReset(state);
      return;
    case 0x0d: {
      const prefix = parameter & 0x7fffe000;
      if (!sys.ram.contains(prefix, 8192)) refuse(sys, status, STATUS_INVALID_PARAMETER);
      else state.setI32(Cpu.prefix, prefix);
      return;
    }
    case 0x0e: {
      const area = parameter & 0x7ffffe00;
      if (!sys.ram.contains(area, 512)) refuse(sys, status, STATUS_INVALID_PARAMETER);
      else storeStatusAt(state, sys.ram, timing, psw, area);
      return;
    }
    case 0x17: {
      const area = (sys.guest.grHigh(status | 1) >>> 0) * 0x1_0000_0000 + (parameter >>> 0);
      // The length code in the last bits is for guarded storage, which no model has.
      const accepted = area % VECTOR_AREA_BYTES === 0 && sys.ram.contains(area, VECTOR_AREA_BYTES);
      if (!vectors(sys)) refuse(sys, status, STATUS_INVALID_ORDER);
      else if (!accepted) refuse(sys, status, STATUS_INVALID_PARAMETER);
      else storeVectorsAt(state, sys.ram, area);
      return;
    }
    default:
      refuse(sys, status, STATUS_INVALID_ORDER);
  }
}

/** cc 1: status stored in bits 32-63 of R1. */
function refuse(sys: SystemContext, register: number, status: number): void {
  sys.guest.setGr(register, sys.guest.grHigh(register), status);
  sys.guest.setCc(1);
}

/** A CPU that resets itself is stopped afterwards. */
function resetDone(sys: SystemContext): void {
  sys.dat.purge();
  sys.timing.refresh();
  sys.hooks.pswChanged();
  sys.interrupts.stop(STOP_SIGP);
}

export function diag(sys: SystemContext): void {
  if (sys.problem()) return;
  sys.guest.formOperandAddress();
  switch (sys.guest.addressLow & 0xffff) {
    case 0x44: // voluntary time-slice end
    case 0x9c: // the same, in favour of one CPU
      return;
    case 0x288:
      diag288(sys);
      return;
    case 0x308:
      diag308(sys);
      return;
    case 0x500:
      if (sys.guest.grHigh(1) === 0 && sys.guest.grLow(1) === DIAG500_QUIT) {
        sys.interrupts.stop(STOP_QUIT);
        return;
      }
      sys.guest.program(SPECIFICATION);
      return;
    default:
      sys.guest.program(SPECIFICATION);
  }
}

/** DIAG 0x288, the watchdog: function in R1, seconds in R1 + 1, action (0) in R3. Source: QEMU target/s390x/diag.c. */
function diag288(sys: SystemContext): void {
  const { guest, watchdog } = sys;
  const register = sys.r8;
  const seconds =
    (guest.grHigh(register | 1) >>> 0) * 0x1_0000_0000 + (guest.grLow(register | 1) >>> 0);
  const action = guest.grHigh(sys.r12) | guest.grLow(sys.r12);
  const operation = guest.grHigh(register) === 0 ? guest.grLow(register) >>> 0 : -1;
  const refused =
    (register & 1) !== 0 ||
    action !== 0 ||
    !watchdog.present ||
    (operation !== WATCHDOG_CANCEL && seconds < WATCHDOG_SECONDS_MIN) ||
    (operation !== WATCHDOG_INIT && !watchdog.running);
  if (refused || operation < 0 || operation > WATCHDOG_CANCEL) guest.program(SPECIFICATION);
  else if (operation === WATCHDOG_CANCEL) watchdog.cancel();
  else watchdog.start(seconds);
}

/** DIAG 0x308: subcode in R3, parameter-block address in R1, return code in R1 + 1. */
function diag308(sys: SystemContext): void {
  const { guest } = sys;
  const register = sys.r8;
  const subcode = guest.grHigh(sys.r12) === 0 ? guest.grLow(sys.r12) >>> 0 : -1;
  switch (subcode) {
    case 0: // modified clear reset
    case 1: // load normal reset
    case 3: // load clear
    case 4: // load normal
      sys.interrupts.stop(STOP_RESET);
      return;
    case 5: // set IPL parameters: there is no IPL device to accept
      if (parameterBlockRefused(sys, register)) return;
      guest.setGr(register | 1, 0, DIAG308_INVALID);
      return;
    case 6: // store IPL parameters
      if (parameterBlockRefused(sys, register)) return;
      guest.setGr(register | 1, 0, DIAG308_NO_CONFIGURATION);
      return;
    default:
      guest.program(SPECIFICATION);
  }
}

function parameterBlockRefused(sys: SystemContext, register: number): boolean {
  const { guest } = sys;
  const low = guest.grLow(register);
  if ((register & 1) !== 0 || (low & 0xfff) !== 0) {
    guest.program(SPECIFICATION);
    return true;
  }
  const address = (guest.grHigh(register) >>> 0) * 0x1_0000_0000 + (low >>> 0);
  if (!sys.ram.contains(address, 4096)) {
    guest.program(ADDRESSING);
    return true;
  }
  return false;
}
