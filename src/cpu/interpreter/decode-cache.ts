/**
 * Decoded instructions of one vCPU: slots for pages of guest RAM, the instruction TLB that leads to them,
 * scratch entries for execute targets and for instructions that cross a page. Decoding itself is a row of
 * the instruction table plus `decodeOperands`.
 */
import { at } from "../../base/bits.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import {
  Core,
  Entry,
  INSTRUCTION_TLB_BYTES,
  InstructionTlbEntry,
  PAGE_BYTES,
  SCRATCH_ENTRIES,
  SLOT_BYTES,
  SLOT_COUNT,
  TLB_ENTRIES,
} from "../core-layout.ts";
import { decodeOperands, isRelative } from "../table/formats.ts";
import { instructionLength, opcodeKey, type Row } from "../table/row.ts";
import { FIRST_ROW_HANDLER, HANDLER_PAGE_END } from "./dispatch.ts";
import { HANDLER_CROSS, HANDLER_WATCHED, handlerRows } from "./module.ts";

/** What the dispatch loop compares: eight bytes from the instruction on, at the page's end the last eight. */
const WINDOW_BYTES = 8;

/** How an instruction without a row is reached. */
export interface SlowHandler {
  /** HANDLER_SLOW, or the handler of its own import. */
  readonly handler: number;
  /** Index of its TypeScript handler, for HANDLER_SLOW. */
  readonly index: number;
}

export interface Decoded {
  readonly row: Row;
  readonly handler: number;
  readonly relative: boolean;
}

export const rowsByKey: ReadonlyMap<number, Decoded> = new Map(
  handlerRows.map((row, index) => [
    row.key,
    { row, handler: FIRST_ROW_HANDLER + index, relative: isRelative(row.format) },
  ]),
);

export class DecodeCache {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #area: number;
  readonly #ram: number;
  readonly #has: (facility: number) => boolean;
  readonly #slow: (key: number) => SlowHandler;
  /** Slot index + 1 of each page of RAM, 0 = none. */
  #slotOfPage: Uint16Array;
  /** The same for instructions that are watched, while none is; and the other way round. */
  #slotOfOtherPage: Uint16Array | undefined;
  #watched = false;
  /** Page of each slot, absolute address; -1 = unused. */
  readonly #pageOfSlot = new Float64Array(SLOT_COUNT).fill(-1);
  #nextSlot = 0;
  /** Told the page (absolute address) whose slot is given to another one. */
  evicted: ((page: number) => void) | undefined;
  // The instruction that `#fetch` read last
  #high = 0;
  #low = 0;

  /**
   * @param has whether the CPU model has a facility; rows of others stay undefined
   * @param slow where an opcode key that has no row is carried out
   */
  constructor(
    vm: VmMemory,
    vcpu: number,
    has: (facility: number) => boolean,
    slow: (key: number) => SlowHandler,
  ) {
    this.#view = vm.view;
    this.#bytes = vm.bytes;
    this.#area = at(vm.map.vcpuAreas, vcpu);
    this.#ram = vm.map.ramOffset;
    this.#has = has;
    this.#slow = slow;
    this.#slotOfPage = new Uint16Array(Math.ceil(vm.map.ramBytes / PAGE_BYTES));
  }

  /** From now on instructions are decoded to be watched one by one, in slots of their own; or no longer. */
  watch(on: boolean): void {
    if (on === this.#watched) return;
    this.#watched = on;
    this.#slotOfOtherPage ??= new Uint16Array(this.#slotOfPage.length);
    [this.#slotOfPage, this.#slotOfOtherPage] = [this.#slotOfOtherPage, this.#slotOfPage];
    this.purgeTranslations();
    const scratch = this.#area + Core.scratch;
    this.#bytes.fill(0, scratch, scratch + SCRATCH_ENTRIES * Entry.size);
  }

  /** Bytes 0-3 and 4-5 (in the upper half) of the instruction that an entry was decoded from. */
  instruction(entry: number): readonly [number, number] {
    const view = this.#view;
    let at = entry + Entry.bytes;
    if (entry >= this.#area + Core.slots) {
      const offset = this.absoluteOf(entry) % PAGE_BYTES;
      at += offset - Math.min(offset, PAGE_BYTES - WINDOW_BYTES);
    }
    const length = view.getUint8(entry + Entry.length);
    const half = (n: number): number => (n * 2 < length ? view.getUint16(at + n * 2) : 0);
    return [(half(0) << 16) | half(1), half(2) << 16];
  }

  /** Handler of an instruction that is not watched. */
  handler(high: number, low: number): number {
    const key = opcodeKey(high, low);
    return this.#row(key)?.handler ?? this.#slow(key).handler;
  }

  /** Forgets which logical pages lead to which slots. */
  purgeTranslations(): void {
    const start = this.#area + Core.instructionTlb;
    this.#bytes.fill(0, start, start + INSTRUCTION_TLB_BYTES);
  }

  /** Host address of the slot for the page at absolute address `page`; makes one if there is none. */
  slotOf(page: number): number {
    const known = at(this.#slotOfPage, page / PAGE_BYTES);
    if (known !== 0) return this.#slotAddress(known - 1);
    const slot = this.#nextSlot;
    this.#nextSlot = (slot + 1) % SLOT_COUNT;
    const before = at(this.#pageOfSlot, slot);
    if (before >= 0) {
      this.#forget(before / PAGE_BYTES, slot + 1);
      this.evicted?.(before);
      this.purgeTranslations();
    }
    this.#pageOfSlot[slot] = page;
    this.#slotOfPage[page / PAGE_BYTES] = slot + 1;
    const start = this.#slotAddress(slot);
    this.#bytes.fill(0, start, start + SLOT_BYTES);
    // The entry behind the page compares a zero with a zero, so it always matches.
    const last = start + SLOT_BYTES - Entry.size;
    this.#view.setUint16(last + Entry.handler, HANDLER_PAGE_END, true);
    this.#view.setInt32(last + Entry.code, this.#area + Core.zero, true);
    return start;
  }

  /** Enters a logical page into the instruction TLB. */
  enter(high: number, low: number, slot: number): void {
    const tag = this.#view.getInt32(this.#area + Core.instructionTag, true);
    const line =
      this.#area +
      Core.instructionTlb +
      ((low >>> 12) & (TLB_ENTRIES - 1)) * InstructionTlbEntry.bytes;
    this.#view.setInt32(line + InstructionTlbEntry.tag, (low & ~0xfff) | tag, true);
    this.#view.setInt32(line + InstructionTlbEntry.tag + 4, high, true);
    this.#view.setInt32(line + InstructionTlbEntry.slot, slot, true);
  }

  /** Decodes the instruction that `entry` of a slot stands for, or finds that only a neighbour changed. */
  decode(entry: number): void {
    const view = this.#view;
    const index = Math.floor((entry - this.#area - Core.slots) / SLOT_BYTES);
    const start = this.#slotAddress(index);
    const offset = (entry - start) / (Entry.size / 2);
    const page = this.#ram + at(this.#pageOfSlot, index);
    const window = Math.min(offset, PAGE_BYTES - WINDOW_BYTES);
    const length = instructionLength(view.getUint8(page + offset));
    const here = Math.min(length, PAGE_BYTES - offset);
    const unchanged =
      view.getUint16(entry + Entry.handler, true) !== 0 &&
      view.getUint8(entry + Entry.length) === length &&
      this.#sameBytes(page + offset, entry + Entry.bytes + offset - window, here);
    view.setInt32(entry + Entry.code, page + window, true);
    this.#bytes.copyWithin(entry + Entry.bytes, page + window, page + window + WINDOW_BYTES);
    if (unchanged) return;
    if (here < length) {
      view.setUint16(entry + Entry.handler, HANDLER_CROSS, true);
      view.setUint8(entry + Entry.length, length);
      return;
    }
    this.#high = view.getUint16(page + offset) << 16;
    if (length > 2) this.#high |= view.getUint16(page + offset + 2);
    this.#low = length === 6 ? view.getUint16(page + offset + 4) << 16 : 0;
    this.#fill(entry, length);
    const relative = rowsByKey.get(opcodeKey(this.#high, this.#low))?.relative ?? false;
    if (!relative) return;
    const target = offset + 2 * view.getInt32(entry + Entry.d, true);
    if (target < 0 || target >= PAGE_BYTES) return;
    view.setInt32(entry + Entry.c, start + target * (Entry.size / 2), true);
  }

  /** Absolute address of the instruction that `entry` of a slot stands for. */
  absoluteOf(entry: number): number {
    const index = Math.floor((entry - this.#area - Core.slots) / SLOT_BYTES);
    return at(this.#pageOfSlot, index) + (entry - this.#slotAddress(index)) / (Entry.size / 2);
  }

  /** A decoded scratch entry for an instruction given by its bytes; reused while they are the same. */
  scratch(high: number, low: number): number {
    const length = instructionLength(high >>> 24);
    const cleanHigh = length === 2 ? high & 0xffff0000 : high;
    const cleanLow = length === 6 ? low & 0xffff0000 : 0;
    const hash = Math.imul(cleanHigh ^ (cleanLow >>> 7), 0x9e3779b1) >>> 26;
    const entry = this.#area + Core.scratch + (hash % SCRATCH_ENTRIES) * Entry.size;
    const view = this.#view;
    const same =
      view.getInt32(entry + Entry.bytes) === cleanHigh &&
      view.getInt32(entry + Entry.bytes + 4) === cleanLow &&
      view.getUint8(entry + Entry.length) === length;
    if (!same) {
      this.#high = cleanHigh;
      this.#low = cleanLow;
      this.#fill(entry, length);
      view.setInt32(entry + Entry.bytes, cleanHigh);
      view.setInt32(entry + Entry.bytes + 4, cleanLow);
    }
    return entry;
  }

  #slotAddress(index: number): number {
    return this.#area + Core.slots + index * SLOT_BYTES;
  }

  /** A slot of either kind is given to another page. */
  #forget(page: number, slot: number): void {
    if (this.#slotOfPage[page] === slot) this.#slotOfPage[page] = 0;
    else if (this.#slotOfOtherPage !== undefined) this.#slotOfOtherPage[page] = 0;
  }

  #sameBytes(first: number, second: number, count: number): boolean {
    for (let i = 0; i < count; i++) {
      if (this.#bytes[first + i] !== this.#bytes[second + i]) return false;
    }
    return true;
  }

  /** Handler and operands of the instruction in #high and #low. */
  #fill(entry: number, length: number): void {
    const view = this.#view;
    const key = opcodeKey(this.#high, this.#low);
    const known = this.#row(key);
    view.setUint8(entry + Entry.length, length);
    if (known !== undefined) {
      view.setUint16(entry + Entry.handler, known.handler, true);
      decodeOperands(view, this.#area, entry, known.row.format, this.#high, this.#low);
    } else {
      const { handler, index } = this.#slow(key);
      view.setUint16(entry + Entry.handler, handler, true);
      view.setInt32(entry + Entry.a, this.#high, true);
      view.setInt32(entry + Entry.b, this.#low, true);
      view.setInt32(entry + Entry.d, index, true);
    }
    if (this.#watched) view.setUint16(entry + Entry.handler, HANDLER_WATCHED, true);
  }

  /** The row of an opcode that this model has. */
  #row(key: number): Decoded | undefined {
    const known = rowsByKey.get(key);
    if (known?.row.facility === undefined || this.#has(known.row.facility)) return known;
    return undefined;
  }
}
