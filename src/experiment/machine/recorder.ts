/**
 * Writes down the zPCI instructions of a real guest in the words of the model's (`Instruction`), so that the two can be
 * compared one by one. Stands between the CPU and its devices; console output and other service calls are left out.
 */
import { ChscCommand, ChscRequest, ChscSeiResponse } from "../../abi/chsc.ts";
import { ClpCommand, ClpResponse } from "../../abi/clp.ts";
import { PciOpcode } from "../../abi/pci-insn.ts";
import { EventHeader, EventType, ReportEvent, Sccb, SclpCommand } from "../../abi/sclp.ts";
import { r1Rre, r1Rxy, r2Rre } from "../../devices/operands.ts";
import type { Instruction } from "../../guest-model/index.ts";
import type { GuestCpu, InterceptHandler, InterceptTable } from "../../ports/guest-cpu.ts";
import type { GuestMemory } from "../../ports/guest-memory.ts";

const SERVC = 0xb220;
const STCRW = 0xb239;
const CHSC = 0xb25f;
const CHSC_REQUEST_BYTES = 16;
/** Offset of the PEC in a CCDF of content code 1 and 2 (zpci-guest.md 7.2, 7.3). */
const PEC_IN_CCDF = 30;
const ERROR_CONTENT = 1;
const CLP_NAMES: Readonly<Record<number, string>> = {
  [ClpCommand.listPci]: "list",
  [ClpCommand.queryFunction]: "query",
  [ClpCommand.queryGroup]: "query-group",
};
const CLP_REQUEST_BYTES = 32;
const CLP_OC = 22;

/** The CPU as the devices see it, with the condition code remembered. */
class WatchedCpu implements GuestCpu {
  readonly #cpu: GuestCpu;
  cc = 0;

  constructor(cpu: GuestCpu) {
    this.#cpu = cpu;
  }

  setCc(cc: 0 | 1 | 2 | 3): void {
    this.cc = cc;
    this.#cpu.setCc(cc);
  }

  get addressHigh(): number {
    return this.#cpu.addressHigh;
  }
  set addressHigh(value: number) {
    this.#cpu.addressHigh = value;
  }
  get addressLow(): number {
    return this.#cpu.addressLow;
  }
  set addressLow(value: number) {
    this.#cpu.addressLow = value;
  }
  get cpuAddress(): number {
    return this.#cpu.cpuAddress;
  }

  grHigh(n: number): number {
    return this.#cpu.grHigh(n);
  }
  grLow(n: number): number {
    return this.#cpu.grLow(n);
  }
  setGr(n: number, high: number, low: number): void {
    this.#cpu.setGr(n, high, low);
  }
  crLow(n: number): number {
    return this.#cpu.crLow(n);
  }
  problemState(): boolean {
    return this.#cpu.problemState();
  }
  program(code: number): void {
    this.#cpu.program(code);
  }
  formOperandAddress(): void {
    this.#cpu.formOperandAddress();
  }
  formRegisterAddress(n: number): void {
    this.#cpu.formRegisterAddress(n);
  }
  fetch(target: Uint8Array, length: number): boolean {
    return this.#cpu.fetch(target, length);
  }
  store(source: Uint8Array, length: number): boolean {
    return this.#cpu.store(source, length);
  }
  realToAbsolute(address: number): number {
    return this.#cpu.realToAbsolute(address);
  }
}

/** What an instruction wants, and, when it has been executed, the line for it; undefined: none. */
type Watch = (cpu: GuestCpu, high: number) => (cc: number) => Instruction | undefined;

export class SequenceRecorder {
  readonly list: Instruction[] = [];
  readonly #ram: () => GuestMemory;
  recording = false;

  /** @param ram the guest's storage, once the machine is built */
  constructor(ram: () => GuestMemory) {
    this.#ram = ram;
  }

  /** The devices' table with this recorder before them. */
  readonly wrap = (table: InterceptTable): InterceptTable => {
    const watched = new Map(table);
    const access = (name: "PCILG" | "PCISTG"): Watch => {
      return (cpu, high) => {
        const pair = r2Rre(high);
        const request = cpu.grLow(pair);
        const space = (request >>> 16) & 15;
        const offset = cpu.grLow(pair + 1);
        const length = request & 15;
        return (cc) => ({ name, space, offset, length, cc, status: statusIn(cpu, pair, cc) });
      };
    };
    const watches: readonly (readonly [number, Watch])[] = [
      [PciOpcode.PCILG, access("PCILG")],
      [PciOpcode.PCISTG, access("PCISTG")],
      [
        PciOpcode.MPCIFC,
        (cpu, high) => {
          const r1 = r1Rxy(high);
          const operation = cpu.grLow(r1) & 0xff;
          return (cc) => ({ name: "MPCIFC", operation, cc, status: statusIn(cpu, r1, cc) });
        },
      ],
      [
        PciOpcode.RPCIT,
        (cpu, high) => (cc) => ({ name: "RPCIT", cc, status: statusIn(cpu, r1Rre(high), cc) }),
      ],
      [PciOpcode.SIC, () => () => ({ name: "SIC", cc: 0, status: 0 })],
      [PciOpcode.CLP, (cpu, high) => clp(cpu, high)],
      [STCRW, () => (cc) => ({ name: "STCRW", cc })],
      [CHSC, (cpu, high) => chsc(cpu, high)],
      [SERVC, (cpu, high) => () => this.#service(cpu.grLow(r1Rre(high)), cpu.grLow(r2Rre(high)))],
    ];
    for (const [key, watch] of watches) {
      const inner = table.get(key);
      if (inner !== undefined) watched.set(key, this.#between(inner, watch));
    }
    return watched;
  };

  #between(inner: InterceptHandler, watch: Watch): InterceptHandler {
    return {
      execute: (cpu, high, low) => {
        if (!this.recording || cpu.problemState()) return inner.execute(cpu, high, low);
        const line = watch(cpu, high);
        const seen = new WatchedCpu(cpu);
        inner.execute(seen, high, low);
        const found = line(seen.cc);
        if (found !== undefined) this.list.push(found);
      },
    };
  }

  /** Deconfigure, and the report of a recovery's outcome. */
  #service(command: number, address: number): Instruction | undefined {
    if (command === SclpCommand.deconfigurePci) return { name: "SERVC", operation: "deconfigure" };
    if (command !== SclpCommand.writeEventData) return undefined;
    const ram = this.#ram();
    const at = address + Sccb.size;
    if (ram.u8(at + EventHeader.fields.type.offset) !== EventType.report) return undefined;
    const length = ram.u16(at + EventHeader.fields.length.offset);
    const bytes = new Uint8Array(length);
    ram.read(at, bytes);
    const text = new TextDecoder("latin1").decode(bytes.subarray(ReportEvent.size));
    const status = /^status: *(.*?)\s*$/m.exec(text)?.[1] ?? "";
    return { name: "SERVC", operation: `report: ${status}` };
  }
}

function statusIn(cpu: GuestCpu, register: number, cc: number): number {
  return cc === 1 ? (cpu.grLow(register) >>> 24) & 0xff : 0;
}

function clp(cpu: GuestCpu, high: number): (cc: number) => Instruction | undefined {
  const block = new Uint8Array(CLP_REQUEST_BYTES + 8);
  const view = new DataView(block.buffer);
  const read = (): boolean => {
    cpu.formRegisterAddress(r2Rre(high));
    return cpu.fetch(block, block.length);
  };
  if (!read()) return () => undefined;
  const command = view.getUint16(2);
  const setting = block[CLP_OC] === 0 ? "enable" : "disable";
  const operation = command === ClpCommand.setFunction ? setting : CLP_NAMES[command];
  return (cc) => {
    if (operation === undefined || !read()) return undefined;
    const response = cc === 3 ? ClpResponse.unknownCommand : view.getUint16(CLP_REQUEST_BYTES + 2);
    return { name: "CLP", operation, response };
  };
}

function chsc(cpu: GuestCpu, high: number): (cc: number) => Instruction | undefined {
  const area = new Uint8Array(CHSC_REQUEST_BYTES + ChscSeiResponse.fields.ccdf.offset + 32);
  const view = new DataView(area.buffer);
  return () => {
    cpu.formRegisterAddress(r1Rre(high));
    if (!cpu.fetch(area, area.length)) return undefined;
    if (view.getUint16(ChscRequest.fields.command.offset) !== ChscCommand.storeEventInformation) {
      return undefined;
    }
    const at = (field: { readonly offset: number }): number => CHSC_REQUEST_BYTES + field.offset;
    const response = view.getUint16(at(ChscSeiResponse.fields.code));
    const content = view.getUint8(at(ChscSeiResponse.fields.contentCode));
    const pec = view.getUint16(at(ChscSeiResponse.fields.ccdf) + PEC_IN_CCDF);
    return {
      name: "CHSC",
      response,
      ...(content >= ERROR_CONTENT && response === 1 ? { pec } : {}),
    };
  };
}
