/**
 * CLP: framework of the instruction and its dispatch. Source: zpci-guest.md 1.1, 2.1. The commands that
 * only describe are in clp-query.ts, the one that changes a function's state in clp-set.ts.
 */
import { CLP_BLOCK_BYTES_MAX, CLP_REQUEST_BYTES, ClpCommand, ClpResponse } from "../../abi/clp.ts";
import type { GuestCpu, InterceptHandler } from "../../ports/guest-cpu.ts";
import { r1Rre, r2Rre } from "../operands.ts";
import { CC0, CC3, conclude, FAULTED, OPERAND, PRIVILEGED_OPERATION } from "../outcome.ts";
import { listFunctions, queryFunction, queryGroup } from "./clp-query.ts";
import { setFunction } from "./clp-set.ts";
import type { FunctionTable } from "./function.ts";

/** Logical processor 2 = PCI; 0 = base, whose requests QEMU treats alike. */
const LPS_BASE = 0;
const LPS_PCI = 2;
const IMMEDIATE_FORM = 8;
const IMMEDIATE_INSTALLED = 1;

/** Request and response of one call, as commands see them. */
export interface ClpBlocks {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Offset and length of the response block; a command that fills more fills what is cut off. */
  readonly at: number;
  readonly length: number;
  /** Condition code to set; 0 unless a command says otherwise. */
  cc: 0 | 3;
}

export class CallLogicalProcessor implements InterceptHandler {
  readonly #functions: FunctionTable;
  // A response of 8 bytes may be the last thing in a full block; commands may still fill 4 KiB there.
  readonly #bytes = new Uint8Array(CLP_BLOCK_BYTES_MAX + 4096);
  readonly #view = new DataView(this.#bytes.buffer);

  constructor(functions: FunctionTable) {
    this.#functions = functions;
  }

  execute(cpu: GuestCpu, high: number): void {
    conclude(cpu, r1Rre(high), this.#run(cpu, high));
  }

  #run(cpu: GuestCpu, high: number): number {
    if (cpu.problemState()) return PRIVILEGED_OPERATION;
    const immediate = (high >>> 12) & 15;
    const processor = (high >>> 8) & 15;
    if ((immediate & IMMEDIATE_FORM) !== 0) return immediateForm(cpu, high);
    if (processor !== LPS_PCI && processor !== LPS_BASE) return CC3;
    cpu.formRegisterAddress(r2Rre(high));
    const addressHigh = cpu.addressHigh;
    const addressLow = cpu.addressLow;
    if (!cpu.fetch(this.#bytes, 16)) return FAULTED;
    const requestLength = this.#view.getUint16(0);
    if (!validLength(requestLength, 16, 8184)) return OPERAND;
    advance(cpu, addressHigh, addressLow, requestLength);
    if (!cpu.fetch(this.#bytes, 8)) return FAULTED;
    const length = this.#view.getUint16(0);
    if (!validLength(length, 8, 8176)) return OPERAND;
    const total = requestLength + length;
    if (total > CLP_BLOCK_BYTES_MAX) return OPERAND;
    cpu.addressHigh = addressHigh;
    cpu.addressLow = addressLow;
    if (!cpu.fetch(this.#bytes, total)) return FAULTED;
    const blocks: ClpBlocks = {
      bytes: this.#bytes,
      view: this.#view,
      at: requestLength,
      length,
      cc: 0,
    };
    const code =
      requestLength === CLP_REQUEST_BYTES ? this.#dispatch(blocks) : ClpResponse.badLength;
    this.#view.setUint16(requestLength + 2, code);
    if (!cpu.store(this.#bytes, total)) return FAULTED;
    return blocks.cc === 0 ? CC0 : CC3;
  }

  #dispatch(blocks: ClpBlocks): number {
    switch (this.#view.getUint16(2)) {
      case ClpCommand.listPci:
        return listFunctions(this.#functions, blocks);
      case ClpCommand.queryFunction:
        return queryFunction(this.#functions, blocks);
      case ClpCommand.queryGroup:
        return queryGroup(this.#functions, blocks);
      case ClpCommand.setFunction:
        return setFunction(this.#functions, blocks);
      default:
        return ClpResponse.unknownCommand;
    }
  }
}

/** Command 1 in the register that R2 names: the mask of installed logical processors into R1. */
function immediateForm(cpu: GuestCpu, high: number): number {
  const r2 = r2Rre(high);
  if (cpu.grHigh(r2) !== 0 || cpu.grLow(r2) !== IMMEDIATE_INSTALLED) return CC3;
  cpu.setGr(r1Rre(high), (0x80000000 >>> LPS_BASE) | (0x80000000 >>> LPS_PCI), 0);
  return CC0;
}

function validLength(length: number, min: number, max: number): boolean {
  return length >= min && length <= max && length % 8 === 0;
}

function advance(cpu: GuestCpu, high: number, low: number, by: number): void {
  const sum = (low >>> 0) + by;
  cpu.addressLow = sum | 0;
  cpu.addressHigh = sum > 0xffffffff ? (high + 1) | 0 : high;
}
