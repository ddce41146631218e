/**
 * RPCIT: refresh PCI translations. Translations are walked on demand (walk.ts), so the refresh itself is
 * one new epoch; what takes work is that the guest is told about malformed tables here and not only by
 * the device's next access. Source: zpci-guest.md 1.7.
 */
import { Pec } from "../../abi/ccdf.ts";
import { ModifyStatus } from "../../abi/pci-insn.ts";
import type { GuestCpu, InterceptHandler } from "../../ports/guest-cpu.ts";
import type { GuestMemory } from "../../ports/guest-memory.ts";
import { FIB_IOAT, FunctionBlock, MAP_REFRESH } from "../../shm/blocks.ts";
import { r1Rre, r2Rre } from "../operands.ts";
import {
  CC0,
  CC2,
  CC3,
  cc1,
  conclude,
  GO,
  PRIVILEGED_OPERATION,
  SPECIFICATION,
} from "../outcome.ts";
import type { FunctionTable, ZpciFunction } from "./function.ts";
import { MALFORMED, MappingWork } from "./mapping-work.ts";
import { cellOf, stateTable } from "./state-table.ts";
import { addressHigh, addressLow, TableWalk } from "./walk.ts";

/**
 * Tells the platform about an error that the guest's own use of the function caused; it comes back to
 * the guest by the way of every error (host queue, recovery worker, CCDF). `faddr` in halves.
 */
export type RaiseError = (
  index: number,
  pec: number,
  faddrHigh: number,
  faddrLow: number,
  write: boolean,
) => void;

/**
 * A range of more pages than one page table has is huge: what is cached goes as a whole, as for any range, and nothing is
 * looked at page by page. A malformed entry there is met by the device's next access. So a guest that does nothing else
 * costs a microsecond or two per instruction.
 */
const PAGES_LOOKED_AT_MAX = 256;
// As constants of this module (function.ts says why).
const Word = FunctionBlock;
const REGISTERED = FIB_IOAT;

const PAGES_PER_HIGH = 0x10_0000;

export class RefreshTranslations implements InterceptHandler {
  readonly #functions: FunctionTable;
  readonly #walk: TableWalk;
  readonly #mappings: MappingWork;
  readonly #raiseError: RaiseError;
  #failedPage = 0;
  /** Pages of the range that are inside the aperture; none when they are equal. */
  #from = 0;
  #end = 0;

  constructor(functions: FunctionTable, ram: GuestMemory, raiseError: RaiseError) {
    this.#functions = functions;
    this.#walk = new TableWalk(ram);
    this.#mappings = new MappingWork(ram);
    this.#raiseError = raiseError;
  }

  execute(cpu: GuestCpu, high: number): void {
    conclude(cpu, r1Rre(high), this.#run(cpu, high));
  }

  direct(cpu: GuestCpu): (high: number) => void {
    return (high) => this.execute(cpu, high);
  }

  #run(cpu: GuestCpu, high: number): number {
    if (cpu.problemState()) return PRIVILEGED_OPERATION;
    const r2 = r2Rre(high);
    if ((r2 & 1) !== 0) return SPECIFICATION;
    const target = this.#functions.byHandle(cpu.grHigh(r1Rre(high)));
    if (target === undefined) return CC3;
    const cell = cellOf(stateTable.rpcit, target.state());
    if (cell !== GO) return cell;
    let pec = this.#check(
      target,
      cpu.grHigh(r2),
      cpu.grLow(r2),
      cpu.grHigh(r2 + 1),
      cpu.grLow(r2 + 1),
    );
    if (pec === 0 && target.facts.dmaAvail !== undefined) {
      const outcome = this.#map(target);
      if ((outcome & MALFORMED) === 0 && outcome !== GO) return outcome;
      pec = outcome & 0xffff;
    } else if (pec === 0) pec = this.#inspect(target);
    target.tally(Word.rpcits);
    const quiet = target.bumpEpoch();
    if (pec !== 0) {
      target.enterError();
      const { index } = target;
      this.#raiseError(
        index,
        pec,
        addressHigh(this.#failedPage),
        addressLow(this.#failedPage),
        false,
      );
      return cc1(ModifyStatus.permanentError);
    }
    // A page copy that began under the old translation must end before the guest may reuse the page.
    return quiet || target.dmaQuiet() ? CC0 : CC2;
  }

  /** Has the host map the range as the tables say: GO when it is done, MALFORMED | PEC, or how to go on. */
  #map(target: ZpciFunction): number {
    if (this.#from >= this.#end) return GO;
    const outcome = this.#mappings.advance(
      target,
      MAP_REFRESH,
      this.#from,
      this.#end,
      target.get(Word.iotaHigh),
      target.get(Word.iotaLow),
    );
    if ((outcome & MALFORMED) !== 0) this.#failedPage = this.#mappings.failedPage;
    return outcome;
  }

  /** 0 or the PEC; the range clamped to the aperture (pages as numbers, exact up to 2^53). */
  #check(
    target: ZpciFunction,
    startHigh: number,
    startLow: number,
    lengthHigh: number,
    lengthLow: number,
  ): number {
    const first = pageOf(startHigh, startLow);
    this.#failedPage = first;
    this.#from = 0;
    this.#end = 0;
    if (!target.registered(REGISTERED)) return Pec.INVALAS;
    const offset = startLow & 0xfff;
    const lengthPages = pageOf(lengthHigh, lengthLow);
    const tail = (lengthLow & 0xfff) + offset;
    const end = first + lengthPages + ((tail + 0xfff) >>> 12); // exclusive
    const aperture = pageOf(target.own(Word.pbaHigh), target.own(Word.pbaLow));
    const last = pageOf(target.own(Word.palHigh), target.own(Word.palLow));
    if (lengthHigh === 0 && lengthLow === 0) {
      return first < aperture || first > last ? Pec.OORANGE : 0;
    }
    if (end > PAGES_PER_HIGH * 0x1_0000_0000 || end <= aperture || first > last) return Pec.OORANGE;
    this.#from = Math.max(first, aperture);
    this.#end = Math.min(end, last + 1);
    return 0;
  }

  /** 0 or the PEC of the first malformed table of the range, if the range is not huge. */
  #inspect(target: ZpciFunction): number {
    if (this.#end - this.#from > PAGES_LOOKED_AT_MAX) return 0;
    const pec = this.#walk.inspect(
      target.own(Word.iotaHigh),
      target.own(Word.iotaLow),
      this.#from,
      this.#end,
    );
    if (pec !== 0) this.#failedPage = this.#walk.failedPage;
    return pec;
  }
}

function pageOf(high: number, low: number): number {
  return (high >>> 0) * PAGES_PER_HIGH + (low >>> 12);
}
