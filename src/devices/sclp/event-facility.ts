/**
 * SCLP event facility: console text out (VT220 and line mode), console input and "signal quiesce" in, and
 * the guest's PCI recovery reports. Sources: s390x-machine.md 6; zpci-guest.md 9.5; layout of events:
 * Linux 7.3 drivers/s390/char/sclp.h.
 */
import { ebcdicToAscii } from "../../abi/ebcdic.ts";
import { RequestKind } from "../../abi/records.ts";
import {
  ADAPTER_TYPE_PCI,
  EVENT_ACCEPTED,
  EventHeader,
  EventMaskSccb,
  EventType,
  eventBit,
  MDB_HEADER_BYTES,
  MDB_OBJECT_TEXT,
  MDB_TAG,
  MDB_TEXT_HEADER_BYTES,
  ReportEvent,
  SCCB_VARIABLE_LENGTH,
  Sccb,
  SclpCode,
} from "../../abi/sclp.ts";
import type { SclpEvents } from "../../shm/sclp-events.ts";
import type { FunctionTable } from "../zpci/function.ts";

const MASK_BYTES_MAX = 1021;
const UNCONDITIONAL_READ = 0;
const SELECTIVE_READ = 1;
const LINE_FEED = 0x0a;
const VT220_INPUT_DATA = 0x00;
/** Quiesce event: header, time-out u16, unit u8. */
const QUIESCE_BYTES = EventHeader.size + 3;
const H = EventHeader.fields;

export class EventFacility {
  readonly #events: SclpEvents;
  readonly #functions: FunctionTable;
  readonly #console: (bytes: Uint8Array) => void;
  readonly #receiveMask: number;
  readonly #sendMask: number;

  constructor(
    events: SclpEvents,
    functions: FunctionTable,
    console: (bytes: Uint8Array) => void,
    lineMode: boolean,
  ) {
    this.#events = events;
    this.#functions = functions;
    this.#console = console;
    this.#receiveMask =
      eventBit(EventType.vt220) |
      eventBit(EventType.report) |
      (lineMode ? eventBit(EventType.message) : 0);
    this.#sendMask = eventBit(EventType.vt220) | eventBit(EventType.signalQuiesce);
  }

  /** An event that the guest wants to receive is waiting. */
  pending(mask = this.#events.receiveMask()): boolean {
    const quiesce =
      (mask & eventBit(EventType.signalQuiesce)) !== 0 && this.#events.quiesceRequested();
    return (
      quiesce || ((mask & eventBit(EventType.vt220)) !== 0 && this.#events.inputAvailable() > 0)
    );
  }

  writeMask(bytes: Uint8Array, view: DataView, length: number): number {
    if (length < EventMaskSccb.size) return SclpCode.insufficientLength;
    const size = view.getUint16(EventMaskSccb.fields.maskLength.offset);
    if (size === 0 || size > MASK_BYTES_MAX) return SclpCode.invalidMaskLength;
    const masks = EventMaskSccb.size;
    if (length < masks + 4 * size) return SclpCode.insufficientLength;
    this.#events.setReceiveMask(readMask(bytes, masks, size));
    writeMask(bytes, masks + 2 * size, size, this.#receiveMask);
    writeMask(bytes, masks + 3 * size, size, this.#sendMask);
    return SclpCode.normal;
  }

  /** Guest to machine: every event buffer of the SCCB, in order, until one is refused. */
  writeData(bytes: Uint8Array, view: DataView, length: number): number {
    if (view.getUint8(Sccb.fields.functionCode.offset) !== 0) return SclpCode.invalidFunction;
    const syntax = checkBuffers(view, length);
    if (syntax !== SclpCode.normal) return syntax;
    for (let at = Sccb.size; at < length; ) {
      const size = view.getUint16(at + H.length.offset);
      const type = view.getUint8(at + H.type.offset);
      if (!this.#accept(type, bytes, view, at, size)) return SclpCode.invalidFunction;
      view.setUint8(at + H.flags.offset, view.getUint8(at + H.flags.offset) | EVENT_ACCEPTED);
      at += size;
    }
    return SclpCode.normal;
  }

  #accept(type: number, bytes: Uint8Array, view: DataView, at: number, size: number): boolean {
    switch (type) {
      case EventType.vt220:
        this.#console(bytes.slice(at + EventHeader.size, at + size));
        return true;
      case EventType.message:
        this.#message(view, at + EventHeader.size, at + size);
        return true;
      case EventType.report:
        this.#report(bytes, view, at, size);
        return true;
      default:
        return false;
    }
  }

  /** Message data block: every text object is one line. */
  #message(view: DataView, at: number, end: number): void {
    if (at + MDB_HEADER_BYTES > end || view.getUint32(at + 4) !== MDB_TAG) return;
    for (let object = at + MDB_HEADER_BYTES; object + 4 <= end; ) {
      const size = view.getUint16(object);
      if (size < 4 || object + size > end) return;
      if (view.getUint16(object + 2) === MDB_OBJECT_TEXT && size >= MDB_TEXT_HEADER_BYTES) {
        const text = new Uint8Array(size - MDB_TEXT_HEADER_BYTES + 1);
        for (let n = 0; n < text.length - 1; n++) {
          text[n] = ebcdicToAscii(view.getUint8(object + MDB_TEXT_HEADER_BYTES + n));
        }
        text[text.length - 1] = LINE_FEED;
        this.#console(text);
      }
      object += size;
    }
  }

  /** The guest's own account of a recovery; "in progress" is no outcome. */
  #report(bytes: Uint8Array, view: DataView, at: number, size: number): void {
    const fields = ReportEvent.fields;
    if (size < ReportEvent.size) return;
    if (view.getUint8(at + fields.adapterType.offset) !== ADAPTER_TYPE_PCI) return;
    const target = this.#functions.byFid(view.getUint32(at + fields.fid.offset));
    if (target === undefined) return;
    const text = String.fromCharCode(...bytes.subarray(at + ReportEvent.size, at + size));
    const status = /^status: *(.*?)\s*$/m.exec(text)?.[1] ?? "";
    if (status === "in progress") return;
    target.post(RequestKind.guestReport, status === "success" ? 1 : 0);
  }

  /** Machine to guest: as many waiting events as fit. */
  readData(bytes: Uint8Array, view: DataView, length: number): number {
    const wanted = this.#selection(bytes, view, length);
    if (wanted < 0) return -wanted;
    if (!this.pending(wanted)) return SclpCode.noEventBuffers;
    let at = Sccb.size;
    if (this.#events.quiesceRequested() && (wanted & eventBit(EventType.signalQuiesce)) !== 0) {
      if (at + QUIESCE_BYTES > length) return SclpCode.insufficientLength;
      bytes.fill(0, at, at + QUIESCE_BYTES);
      writeHeader(view, at, QUIESCE_BYTES, EventType.signalQuiesce);
      this.#events.takeQuiesce();
      at += QUIESCE_BYTES;
    } else {
      const room = length - at - EventHeader.size - 1;
      if (room <= 0) return SclpCode.insufficientLength;
      bytes.fill(0, at, at + EventHeader.size);
      bytes[at + EventHeader.size] = VT220_INPUT_DATA;
      const count = this.#events.takeInput(bytes, at + EventHeader.size + 1, room);
      const size = EventHeader.size + 1 + count;
      writeHeader(view, at, size, EventType.vt220);
      at += size;
    }
    shorten(view, at);
    return SclpCode.normal;
  }

  /** Mask of wanted events, or a negative response code. */
  #selection(bytes: Uint8Array, view: DataView, length: number): number {
    const active = this.#events.receiveMask() & 0x7fffffff;
    switch (view.getUint8(Sccb.fields.functionCode.offset)) {
      case UNCONDITIONAL_READ:
        return active;
      case SELECTIVE_READ: {
        if (length < Sccb.size + 4) return -SclpCode.insufficientLength;
        const selected = readMask(bytes, Sccb.size, 4);
        if (active === 0 || (selected & ~active) !== 0) return -SclpCode.invalidSelectionMask;
        return selected & 0x7fffffff;
      }
      default:
        return -SclpCode.invalidFunction;
    }
  }
}

/** A guest that allows a variable-length response gets the length of what was stored. */
function shorten(view: DataView, end: number): void {
  const control = Sccb.fields.controlMask.offset + 2;
  if ((view.getUint8(control) & SCCB_VARIABLE_LENGTH) === 0) return;
  view.setUint8(control, view.getUint8(control) & ~SCCB_VARIABLE_LENGTH);
  view.setUint16(Sccb.fields.length.offset, end);
}

/** Event buffers must fill the SCCB exactly. */
function checkBuffers(view: DataView, length: number): number {
  let at = Sccb.size;
  while (at < length) {
    if (at + EventHeader.size > length) return SclpCode.eventSyntaxError;
    const size = view.getUint16(at + H.length.offset);
    if (size < EventHeader.size || at + size > length) return SclpCode.eventSyntaxError;
    at += size;
  }
  return SclpCode.normal;
}

function writeHeader(view: DataView, at: number, length: number, type: number): void {
  view.setUint16(at + H.length.offset, length);
  view.setUint8(at + H.type.offset, type);
}

/** First word of a mask of `size` bytes; missing bytes are zero. */
function readMask(bytes: Uint8Array, at: number, size: number): number {
  let mask = 0;
  for (let n = 0; n < 4; n++) mask = (mask << 8) | (n < size ? (bytes[at + n] as number) : 0);
  return mask >>> 0;
}

function writeMask(bytes: Uint8Array, at: number, size: number, mask: number): void {
  for (let n = 0; n < size; n++) bytes[at + n] = n < 4 ? (mask >>> (24 - 8 * n)) & 0xff : 0;
}
