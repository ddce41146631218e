/**
 * The journal on disk: what a segment file looks like, and how to find out which of its bytes can be believed.
 *
 * All numbers are little-endian. A segment begins with 32 bytes: magic "ZMENDJNL", version, number of the
 * segment, sequence of its first record (64 bits), a reserved word, CRC-32C of the 28 bytes before. Then come records
 * without gaps: sync word "ZMJR", length of the payload, sequence (64 bits), CRC-32C of length, sequence and payload;
 * the payload is one MessagePack map.
 *
 * What a scan concludes. A writer that is killed leaves a prefix of what it wrote: at the end of the newest
 * segment, bytes that begin like a record and stop too early are a *torn tail*, and so are zeros (a file system
 * that had given the file its size and not its bytes). Everything else that is no record is *damage*: the scan goes on
 * at the next place where a sound record with a later sequence stands.
 */
import { Packr } from "msgpackr";
import { crc32c } from "../../base/crc32c.ts";

export const SEGMENT_HEADER_BYTES = 32;
export const RECORD_HEADER_BYTES = 20;
/** A VM's whole spec with long fault plans fits many times; a length beyond this is damage, not a record. */
const PAYLOAD_MAX_BYTES = 16 * 1024 * 1024;

const MAGIC = new TextEncoder().encode("ZMENDJNL");
export const JOURNAL_VERSION = 1;
const SYNC = new TextEncoder().encode("ZMJR");

/** Plain MessagePack maps: any reader of the format can decode a payload. */
const packr = new Packr({ useRecords: false, mapsAsObjects: true });

/** What a journal remembers of one fact. `seq` counts through all segments. */
export interface JournalRecord {
  readonly seq: number;
  /** Wall clock when it was taken down, milliseconds since 1970. */
  readonly timeMs: number;
  /** Name of the VM; empty for facts of the daemon itself. */
  readonly vm: string;
  readonly fid?: number;
  readonly kind: string;
  /** From the VM's ledger only: who acted, microseconds of the VM's time, number in that ledger. */
  readonly actor?: string;
  readonly timeUs?: number;
  readonly ledgerSeq?: number;
  readonly correlation?: number;
  /** `LedgerEntry`: how far the guest's CPU was, the whole CCDF, the kind of a transition's event. */
  readonly instructions?: number;
  readonly ccdf?: string;
  readonly choice?: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface SegmentHeader {
  readonly version: number;
  readonly segment: number;
  readonly firstSeq: number;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}

function u64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

export function encodeSegmentHeader(segment: number, firstSeq: number): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
  const view = viewOf(bytes);
  bytes.set(MAGIC);
  view.setUint32(8, JOURNAL_VERSION, true);
  view.setUint32(12, segment, true);
  setU64(view, 16, firstSeq);
  view.setUint32(28, crc32c(bytes.subarray(0, 28)), true);
  return bytes;
}

/** Undefined when the bytes are no sound header. */
export function decodeSegmentHeader(bytes: Uint8Array): SegmentHeader | undefined {
  if (bytes.length < SEGMENT_HEADER_BYTES) return undefined;
  const view = viewOf(bytes);
  if (!startsWith(bytes, 0, MAGIC, MAGIC.length)) return undefined;
  if (view.getUint32(28, true) !== crc32c(bytes.subarray(0, 28))) return undefined;
  return {
    version: view.getUint32(8, true),
    segment: view.getUint32(12, true),
    firstSeq: u64(view, 16),
  };
}

/** The payload of a record; its sequence is given when it is framed. */
export function packRecord(record: Omit<JournalRecord, "seq">): Uint8Array {
  return packr.pack(record);
}

/** The bytes of a record as they stand in the file. */
export function frameRecord(payload: Uint8Array, seq: number): Uint8Array {
  const bytes = new Uint8Array(RECORD_HEADER_BYTES + payload.length);
  const view = viewOf(bytes);
  bytes.set(SYNC);
  view.setUint32(4, payload.length, true);
  setU64(view, 8, seq);
  bytes.set(payload, RECORD_HEADER_BYTES);
  view.setUint32(16, crc32c(payload, crc32c(bytes.subarray(4, 16))), true);
  return bytes;
}

export type ScanItem =
  | { readonly type: "record"; readonly record: JournalRecord; readonly end: number }
  /** `seq` is the first record that cannot be read any more. */
  | {
      readonly type: "damage";
      readonly offset: number;
      readonly bytes: number;
      readonly seq: number;
    }
  /** The end of the newest segment is part of a record. */
  | { readonly type: "torn"; readonly offset: number; readonly bytes: number };

type Look =
  | { readonly what: "record"; readonly record: JournalRecord; readonly end: number }
  | { readonly what: "short" }
  | { readonly what: "bad" };

/**
 * Reads records from `offset` to the end of `bytes`.
 * @param expectedSeq sequence of the record that should stand at `offset`; -1 when nobody knows
 * @param newest the file is the journal's last one, so it may end in a torn tail
 */
export function* scanRecords(
  bytes: Uint8Array,
  offset: number,
  expectedSeq: number,
  newest: boolean,
): Generator<ScanItem> {
  let at = offset;
  let expected = expectedSeq;
  while (at < bytes.length) {
    const look = lookAt(bytes, at);
    if (look.what === "record" && (expected < 0 || look.record.seq === expected)) {
      yield { type: "record", record: look.record, end: look.end };
      expected = look.record.seq + 1;
      at = look.end;
      continue;
    }
    const next = nextRecord(bytes, look.what === "record" ? at : at + 1, expected);
    if (next < 0 && newest && (look.what === "short" || allZero(bytes, at))) {
      yield { type: "torn", offset: at, bytes: bytes.length - at };
      return;
    }
    const end = next < 0 ? bytes.length : next;
    yield { type: "damage", offset: at, bytes: end - at, seq: Math.max(expected, 0) };
    at = end;
    expected = -1;
  }
}

/** Offset of the first sound record at or after `from` that is later than what was read; -1 when there is none. */
function nextRecord(bytes: Uint8Array, from: number, expected: number): number {
  const first = SYNC[0] as number;
  for (let at = bytes.indexOf(first, from); at >= 0; at = bytes.indexOf(first, at + 1)) {
    const look = lookAt(bytes, at);
    if (look.what === "record" && look.record.seq >= expected) return at;
  }
  return -1;
}

function lookAt(bytes: Uint8Array, at: number): Look {
  const here = bytes.length - at;
  if (!startsWith(bytes, at, SYNC, Math.min(here, SYNC.length))) return { what: "bad" };
  if (here < RECORD_HEADER_BYTES) return { what: "short" };
  const view = viewOf(bytes);
  const length = view.getUint32(at + 4, true);
  if (length > PAYLOAD_MAX_BYTES) return { what: "bad" };
  const payload = at + RECORD_HEADER_BYTES;
  if (payload + length > bytes.length) return { what: "short" };
  const body = bytes.subarray(payload, payload + length);
  const sum = crc32c(body, crc32c(bytes.subarray(at + 4, at + 16)));
  if (sum !== view.getUint32(at + 16, true)) return { what: "bad" };
  const seq = u64(view, at + 8);
  const record = decodePayload(body, seq);
  return record === undefined ? { what: "bad" } : { what: "record", record, end: payload + length };
}

/** A payload that its sum vouches for may still come from somebody else's program. */
function decodePayload(body: Uint8Array, seq: number): JournalRecord | undefined {
  let value: unknown;
  try {
    value = packr.unpack(body);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { timeMs, vm, kind, detail } = value as Partial<JournalRecord>;
  if (typeof timeMs !== "number" || typeof vm !== "string" || typeof kind !== "string")
    return undefined;
  if (typeof detail !== "object" || detail === null) return undefined;
  return { ...(value as Omit<JournalRecord, "seq">), seq };
}

function startsWith(bytes: Uint8Array, at: number, wanted: Uint8Array, length: number): boolean {
  for (let n = 0; n < length; n++) if (bytes[at + n] !== wanted[n]) return false;
  return true;
}

function allZero(bytes: Uint8Array, from: number): boolean {
  for (let at = from; at < bytes.length; at++) if (bytes[at] !== 0) return false;
  return true;
}
