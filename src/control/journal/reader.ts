/**
 * Reads a journal, dead or alive: a directory or a single segment. A reader changes nothing; a torn tail is
 * reported and left for the writer to cut, because a writer may be at work on it.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { ZmendError } from "../../base/errors.ts";
import {
  decodeSegmentHeader,
  JOURNAL_VERSION,
  type JournalRecord,
  SEGMENT_HEADER_BYTES,
  scanRecords,
} from "./format.ts";
import { fileBytes, listSegments, type SegmentFile } from "./segments.ts";

/** Something about the journal's own state, as a sentence. */
export interface JournalFinding {
  readonly type: "damage" | "torn" | "gap";
  readonly file: string;
  readonly message: string;
}

export type JournalItem =
  | { readonly type: "record"; readonly record: JournalRecord }
  | JournalFinding;

/** Where a reader stands: a later call continues there. */
export interface JournalPosition {
  segment: number;
  offset: number;
  nextSeq: number;
}

export function journalStart(): JournalPosition {
  return { segment: 0, offset: 0, nextSeq: -1 };
}

/**
 * Every record from `position` to the end as it is now; `position` is moved along.
 * @throws ZmendError USAGE when `path` is no journal
 */
export function* readJournal(
  path: string,
  position: JournalPosition = journalStart(),
): Generator<JournalItem> {
  const segments = segmentsOf(path).filter(({ segment }) => segment >= position.segment);
  for (const [index, { segment, file }] of segments.entries()) {
    // Nothing new: who follows a journal need not read the file again.
    if (segment === position.segment && fileBytes(file) === position.offset) continue;
    const bytes = readIfThere(file);
    if (bytes === undefined) continue; // the oldest has just been removed by the writer
    if (segment !== position.segment) {
      position.segment = segment;
      position.offset = 0;
    }
    yield* readSegment(file, bytes, position, index === segments.length - 1);
  }
}

function* readSegment(
  file: string,
  bytes: Uint8Array,
  position: JournalPosition,
  newest: boolean,
): Generator<JournalItem> {
  if (position.offset === 0) {
    if (bytes.length < SEGMENT_HEADER_BYTES && newest) {
      if (bytes.length > 0) yield torn(file, bytes.length);
      return;
    }
    const header = decodeSegmentHeader(bytes);
    if (header !== undefined && header.version !== JOURNAL_VERSION) {
      throw new ZmendError(
        "USAGE",
        `Journal file ${file} has version ${header.version}, this zmend reads version ${JOURNAL_VERSION}; use the zmend that wrote it.`,
      );
    }
    if (header === undefined) {
      yield { type: "damage", file, message: `Journal file ${file} has a damaged header.` };
    } else if (position.nextSeq >= 0 && header.firstSeq > position.nextSeq) {
      yield {
        type: "gap",
        file,
        message: `Journal file ${file} begins with record ${header.firstSeq}: records ${position.nextSeq} to ${header.firstSeq - 1} are missing.`,
      };
      position.nextSeq = header.firstSeq;
    } else position.nextSeq = header.firstSeq;
    position.offset = SEGMENT_HEADER_BYTES;
  }
  for (const item of scanRecords(bytes, position.offset, position.nextSeq, newest)) {
    if (item.type === "record") {
      position.offset = item.end;
      position.nextSeq = item.record.seq + 1;
      yield { type: "record", record: item.record };
    } else if (item.type === "torn") yield torn(file, item.bytes);
    else {
      position.offset = item.offset + item.bytes;
      position.nextSeq = -1;
      yield {
        type: "damage",
        file,
        message: `Journal file ${file} is damaged at byte ${item.offset}: record ${item.seq} cannot be read (${item.bytes} bytes).`,
      };
    }
  }
}

function torn(file: string, bytes: number): JournalFinding {
  const message = `Journal file ${file} ends in the middle of a record: its last ${bytes} bytes are not shown.`;
  return { type: "torn", file, message };
}

/** Whether anything has been written there yet. */
export function journalExists(path: string): boolean {
  return segmentsAt(path).length > 0;
}

function segmentsAt(path: string): SegmentFile[] {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status?.isFile() === true) return [{ segment: 1, file: path }];
  return status?.isDirectory() === true ? listSegments(path) : [];
}

function segmentsOf(path: string): SegmentFile[] {
  const segments = segmentsAt(path);
  if (segments.length > 0) return segments;
  const what = existsSync(path) ? "holds no journal" : "does not exist";
  throw new ZmendError(
    "USAGE",
    `${path} ${what}; name the journal directory of a state directory, or one of its files.`,
    { path },
  );
}

function readIfThere(file: string): Uint8Array | undefined {
  try {
    return readFileSync(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw new ZmendError(
      "ENVIRONMENT",
      `Journal file ${file} cannot be read (${code}); run as the user that the daemon runs as.`,
      { file },
      { cause: error },
    );
  }
}
