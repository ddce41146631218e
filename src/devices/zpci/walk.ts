/**
 * Hot file: no allocation, closures or exceptions. Walk of one DMA address through the guest's
 * translation tables, on demand. Source: zpci-guest.md 5.1-5.3 (formats and QEMU's error choices).
 * Our own choice: a table or frame outside guest storage gives 0x000b (storage error).
 */
import { Pec } from "../../abi/ccdf.ts";
import {
  iotaDesignation,
  PAGE_INVALID,
  SEGMENT_FRAME,
  TABLE_INVALID,
  TABLE_LENGTH_MASK,
  TABLE_OFFSET_MASK,
  TABLE_PROTECT,
  TABLE_TYPE_MASK,
} from "../../abi/fib.ts";
import { hostIsBigEndian, swap32 } from "../../base/bits.ts";
import type { GuestMemory } from "../../ports/guest-memory.ts";

/** Level of a walk, numbered as designation types are; LEVEL_PAGE is ours (encoding of `ett` unknown). */
const LEVEL_SEGMENT = 0;
const LEVEL_PAGE = 4;

/** `walk` result: the entry is marked invalid. No error for RPCIT, PEC 0x0007 for DMA. */
export const WALK_INVALID = -1;

// What a well-formed valid entry looks like: one comparison for the common case. What is wrong with any other is found
// out one by one, in the order of the sheet.
const REGION_BITS = TABLE_INVALID | TABLE_LENGTH_MASK | TABLE_OFFSET_MASK | TABLE_TYPE_MASK;
const SEGMENT_BITS = TABLE_INVALID | TABLE_TYPE_MASK;
const PAGE_BITS = PAGE_INVALID;
const FRAME_BIT = SEGMENT_FRAME;
const PROTECT_BIT = TABLE_PROTECT;
const WHOLE_TABLE = 3;

const PAGE_WORDS = 1024;

const bigEndian = hostIsBigEndian ? (word: number): number => word : swap32;

export class TableWalk {
  readonly #storage: Int32Array;
  /** Word index of the page table that the walk has come to last. */
  #pages = 0;
  #seen = 0;
  /** After 0: absolute address of the 4 KiB frame. */
  frame = 0;
  /** After anything else: level at which the walk stopped. */
  level = 0;
  /** After a PEC of `inspect`: page whose entry is malformed. */
  failedPage = 0;

  constructor(ram: GuestMemory) {
    this.#storage = ram.storage;
  }

  /** After 0: a table entry protects the frame. */
  get isProtected(): boolean {
    return (this.#seen & PROTECT_BIT) !== 0;
  }

  /**
   * @param high @param low the DMA address; bits above the top level's index are ignored
   * @returns 0, WALK_INVALID, or the PEC of a malformed table
   */
  walk(iotaHigh: number, iotaLow: number, high: number, low: number): number {
    const storage = this.#storage;
    const top = iotaDesignation(iotaLow);
    if (iotaHigh !== 0 || top > 3) return this.#stop(top, Pec.SERR);
    let table = (iotaLow & ~0xfff) >>> 2;
    let seen = 0;
    for (let level = top; level > 0; level--) {
      const word = table + regionIndex(level, high, low) * 2;
      if (word >= storage.length) return this.#stop(level, Pec.SERR);
      const entry = entryAt(storage, word);
      if (storage[word] !== 0 || (entry & REGION_BITS) !== ((level << 2) | WHOLE_TABLE)) {
        return this.#stop(level, regionFault(storage[word] === 0, entry, level));
      }
      seen |= entry;
      table = (entry & ~0x3fff) >>> 2;
    }
    const word = table + ((low >>> 20) & 0x7ff) * 2;
    if (word >= storage.length) return this.#stop(LEVEL_SEGMENT, Pec.SERR);
    const entry = entryAt(storage, word);
    if (storage[word] !== 0 || entry === 0 || (entry & SEGMENT_BITS) !== 0) {
      return this.#stop(LEVEL_SEGMENT, segmentFault(storage[word] === 0, entry));
    }
    this.#seen = seen | entry;
    if ((entry & FRAME_BIT) !== 0) {
      this.level = LEVEL_SEGMENT;
      return this.#frameAt((entry & ~0xfffff) | (low & 0xff000));
    }
    this.level = LEVEL_PAGE;
    this.#pages = (entry & ~0x7ff) >>> 2;
    return this.#page((low >>> 12) & 0xff);
  }

  /**
   * Looks for a malformed entry among the translations of the pages [from, end): as many entries as there are pages, at
   * most. Invalid ones are none.
   * @returns 0, or the PEC with `failedPage`
   */
  inspect(iotaHigh: number, iotaLow: number, from: number, end: number): number {
    let page = from;
    while (page < end) {
      let result = this.walk(iotaHigh, iotaLow, addressHigh(page), addressLow(page));
      if (this.level === LEVEL_PAGE) {
        // The rest of the page table without the way to it.
        const stop = Math.min(end, nextBoundary(page, PAGES_PER_SEGMENT));
        while (result <= 0 && page + 1 < stop) {
          page += 1;
          result = this.#page((addressLow(page) >>> 12) & 0xff);
        }
      }
      if (result > 0) {
        this.failedPage = page;
        return result;
      }
      page = nextPage(page, result, this.level);
    }
    return 0;
  }

  #stop(level: number, result: number): number {
    this.level = level;
    return result;
  }

  #page(index: number): number {
    const storage = this.#storage;
    const word = this.#pages + index * 2;
    if (word >= storage.length) return Pec.SERR;
    const entry = entryAt(storage, word);
    if (storage[word] !== 0 || entry === 0 || (entry & PAGE_BITS) !== 0) {
      return pageFault(storage[word] === 0, entry);
    }
    this.#seen |= entry;
    return this.#frameAt(entry & ~0xfff);
  }

  #frameAt(address: number): number {
    if ((address >>> 2) + PAGE_WORDS > this.#storage.length) return Pec.SERR;
    this.frame = address >>> 0;
    return 0;
  }
}

/** Bits 32-63 of the entry at a word's index; bits 0-31 are only ever compared with 0, which has no byte order. */
function entryAt(storage: Int32Array, word: number): number {
  return bigEndian(storage[word + 1] as number);
}

/** What is wrong with a region entry that is not simply good; the entry's type is the level's number. */
function regionFault(short: boolean, entry: number, level: number): number {
  if (short && entry === 0) return Pec.INVALTE;
  if ((entry & TABLE_INVALID) !== 0) return WALK_INVALID;
  if ((entry & TABLE_LENGTH_MASK) !== WHOLE_TABLE || (entry & TABLE_OFFSET_MASK) !== 0) {
    return Pec.INVALTL;
  }
  return (entry & TABLE_TYPE_MASK) !== level << 2 ? Pec.TT : Pec.SERR;
}

function segmentFault(short: boolean, entry: number): number {
  if (short && entry === 0) return Pec.INVALTE;
  if ((entry & TABLE_INVALID) !== 0) return WALK_INVALID;
  return (entry & TABLE_TYPE_MASK) !== 0 ? Pec.TT : Pec.SERR;
}

function pageFault(short: boolean, entry: number): number {
  if (short && entry === 0) return Pec.INVALTE;
  return (entry & PAGE_INVALID) !== 0 ? WALK_INVALID : Pec.SERR;
}

const PAGES_PER_SEGMENT = 0x100;
const PAGES_PER_REGION = 0x8_0000;

/**
 * The page to look at after `page`, whose walk gave `result` at `level`: behind an invalid entry the next boundary of
 * what that entry covers, not a step from the middle.
 */
export function nextPage(page: number, result: number, level: number): number {
  if (level === LEVEL_PAGE) return page + 1;
  if (level === LEVEL_SEGMENT) return nextBoundary(page, PAGES_PER_SEGMENT);
  if (result !== WALK_INVALID) return page + 1;
  return nextBoundary(page, PAGES_PER_REGION * 2048 ** (level - 1));
}

function nextBoundary(page: number, unit: number): number {
  return (Math.floor(page / unit) + 1) * unit;
}

function regionIndex(level: number, high: number, low: number): number {
  if (level === 1) return ((high << 1) | (low >>> 31)) & 0x7ff;
  return (level === 2 ? high >>> 10 : high >>> 21) & 0x7ff;
}

const PAGES_PER_HIGH = 0x10_0000;

/** Upper and lower half of a page's address; whole numbers of 32 bits go without division. */
export function addressHigh(page: number): number {
  return (page | 0) === page ? page >> 20 : Math.floor(page / PAGES_PER_HIGH) | 0;
}

export function addressLow(page: number): number {
  return (page | 0) === page ? page << 12 : ((page % PAGES_PER_HIGH) * 4096) | 0;
}
