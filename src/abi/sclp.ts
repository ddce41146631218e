/**
 * SCLP: service-call control block (SCCB), commands, response codes, events.
 * Source: s390x-machine.md 6; zpci-guest.md 8.3, 9.5; Linux 7.3 drivers/s390/char/sclp.h;
 * QEMU 10.2.2 include/hw/s390x/sclp.h (response codes).
 */
import { bytes, layout, u8, u16, u32, u64 } from "./layout.ts";

export const Sccb = layout("sccb_header", 8, "big", "Linux drivers/s390/char/sclp.h", {
  length: u16(0),
  functionCode: u8(2),
  controlMask: bytes(3, 3),
  responseCode: u16(6),
});

/** Third control-mask byte: the machine may shorten the SCCB to what it stored, and takes the bit back. */
export const SCCB_VARIABLE_LENGTH = 0x80;

/** Commands as compared: bits 16-23 of the command word are a parameter and are masked off. */
export const SclpCommand = {
  readScpInfo: 0x00020001,
  readScpInfoForced: 0x00120001,
  readCpuInfo: 0x00010001,
  writeEventMask: 0x00780005,
  writeEventData: 0x00760005,
  readEventData: 0x00770005,
  configurePci: 0x001a0001,
  deconfigurePci: 0x001b0001,
} as const;
export const SCLP_COMMAND_MASK = 0xffff00ff;

export const SclpCode = {
  normalRead: 0x0010,
  normal: 0x0020,
  boundaryViolation: 0x0100,
  noActionRequired: 0x0120,
  invalidCommand: 0x01f0,
  insufficientLength: 0x0300,
  adapterReserved: 0x05f0,
  adapterTypeUnknown: 0x06f0,
  adapterIdUnknown: 0x09f0,
  invalidFunction: 0x40f0,
  noEventBuffers: 0x60f0,
  invalidSelectionMask: 0x70f0,
  inconsistentLengths: 0x72f0,
  eventSyntaxError: 0x73f0,
  invalidMaskLength: 0x74f0,
} as const;

/** Read SCP information, the fields that are filled. */
export const ScpInfo = layout("read_info_sccb", 128, "big", "s390x-machine.md 6", {
  rnmax: u16(8), //       storage increments
  rnsize: u8(10), //      increment size in MiB
  cpuCount: u16(16),
  cpuOffset: u16(18),
  loadparm: bytes(24, 8), // EBCDIC
  facilities: u64(48),
  rnmax2: u64(104),
  highestCpu: u16(120),
});
export const SCP_FACILITY_CPU_INFO = 0x0800000000000000n;
export const SCP_FACILITY_PCI_RECONFIGURE = 0x0000000040000000n;

export const CpuInfo = layout("read_cpu_info_sccb", 24, "big", "s390x-machine.md 6", {
  configured: u16(8),
  offsetConfigured: u16(10),
  standby: u16(12),
  offsetStandby: u16(14),
});
/** CPU entry of both: byte 0 address, byte 14 type (0 = general purpose). */
export const CPU_ENTRY_BYTES = 16;

export const EventMaskSccb = layout("init_sccb", 12, "big", "Linux drivers/s390/char/sclp.h", {
  maskLength: u16(10), // then four masks: CP receive, CP send, SCLP receive, SCLP send
});

export const EventHeader = layout("evbuf_header", 6, "big", "Linux drivers/s390/char/sclp.h", {
  length: u16(0),
  type: u8(2),
  flags: u8(3),
});
export const EVENT_ACCEPTED = 0x80;

export const EventType = {
  message: 0x02, //        line-mode text in a message data block
  report: 0x18, //         PCI recovery report
  vt220: 0x1a, //          ASCII console
  signalQuiesce: 0x1d,
} as const;

/** Bit of event type T in the first mask word: T counted from 1 at the left. */
export function eventBit(type: number): number {
  return (1 << (32 - type)) >>> 0;
}

/** Recovery report, offsets inside its event buffer (zpci-guest.md 9.5 minus the 8-byte SCCB header). */
export const ReportEvent = layout("err_notify_evbuf", 32, "big", "zpci-guest.md 9.5", {
  action: u8(6),
  adapterType: u8(7),
  fh: u32(8),
  fid: u32(12),
  timestamp: u64(16),
  id: u64(24), // 0x4714, then text
});

/** Message data block behind the event header: objects of {length u16, type u16, …}. */
export const MDB_HEADER_BYTES = 12;
export const MDB_TAG = 0xd4c4c240; // "MDB " in EBCDIC, at offset 4
export const MDB_OBJECT_TEXT = 4; //  message text object: 10 bytes, then EBCDIC text
export const MDB_TEXT_HEADER_BYTES = 10;

/** Configure and deconfigure I/O adapter. */
export const AdapterSccb = layout("pci_cfg_sccb", 16, "big", "zpci-guest.md 8.3", {
  adapterType: u8(8),
  adapterId: u32(12),
});
export const ADAPTER_TYPE_PCI = 2;
