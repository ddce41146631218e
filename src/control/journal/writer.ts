/**
 * Appends records to the journal's newest segment. Main thread; nothing here waits in the caller: `append` encodes and
 * queues, one write at a time is under way, and what has come meanwhile is the next write. The first record of a write
 * waits a moment for others.
 *
 * *A disk that takes no more.* A failed write is taken back by truncating the file to the last whole record. From then
 * on records are counted as lost instead of kept, and now and then a record that tells their number is tried; when it
 * fits the journal goes on. Guests notice nothing. *A disk that hangs.* The queue has a limit; beyond it records are lost
 * and counted in the same way. *Rotation.* A segment that is full is closed and the next one begun; the oldest segments
 * are removed until the directory is within its limit.
 */
import { join } from "node:path";
import { monotonicNowUs, wallClockMs } from "../../base/clock.ts";
import { ZmendError } from "../../base/errors.ts";
import { type JournalDisk, type JournalFile, realDisk } from "./disk.ts";
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  frameRecord,
  type JournalRecord,
  packRecord,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  scanRecords,
} from "./format.ts";
import { segmentName } from "./segments.ts";

/** When bytes are forced onto the disk. Whatever is chosen, a killed process loses only what was still queued. */
export const fsyncPolicies = ["never", "interval", "always"] as const;
export type FsyncPolicy = (typeof fsyncPolicies)[number];

export interface WriterOptions {
  readonly directory: string;
  /** A segment is closed when the next write would make it longer. */
  readonly segmentBytes?: number;
  /** All segments together; the oldest go first. */
  readonly limitBytes?: number;
  readonly fsync?: FsyncPolicy;
  readonly fsyncIntervalMs?: number;
  /** How long records gather before they are written; nothing with `fsync: always`. */
  readonly gatherMs?: number;
  /** Pause before a disk that refused a write is asked again. */
  readonly retryMs?: number;
  readonly queueMaxBytes?: number;
  /** Told once for each thing that goes wrong, and of what a start found. */
  readonly onProblem?: (problem: ZmendError) => void;
  readonly disk?: JournalDisk;
}

export const journalDefaults = {
  segmentBytes: 8 * 1024 * 1024,
  limitBytes: 256 * 1024 * 1024,
  fsync: "interval",
  fsyncIntervalMs: 1000,
  gatherMs: 60,
  retryMs: 1000,
  queueMaxBytes: 8 * 1024 * 1024,
} as const;

export interface JournalStatus {
  readonly directory: string;
  readonly segments: number;
  readonly bytes: number;
  /** Records written since the journal was opened. */
  readonly written: number;
  /** Records that could not be kept since the journal was opened. */
  readonly lost: number;
  /** Sequence the next record gets. */
  readonly nextSeq: number;
  /** Records that wait for the disk. */
  readonly queued: number;
  /** Why records are being lost now; absent when all is well. */
  readonly problem?: string;
}

export type NewRecord = Omit<JournalRecord, "seq" | "timeMs">;

/** A record that waits for the disk. */
interface Waiting {
  readonly payload: Uint8Array;
  /** Lost records that it tells of. */
  readonly tells: number;
}

interface Segment {
  readonly segment: number;
  readonly name: string;
  readonly file: JournalFile;
  length: number;
}

export class JournalWriter {
  readonly #options: Required<Omit<WriterOptions, "onProblem">>;
  readonly #onProblem: (problem: ZmendError) => void;
  readonly #disk: JournalDisk;
  /** Closed segments, oldest first. */
  readonly #old: { name: string; bytes: number }[] = [];
  #current: Segment | undefined;
  #nextSegment = 1;
  #nextSeq = 1;
  #queue: Waiting[] = [];
  #queuedBytes = 0;
  #pumping: Promise<void> | undefined;
  /** Ends the gathering of records. */
  #hurry = (): void => {};
  #written = 0;
  #lost = 0;
  /** Of `#lost`, those that no record in the journal tells of. */
  #untold = 0;
  #problem: string | undefined;
  #retryAtUs = 0;
  #retryTimer: NodeJS.Timeout | undefined;
  #syncTimer: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(options: WriterOptions) {
    const { onProblem = () => {}, disk = realDisk, ...rest } = options;
    this.#options = { ...journalDefaults, ...rest, disk };
    this.#onProblem = onProblem;
    this.#disk = disk;
  }

  /** @throws ZmendError ENVIRONMENT when the directory cannot be used */
  static async open(options: WriterOptions): Promise<JournalWriter> {
    const writer = new JournalWriter(options);
    try {
      await writer.#disk.prepare(options.directory);
      await writer.#takeOver();
    } catch (error) {
      throw new ZmendError(
        "ENVIRONMENT",
        `Journal directory ${options.directory} cannot be used (${reasonOf(error)}); make it a directory that this user may write.`,
        { directory: options.directory },
        { cause: error },
      );
    }
    return writer;
  }

  /** Continues where the last writer stopped: cuts a torn tail, leaves damage alone and begins a segment after it. */
  async #takeOver(): Promise<void> {
    const { directory } = this.#options;
    const segments = this.#disk.list(directory);
    const newest = segments.pop();
    for (const { file } of segments) this.#old.push({ name: file, bytes: this.#disk.size(file) });
    if (newest === undefined) return;
    this.#nextSegment = newest.segment + 1;
    const bytes = await this.#disk.read(newest.file);
    const header = decodeSegmentHeader(bytes);
    if (header === undefined && bytes.length < SEGMENT_HEADER_BYTES) {
      // Killed between the birth of the file and its header. The segments before say where the count stands.
      await this.#disk.remove(newest.file);
      this.#nextSegment = newest.segment;
      const before = this.#old.pop();
      if (before !== undefined) await this.#continueAfter(before.name, newest.segment - 1);
      return;
    }
    await this.#continueAfter(newest.file, newest.segment, bytes);
  }

  async #continueAfter(name: string, segment: number, known?: Uint8Array): Promise<void> {
    const bytes = known ?? (await this.#disk.read(name));
    const header = decodeSegmentHeader(bytes);
    let end = SEGMENT_HEADER_BYTES;
    let damaged = header === undefined;
    this.#nextSeq = header?.firstSeq ?? this.#nextSeq;
    let torn = 0;
    for (const item of scanRecords(bytes, SEGMENT_HEADER_BYTES, header?.firstSeq ?? -1, true)) {
      if (item.type === "record") {
        this.#nextSeq = item.record.seq + 1;
        end = item.end;
      } else if (item.type === "torn") torn = item.bytes;
      else damaged = true;
    }
    if (damaged) {
      // What cannot be read may have been a record: its number is not given to another one.
      this.#nextSeq += 1;
      this.#old.push({ name, bytes: bytes.length });
      this.#tell(`Journal file ${name} is damaged; it stays as it is and a new one is begun.`);
      return;
    }
    const file = await this.#disk.reopen(name);
    this.#current = { segment, name, file, length: end };
    if (torn === 0) return;
    await file.truncate(end);
    this.#tell(
      `Journal file ${name} ended in the middle of a record; its last ${torn} bytes were cut.`,
    );
    this.append({
      vm: "",
      kind: "journal-recovered",
      detail: { file: segmentName(segment), cutBytes: torn },
    });
  }

  /** Takes a fact down. Never throws and never waits. */
  append(record: NewRecord): void {
    if (this.#closed) return;
    const held = this.#problem !== undefined && monotonicNowUs() < this.#retryAtUs;
    if (held || this.#queuedBytes >= this.#options.queueMaxBytes) {
      this.#lose(1);
      return;
    }
    this.#tellLosses();
    this.#enqueue(record);
  }

  status(): JournalStatus {
    const old = this.#old.reduce((sum, { bytes }) => sum + bytes, 0);
    return {
      directory: this.#options.directory,
      segments: this.#old.length + (this.#current === undefined ? 0 : 1),
      bytes: old + (this.#current?.length ?? 0),
      written: this.#written,
      lost: this.#lost,
      nextSeq: this.#nextSeq,
      queued: this.#queue.length,
      ...(this.#problem === undefined ? {} : { problem: this.#problem }),
    };
  }

  /** Resolves when everything appended so far has been handed to the disk, or counted as lost. */
  async flush(): Promise<void> {
    while (this.#pumping !== undefined) {
      this.#hurry();
      await this.#pumping;
    }
  }

  /** Writes what is queued, forces it onto the disk unless the policy is `never`, and closes the file. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#retryAtUs = 0;
    this.#tellLosses();
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    await this.flush();
    clearTimeout(this.#syncTimer);
    const current = this.#current;
    this.#current = undefined;
    if (current === undefined) return;
    try {
      if (this.#options.fsync !== "never") await current.file.sync();
      await current.file.close();
    } catch (error) {
      this.#tell(`Journal file ${current.name} could not be closed in order (${reasonOf(error)}).`);
    }
  }

  /** Puts the number of records lost in front of the record that comes next. */
  #tellLosses(): void {
    const records = this.#untold;
    if (records === 0) return;
    this.#untold = 0;
    const detail = { records, reason: this.#problem ?? "the disk did not keep up" };
    this.#enqueue({ vm: "", kind: "journal-lost", detail }, records);
  }

  #enqueue(record: NewRecord, tells = 0): void {
    // The number is given when the record is written, so that a lost one leaves no gap.
    const payload = packRecord({ timeMs: wallClockMs(), ...record });
    this.#queue.push({ payload, tells });
    this.#queuedBytes += payload.length;
    this.#pumping ??= this.#pump();
  }

  #lose(records: number): void {
    this.#lost += records;
    this.#untold += records;
  }

  async #pump(): Promise<void> {
    await this.#gather();
    while (this.#queue.length > 0) await this.#writeQueued();
    this.#pumping = undefined;
  }

  /** An error makes a score of records within some milliseconds: they make one write, not one each. */
  #gather(): Promise<unknown> {
    const { fsync, gatherMs } = this.#options;
    if (fsync === "always" || gatherMs === 0)
      return new Promise((resolve) => setImmediate(resolve));
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, gatherMs);
      this.#hurry = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }

  async #writeQueued(): Promise<void> {
    const batch = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    let done = 0;
    try {
      for (const part of this.#parts(batch)) {
        await this.#write(part);
        done += part.length;
      }
      await this.#force();
      this.#problem = undefined;
    } catch (error) {
      await this.#refused(error, batch.slice(done));
    }
  }

  /** The batch in pieces that each fit into a segment. */
  *#parts(batch: readonly Waiting[]): Generator<readonly Waiting[]> {
    const room = this.#options.segmentBytes - SEGMENT_HEADER_BYTES;
    let part: Waiting[] = [];
    let bytes = 0;
    for (const waiting of batch) {
      const size = RECORD_HEADER_BYTES + waiting.payload.length;
      if (part.length > 0 && bytes + size > room) {
        yield part;
        part = [];
        bytes = 0;
      }
      part.push(waiting);
      bytes += size;
    }
    if (part.length > 0) yield part;
  }

  async #write(part: readonly Waiting[]): Promise<void> {
    const frames = part.map(({ payload }, n) => frameRecord(payload, this.#nextSeq + n));
    const bytes = Buffer.concat(frames);
    const current = await this.#segmentFor(bytes.length);
    await current.file.write(bytes, current.length);
    current.length += bytes.length;
    this.#nextSeq += part.length;
    this.#written += part.length;
  }

  /** The segment that takes the next `bytes`: the current one, or a new one when it would become too long. */
  async #segmentFor(bytes: number): Promise<Segment> {
    const current = this.#current;
    if (current !== undefined && current.length + bytes <= this.#options.segmentBytes)
      return current;
    const { directory } = this.#options;
    const name = join(directory, segmentName(this.#nextSegment));
    const file = await this.#disk.create(name);
    try {
      await file.write(encodeSegmentHeader(this.#nextSegment, this.#nextSeq), 0);
    } catch (error) {
      await file.close().catch(() => {});
      await this.#disk.remove(name).catch(() => {});
      throw error;
    }
    const next = { segment: this.#nextSegment, name, file, length: SEGMENT_HEADER_BYTES };
    this.#nextSegment += 1;
    this.#current = next;
    if (current !== undefined) {
      this.#old.push({ name: current.name, bytes: current.length });
      if (this.#options.fsync !== "never") await current.file.sync();
      await current.file.close();
    }
    await this.#removeOldest();
    return next;
  }

  async #removeOldest(): Promise<void> {
    const { limitBytes, segmentBytes } = this.#options;
    let total = this.#old.reduce((sum, { bytes }) => sum + bytes, segmentBytes);
    for (
      let oldest = this.#old[0];
      oldest !== undefined && total > limitBytes;
      oldest = this.#old[0]
    ) {
      await this.#disk.remove(oldest.name).catch((error: unknown) => {
        // Somebody else has removed it: that is as good.
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      });
      this.#old.shift();
      total -= oldest.bytes;
    }
  }

  async #force(): Promise<void> {
    const { fsync, fsyncIntervalMs } = this.#options;
    if (fsync === "always") await this.#current?.file.sync();
    if (fsync !== "interval" || this.#syncTimer !== undefined || this.#closed) return;
    this.#syncTimer = setTimeout(() => {
      this.#syncTimer = undefined;
      this.#current?.file.sync().catch((error: unknown) => this.#noteProblem(error));
    }, fsyncIntervalMs);
    this.#syncTimer.unref();
  }

  /** The disk has not taken what is left of `batch`. */
  async #refused(error: unknown, batch: readonly Waiting[]): Promise<void> {
    this.#noteProblem(error);
    const dropped = [...batch, ...this.#queue];
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const { tells } of dropped) {
      if (tells > 0) this.#untold += tells;
      else this.#lose(1);
    }
    const current = this.#current;
    // Part of a record in front of later ones would be damage. A file that cannot be cut gets no successors.
    await current?.file.truncate(current.length).catch(async () => {
      this.#old.push({ name: current.name, bytes: current.length });
      this.#current = undefined;
      await current.file.close().catch(() => {});
    });
    this.#retryAtUs = monotonicNowUs() + this.#options.retryMs * 1000;
    clearTimeout(this.#retryTimer);
    if (this.#closed) return;
    this.#retryTimer = setTimeout(() => this.#tellLosses(), this.#options.retryMs);
    this.#retryTimer.unref();
  }

  #noteProblem(error: unknown): void {
    const reason = reasonOf(error);
    if (this.#problem === reason) return;
    this.#problem = reason;
    this.#tell(
      `Journal directory ${this.#options.directory} takes no more records (${reason}); make room, they are lost and counted until then.`,
      error,
    );
  }

  #tell(message: string, cause?: unknown): void {
    const { directory } = this.#options;
    this.#onProblem(new ZmendError("ENVIRONMENT", message, { directory }, { cause }));
  }
}

/** `ENOSPC` rather than a sentence of the operating system's. */
function reasonOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? (error as Error).message;
}
