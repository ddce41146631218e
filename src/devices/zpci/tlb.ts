/**
 * Hot file: no allocation. What the walks of a VM's functions through the guest's tables have found: one cache for all of
 * them, on the thread that does their DMA. An entry belongs to the context of one registration of one function; who registers
 * anew, or is told that mappings changed, takes a new context, and what stands under the old one is never found again.
 */
import { at } from "../../base/bits.ts";
import type { GuestMemory } from "../../ports/guest-memory.ts";
import { addressHigh, addressLow, TableWalk } from "./walk.ts";

const ENTRIES = 1024;
/** Contexts begin this far from each other, so that functions with the same IOVAs do not take each other's entries. */
const STRIDE = 61;

export class DmaTlb {
  readonly #walk: TableWalk;
  /** 0: none. */
  readonly #context = new Float64Array(ENTRIES);
  readonly #page = new Float64Array(ENTRIES);
  readonly #frame = new Float64Array(ENTRIES);
  readonly #protected = new Uint8Array(ENTRIES);
  #contexts = 0;
  #entry = 0;
  /** After a translation that failed: level at which the walk stopped. */
  level = 0;

  constructor(ram: GuestMemory) {
    this.#walk = new TableWalk(ram);
  }

  /** @returns a context of which nothing is known yet; positive */
  newContext(): number {
    this.#contexts += 1;
    return this.#contexts;
  }

  /** After 0: absolute address of the 4 KiB frame. */
  get frame(): number {
    return at(this.#frame, this.#entry);
  }

  /** After 0: a table entry protects the frame. */
  get isProtected(): boolean {
    return this.#protected[this.#entry] === 1;
  }

  /**
   * Looks `page` up, and walks the IOTA's tables where it has to.
   *
   * @param page DMA address / 4096
   * @returns 0, WALK_INVALID, or the PEC of a malformed table
   */
  translate(context: number, iotaHigh: number, iotaLow: number, page: number): number {
    const entry = ((page % ENTRIES) + (context % ENTRIES) * STRIDE) % ENTRIES;
    this.#entry = entry;
    if (this.#context[entry] === context && this.#page[entry] === page) return 0;
    const result = this.#walk.walk(iotaHigh, iotaLow, addressHigh(page), addressLow(page));
    if (result !== 0) {
      this.level = this.#walk.level;
      return result;
    }
    this.#context[entry] = context;
    this.#page[entry] = page;
    this.#frame[entry] = this.#walk.frame;
    this.#protected[entry] = this.#walk.isProtected ? 1 : 0;
    return 0;
  }
}
