/**
 * Call logical processor, PCI commands: request block, then the response block directly behind it.
 * Source: zpci-guest.md 2 (QEMU 10.2.2 s390-pci-clp.h, Linux 7.3 asm/clp.h and pci_clp.h).
 */
import { bitsOf, bytes, layout, u8, u16, u32, u64 } from "./layout.ts";

const SOURCE = "zpci-guest.md 2";

/** Common header of request (code = command) and response (code = response code). */
export const ClpHeader = layout("clp_hdr", 16, "big", `${SOURCE}.1`, {
  length: u16(0),
  code: u16(2),
  format: u32(4), // bits 0-3 format, rest reserved
  reserved: u64(8),
});

export const ClpCommand = {
  listPci: 0x0002,
  queryFunction: 0x0003,
  queryGroup: 0x0004,
  setFunction: 0x0005,
} as const;

/** Response codes (zpci-guest.md 2.1). */
export const ClpResponse = {
  ok: 0x0010,
  unknownCommand: 0x0020,
  badFormat: 0x0040,
  badLength: 0x0050,
  blockTooSmall: 0x0060,
  reservedNotZero: 0x0070,
  invalidHandle: 0x0101,
  handleNotValidForOperation: 0x0102,
  invalidDmaSpace: 0x0103,
  insufficientResources: 0x0104,
  alreadyInState: 0x0105,
  permanentError: 0x0106,
  recoveryPending: 0x0107,
  busy: 0x0108,
  badResumeToken: 0x010a,
  unknownGroup: 0x010b,
} as const;

/** Every request of the PCI commands has this length. */
export const CLP_REQUEST_BYTES = 32;
export const CLP_BLOCK_BYTES_MAX = 8192;

export const ClpListRequest = layout("clp_req_list_pci", 32, "big", `${SOURCE}.2`, {
  resumeToken: u64(16),
});

export const ClpListResponse = layout("clp_rsp_list_pci", 32, "big", `${SOURCE}.2`, {
  resumeToken: u64(16),
  mdd: u32(24),
  maxFunctions: u16(28),
  flags: u8(30), // 0x01 UID checking
  entrySize: u8(31),
});

export const ClpListEntry = layout("clp_fh_list_entry", 16, "big", `${SOURCE}.2`, {
  deviceId: u16(0),
  vendorId: u16(2),
  config: u32(4), // 0x80000000 = configured
  fid: u32(8),
  fh: u32(12),
});

export const ClpQueryFunctionRequest = layout("clp_req_query_pci", 32, "big", `${SOURCE}.3`, {
  fh: u32(16),
});

/** The first 192 of Linux's 384 bytes; the rest describes MIO and stays zero. */
export const ClpQueryFunctionResponse = layout("clp_rsp_query_pci", 192, "big", `${SOURCE}.3`, {
  vfn: u16(16),
  flags: u8(18), // 0x01 utility string valid
  pfgid: u8(19),
  fid: u32(20),
  barSize: bytes(24, 6), // log2
  pchid: u16(30),
  bar: bytes(32, 24), //    six little-endian words
  pfip: bytes(56, 4),
  fidparm: u8(60),
  port: u8(61),
  fmbLength: u8(62), //     in 4-byte units
  pft: u8(63),
  sdma: u64(64),
  edma: u64(72),
  rid: u16(80),
  tid: u16(86),
  uid: u32(124),
  utilityString: bytes(128, 64),
});

export const ClpQueryGroupRequest = layout("clp_req_query_pci_grp", 32, "big", `${SOURCE}.4`, {
  pfgid: u8(19),
});

export const ClpQueryGroupResponse = layout("clp_rsp_query_pci_grp", 64, "big", `${SOURCE}.4`, {
  noi: bitsOf(2, 16, 4, 15),
  version: u8(18),
  fr: u8(19), //              0x20 RTR, 0x02 frame, 0x01 refresh
  maxstbl: bitsOf(2, 20, 3, 15),
  mui: u16(22),
  dtsm: u8(24),
  maxfaal: u16(26),
  dnoi: bitsOf(2, 28, 4, 15),
  maxcpu: u16(30),
  dasm: u64(32),
  msia: u64(40),
});

export const ClpSetFunctionRequest = layout("clp_req_set_pci", 32, "big", `${SOURCE}.5`, {
  fh: u32(16),
  oc: u8(22), //    0 enable, 1 disable
  ndas: u8(23), //  number of DMA address spaces
  gisa: u32(28),
});

export const ClpSetFunctionResponse = layout("clp_rsp_set_pci", 32, "big", `${SOURCE}.5`, {
  fh: u32(16),
});
