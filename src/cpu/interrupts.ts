/**
 * Interruptions: a PSW swap through the lowcore of this CPU. Hot between the ERR doorbell and the guest's
 * machine check: no allocation, exception or BigInt.
 *
 * Order of taking what is pending at once (SA22-7832 chapter 6, "Priority of Interruptions"): supervisor
 * call and program (the core delivers these itself), machine check, external, I/O, restart. Lowcore
 * layout and the channel-report machine check: zpci-guest.md 6 and 7.7, s390x-machine.md 5.3.
 */
import {
  ExternalCode,
  Lowcore,
  MCIC_CHANNEL_REPORT_HIGH,
  MCIC_CHANNEL_REPORT_LOW,
  MCIC_GS_LOW,
  ProgramCode,
} from "../abi/lowcore.ts";
import type { FloatingInterrupts } from "../shm/floating.ts";
import type { GuestRam } from "../shm/guest-ram.ts";
import { hasTeid, isNullifying } from "./dat.ts";
import { type CpuModel, FACILITY_VECTOR } from "./model.ts";
import type { Psw } from "./psw.ts";
import { cpuReset, initialCpuReset } from "./reset.ts";
import type { CoreHooks, Interruptions } from "./seam.ts";
import type { Signals } from "./signals.ts";
import {
  Cpu,
  type CpuState,
  LOCAL_CPU_RESET,
  LOCAL_EMERGENCY,
  LOCAL_EXTERNAL_CALL,
  LOCAL_INITIAL_RESET,
  LOCAL_RESTART,
  LOCAL_STOP,
  LOCAL_STORE_STATUS,
  PswBit,
  STOP_CHECK,
  STOP_SIGP,
} from "./state.ts";
import { storeStatus, storeStatusRegisters, storeVectorRegisters } from "./store-status.ts";
import type { Timing } from "./timing.ts";

const field = Lowcore.fields;
const at = {
  externalParameter: field.externalParameter.offset,
  externalCpuAddress: field.externalCpuAddress.offset,
  externalCode: field.externalCode.offset,
  svcIlc: field.svcIlc.offset,
  svcCode: field.svcCode.offset,
  programIlc: field.programIlc.offset,
  programCode: field.programCode.offset,
  dataExceptionCode: field.dataExceptionCode.offset,
  monitorClass: field.monitorClass.offset,
  exceptionAccessId: field.exceptionAccessId.offset,
  architectureMode: field.architectureMode.offset,
  teid: field.translationExceptionId.offset,
  monitorCode: field.monitorCode.offset,
  perCode: field.perCode.offset,
  perAddress: field.perAddress.offset,
  perAccessId: field.perAccessId.offset,
  subchannelWord: field.subchannelWord.offset,
  ioParameter: field.ioParameter.offset,
  ioIdentificationWord: field.ioIdentificationWord.offset,
  machineCheckCode: field.machineCheckCode.offset,
  externalDamageCode: field.externalDamageCode.offset,
  failingStorageAddress: field.failingStorageAddress.offset,
  breakingEventAddress: field.breakingEventAddress.offset,
  mcesaDesignation: field.mcesaDesignation.offset,
  programNew: field.programNewPsw.offset,
} as const;

/** Old PSW locations; the new PSW of each class is 0x80 above. */
const OLD_RESTART = field.restartOldPsw.offset;
const OLD_EXTERNAL = field.externalOldPsw.offset;
const OLD_SVC = field.svcOldPsw.offset;
const OLD_PROGRAM = field.programOldPsw.offset;
const OLD_MACHINE_CHECK = field.machineCheckOldPsw.offset;
const OLD_IO = field.ioOldPsw.offset;
const NEW_FROM_OLD = 0x80;

/** CR0 subclass masks, bits 49, 50, 52, 53, 54. */
const CR0_EMERGENCY = 0x4000;
const CR0_EXTERNAL_CALL = 0x2000;
const CR0_CLOCK_COMPARATOR = 0x800;
const CR0_CPU_TIMER = 0x400;
const CR0_SERVICE = 0x200;
const CR0_AFP = 0x40000; //                bit 45
const CR2_GUARDED_STORAGE = 0x10; //       bit 59
const CR14_CHANNEL_REPORT = 0x10000000; // bit 35

const {
  clockComparator: EXTERNAL_CLOCK_COMPARATOR,
  cpuTimer: EXTERNAL_CPU_TIMER,
  emergencySignal: EXTERNAL_EMERGENCY,
  externalCall: EXTERNAL_CALL,
  serviceSignal: EXTERNAL_SERVICE,
} = ExternalCode;

const {
  specification: SPECIFICATION,
  data: DATA,
  vectorProcessing: VECTOR_PROCESSING,
  spaceSwitchEvent: SPACE_SWITCH,
  monitorEvent: MONITOR,
  perEvent: PER_EVENT,
} = ProgramCode;

/** Deliveries in a row whose handler failed at its first instruction before the CPU gives up. */
const PROGRAM_LOOP_MAX = 64;

/** What another CPU may order that ends in the stopped state. */
const LOCAL_ORDERS = LOCAL_STOP | LOCAL_STORE_STATUS | LOCAL_CPU_RESET | LOCAL_INITIAL_RESET;

/** CR0 register offsets used on every look. */
const CR0 = Cpu.cr;
const CR2 = Cpu.cr + 2 * 8;
const CR6 = Cpu.cr + 6 * 8;
const CR14 = Cpu.cr + 14 * 8;

export interface InterruptionParts {
  readonly state: CpuState;
  readonly ram: GuestRam;
  readonly psw: Psw;
  readonly timing: Timing;
  readonly floating: FloatingInterrupts;
  readonly model: CpuModel;
  readonly hooks: CoreHooks;
  readonly signals: Signals;
  /** Told when the channel-report machine check has been taken (for the trace). */
  readonly machineCheckTaken?: () => void;
}

export class Interrupts implements Interruptions {
  readonly #state: CpuState;
  readonly #ram: GuestRam;
  readonly #psw: Psw;
  readonly #timing: Timing;
  readonly #floating: FloatingInterrupts;
  readonly #vector: boolean;
  readonly #hooks: CoreHooks;
  readonly #signals: Signals;
  readonly #machineCheckTaken: (() => void) | undefined;

  constructor(parts: InterruptionParts) {
    this.#state = parts.state;
    this.#ram = parts.ram;
    this.#psw = parts.psw;
    this.#timing = parts.timing;
    this.#floating = parts.floating;
    this.#vector = parts.model.has(FACILITY_VECTOR);
    this.#hooks = parts.hooks;
    this.#signals = parts.signals;
    this.#machineCheckTaken = parts.machineCheckTaken;
  }

  deliverProgram(): void {
    const state = this.#state;
    const ram = this.#ram;
    const lowcore = this.#lowcore();
    if (lowcore < 0) return;
    if (this.#loops(lowcore)) {
      this.stop(STOP_CHECK);
      return;
    }
    const stored = state.i32(Cpu.programCode);
    const code = stored & ~PER_EVENT;
    state.setI32(Cpu.programCode, 0);
    state.setI32(Cpu.nullify, 0);
    ram.setU16(lowcore + at.programIlc, state.i32(Cpu.ilc));
    ram.setU16(lowcore + at.programCode, stored);
    if ((stored & PER_EVENT) !== 0) {
      ram.setU16(lowcore + at.perCode, state.i32(Cpu.perCode));
      this.#setU64(lowcore + at.perAddress, Cpu.perAddress);
      ram.setU8(lowcore + at.perAccessId, state.i32(Cpu.excAccessId) & 0xf);
    }
    if (hasTeid(code)) {
      this.#setU64(lowcore + at.teid, Cpu.teid);
      ram.setU8(lowcore + at.exceptionAccessId, state.i32(Cpu.excAccessId) & 0xf);
    } else if (code === SPACE_SWITCH) {
      this.#setU64(lowcore + at.teid, Cpu.teid);
    } else if (isNullifying(code)) {
      ram.setU8(lowcore + at.exceptionAccessId, state.i32(Cpu.excAccessId) & 0xf);
    } else if (code === DATA || code === VECTOR_PROCESSING) {
      const dxc = state.i32(Cpu.dxc) & 0xff;
      ram.setU32(lowcore + at.dataExceptionCode, dxc);
      if ((state.low(CR0) & CR0_AFP) !== 0) {
        state.setI32(Cpu.fpc, (state.i32(Cpu.fpc) & ~0xff00) | (dxc << 8));
      }
    } else if (code === MONITOR) {
      ram.setU16(lowcore + at.monitorClass, state.i32(Cpu.monitorClass) & 0xff);
      this.#setU64(lowcore + at.monitorCode, Cpu.monitorCode);
    }
    this.#setU64(lowcore + at.breakingEventAddress, Cpu.breakingEvent);
    this.#psw.storeTo(ram, lowcore + OLD_PROGRAM);
    // A program new PSW that is itself invalid would be swapped for itself for ever.
    if (!this.#psw.loadFrom(ram, lowcore + at.programNew)) this.stop(STOP_CHECK);
  }

  deliverSupervisorCall(code: number): void {
    const lowcore = this.#lowcore();
    if (lowcore < 0) return;
    this.#ram.setU16(lowcore + at.svcIlc, this.#state.i32(Cpu.ilc));
    this.#ram.setU16(lowcore + at.svcCode, code & 0xff);
    this.#swap(lowcore, OLD_SVC);
  }

  takePending(): boolean {
    const mask = this.#state.high(Cpu.pswMask);
    if (this.#machineCheckEnabled(mask) && this.#floating.machineCheckPending()) {
      if (this.#floating.claimMachineCheck()) {
        this.#deliverMachineCheck();
        return true;
      }
    }
    if ((mask & PswBit.externalHigh) !== 0 && this.#takeExternal()) return true;
    if ((mask & PswBit.ioHigh) !== 0 && this.#takeIo()) return true;
    const local = this.#signals.pending();
    if (local === 0) return false;
    if ((local & LOCAL_RESTART) !== 0) {
      this.#signals.clear(LOCAL_RESTART);
      this.deliverRestart();
      return true;
    }
    if ((local & LOCAL_ORDERS) !== 0) this.#ordered(local);
    return false;
  }

  /** Orders of another CPU that stop this one. */
  #ordered(local: number): void {
    const state = this.#state;
    if ((local & LOCAL_STORE_STATUS) !== 0) {
      storeStatus(state, this.#ram, this.#timing, this.#psw, state.i32(Cpu.prefix));
    }
    if ((local & LOCAL_INITIAL_RESET) !== 0) initialCpuReset(state);
    else if ((local & LOCAL_CPU_RESET) !== 0) cpuReset(state);
    this.#timing.refresh();
    this.#hooks.pswChanged();
    this.stop(STOP_SIGP);
    this.#signals.clear(LOCAL_ORDERS);
  }

  pendingNow(): boolean {
    const mask = this.#state.high(Cpu.pswMask);
    if ((this.#signals.pending() & (LOCAL_RESTART | LOCAL_ORDERS)) !== 0) return true;
    if (this.#machineCheckEnabled(mask) && this.#floating.machineCheckPending()) return true;
    if ((mask & PswBit.externalHigh) !== 0 && this.#externalClass() !== 0) return true;
    return (mask & PswBit.ioHigh) !== 0 && this.#enabledIo() !== 0;
  }

  anyEnabled(): boolean {
    const classes = PswBit.ioHigh | PswBit.externalHigh | PswBit.machineCheckHigh;
    return (this.#state.high(Cpu.pswMask) & classes) !== 0;
  }

  waitDeadlineUs(): number {
    if ((this.#state.high(Cpu.pswMask) & PswBit.externalHigh) === 0) return Infinity;
    const masks = this.#state.low(CR0);
    return this.#timing.nextDueUs(
      (masks & CR0_CLOCK_COMPARATOR) !== 0,
      (masks & CR0_CPU_TIMER) !== 0,
    );
  }

  /** Restart interruption (SIGP restart, operator): needs no mask. */
  deliverRestart(): void {
    const lowcore = this.#lowcore();
    if (lowcore >= 0) this.#swap(lowcore, OLD_RESTART);
  }

  /** Stops this CPU for good, as far as it is concerned. */
  stop(reason: number): void {
    this.#state.setI32(Cpu.running, 0);
    this.#state.setI32(Cpu.stopReason, reason);
    this.#hooks.requestExit();
  }

  /** Records an early PSW specification exception: ILC 0, old PSW = the PSW just loaded. */
  earlySpecification(): void {
    this.#state.setI32(Cpu.programCode, SPECIFICATION);
    this.#state.setI32(Cpu.ilc, 0);
    this.#state.setI32(Cpu.nullify, 2);
  }

  /** Old PSW out, new PSW in; an invalid new PSW is a program interruption on top. */
  #swap(lowcore: number, old: number): void {
    this.#state.setI32(Cpu.programLoops, 0);
    this.#psw.storeTo(this.#ram, lowcore + old);
    if (this.#psw.loadFrom(this.#ram, lowcore + old + NEW_FROM_OLD)) return;
    this.earlySpecification();
    this.deliverProgram();
  }

  #machineCheckEnabled(mask: number): boolean {
    return (
      (mask & PswBit.machineCheckHigh) !== 0 && (this.#state.low(CR14) & CR14_CHANNEL_REPORT) !== 0
    );
  }

  #deliverMachineCheck(): void {
    const lowcore = this.#lowcore();
    if (lowcore < 0) return;
    const state = this.#state;
    const ram = this.#ram;
    if (this.#vector) storeVectorRegisters(state, ram, lowcore + at.mcesaDesignation);
    storeStatusRegisters(state, ram, this.#timing, lowcore);
    ram.setU8(lowcore + at.architectureMode, 1);
    const guarded = (state.low(CR2) & CR2_GUARDED_STORAGE) !== 0 ? MCIC_GS_LOW : 0;
    ram.setU32(lowcore + at.machineCheckCode, MCIC_CHANNEL_REPORT_HIGH);
    ram.setU32(lowcore + at.machineCheckCode + 4, MCIC_CHANNEL_REPORT_LOW | guarded);
    ram.setU32(lowcore + at.externalDamageCode, 0);
    ram.setU32(lowcore + at.failingStorageAddress, 0);
    ram.setU32(lowcore + at.failingStorageAddress + 4, 0);
    this.#machineCheckTaken?.();
    this.#swap(lowcore, OLD_MACHINE_CHECK);
  }

  /** Code of the pending and enabled external interruption of highest priority; 0 = none. */
  #externalClass(): number {
    const masks = this.#state.low(CR0);
    const local = this.#signals.pending();
    if ((masks & CR0_EMERGENCY) !== 0 && (local & LOCAL_EMERGENCY) !== 0) return EXTERNAL_EMERGENCY;
    if ((masks & CR0_EXTERNAL_CALL) !== 0 && (local & LOCAL_EXTERNAL_CALL) !== 0) {
      return EXTERNAL_CALL;
    }
    if ((masks & CR0_CLOCK_COMPARATOR) !== 0 && this.#timing.comparatorPending()) {
      return EXTERNAL_CLOCK_COMPARATOR;
    }
    if ((masks & CR0_CPU_TIMER) !== 0 && this.#timing.cpuTimerPending()) return EXTERNAL_CPU_TIMER;
    if ((masks & CR0_SERVICE) !== 0 && this.#floating.servicePending()) return EXTERNAL_SERVICE;
    return 0;
  }

  #takeExternal(): boolean {
    const code = this.#externalClass();
    if (code === 0) return false;
    let cpuAddress = 0;
    let parameter = 0;
    if (code === EXTERNAL_EMERGENCY) {
      cpuAddress = this.#signals.takeEmergency(LOCAL_EMERGENCY);
      if (cpuAddress < 0) return false;
    } else if (code === EXTERNAL_CALL) {
      cpuAddress = this.#signals.takeExternalCall(LOCAL_EXTERNAL_CALL);
      if (cpuAddress < 0) return false;
    } else if (code === EXTERNAL_SERVICE) {
      parameter = this.#floating.claimService();
      if (parameter < 0) return false;
    }
    const lowcore = this.#lowcore();
    if (lowcore < 0) return false;
    if (code === EXTERNAL_SERVICE) this.#ram.setU32(lowcore + at.externalParameter, parameter);
    this.#ram.setU16(lowcore + at.externalCpuAddress, cpuAddress);
    this.#ram.setU16(lowcore + at.externalCode, code);
    this.#swap(lowcore, OLD_EXTERNAL);
    return true;
  }

  /** Pending adapter interruptions whose subclass CR6 enables (bits 32-39), by ISC. */
  #enabledIo(): number {
    const pending = this.#floating.ioPending();
    if (pending === 0) return 0;
    const masks = this.#state.low(CR6) >>> 24;
    let enabled = 0;
    for (let isc = 0; isc < 8; isc++) {
      if ((pending & (1 << isc)) !== 0 && (masks & (0x80 >>> isc)) !== 0) enabled |= 1 << isc;
    }
    return enabled;
  }

  #takeIo(): boolean {
    const enabled = this.#enabledIo();
    for (let isc = 0; isc < 8; isc++) {
      if ((enabled & (1 << isc)) === 0 || !this.#floating.claimIo(isc)) continue;
      const lowcore = this.#lowcore();
      if (lowcore < 0) return false;
      this.#ram.setU32(lowcore + at.subchannelWord, 0);
      this.#ram.setU32(lowcore + at.ioParameter, 0);
      this.#ram.setU32(lowcore + at.ioIdentificationWord, 0x80000000 | (isc << 27));
      this.#swap(lowcore, OLD_IO);
      return true;
    }
    return false;
  }

  /** Absolute address of the prefix area; -1 stops a CPU whose prefix area is not in storage. */
  #lowcore(): number {
    const prefix = this.#state.i32(Cpu.prefix);
    if (this.#ram.contains(prefix, 8192)) return prefix;
    this.stop(STOP_CHECK);
    return -1;
  }

  /** Counts deliveries whose old PSW stands at the first instruction of the program handler. */
  #loops(lowcore: number): boolean {
    const ram = this.#ram;
    const entry = lowcore + at.programNew;
    const state = this.#state;
    const ahead = (state.low(Cpu.pswAddress) - (ram.u32(entry + 12) | 0)) | 0;
    const first =
      ahead >= 0 &&
      ahead <= 6 &&
      state.high(Cpu.pswAddress) === (ram.u32(entry + 8) | 0) &&
      state.low(Cpu.pswMask) === (ram.u32(entry + 4) | 0) &&
      ((state.high(Cpu.pswMask) ^ ram.u32(entry)) & ~PswBit.ccHigh) === 0;
    const loops = first ? state.i32(Cpu.programLoops) + 1 : 0;
    state.setI32(Cpu.programLoops, loops);
    return loops > PROGRAM_LOOP_MAX;
  }

  #setU64(address: number, offset: number): void {
    this.#ram.setU32(address, this.#state.high(offset));
    this.#ram.setU32(address + 4, this.#state.low(offset));
  }
}
