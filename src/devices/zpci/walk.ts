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
import type { GuestMemory } from "../../ports/guest-memory.ts";

/** Level of a walk, numbered as designation types are; LEVEL_PAGE is ours (encoding of `ett` unknown). */
export const LEVEL_SEGMENT = 0;
export const LEVEL_REGION_THIRD = 1;
export const LEVEL_PAGE = 4;

/** `walk` result: the entry is marked invalid. No error for RPCIT, PEC 0x0007 for DMA. */
export const WALK_INVALID = -1;

export class TableWalk {
  readonly #ram: GuestMemory;
  #origin = 0;
  #entryHigh = 0;
  #entryLow = 0;
  /** After 0: absolute address of the 4 KiB frame and whether a table entry protects it. */
  frame = 0;
  isProtected = false;
  /** After anything else: level at which the walk stopped. */
  level = 0;

  constructor(ram: GuestMemory) {
    this.#ram = ram;
  }

  /**
   * @param high @param low the DMA address; bits above the top level's index are ignored
   * @returns 0, WALK_INVALID, or the PEC of a malformed table
   */
  walk(iotaHigh: number, iotaLow: number, high: number, low: number): number {
    this.isProtected = false;
    this.level = iotaDesignation(iotaLow);
    if (iotaHigh !== 0 || this.level > 3) return Pec.SERR;
    this.#origin = (iotaLow & ~0xfff) >>> 0;
    while (this.level >= LEVEL_REGION_THIRD) {
      const result = this.#region(regionIndex(this.level, high, low));
      if (result !== 0) return result;
    }
    const result = this.#segment((low >>> 20) & 0x7ff, low);
    if (result !== 0 || this.level === LEVEL_SEGMENT) return result;
    return this.#page((low >>> 12) & 0xff);
  }

  #entry(index: number): number {
    const address = this.#origin + index * 8;
    if (!this.#ram.contains(address, 8)) return Pec.SERR;
    this.#entryHigh = this.#ram.u32(address);
    this.#entryLow = this.#ram.u32(address + 4);
    return this.#entryHigh === 0 && this.#entryLow === 0 ? Pec.INVALTE : 0;
  }

  /** One region table; the entry's type is the level's number. */
  #region(index: number): number {
    const result = this.#entry(index);
    if (result !== 0) return result;
    const entry = this.#entryLow;
    if ((entry & TABLE_INVALID) !== 0) return WALK_INVALID;
    if ((entry & TABLE_LENGTH_MASK) !== 3 || (entry & TABLE_OFFSET_MASK) !== 0) return Pec.INVALTL;
    if ((entry & TABLE_TYPE_MASK) !== this.level << 2) return Pec.TT;
    if (this.#entryHigh !== 0) return Pec.SERR;
    if ((entry & TABLE_PROTECT) !== 0) this.isProtected = true;
    this.#origin = (entry & ~0x3fff) >>> 0;
    this.level -= 1;
    return 0;
  }

  #segment(index: number, low: number): number {
    const result = this.#entry(index);
    if (result !== 0) return result;
    const entry = this.#entryLow;
    if ((entry & TABLE_INVALID) !== 0) return WALK_INVALID;
    if ((entry & TABLE_TYPE_MASK) !== 0) return Pec.TT;
    if ((entry & TABLE_PROTECT) !== 0) this.isProtected = true;
    if ((entry & SEGMENT_FRAME) !== 0) {
      return this.#frameAt(((entry & ~0xfffff) | (low & 0xff000)) >>> 0);
    }
    if (this.#entryHigh !== 0) return Pec.SERR;
    this.#origin = (entry & ~0x7ff) >>> 0;
    this.level = LEVEL_PAGE;
    return 0;
  }

  #page(index: number): number {
    const result = this.#entry(index);
    if (result !== 0) return result;
    if ((this.#entryLow & PAGE_INVALID) !== 0) return WALK_INVALID;
    if ((this.#entryLow & TABLE_PROTECT) !== 0) this.isProtected = true;
    return this.#frameAt((this.#entryLow & ~0xfff) >>> 0);
  }

  #frameAt(address: number): number {
    if (this.#entryHigh !== 0 || !this.#ram.contains(address, 4096)) return Pec.SERR;
    this.frame = address;
    return 0;
  }
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
