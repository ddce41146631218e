/**
 * MPCIFC and STPCIFC. Source: zpci-guest.md 3; who answers operations 9 and 7: design.md 5.1. What the
 * host has to do is a phase word and a request record; the guest hears cc 2 until the phase is done.
 */
import { Pec } from "../../abi/ccdf.ts";
import { FC_DMAAS_REG, Fib, IOTA_TRANSLATE, iotaDesignation } from "../../abi/fib.ts";
import { FH_ENABLE, FH_INDEX_MASK, ModifyOperation, ModifyStatus } from "../../abi/pci-insn.ts";
import { RequestKind, TraceKind } from "../../abi/records.ts";
import type { GuestCpu, InterceptHandler } from "../../ports/guest-cpu.ts";
import type { GuestMemory } from "../../ports/guest-memory.ts";
import {
  FIB_INTERRUPTS,
  FIB_IOAT,
  FunctionBlock,
  FunctionState,
  MAP_DROP,
  MAP_REGISTER,
  PHASE_DONE,
  PHASE_FAILED,
  PHASE_IDLE,
  PHASE_REQUESTED,
  stateOf,
} from "../../shm/blocks.ts";
import { r1Rxy, toNumber } from "../operands.ts";
import {
  CC0,
  CC1,
  CC2,
  CC3,
  cc1,
  conclude,
  conditionCode,
  FAULTED,
  GO,
  OPERAND,
  PRIVILEGED_OPERATION,
  SPECIFICATION,
  statusOf,
} from "../outcome.ts";
import { updateIntervalMs } from "./clp-query.ts";
import type { FunctionTable, ZpciFunction } from "./function.ts";
import { MappingWork } from "./mapping-work.ts";
import { startMeasurement } from "./measurement.ts";
import type { RaiseError } from "./rpcit.ts";
import { cellOf, type StateRow, stateTable } from "./state-table.ts";

const rows: Readonly<Record<number, StateRow>> = {
  [ModifyOperation.registerInterrupts]: stateTable.interrupts,
  [ModifyOperation.deregisterInterrupts]: stateTable.interrupts,
  [ModifyOperation.registerIoat]: stateTable.registerIoat,
  [ModifyOperation.deregisterIoat]: stateTable.deregisterIoat,
  [ModifyOperation.reregisterIoat]: stateTable.registerIoat,
  [ModifyOperation.resetError]: stateTable.resetError,
  [ModifyOperation.resetBlock]: stateTable.resetBlock,
  [ModifyOperation.setMeasurement]: stateTable.setMeasurement,
};

const F = Fib.fields;
const SEQUENCE = cc1(ModifyStatus.sequence);
const RECOVERY = cc1(ModifyStatus.errorRecovery);

export class ModifyFunctionControls implements InterceptHandler {
  readonly #functions: FunctionTable;
  readonly #ram: GuestMemory;
  readonly #raiseError: RaiseError;
  readonly #mappings: MappingWork;
  readonly #fib = new Uint8Array(Fib.size);
  readonly #view = new DataView(this.#fib.buffer);

  constructor(functions: FunctionTable, ram: GuestMemory, raiseError: RaiseError) {
    this.#functions = functions;
    this.#ram = ram;
    this.#raiseError = raiseError;
    this.#mappings = new MappingWork(ram);
  }

  execute(cpu: GuestCpu, high: number): void {
    conclude(cpu, r1Rxy(high), this.#run(cpu, r1Rxy(high)));
  }

  #run(cpu: GuestCpu, r1: number): number {
    if (cpu.problemState()) return PRIVILEGED_OPERATION;
    cpu.formOperandAddress();
    if ((cpu.addressLow & 7) !== 0) return SPECIFICATION;
    const target = this.#functions.byHandle(cpu.grHigh(r1) >>> 0);
    if (target === undefined) return CC3;
    const request = cpu.grLow(r1);
    const operation = request & 0xff;
    const cell = cellOf(rows[operation] ?? stateTable.otherOperation, target.state());
    if (cell === CC3) return CC3;
    if (!cpu.fetch(this.#fib, Fib.size)) return FAULTED;
    if (this.#view.getUint8(F.format.offset) !== 0) return OPERAND;
    const outcome = cell === GO ? this.#dispatch(target, operation, (request >>> 16) & 0xff) : cell;
    trace(target, operation, outcome);
    return outcome;
  }

  #dispatch(target: ZpciFunction, operation: number, dmaas: number): number {
    switch (operation) {
      case ModifyOperation.registerInterrupts:
        return this.#registerInterrupts(target);
      case ModifyOperation.deregisterInterrupts:
        return deregister(target, FIB_INTERRUPTS);
      case ModifyOperation.registerIoat:
      case ModifyOperation.deregisterIoat:
      case ModifyOperation.reregisterIoat:
        return dmaas !== 0 ? cc1(ModifyStatus.dmaSpaceInvalid) : this.#ioat(target, operation);
      case ModifyOperation.setMeasurement:
        return this.#setMeasurement(target);
      default:
        return clear(target, operation);
    }
  }

  #registerInterrupts(target: ZpciFunction): number {
    if (target.registered(FIB_INTERRUPTS)) return SEQUENCE;
    const control = this.#view.getUint32(F.isc.offset);
    if (!this.#indicatorsInStorage(control)) return cc1(ModifyStatus.resourceNotAvailable);
    target.set(FunctionBlock.interruptControl, control);
    this.#copy(target, F.aibv.offset, FunctionBlock.aibvHigh, FunctionBlock.aibvLow);
    this.#copy(target, F.aisb.offset, FunctionBlock.aisbHigh, FunctionBlock.aisbLow);
    target.setRegistered(FIB_INTERRUPTS);
    return CC0;
  }

  #indicatorsInStorage(control: number): boolean {
    const noi = (control >>> 16) & 0xfff;
    const aibvo = (control >>> 8) & 0x3f;
    const vectorBytes = noi === 0 ? 0 : ((aibvo + noi - 1) >>> 3) + 1;
    if (!this.#ram.contains(this.#address(F.aibv.offset), vectorBytes)) return false;
    const wantsSummary = (control & 0x80) !== 0;
    return !wantsSummary || this.#ram.contains(this.#address(F.aisb.offset), 8);
  }

  #ioat(target: ZpciFunction, operation: number): number {
    const registered = target.registered(FIB_IOAT);
    if (operation === ModifyOperation.deregisterIoat) return this.#deregisterIoat(target);
    if (registered !== (operation === ModifyOperation.reregisterIoat)) return SEQUENCE;
    if (!this.#apertureValid(target)) return OPERAND;
    if (!target.canPost()) return CC2;
    const mapped = this.#pins(target) ? this.#mapAll(target) : GO;
    if (mapped === CC2) return CC2;
    if (registered) deregister(target, FIB_IOAT);
    if (mapped !== GO) return mapped;
    this.#copy(target, F.pba.offset, FunctionBlock.pbaHigh, FunctionBlock.pbaLow, ~0xfff);
    this.#copy(target, F.pal.offset, FunctionBlock.palHigh, FunctionBlock.palLow, -1, 0xfff);
    this.#copy(target, F.iota.offset, FunctionBlock.iotaHigh, FunctionBlock.iotaLow);
    return accept(target);
  }

  #pins(target: ZpciFunction): boolean {
    return target.facts.dmaAvail !== undefined;
  }

  /** The whole aperture, before the registration holds: the guest's tables are valid at once (zpci-guest.md 0.1). */
  #mapAll(target: ZpciFunction): number {
    const first = Math.floor(this.#address(F.pba.offset) / 4096);
    const end = Math.floor(this.#address(F.pal.offset) / 4096) + 1;
    const high = this.#view.getUint32(F.iota.offset) | 0;
    const low = this.#view.getUint32(F.iota.offset + 4) | 0;
    return this.#mappings.advance(target, MAP_REGISTER, first, end, high, low);
  }

  /** Where the host maps, it has to unmap before the guest may use its storage for something else. */
  #deregisterIoat(target: ZpciFunction): number {
    if (!target.registered(FIB_IOAT)) return SEQUENCE;
    if (this.#pins(target)) {
      const dropped = this.#mappings.advance(target, MAP_DROP, 0, 1, 0, 0);
      if (dropped !== GO) return dropped;
    }
    return deregister(target, FIB_IOAT);
  }

  /** Cold: BigInt compare of the aperture with what the function can address. */
  #apertureValid(target: ZpciFunction): boolean {
    const pba = this.#view.getBigUint64(F.pba.offset) & ~0xfffn;
    const pal = this.#view.getBigUint64(F.pal.offset) | 0xfffn;
    if (pba > pal || pba < target.facts.startDma || pal > target.facts.endDma) return false;
    const iota = this.#view.getUint32(F.iota.offset + 4);
    const designation = iotaDesignation(iota);
    return (iota & IOTA_TRANSLATE) !== 0 && designation <= 3;
  }

  #setMeasurement(target: ZpciFunction): number {
    const high = this.#view.getUint32(F.fmb.offset);
    const low = this.#view.getUint32(F.fmb.offset + 4);
    if ((low & 0xf) !== 0) {
      target.set(FunctionBlock.fmbLow, 0);
      target.set(FunctionBlock.fmbHigh, 0);
      this.#raiseError(target.index, Pec.FMBPRO, high | 0, low | 0, true);
      return CC1;
    }
    const was = target.get(FunctionBlock.fmbHigh) | target.get(FunctionBlock.fmbLow);
    target.set(FunctionBlock.fmbHigh, high);
    target.set(FunctionBlock.fmbLow, low);
    // The guest may free the block it gave before; the last update of that one must be over.
    if (was !== 0) target.dmaQuiet();
    if ((high | low) === 0) return CC0;
    target.set(FunctionBlock.fmbIntervalMs, updateIntervalMs(target.facts));
    if (was === 0) startMeasurement(target);
    target.count(FunctionBlock.fmbEpoch);
    target.measurementChanged();
    return CC0;
  }

  #address(offset: number): number {
    return toNumber(this.#view.getUint32(offset), this.#view.getUint32(offset + 4));
  }

  #copy(
    target: ZpciFunction,
    offset: number,
    highWord: number,
    lowWord: number,
    mask = -1,
    ones = 0,
  ): void {
    target.set(highWord, this.#view.getUint32(offset));
    target.set(lowWord, (this.#view.getUint32(offset + 4) & mask) | ones);
  }
}

/** The translation's words are written: it holds, and the first good load will prove it. */
function accept(target: ZpciFunction): number {
  target.setRegistered(FIB_IOAT);
  target.set(FunctionBlock.proofPending, 1);
  target.post(RequestKind.guestRegisterIoat, 0);
  return CC0;
}

/**
 * The operation without a FIB, for a guest that is a model: states, registrations and requests are the same, what
 * the FIB would hold stays 0. @returns an outcome (`outcome.ts`)
 */
export function modifyFunction(target: ZpciFunction, operation: number): number {
  const cell = cellOf(rows[operation] ?? stateTable.otherOperation, target.state());
  if (cell !== GO) return cell;
  switch (operation) {
    case ModifyOperation.registerInterrupts:
      if (target.registered(FIB_INTERRUPTS)) return SEQUENCE;
      target.setRegistered(FIB_INTERRUPTS);
      return CC0;
    case ModifyOperation.deregisterInterrupts:
      return deregister(target, FIB_INTERRUPTS);
    case ModifyOperation.registerIoat:
      if (target.registered(FIB_IOAT)) return SEQUENCE;
      return target.canPost() ? accept(target) : CC2;
    case ModifyOperation.resetError:
    case ModifyOperation.resetBlock:
      return clear(target, operation);
    default:
      return CC0;
  }
}

function deregister(target: ZpciFunction, flag: typeof FIB_IOAT | typeof FIB_INTERRUPTS): number {
  if (!target.registered(flag)) return SEQUENCE;
  target.clearRegistered(flag);
  if (flag === FIB_IOAT) target.set(FunctionBlock.proofPending, 0);
  for (const word of flag === FIB_IOAT ? translationWords : interruptWords) target.set(word, 0);
  // The guest frees tables and vectors next; the last access to them must be over.
  target.dmaQuiet();
  return CC0;
}

const translationWords: readonly number[] = [
  FunctionBlock.pbaHigh,
  FunctionBlock.pbaLow,
  FunctionBlock.palHigh,
  FunctionBlock.palLow,
  FunctionBlock.iotaHigh,
  FunctionBlock.iotaLow,
];

const interruptWords: readonly number[] = [
  FunctionBlock.interruptControl,
  FunctionBlock.aibvHigh,
  FunctionBlock.aibvLow,
  FunctionBlock.aisbHigh,
  FunctionBlock.aisbLow,
];

/** Operations 9 and 7: only the host can clear the error, so this asks it and says "busy" meanwhile. */
function clear(target: ZpciFunction, operation: number): number {
  if (!target.clearError || resetPending(target)) return RECOVERY;
  if (target.phaseBusy(FunctionBlock.clearPhase) || !target.canPost()) return CC2;
  const tag = (target.generation() << 8) | operation;
  const phase = target.get(FunctionBlock.clearPhase);
  if (phase !== PHASE_IDLE) {
    const asked = target.get(FunctionBlock.clearOperation);
    if (!target.swap(FunctionBlock.clearPhase, phase, PHASE_IDLE)) return CC2;
    if (phase === PHASE_DONE && asked >>> 8 === tag >>> 8) leaveError(target, asked & 0xff);
    if (asked === tag) return phase === PHASE_FAILED ? RECOVERY : outcomeAfter(target, operation);
    // What ended was another operation: the present one meets the state as it is now.
    const cell = cellOf(rows[operation] ?? stateTable.otherOperation, target.state());
    if (cell !== GO) return cell;
  }
  target.set(FunctionBlock.clearOperation, tag);
  const request = PHASE_REQUESTED | (operation << 8);
  if (!target.swap(FunctionBlock.clearPhase, PHASE_IDLE, request)) return CC2;
  postClear(target, operation);
  return CC2;
}

/** A host reset runs or waits to be taken; one of a generation that has ended waits for nobody. */
function resetPending(target: ZpciFunction): boolean {
  const phase = target.get(FunctionBlock.resetPhase);
  const ended = phase === PHASE_DONE || phase === PHASE_FAILED;
  if (!ended || target.get(FunctionBlock.resetGeneration) === target.generation()) {
    return phase !== PHASE_IDLE;
  }
  return !target.swap(FunctionBlock.resetPhase, phase, PHASE_IDLE);
}

/** Asked for, and again when it is granted: the worker tells the two apart by the state word. */
function postClear(target: ZpciFunction, operation: number): void {
  const kind =
    operation === ModifyOperation.resetError
      ? RequestKind.guestResetError
      : RequestKind.guestResetBlock;
  target.post(kind, 0);
}

/** The host has unblocked loads and stores (9) or cleared the error (7). */
function leaveError(target: ZpciFunction, operation: number): void {
  const seen = target.stateWord();
  const state = stateOf(seen);
  if (operation === ModifyOperation.resetBlock) {
    if (state === FunctionState.ERROR) target.changeState(seen, FunctionState.BLOCKED);
  } else if (state === FunctionState.ERROR || state === FunctionState.BLOCKED) {
    target.changeState(seen, FunctionState.ENABLED);
  }
}

/** cc 0 if the state is what the operation promises; a permanent error that came meanwhile: cc 3. */
function outcomeAfter(target: ZpciFunction, operation: number): number {
  const promised =
    operation === ModifyOperation.resetBlock ? FunctionState.BLOCKED : FunctionState.ENABLED;
  const state = stateOf(target.stateWord());
  if (state === promised) {
    postClear(target, operation);
    return CC0;
  }
  return state === FunctionState.PERMANENT_ERROR ? CC3 : RECOVERY;
}

/** A guest that polls cc 2 leaves one line in the timeline, not a hundred. */
function trace(target: ZpciFunction, operation: number, outcome: number): void {
  const cc = conditionCode(outcome);
  if (cc < 0 || cc === 2) return;
  target.trace.write(
    TraceKind.guestMpcifc,
    target.index,
    target.generation(),
    0,
    operation,
    cc,
    statusOf(outcome),
    0,
  );
}

/** STPCIFC: what the function's controls are. Looks the function up by the handle's index only. */
export class StoreFunctionControls implements InterceptHandler {
  readonly #functions: FunctionTable;
  readonly #fib = new Uint8Array(Fib.size);
  readonly #view = new DataView(this.#fib.buffer);

  constructor(functions: FunctionTable) {
    this.#functions = functions;
  }

  execute(cpu: GuestCpu, high: number): void {
    conclude(cpu, r1Rxy(high), this.#run(cpu, r1Rxy(high)));
  }

  #run(cpu: GuestCpu, r1: number): number {
    if (cpu.problemState()) return PRIVILEGED_OPERATION;
    if (((cpu.grLow(r1) >>> 16) & 0xff) !== 0) {
      return cc1(ModifyStatus.dmaSpaceInvalid);
    }
    cpu.formOperandAddress();
    if ((cpu.addressLow & 7) !== 0) return SPECIFICATION;
    const fh = cpu.grHigh(r1) >>> 0;
    const target = this.#functions.all[fh & FH_INDEX_MASK];
    if (target === undefined) return CC3;
    const cell = cellOf(stateTable.stpcifc, target.state());
    if (conditionCode(cell) >= 0) return cell;
    const enabledHandle = (fh & FH_ENABLE) !== 0;
    if (cell === 0 && enabledHandle) return CC3;
    this.#fib.fill(0);
    if (cell !== 0) this.#fill(target, cell);
    if (!cpu.store(this.#fib, Fib.size)) return FAULTED;
    if (cell !== 0 && !enabledHandle) {
      cpu.setGr(r1, cpu.grHigh(r1) | FH_ENABLE, cpu.grLow(r1));
    }
    return CC0;
  }

  #fill(target: ZpciFunction, fc: number): void {
    const view = this.#view;
    view.setUint8(F.fc.offset, fc | (target.registered(FIB_IOAT) ? FC_DMAAS_REG : 0));
    view.setUint32(F.isc.offset, target.get(FunctionBlock.interruptControl));
    for (const [offset, highWord, lowWord] of doublewords) {
      view.setUint32(offset, target.get(highWord));
      view.setUint32(offset + 4, target.get(lowWord));
    }
  }
}

const doublewords: readonly (readonly [number, number, number])[] = [
  [F.pba.offset, FunctionBlock.pbaHigh, FunctionBlock.pbaLow],
  [F.pal.offset, FunctionBlock.palHigh, FunctionBlock.palLow],
  [F.iota.offset, FunctionBlock.iotaHigh, FunctionBlock.iotaLow],
  [F.aibv.offset, FunctionBlock.aibvHigh, FunctionBlock.aibvLow],
  [F.aisb.offset, FunctionBlock.aisbHigh, FunctionBlock.aisbLow],
  [F.fmb.offset, FunctionBlock.fmbHigh, FunctionBlock.fmbLow],
];
