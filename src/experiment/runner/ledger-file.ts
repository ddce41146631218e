/**
 * `ledger.jsonl` on disk: written line by line with its digest, read line by line in constant memory. A line that a
 * dying process cut off is found and taken back when the run goes on.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { ZmendError } from "../../base/errors.ts";
import {
  LEDGER_KIND,
  LEDGER_VERSION,
  LedgerDigest,
  type LedgerHeader,
  ledgerText,
  type TrialRow,
} from "../ledger.ts";

const CHUNK_BYTES = 1 << 20;
/** Lines are written in pieces of about this size. */
const PIECE_CHARACTERS = 1 << 16;

/** Lines of a text file without their ends; a last line without an end is not one. */
function* completeLines(file: string): Generator<string> {
  const handle = openSync(file, "r");
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    let rest = Buffer.alloc(0);
    for (;;) {
      const count = readSync(handle, chunk, 0, CHUNK_BYTES, null);
      if (count === 0) return;
      let data = Buffer.concat([rest, chunk.subarray(0, count)]);
      for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10)) {
        yield data.toString("utf8", 0, end);
        data = data.subarray(end + 1);
      }
      rest = Buffer.from(data);
    }
  } finally {
    closeSync(handle);
  }
}

function invalid(file: string, why: string): ZmendError {
  return new ZmendError("LEDGER_INVALID", `${file} ${why}`, { file });
}

function parseHeader(line: string | undefined, file: string): LedgerHeader {
  let header: Partial<LedgerHeader> = {};
  try {
    header = JSON.parse(line ?? "") as Partial<LedgerHeader>;
  } catch {
    // said below
  }
  if (header?.ledger !== LEDGER_KIND || header.plan === undefined) {
    throw invalid(file, "is no ledger of an experiment; name a ledger.jsonl.");
  }
  if (header.version !== LEDGER_VERSION) {
    throw invalid(
      file,
      `has ledger version ${header.version}, this zmend knows version ${LEDGER_VERSION}; ` +
        "use the zmend that wrote it, or run the experiment anew.",
    );
  }
  return header as LedgerHeader;
}

export function readHeader(file: string): LedgerHeader {
  let first: IteratorResult<string> | undefined;
  try {
    const lines = completeLines(file);
    first = lines.next();
    lines.return(undefined);
  } catch (error) {
    throw new ZmendError(
      "LEDGER_INVALID",
      `Ledger ${file} cannot be read; name an existing ledger.jsonl.`,
      { file },
      { cause: error },
    );
  }
  return parseHeader(first?.done === true ? undefined : first?.value, file);
}

export interface LedgerLine {
  readonly text: string;
  readonly row: TrialRow;
}

/** The trials of a ledger, in order. @throws ZmendError LEDGER_INVALID with the line's number */
export function* readLedger(file: string): Generator<LedgerLine> {
  let number = 0;
  for (const text of completeLines(file)) {
    number += 1;
    if (number === 1) continue;
    let row: TrialRow | undefined;
    try {
      row = JSON.parse(text) as TrialRow;
    } catch {
      // said below
    }
    if (typeof row?.trial !== "number" || (row.status !== "done" && row.status !== "failed")) {
      throw invalid(`${file}:${number}`, "is no line of a trial; the file was changed or damaged.");
    }
    yield { text, row };
  }
}

export function* readRows(file: string): Generator<TrialRow> {
  for (const { row } of readLedger(file)) yield row;
}

export class LedgerWriter {
  readonly file: string;
  readonly #handle: number;
  readonly #digest = new LedgerDigest();
  #piece: string[] = [];
  #characters = 0;

  private constructor(file: string, handle: number) {
    this.file = file;
    this.#handle = handle;
  }

  static create(file: string, header: LedgerHeader): LedgerWriter {
    const writer = new LedgerWriter(file, openSync(file, "w"));
    writer.add(ledgerText(header));
    writer.flush();
    return writer;
  }

  /**
   * Goes on with a ledger of the same plan: its complete lines stand, what comes behind them is cut off.
   * @param kept sees each row that stands, in order
   */
  static resume(file: string, header: LedgerHeader, kept: (row: TrialRow) => void): LedgerWriter {
    const wanted = ledgerText(header);
    const found = readHeader(file);
    if (ledgerText(found) !== wanted) {
      throw invalid(
        file,
        "belongs to another experiment, seed or version of its files; choose another --out.",
      );
    }
    const writer = new LedgerWriter(file, openSync(file, "r+"));
    let bytes = Buffer.byteLength(wanted) + 1;
    writer.#digest.add(wanted);
    for (const { text, row } of readLedger(file)) {
      bytes += Buffer.byteLength(text) + 1;
      writer.#digest.add(text);
      kept(row);
    }
    if (fstatSync(writer.#handle).size > bytes) ftruncateSync(writer.#handle, bytes);
    writer.#at = bytes;
    return writer;
  }
  #at = 0;

  add(line: string): void {
    this.#digest.add(line);
    this.#piece.push(line);
    this.#characters += line.length;
    if (this.#characters > PIECE_CHARACTERS) this.flush();
  }

  flush(): void {
    if (this.#piece.length === 0) return;
    const data = Buffer.from(`${this.#piece.join("\n")}\n`);
    for (let done = 0; done < data.length; ) {
      done += writeSync(this.#handle, data, done, data.length - done, this.#at + done);
    }
    this.#at += data.length;
    this.#piece = [];
    this.#characters = 0;
  }

  /** Closes the file; returns its SHA-256. */
  close(): string {
    this.flush();
    closeSync(this.#handle);
    return this.#digest.hex();
  }
}
