/**
 * Channel-subsystem instructions besides CHSC: STCRW, TPI, and the subchannel instructions of a machine
 * without subchannels. Sources: zpci-guest.md 6 (TPI), 7.4, 7.5 (STCRW); s390x-machine.md 5.4;
 * z/Architecture Principles of Operation, chapter 14 (subsystem-identification word).
 */
import { CRW_CSS_EVENT } from "../../abi/chsc.ts";
import type { GuestCpu, InterceptHandler } from "../../ports/guest-cpu.ts";
import type { GuestMemory } from "../../ports/guest-memory.ts";
import type { ChannelReport } from "../../shm/channel-report.ts";
import type { FloatingInterrupts } from "../../shm/floating.ts";
import {
  CC0,
  CC1,
  CC3,
  conclude,
  FAULTED,
  OPERAND,
  PRIVILEGED_OPERATION,
  SPECIFICATION,
  type UNCHANGED,
} from "../outcome.ts";

/** STCRW: the pending channel report word, or zeros. */
export class StoreChannelReportWord implements InterceptHandler {
  readonly #report: ChannelReport;
  readonly #word = new Uint8Array(4);
  readonly #view = new DataView(this.#word.buffer);

  constructor(report: ChannelReport) {
    this.#report = report;
  }

  execute(cpu: GuestCpu): void {
    conclude(cpu, 0, this.#run(cpu));
  }

  #run(cpu: GuestCpu): number {
    if (cpu.problemState()) return PRIVILEGED_OPERATION;
    cpu.formOperandAddress();
    if ((cpu.addressLow & 3) !== 0) return SPECIFICATION;
    const taken = this.#report.takeCrw();
    this.#view.setUint32(0, taken ? CRW_CSS_EVENT : 0);
    if (cpu.store(this.#word, 4)) return taken ? CC0 : CC1;
    if (taken) this.#report.returnCrw();
    return FAULTED;
  }
}

const LOWCORE_IO_CODE = 0xb8;
const ADAPTER_INTERRUPTION = 0x80000000;

/** TPI: takes one pending I/O interruption that CR6 enables, without a PSW swap. */
export class TestPendingInterruption implements InterceptHandler {
  readonly #floating: FloatingInterrupts;
  readonly #ram: GuestMemory;
  readonly #code = new Uint8Array(12);
  readonly #view = new DataView(this.#code.buffer);

  constructor(floating: FloatingInterrupts, ram: GuestMemory) {
    this.#floating = floating;
    this.#ram = ram;
  }

  execute(cpu: GuestCpu): void {
    conclude(cpu, 0, this.#run(cpu));
  }

  #run(cpu: GuestCpu): number {
    if (cpu.problemState()) return PRIVILEGED_OPERATION;
    cpu.formOperandAddress();
    if ((cpu.addressLow & 3) !== 0) return SPECIFICATION;
    const isc = this.#claim(cpu.crLow(6));
    if (isc < 0) return CC0;
    this.#view.setUint32(8, ADAPTER_INTERRUPTION | (isc << 27));
    if (cpu.addressHigh === 0 && cpu.addressLow === 0) {
      this.#ram.write(cpu.realToAbsolute(LOWCORE_IO_CODE), this.#code);
      return CC1;
    }
    // The short form has no room for the adapter's identification: subsystem word and parameter, both 0.
    if (cpu.store(this.#code, 8)) return CC1;
    this.#floating.adapterInterruption(isc);
    return FAULTED;
  }

  /** The most important pending subclass that CR6 bits 32-39 enable, or -1. */
  #claim(mask: number): number {
    for (let isc = 0; isc < 8; isc++) {
      if ((mask & (0x80000000 >>> isc)) === 0) continue;
      if ((this.#floating.ioPending() & (1 << isc)) === 0) continue;
      if (this.#floating.claimIo(isc)) return isc;
    }
    return -1;
  }
}

/** Bit 47 of GR1 is always one in a subsystem-identification word; M (bit 44) tells whether CSSID is used. */
const SCHID_ONE = 0x00010000;
const SCHID_M = 0x00080000;
const SCHID_CSSID = 0xff000000;

/** STSCH, MSCH, SSCH, TSCH, CSCH, HSCH, RSCH, XSCH: no subchannel is operational. */
export class SubchannelInstruction implements InterceptHandler {
  readonly #hasOperand: boolean;

  constructor(hasOperand: boolean) {
    this.#hasOperand = hasOperand;
  }

  execute(cpu: GuestCpu): void {
    conclude(cpu, 0, this.#run(cpu));
  }

  #run(cpu: GuestCpu): number {
    if (cpu.problemState()) return PRIVILEGED_OPERATION;
    if (this.#hasOperand) {
      cpu.formOperandAddress();
      if ((cpu.addressLow & 3) !== 0) return SPECIFICATION;
    }
    const id = cpu.grLow(1);
    if ((id & SCHID_ONE) === 0) return OPERAND;
    if ((id & SCHID_M) === 0 && (id & SCHID_CSSID) !== 0) return OPERAND;
    return CC3;
  }
}

/** RCHP: no channel path exists. SAL and SCHM have nothing to limit or to measure. */
export class ChannelControl implements InterceptHandler {
  readonly #outcome: number;
  readonly #reserved: number;

  /** @param reserved bits of GR1 (32-63) that must be zero */
  constructor(outcome: typeof CC3 | typeof UNCHANGED, reserved: number) {
    this.#outcome = outcome;
    this.#reserved = reserved;
  }

  execute(cpu: GuestCpu): void {
    if (cpu.problemState()) conclude(cpu, 0, PRIVILEGED_OPERATION);
    else if ((cpu.grLow(1) & this.#reserved) !== 0) conclude(cpu, 0, OPERAND);
    else conclude(cpu, 0, this.#outcome);
  }
}
