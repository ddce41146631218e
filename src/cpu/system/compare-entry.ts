/**
 * COMPARE AND REPLACE DAT TABLE ENTRY, which came with enhanced DAT 2: swaps an entry of a page, segment or region table and
 * clears the TLB (all of it, whatever R3 and M4 say). Source: SA22-7832 chapter 10; operands as in Linux
 * arch/s390/include/asm/pgtable.h, `crdte`.
 */
import { SPECIFICATION, type SystemContext } from "./context.ts";

const TWO_32 = 0x1_0000_0000;
/** Bits 59-61 of R2: page table, or 4 + the level of a segment or region table. */
const DESIGNATION = 7;
const PAGE_TABLE = 0;
const SEGMENT_TABLE = 4;

/** R1: entry and its replacement; R2: the table; R2 + 1: the address that selects the entry. */
export function crdte(sys: SystemContext): void {
  if (sys.problem()) return;
  const { guest, ram } = sys;
  const first = sys.r24;
  const second = sys.r28;
  const tableLow = guest.grLow(second);
  const designation = (tableLow >>> 2) & DESIGNATION;
  const known = designation === PAGE_TABLE || designation >= SEGMENT_TABLE;
  if ((first & 1) !== 0 || (second & 1) !== 0 || !known) {
    guest.program(SPECIFICATION);
    return;
  }
  const mask = designation === PAGE_TABLE ? ~0x7ff : ~0xfff;
  const origin = (guest.grHigh(second) >>> 0) * TWO_32 + ((tableLow & mask) >>> 0);
  const entry = sys.realEntry(origin + indexOf(sys, designation, second + 1) * 8);
  if (entry < 0) return;
  const oldHigh = guest.grHigh(first);
  const oldLow = guest.grLow(first);
  const next = first + 1;
  if (ram.compareExchange64(entry, oldHigh, oldLow, guest.grHigh(next), guest.grLow(next))) {
    guest.setCc(0);
    sys.purgeEverywhere();
    return;
  }
  guest.setGr(first, ram.u32(entry) | 0, ram.u32(entry + 4) | 0);
  guest.setCc(1);
}

/** Page index, segment index, region-third, -second or -first index of the address in a register. */
function indexOf(sys: SystemContext, designation: number, register: number): number {
  const high = sys.guest.grHigh(register);
  const low = sys.guest.grLow(register);
  switch (designation) {
    case PAGE_TABLE:
      return (low >>> 12) & 0xff;
    case SEGMENT_TABLE:
      return (low >>> 20) & 0x7ff;
    case SEGMENT_TABLE + 1:
      return ((high & 0x3ff) << 1) | (low >>> 31);
    case SEGMENT_TABLE + 2:
      return (high >>> 10) & 0x7ff;
    default:
      return high >>> 21;
  }
}
