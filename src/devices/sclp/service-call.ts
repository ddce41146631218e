/**
 * SERVC: checks of the SCCB, dispatch, answer, service signal. Source: s390x-machine.md 6 (command words,
 * SCCB rules, response codes), zpci-guest.md 8.3. Commands end before the instruction does; the guest
 * hears of it by the service signal, with value 1 added when events are waiting.
 */
import {
  ADAPTER_TYPE_PCI,
  AdapterSccb,
  SCLP_COMMAND_MASK,
  Sccb,
  SclpCode,
  SclpCommand,
} from "../../abi/sclp.ts";
import type { GuestCpu, InterceptHandler } from "../../ports/guest-cpu.ts";
import type { GuestMemory } from "../../ports/guest-memory.ts";
import type { InterruptSink } from "../../ports/interrupt-sink.ts";
import { and } from "../../shm/atomics.ts";
import { VmBlock } from "../../shm/blocks.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import { r1Rre, r2Rre } from "../operands.ts";
import { ADDRESSING, CC0, conclude, PRIVILEGED_OPERATION, SPECIFICATION } from "../outcome.ts";
import { configureFunction, deconfigureFunction } from "../zpci/configure.ts";
import type { FunctionTable } from "../zpci/function.ts";
import type { EventFacility } from "./event-facility.ts";
import { readCpuInfo, readScpInfo, type SclpFacts } from "./info.ts";

const PAGE = 4096;
const LOWCORE_BYTES = 8192;
const EVENT_PENDING = 1;
/** Low bits of a service signal's parameter that are no part of the SCCB address. */
const PARAMETER_FLAGS = 7;

export class ServiceCall implements InterceptHandler {
  readonly #ram: GuestMemory;
  readonly #words: Int32Array;
  readonly #parameter: number;
  readonly #sink: InterruptSink;
  readonly #events: EventFacility;
  readonly #functions: FunctionTable;
  readonly #facts: SclpFacts;
  readonly #sccb = new Uint8Array(PAGE);
  readonly #view = new DataView(this.#sccb.buffer);

  constructor(
    vm: VmMemory,
    ram: GuestMemory,
    sink: InterruptSink,
    events: EventFacility,
    functions: FunctionTable,
    facts: SclpFacts,
  ) {
    this.#ram = ram;
    this.#words = vm.words;
    this.#parameter = vm.map.vmBlock / 4 + VmBlock.serviceParameter;
    this.#sink = sink;
    this.#events = events;
    this.#functions = functions;
    this.#facts = facts;
  }

  execute(cpu: GuestCpu, high: number): void {
    conclude(cpu, r1Rre(high), this.#run(cpu, r1Rre(high), r2Rre(high)));
  }

  #run(cpu: GuestCpu, r1: number, r2: number): number {
    if (cpu.problemState()) return PRIVILEGED_OPERATION;
    const address = cpu.grLow(r2) >>> 0;
    if (cpu.grHigh(r2) !== 0 || (address & 0x80000007) !== 0) return SPECIFICATION;
    // Not inside the real or the absolute lowcore.
    const lowcore = cpu.realToAbsolute(0);
    if (address < LOWCORE_BYTES) return SPECIFICATION;
    if (address >= lowcore && address < lowcore + LOWCORE_BYTES) return SPECIFICATION;
    if (!this.#ram.contains(address, Sccb.size)) return ADDRESSING;
    const length = this.#ram.u16(address + Sccb.fields.length.offset);
    if (length < Sccb.size) return SPECIFICATION;
    const command = (cpu.grLow(r1) & SCLP_COMMAND_MASK) >>> 0;
    const code = this.#answer(command, address, length);
    this.#ram.setU16(address + Sccb.fields.responseCode.offset, code);
    this.#signal(address);
    return CC0;
  }

  /** Carries the command out on a copy, stores the copy back; returns the response code. */
  #answer(command: number, address: number, length: number): number {
    if (!commands.has(command)) return SclpCode.invalidCommand;
    if ((address % PAGE) + length > PAGE || !this.#ram.contains(address, length)) {
      return SclpCode.boundaryViolation;
    }
    const block = this.#sccb.subarray(0, length);
    this.#ram.read(address, block);
    const code = this.#dispatch(command, length);
    this.#ram.write(address, block);
    return code;
  }

  #dispatch(command: number, length: number): number {
    switch (command) {
      case SclpCommand.readScpInfo:
      case SclpCommand.readScpInfoForced:
        return readScpInfo(this.#view, length, this.#facts);
      case SclpCommand.readCpuInfo:
        return readCpuInfo(this.#view, length, this.#facts);
      case SclpCommand.writeEventMask:
        return this.#events.writeMask(this.#sccb, this.#view, length);
      case SclpCommand.writeEventData:
        return this.#events.writeData(this.#sccb, this.#view, length);
      case SclpCommand.readEventData:
        return this.#events.readData(this.#sccb, this.#view, length);
      case SclpCommand.configurePci:
      case SclpCommand.deconfigurePci:
        return this.#adapter(command, length);
      default:
        return SclpCode.invalidCommand;
    }
  }

  #adapter(command: number, length: number): number {
    if (length < AdapterSccb.size) return SclpCode.insufficientLength;
    const type = this.#view.getUint8(AdapterSccb.fields.adapterType.offset);
    if (type !== ADAPTER_TYPE_PCI) return SclpCode.adapterTypeUnknown;
    const fid = this.#view.getUint32(AdapterSccb.fields.adapterId.offset);
    const target = this.#functions.byFid(fid);
    if (target === undefined) return SclpCode.adapterIdUnknown;
    return command === SclpCommand.configurePci
      ? configureFunction(target)
      : deconfigureFunction(target);
  }

  /** The address of an earlier call whose signal nobody took is replaced, not mixed with this one. */
  #signal(address: number): void {
    and(this.#words, this.#parameter, PARAMETER_FLAGS);
    this.#sink.serviceSignal(address | (this.#events.pending() ? EVENT_PENDING : 0));
  }
}

const commands: ReadonlySet<number> = new Set(Object.values(SclpCommand));
