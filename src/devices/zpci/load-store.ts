/**
 * PCILG, PCISTG and PCISTB. Source: zpci-guest.md 1.5, 1.6, 10; checks stand in the order of the sheet.
 * Hot path: no allocation, no BigInt.
 */
import { LoadStoreStatus, PCIAS_BAR_MAX, PCIAS_CONFIG } from "../../abi/pci-insn.ts";
import { RequestKind, TraceKind } from "../../abi/records.ts";
import { at } from "../../base/bits.ts";
import type { GuestCpu, InterceptHandler } from "../../ports/guest-cpu.ts";
import { FunctionBlock, FunctionState } from "../../shm/blocks.ts";
import { r1Rre, r1Rxy, r2Rre, r3Rsy, toNumber } from "../operands.ts";
import {
  CC0,
  CC3,
  cc1,
  conclude,
  FAULTED,
  GO,
  OPERAND,
  PRIVILEGED_OPERATION,
  SPECIFICATION,
} from "../outcome.ts";
import { maxStoreBlock } from "./clp-query.ts";
import type { FunctionTable, ZpciFunction } from "./function.ts";
import { cellOf, stateTable } from "./state-table.ts";

const CONFIG_BYTES = 4096;
const ALL_ONES = -1;

/** PCILG and PCISTG, which share everything but the direction. */
export class LoadStore implements InterceptHandler {
  readonly #functions: FunctionTable;
  readonly #isStore: boolean;

  constructor(functions: FunctionTable, isStore: boolean) {
    this.#functions = functions;
    this.#isStore = isStore;
  }

  execute(cpu: GuestCpu, high: number): void {
    conclude(cpu, r2Rre(high), this.#run(cpu, r1Rre(high), r2Rre(high)));
  }

  direct(cpu: GuestCpu): (high: number) => void {
    return (high) => this.execute(cpu, high);
  }

  #run(cpu: GuestCpu, r1: number, r2: number): number {
    if (cpu.problemState()) return PRIVILEGED_OPERATION;
    if ((r2 & 1) !== 0) return SPECIFICATION;
    const fh = cpu.grHigh(r2);
    if (fh >= 0) return CC3; // without the enable bit
    const target = this.#functions.byHandle(fh);
    if (target === undefined) return CC3;
    const cell = cellOf(stateTable.loadStore, target.state());
    if (cell !== GO) return cell;
    const request = cpu.grLow(r2);
    const space = (request >>> 16) & 15;
    const length = request & 15;
    const offsetHigh = cpu.grHigh(r2 + 1);
    const offsetLow = cpu.grLow(r2 + 1);
    // A small integer wherever it can be inside of anything: arithmetic with others is many times slower.
    const offset = offsetHigh === 0 && offsetLow >= 0 ? offsetLow : toNumber(offsetHigh, offsetLow);
    if (space === PCIAS_CONFIG) {
      if (!isConfigLength(length) || length > 4 - (offsetLow & 3)) return OPERAND;
      return this.#config(cpu, target, r1, offset, length);
    }
    if (space <= PCIAS_BAR_MAX) {
      if (!isBarLength(length) || length > 8 - (offsetLow & 7)) return OPERAND;
      if (offset + length > barBytes(target, space)) return OPERAND;
      return this.#access(cpu, target, r1, space, offset, length);
    }
    return cc1(LoadStoreStatus.invalidSpace);
  }

  /** Beyond the function's config space loads give all ones and stores go nowhere. */
  #config(cpu: GuestCpu, target: ZpciFunction, r1: number, offset: number, length: number): number {
    const { regions } = target;
    if (this.#isStore) {
      if (offset < CONFIG_BYTES) {
        regions.store(PCIAS_CONFIG, offset, length, 0, lowBytes(cpu.grLow(r1), length));
      }
      return this.#stored(target);
    }
    const inside = offset < CONFIG_BYTES && regions.load(PCIAS_CONFIG, offset, length) === 0;
    return this.#loaded(cpu, target, r1, length, 0, inside ? regions.valueLow : ALL_ONES);
  }

  #access(
    cpu: GuestCpu,
    target: ZpciFunction,
    r1: number,
    space: number,
    offset: number,
    length: number,
  ): number {
    const { regions } = target;
    if (this.#isStore) {
      const high = length === 8 ? cpu.grHigh(r1) : 0;
      const low = lowBytes(cpu.grLow(r1), length);
      if (regions.store(space, offset, length, high, low) !== 0) return OPERAND;
      return this.#stored(target);
    }
    if (regions.load(space, offset, length) !== 0) return OPERAND;
    return this.#loaded(cpu, target, r1, length, regions.valueHigh, regions.valueLow);
  }

  #stored(target: ZpciFunction): number {
    target.tally(FunctionBlock.stores);
    return CC0;
  }

  #loaded(
    cpu: GuestCpu,
    target: ZpciFunction,
    r1: number,
    length: number,
    high: number,
    low: number,
  ): number {
    const resultHigh = length === 8 ? high : 0;
    const result = lowBytes(low, length);
    cpu.setGr(r1, resultHigh, result);
    target.tally(FunctionBlock.loads);
    if (target.own(FunctionBlock.proofPending) === 0) return CC0;
    const allOnes = result === lowBytes(ALL_ONES, length) && (length < 8 || high === ALL_ONES);
    if (!allOnes) prove(target);
    return CC0;
  }
}

/** First good load after enable and register-IOAT: the function answers again (design.md 5). */
export function prove(target: ZpciFunction): void {
  if (target.state() !== FunctionState.ENABLED || !target.canPost()) return;
  target.set(FunctionBlock.proofPending, 0);
  target.post(RequestKind.guestProof, 0);
  target.trace.write(TraceKind.guestProof, target.index, target.generation(), 0, 0, 0, 0, 0);
}

export class PciStoreBlock implements InterceptHandler {
  readonly #functions: FunctionTable;
  readonly #block = new Uint8Array(CONFIG_BYTES);

  constructor(functions: FunctionTable) {
    this.#functions = functions;
  }

  execute(cpu: GuestCpu, high: number): void {
    conclude(cpu, r1Rxy(high), this.#run(cpu, r1Rxy(high), r3Rsy(high)));
  }

  #run(cpu: GuestCpu, r1: number, r3: number): number {
    if (cpu.problemState()) return PRIVILEGED_OPERATION;
    const fh = cpu.grHigh(r1);
    if (fh >= 0) return CC3; // without the enable bit
    const target = this.#functions.byHandle(fh);
    if (target === undefined) return CC3;
    const cell = cellOf(stateTable.loadStore, target.state());
    if (cell !== GO) return cell;
    const request = cpu.grLow(r1);
    const space = (request >>> 16) & 15;
    const length = request & 0x1fff;
    if (space > PCIAS_BAR_MAX) return cc1(LoadStoreStatus.invalidSpace);
    const offsetLow = cpu.grLow(r3);
    const offset = toNumber(cpu.grHigh(r3), offsetLow);
    cpu.formOperandAddress();
    if (
      (offsetLow & 7) !== 0 ||
      length <= 8 ||
      length % 8 !== 0 ||
      length > maxStoreBlock(target.facts) ||
      (offsetLow & 0xfff) + length > 4096 ||
      (cpu.addressLow & 7) !== 0
    ) {
      return SPECIFICATION;
    }
    if (offset + length > barBytes(target, space)) return OPERAND;
    if (!cpu.fetch(this.#block, length)) return FAULTED;
    if (!this.#store(target, space, offset, length)) return OPERAND;
    target.tally(FunctionBlock.storeBlocks);
    return CC0;
  }

  /** Source byte k goes to PCI offset + k: each doubleword as a big-endian image. */
  #store(target: ZpciFunction, space: number, offset: number, length: number): boolean {
    for (let done = 0; done < length; done += 8) {
      const high = this.#word(done);
      const low = this.#word(done + 4);
      if (target.regions.store(space, offset + done, 8, high, low) !== 0) return false;
    }
    return true;
  }

  #word(index: number): number {
    const bytes = this.#block;
    return (
      (at(bytes, index) << 24) |
      (at(bytes, index + 1) << 16) |
      (at(bytes, index + 2) << 8) |
      at(bytes, index + 3)
    );
  }
}

function isConfigLength(length: number): boolean {
  return length === 1 || length === 2 || length === 4;
}

function isBarLength(length: number): boolean {
  return isConfigLength(length) || length === 8;
}

/** Size of a BAR; 0 when it is absent, so that every access is outside. */
function barBytes(target: ZpciFunction, space: number): number {
  const log2 = target.facts.barSizeLog2[space] ?? 0;
  return log2 === 0 ? 0 : 2 ** log2;
}

/** The low `length` bytes of a register half (all of it from 4 on), signed as register halves are. */
function lowBytes(low: number, length: number): number {
  return length >= 4 ? low | 0 : low & ((1 << (8 * length)) - 1);
}
