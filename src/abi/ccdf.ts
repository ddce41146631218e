import { bits, layout, u16, u32, u64 } from "./layout.ts";

/**
 * Content code description of a PCI function error (content code 1), 32 bytes as VFIO feature 13 hands
 * them out and as CHSC store-event-information stores them.
 */
export const CcdfErr = layout(
  "zpci_ccdf_err",
  32,
  "big",
  "Linux 7.3 arch/s390/include/asm/pci.h, struct zpci_ccdf_err",
  {
    reserved1: u32(0),
    fh: u32(4),
    fid: u32(8),
    ett: bits(12, 0, 3), //      expected table type
    mvn: bits(12, 4, 15), //     MSI vector number
    dmaas: bits(12, 16, 23), //  DMA address space
    reserved2: bits(12, 24, 29),
    q: bits(12, 30, 30), //      event qualifier
    rw: bits(12, 31, 31), //     1 = write
    faddr: u64(16),
    reserved3: u32(24),
    reserved4: u16(28),
    pec: u16(30),
  },
);

/** Availability event (content code 2): the same frame, everything but FH, FID and PEC reserved. */
export const CcdfAvail = layout(
  "zpci_ccdf_avail",
  32,
  "big",
  "Linux 7.3 arch/s390/pci/pci_event.c, struct zpci_ccdf_avail",
  { fh: u32(4), fid: u32(8), pec: u16(30) },
);

/** PCI event codes that zmend treats by name. Source: zpci-guest.md 7.2, 7.3 (QEMU's identifiers). */
export const Pec = {
  INVALAS: 0x0001,
  OORANGE: 0x0002,
  INVALTF: 0x0003,
  TPROTE: 0x0004,
  APROTE: 0x0005,
  KEYE: 0x0006,
  INVALTE: 0x0007,
  INVALTL: 0x0008,
  TT: 0x0009,
  INVALMS: 0x000a,
  SERR: 0x000b,
  NOMSI: 0x0010,
  INVALBV: 0x0011,
  AIBV: 0x0012,
  AIRERR: 0x0013,
  FMBA: 0x002a,
  FMBUP: 0x002b,
  FMBPRO: 0x002c,
  CCONF: 0x0030,
  SERVAC: 0x003a,
  PERMERR: 0x003b,
  RECOVERY_FAILED: 0x0040,
} as const;

/** Availability events (content code 2). 0x0305 and 0x0307 are known to no source. Source: zpci-guest.md 7.3. */
export const AvailabilityPec = {
  TO_CONFIGURED: 0x0301,
  RESERVED_TO_STANDBY: 0x0302,
  DECONFIGURE_REQUEST: 0x0303,
  CONFIGURED_TO_STBRES: 0x0304,
  /** Several functions changed: no FH, no FID; the guest lists them anew. */
  MANY_CHANGED: 0x0306,
  STANDBY_TO_RESERVED: 0x0308,
} as const;

/** Function measurement codes: logged by the host, never queued for user space (vfio-uapi.md 3.3). */
export function isFmbCode(pec: number): boolean {
  return pec >= Pec.FMBA && pec <= Pec.FMBPRO;
}

/** Codes after which the platform gives the function up (vfio-uapi.md 3.3). */
export function isPermanentCode(pec: number): boolean {
  return pec === Pec.PERMERR || pec === Pec.RECOVERY_FAILED;
}
