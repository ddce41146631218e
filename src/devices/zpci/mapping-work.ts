/**
 * What MPCIFC 4 to 6 and RPCIT need done by a host that has to map each page before the device may use it: the guest's
 * tables are walked here, a batch per instruction, and each batch goes to the recovery worker in the function's words.
 * Meanwhile the guest hears cc 2 and asks again, which brings the next batch: no instruction takes long and no vCPU
 * waits for the host. Sources: zpci-guest.md 0.1 fact 4 (the whole table at register time), 1.7 (status 16), 2.4.
 *
 * The words say what was asked for, so an instruction that asks for something else begins anew. Thread: the vCPU's.
 */
import { IOTA_PROTECT } from "../../abi/fib.ts";
import { ModifyStatus } from "../../abi/pci-insn.ts";
import type { GuestMemory } from "../../ports/guest-memory.ts";
import {
  FunctionBlock,
  MAP_BATCH_MAX,
  MAP_DROP,
  MAP_NOTHING,
  MAP_REFRESH,
  MapEntry,
  PHASE_FAILED,
  PHASE_IDLE,
  PHASE_REQUESTED,
  WORK_MAP,
} from "../../shm/blocks.ts";
import { CC2, cc1, GO } from "../outcome.ts";
import type { ZpciFunction } from "./function.ts";
import { addressHigh, addressLow, nextPage, TableWalk, WALK_INVALID } from "./walk.ts";

const PAGES_PER_HIGH = 0x10_0000;
/** Translations looked at per instruction, however many of them are not mapped: one page table's worth. */
const LOOKS_MAX = 256;
const NO_RESOURCES = cc1(ModifyStatus.insufficientResources);

/** A result of `advance` that is no outcome: the table is malformed at page `failedPage`; the PEC stands in the low bits. */
export const MALFORMED = 0x100_0000;

export class MappingWork {
  readonly #walk: TableWalk;
  /** Where a malformed table was met. */
  failedPage = 0;

  constructor(ram: GuestMemory) {
    this.#walk = new TableWalk(ram);
  }

  /**
   * One more step towards [first, end) being mapped as the guest's tables say.
   * @param kind MAP_REGISTER, MAP_DROP or MAP_REFRESH; @param iotaHigh @param iotaLow the tables
   * @returns GO when all is mapped, CC2 while it is not, cc 1 status 16 without room, MALFORMED | PEC
   */
  advance(
    target: ZpciFunction,
    kind: number,
    first: number,
    end: number,
    iotaHigh: number,
    iotaLow: number,
  ): number {
    if (target.phaseBusy(FunctionBlock.mapPhase)) return CC2;
    const phase = target.get(FunctionBlock.mapPhase);
    const same =
      pageAt(target, FunctionBlock.mapFirstHigh, FunctionBlock.mapFirstLow) === first &&
      pageAt(target, FunctionBlock.mapEndHigh, FunctionBlock.mapEndLow) === end &&
      target.get(FunctionBlock.mapKind) === kind &&
      target.get(FunctionBlock.mapIotaHigh) === iotaHigh &&
      target.get(FunctionBlock.mapIotaLow) === iotaLow &&
      target.get(FunctionBlock.mapGeneration) === target.generation();
    const mine = same && phase !== PHASE_IDLE;
    if (mine && phase === PHASE_FAILED) {
      target.set(FunctionBlock.mapPhase, PHASE_IDLE);
      return NO_RESOURCES;
    }
    if (mine) {
      const cursor = pageAt(target, FunctionBlock.mapCursorHigh, FunctionBlock.mapCursorLow);
      if (cursor < end) return this.#batch(target, kind, cursor, end, 0, iotaHigh, iotaLow);
      target.set(FunctionBlock.mapPhase, PHASE_IDLE);
      return GO;
    }
    setPage(target, FunctionBlock.mapFirstHigh, FunctionBlock.mapFirstLow, first);
    setPage(target, FunctionBlock.mapEndHigh, FunctionBlock.mapEndLow, end);
    target.set(FunctionBlock.mapKind, kind);
    target.set(FunctionBlock.mapIotaHigh, iotaHigh);
    target.set(FunctionBlock.mapIotaLow, iotaLow);
    target.set(FunctionBlock.mapGeneration, target.generation());
    if (kind === MAP_REFRESH) return this.#batch(target, kind, first, end, 0, iotaHigh, iotaLow);
    // What may be left of an earlier registration goes first.
    const count = put(target, 0, 0, target.facts.dmaAvail ?? 0, MAP_NOTHING);
    const from = kind === MAP_DROP ? end : first;
    return this.#batch(target, kind, from, end, count, iotaHigh, iotaLow);
  }

  /** Adds to a batch that has `had` entries what the tables say of [from, end), and asks for it. */
  #batch(
    target: ZpciFunction,
    kind: number,
    from: number,
    end: number,
    had: number,
    iotaHigh: number,
    iotaLow: number,
  ): number {
    let cursor = from;
    let count = had;
    const base = Number(target.facts.startDma / 4096n);
    for (let looks = 0; looks < LOOKS_MAX && count < MAP_BATCH_MAX && cursor < end; looks++) {
      const result = this.#walk.walk(iotaHigh, iotaLow, addressHigh(cursor), addressLow(cursor));
      if (result > 0 && kind === MAP_REFRESH) {
        this.failedPage = cursor;
        target.set(FunctionBlock.mapPhase, PHASE_IDLE);
        return MALFORMED | result;
      }
      const next = Math.min(
        end,
        nextPage(cursor, result === 0 ? 0 : WALK_INVALID, this.#walk.level),
      );
      if (result === 0) {
        // A frame of a segment is mapped page by page: cursor + 1, whatever level the walk ended on.
        const readOnly = this.#walk.isProtected || (iotaLow & IOTA_PROTECT) !== 0;
        const frame = (this.#walk.frame / 4096) * 2 + (readOnly ? 1 : 0);
        count = put(target, count, cursor - base, 1, frame);
        cursor += 1;
      } else {
        count = putNothing(target, count, cursor - base, next - cursor);
        cursor = next;
      }
    }
    setPage(target, FunctionBlock.mapCursorHigh, FunctionBlock.mapCursorLow, cursor);
    target.set(FunctionBlock.mapCount, count);
    target.set(FunctionBlock.mapPhase, PHASE_REQUESTED);
    target.ringWorker(WORK_MAP);
    return CC2;
  }
}

function setPage(target: ZpciFunction, highWord: number, lowWord: number, page: number): void {
  target.set(highWord, Math.floor(page / PAGES_PER_HIGH) | 0);
  target.set(lowWord, page % PAGES_PER_HIGH);
}

function pageAt(target: ZpciFunction, highWord: number, lowWord: number): number {
  return (target.get(highWord) >>> 0) * PAGES_PER_HIGH + target.get(lowWord);
}

/** Adds an entry to the batch; returns the new count. */
function put(
  target: ZpciFunction,
  count: number,
  page: number,
  pages: number,
  frame: number,
): number {
  const at = FunctionBlock.mapEntries + count * MapEntry.words;
  target.set(at + MapEntry.page, page);
  target.set(at + MapEntry.pages, pages);
  target.set(at + MapEntry.frame, frame);
  return count + 1;
}

/** Pages that are not mapped: with those right before them, if these are not mapped either. Returns the new count. */
function putNothing(target: ZpciFunction, count: number, page: number, pages: number): number {
  const before = FunctionBlock.mapEntries + (count - 1) * MapEntry.words;
  const had = count === 0 ? 0 : target.get(before + MapEntry.pages);
  const follows =
    count > 0 &&
    target.get(before + MapEntry.frame) === MAP_NOTHING &&
    target.get(before + MapEntry.page) + had === page;
  if (!follows) return put(target, count, page, pages, MAP_NOTHING);
  target.set(before + MapEntry.pages, had + pages);
  return count;
}
