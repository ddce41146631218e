/**
 * Dynamic-address-translation tables of the oracle image: the primary space is a segment-table space,
 * the secondary one goes through a region-third table, the home space through region-first and
 * region-second tables, so that every level is walked. Each maps the first 16 MiB onto itself and the
 * windows of `layout.ts`; the secondary space has the slots' data pages exchanged where the others have not. Source: Principles of Operation, chapter 3, "Dynamic Address Translation".
 */
import { MAX_SLOTS, PAGE, SLOT_BYTES, SLOTS, TABLES, WINDOW_BYTES, Window } from "./layout.ts";

const SEGMENT = 1 << 20;
const IDENTITY_SEGMENTS = 16;
const PAGE_TABLE_BYTES = 0x800;
const TABLE_BYTES = 0x4000;

const SEGMENT_TABLE = TABLES;
const SECONDARY_SEGMENTS = TABLES + 0x48000;
const REGION_THIRD = TABLES + TABLE_BYTES;
const REGION_SECOND = TABLES + 0x5000;
const REGION_FIRST = TABLES + 0x6000;
const HOME_THIRD = TABLES + 0x7000;
const PAGE_TABLES = TABLES + 0x8000;

const ENTRY_INVALID = 0x20n;
const STE_PROTECTED = 0x200n;
/** Of a segment-table entry: it designates the frame. */
const FORMAT_CONTROL = 0x400n;
const PTE_INVALID = 0x400n;
const PTE_PROTECTED = 0x200n;
/** No instruction fetches, where CR0 says that this counts. */
const PTE_NO_EXECUTE = 0x100n;
/** Bit 52 of a page-table entry must be zero, else a translation-specification exception. */
const PTE_RESERVED = 0x800n;
const TYPE_THIRD = 0x4n;
const TYPE_SECOND = 0x8n;
const TYPE_FIRST = 0xcn;

/** Address-space-control elements: origin, designation type, table length in units of 4 KiB less one. */
export const Asce = {
  primary: BigInt(SEGMENT_TABLE) | 3n,
  secondary: BigInt(REGION_THIRD) | TYPE_THIRD,
  home: BigInt(REGION_FIRST) | TYPE_FIRST,
} as const;

type PageEntry = (page: number) => bigint;

const identity: PageEntry = (page) => BigInt(page * PAGE);
/** 0 = the slot's control page, 1 and 2 = its data pages, -1 = no slot. */
function slotPage(page: number): number {
  const offset = page * PAGE - SLOTS;
  if (offset < 0 || offset >= MAX_SLOTS * SLOT_BYTES) return -1;
  return Math.floor((offset % SLOT_BYTES) / PAGE);
}

const windows: readonly { readonly base: number; readonly entry: PageEntry }[] = [
  {
    base: Window.swapped,
    entry: (page) => {
      const which = slotPage(page);
      return identity(which === 1 ? page + 1 : which === 2 ? page - 1 : page);
    },
  },
  {
    base: Window.hole,
    entry: (page) => identity(page) | (slotPage(page) === 2 ? PTE_INVALID : 0n),
  },
  {
    base: Window.protectedPage,
    entry: (page) => identity(page) | (slotPage(page) === 2 ? PTE_PROTECTED : 0n),
  },
  { base: Window.protectedSegment, entry: identity },
  {
    base: Window.badEntry,
    entry: (page) => identity(page) | (slotPage(page) === 2 ? PTE_RESERVED : 0n),
  },
  {
    base: Window.noExecute,
    entry: (page) => identity(page) | (slotPage(page) === 2 ? PTE_NO_EXECUTE : 0n),
  },
];

/**
 * Where the page-table entry of `address` in the window of the exchanged data pages stands: sequences
 * may change their own slot's entries.
 */
export function swappedEntry(address: number): { readonly table: number; readonly entry: number } {
  const offset = address % WINDOW_BYTES;
  const segment = Math.floor(offset / SEGMENT);
  const table = PAGE_TABLES + (IDENTITY_SEGMENTS + segment) * PAGE_TABLE_BYTES;
  return { table, entry: table + (Math.floor(offset / PAGE) % 256) * 8 };
}

/** Writes all tables into the image. */
export function writeTables(image: DataView): void {
  for (let index = 0; index < 2048; index++) {
    image.setBigUint64(SEGMENT_TABLE + index * 8, ENTRY_INVALID);
  }
  let pageTable = PAGE_TABLES;
  const map = (base: number, entry: PageEntry, flags: bigint): void => {
    for (let segment = 0; segment < IDENTITY_SEGMENTS; segment++) {
      const index = base / SEGMENT + segment;
      image.setBigUint64(SEGMENT_TABLE + index * 8, BigInt(pageTable) | flags);
      for (let page = 0; page < 256; page++) {
        image.setBigUint64(pageTable + page * 8, entry(segment * 256 + page));
      }
      pageTable += PAGE_TABLE_BYTES;
    }
  };
  map(0, identity, 0n);
  for (const window of windows) {
    map(window.base, window.entry, window.base === Window.protectedSegment ? STE_PROTECTED : 0n);
  }
  for (const [base, flags] of [
    [Window.large, FORMAT_CONTROL],
    [Window.largeProtected, FORMAT_CONTROL | STE_PROTECTED],
  ] as const) {
    for (let segment = 0; segment < IDENTITY_SEGMENTS; segment++) {
      const at = SEGMENT_TABLE + (base / SEGMENT + segment) * 8;
      image.setBigUint64(at, BigInt(segment * SEGMENT) | flags);
    }
  }
  for (let at = 0; at < TABLE_BYTES; at += 8) {
    const from = at / 8 < IDENTITY_SEGMENTS ? at + (Window.swapped / SEGMENT) * 8 : at;
    image.setBigUint64(SECONDARY_SEGMENTS + at, image.getBigUint64(SEGMENT_TABLE + from));
  }
  writeRegionTable(image, REGION_THIRD, TYPE_THIRD, BigInt(SECONDARY_SEGMENTS));
  writeRegionTable(image, HOME_THIRD, TYPE_THIRD, BigInt(SEGMENT_TABLE));
  writeRegionTable(image, REGION_SECOND, TYPE_SECOND, BigInt(HOME_THIRD));
  writeRegionTable(image, REGION_FIRST, TYPE_FIRST, BigInt(REGION_SECOND));
}

/** Entry 0 leads to the next table (of full length for a segment table), entry 1 to the same; the rest is invalid. */
function writeRegionTable(image: DataView, at: number, type: bigint, next: bigint): void {
  const length = type === TYPE_THIRD ? 3n : 0n;
  for (let index = 0; index < 512; index++) {
    const valid = index < 2;
    image.setBigUint64(at + index * 8, valid ? next | type | length : ENTRY_INVALID | type);
  }
}
