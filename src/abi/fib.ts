import { bits, layout, u8, u32, u64 } from "./layout.ts";

/** Function information block, format 0: operand of MPCIFC and result of STPCIFC; 8-byte aligned. */
export const Fib = layout(
  "zpci_fib",
  80,
  "big",
  "Linux 7.3 arch/s390/include/asm/pci_insn.h, struct zpci_fib; zpci-guest.md 3.1",
  {
    format: u8(0), //             0 = the only one served; 1 = directed interrupts
    fc: u8(8), //                 FC_*, output of STPCIFC
    pba: u64(16), //              first valid IOVA, low 12 bits ignored
    pal: u64(24), //              last valid IOVA, low 12 bits taken as ones
    iota: u64(32), //             IOTA_*
    isc: bits(40, 1, 3),
    noi: bits(40, 4, 15), //      number of interruptions (MSI vectors)
    aibvo: bits(40, 18, 23), //   bit offset of vector 0 in the bit vector
    sum: bits(40, 24, 24), //     summary bit wanted
    aisbo: bits(40, 26, 31), //   bit offset of the summary bit
    aibv: u64(48), //             absolute address of the interruption bit vector
    aisb: u64(56), //             absolute address of the summary doubleword
    fmb: u64(64), //              function measurement block; low 4 bits = storage key
    gd: u32(76), //               GISA designation, 0 for plain guests
  },
);

/** `fc`: enabled, in error, load/store blocked, DMA address space registered. */
export const FC_ENABLED = 0x80;
export const FC_ERROR = 0x40;
export const FC_LS_BLOCKED = 0x20;
export const FC_DMAAS_REG = 0x10;

/** Low word of an IOTA. Source: zpci-guest.md 5.1. */
export const IOTA_TRANSLATE = 0x800;
export const IOTA_PROTECT = 0x200;
/** Designation type: 1 region-third, 2 region-second, 3 region-first table. */
export function iotaDesignation(iotaLow: number): number {
  return (iotaLow >>> 2) & 7;
}

/** Entries of DMA translation tables, low word. Source: zpci-guest.md 5.2. */
export const TABLE_PROTECT = 0x200;
export const TABLE_OFFSET_MASK = 0xc0;
export const TABLE_INVALID = 0x20;
export const TABLE_TYPE_MASK = 0xc;
export const TABLE_LENGTH_MASK = 0x3;
export const SEGMENT_FRAME = 0x400; // 1 MiB frame instead of a page table
export const PAGE_INVALID = 0x400;
