/**
 * What a control instruction works on: the parts of one CPU, the fields of the instruction in progress
 * and the checks that every privileged instruction begins with. Order of checks: privileged operation,
 * special operation, specification, access (SA22-7832 chapter 6, "Priority of Program Interruptions").
 */
import { ProgramCode } from "../../abi/lowcore.ts";
import type { GuestRam } from "../../shm/guest-ram.ts";
import type { Watchdog } from "../../shm/watchdog.ts";
import { CR0_TRANSLATION_BITS, type Dat } from "../dat.ts";
import { StateGuestCpu } from "../guest-cpu.ts";
import type { Interrupts } from "../interrupts.ts";
import type { CpuModel } from "../model.ts";
import type { Psw } from "../psw.ts";
import type { CoreHooks } from "../seam.ts";
import type { Signals } from "../signals.ts";
import { Cpu, type CpuState } from "../state.ts";
import type { StorageKeys } from "../storage-keys.ts";
import type { Timing } from "../timing.ts";

export const {
  privilegedOperation: PRIVILEGED_OPERATION,
  addressing: ADDRESSING,
  specification: SPECIFICATION,
  specialOperation: SPECIAL_OPERATION,
} = ProgramCode;

/** CR0 bits 32-63. */
export const CR0_SSM_SUPPRESSION = 0x40000000; //      bit 33
const CR0_EXTRACTION_AUTHORITY = 0x08000000; // bit 36
export const CR0_SECONDARY_SPACE = 0x04000000; //      bit 37

export interface SystemParts {
  readonly state: CpuState;
  readonly ram: GuestRam;
  readonly keys: StorageKeys;
  readonly dat: Dat;
  readonly psw: Psw;
  readonly interrupts: Interrupts;
  readonly timing: Timing;
  readonly model: CpuModel;
  readonly hooks: CoreHooks;
  readonly signals: Signals;
  readonly watchdog: Watchdog;
  readonly remote: (cpu: number) => RemoteCpu;
}

/** Another CPU as an order finds it that is stopped: its words, and what works on them. */
export interface RemoteCpu {
  readonly state: CpuState;
  readonly psw: Psw;
  readonly timing: Timing;
}

export class SystemContext {
  readonly state: CpuState;
  readonly ram: GuestRam;
  readonly keys: StorageKeys;
  readonly dat: Dat;
  readonly psw: Psw;
  readonly interrupts: Interrupts;
  readonly timing: Timing;
  readonly model: CpuModel;
  readonly hooks: CoreHooks;
  readonly signals: Signals;
  readonly watchdog: Watchdog;
  readonly remote: (cpu: number) => RemoteCpu;
  readonly guest: StateGuestCpu;
  /** A page for operands, with a big-endian view over it. */
  readonly buffer = new Uint8Array(4096);
  readonly view = new DataView(this.buffer.buffer);

  constructor(parts: SystemParts) {
    this.state = parts.state;
    this.ram = parts.ram;
    this.keys = parts.keys;
    this.dat = parts.dat;
    this.psw = parts.psw;
    this.interrupts = parts.interrupts;
    this.timing = parts.timing;
    this.model = parts.model;
    this.hooks = parts.hooks;
    this.signals = parts.signals;
    this.watchdog = parts.watchdog;
    this.remote = parts.remote;
    this.guest = new StateGuestCpu(parts.state, parts.dat, parts.ram, parts.signals.own);
  }

  // --- fields of the instruction in progress

  /** Bits 8-11: R1 of RS, RX, RXY, RSY; of SSF and SS with lengths in registers R3 or R1. */
  get r8(): number {
    return (this.state.i32(Cpu.instructionHigh) >>> 20) & 15;
  }

  /** Bits 12-15. */
  get r12(): number {
    return (this.state.i32(Cpu.instructionHigh) >>> 16) & 15;
  }

  /** Bits 16-19: R3 of RRF. */
  get r16(): number {
    return (this.state.i32(Cpu.instructionHigh) >>> 12) & 15;
  }

  /** Bits 24-27: R1 of RRE. */
  get r24(): number {
    return (this.state.i32(Cpu.instructionHigh) >>> 4) & 15;
  }

  /** Bits 28-31: R2 of RRE. */
  get r28(): number {
    return this.state.i32(Cpu.instructionHigh) & 15;
  }

  /** Bits 8-15: I2 of SI. */
  get immediate(): number {
    return (this.state.i32(Cpu.instructionHigh) >>> 16) & 0xff;
  }

  /** First operand address of SS, SSE, SSF and SI formats: D1(B1), bits 16-31. */
  formFirstAddress(): void {
    const high = this.state.i32(Cpu.instructionHigh);
    this.guest.formAddress((high >>> 12) & 15, 0, high & 0xfff);
  }

  /** Second operand address of SS, SSE and SSF formats: D2(B2), bits 32-47. */
  formSecondAddress(): void {
    const low = this.state.i32(Cpu.instructionLow);
    this.guest.formAddress(low >>> 28, 0, (low >>> 16) & 0xfff);
  }

  // --- checks: true when an exception was recorded and the instruction must end

  problem(): boolean {
    if (!this.psw.problemState()) return false;
    this.guest.program(PRIVILEGED_OPERATION);
    return true;
  }

  /** Forms the storage operand's address and checks its alignment, a power of two. */
  misaligned(boundary: number): boolean {
    this.guest.formOperandAddress();
    if ((this.guest.addressLow & (boundary - 1)) === 0) return false;
    this.guest.program(SPECIFICATION);
    return true;
  }

  /** Checks a key against the PSW-key mask in CR3 bits 32-47 in the problem state. */
  keyRefused(key: number): boolean {
    if (!this.psw.problemState()) return false;
    if ((this.state.low(Cpu.cr + 3 * 8) & (0x80000000 >>> key)) !== 0) return false;
    this.guest.program(PRIVILEGED_OPERATION);
    return true;
  }

  /** Absolute address of an 8-byte table entry at a real address, or -1 with addressing recorded. */
  realEntry(real: number): number {
    const absolute = this.dat.realToAbsolute(real);
    if (this.ram.contains(absolute, 8)) return absolute;
    this.guest.program(ADDRESSING);
    return -1;
  }

  /** Every CPU forgets its translations; returns when all have. */
  purgeEverywhere(): void {
    this.dat.purge();
    if (this.signals.count > 1) this.signals.purgeOthers(() => this.dat.purge());
  }

  // --- control registers

  /** After bits 32-63 of CR0 changed from what they were before, and other registers maybe too. */
  controlChanged(lowBefore: number): void {
    if (((this.state.low(Cpu.cr) ^ lowBefore) & CR0_TRANSLATION_BITS) !== 0) this.dat.purge();
    this.hooks.pswChanged();
  }

  /** Moves the prefix area, if the new one is in storage; records addressing otherwise. */
  setPrefix(prefix: number): boolean {
    if (!this.ram.contains(prefix, 8192)) return false;
    this.state.setI32(Cpu.prefix, prefix);
    this.dat.purge();
    this.hooks.pswChanged();
    return true;
  }
}

/** IPK, IVSK, IAC in the problem state need the extraction authority. */
export function extractionRefused(sys: SystemContext): boolean {
  if (!sys.psw.problemState()) return false;
  if ((sys.state.low(Cpu.cr) & CR0_EXTRACTION_AUTHORITY) !== 0) return false;
  sys.guest.program(PRIVILEGED_OPERATION);
  return true;
}

/** An instruction that is undefined on models without the facility. */
export function withFacility(facility: number, instruction: (sys: SystemContext) => void) {
  return (sys: SystemContext): void => {
    if (sys.model.has(facility)) instruction(sys);
    else sys.guest.program(ProgramCode.operation);
  };
}
