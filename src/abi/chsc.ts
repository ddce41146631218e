/** Channel subsystem call and channel report word. Source: zpci-guest.md 7.5, 7.6; s390x-machine.md 5.4. */
import { layout, u8, u16, u64 } from "./layout.ts";

/** 4 KiB area: request, then the response directly behind it. */
export const ChscRequest = layout("chsc_request", 16, "big", "zpci-guest.md 7.6", {
  length: u16(0),
  command: u16(2),
  selectionMask: u64(8), // store event information: CHSC_SEI_NT2 …
});

export const ChscResponse = layout("chsc_response", 8, "big", "zpci-guest.md 7.6", {
  length: u16(0),
  code: u16(2),
});

/** Response block of store event information (behind its 16-byte request); the CCDF has 32 bytes. */
export const ChscSeiResponse = layout("chsc_sei_response", 4080, "big", "zpci-guest.md 7.6", {
  length: u16(0),
  code: u16(2),
  notificationType: u8(7),
  flags: u8(8),
  contentCode: u8(11), // 1 error, 2 availability
  ccdf: u64(64),
});

export const ChscCommand = {
  storeEventInformation: 0x000e,
  storeCharacteristics: 0x0010,
} as const;

export const ChscCode = {
  ok: 0x0001,
  badRequest: 0x0003,
  unknownCommand: 0x0004,
  noEvent: 0x0005,
} as const;

/** Byte 8 of the request: notification type 2 (PCI) selected. */
export const CHSC_SEI_NT2_BYTE = 0x20;
/** Flag of the response: more events are pending. */
export const CHSC_SEI_MORE = 0x80;
export const CHSC_AREA_BYTES = 4096;

/** CRW of a PCI event: RSC 0xB (channel subsystem), ERC 0 (event information pending). */
export const CRW_CSS_EVENT = 0x0b000000;
