/**
 * The last lines of a VM's ledger, for those who ask later. They are kept as the trace rings' words and become entries when
 * somebody asks: as objects they would be most of what the main thread keeps alive, and each collection of garbage would move
 * them about while clients wait.
 */
import type { LedgerEntry } from "./ledger-entry.ts";

/** What an entry is made of. */
export interface TraceRecord {
  readonly kind: number;
  /** Undefined for records of the whole VM. */
  readonly fid: number | undefined;
  readonly correlation: number;
  readonly timeUs: number;
  readonly body: readonly [number, number, number, number];
  /** Fifth word of the body. */
  readonly more: number;
  readonly instructions: number;
}

/** `entries` in order of time; `next` is the number from which to ask for later ones; `first` that of the oldest still kept. */
export interface RecentEntries {
  readonly entries: readonly LedgerEntry[];
  readonly first: number;
  readonly next: number;
}

const KEPT = 4096;
const FIELDS = 10;
const NO_FID = -1;
/** A slower thread's entry may come after later ones; one that is earlier by more is of a restored machine. Microseconds. */
const SKEW_US = 50_000;

export class RecentRecords {
  readonly #entryOf: (record: TraceRecord, seq: number) => LedgerEntry;
  /** Entry n stands in slot n % KEPT. */
  readonly #numbers = new Float64Array(KEPT * FIELDS);
  /** Entries that come from no record, in their slots. */
  readonly #notes: (LedgerEntry | undefined)[] = [];
  #next = 0;

  constructor(entryOf: (record: TraceRecord, seq: number) => LedgerEntry) {
    this.#entryOf = entryOf;
  }

  /** Entries are numbered by their `seq`, and come in that order. */
  add(record: TraceRecord, seq: number): void {
    this.#take(seq, undefined);
    const at = (seq % KEPT) * FIELDS;
    const numbers = this.#numbers;
    numbers[at] = record.timeUs;
    numbers[at + 1] = record.kind;
    numbers[at + 2] = record.fid ?? NO_FID;
    numbers[at + 3] = record.correlation;
    for (let n = 0; n < 4; n++) numbers[at + 4 + n] = record.body[n] as number;
    numbers[at + 8] = record.more;
    numbers[at + 9] = record.instructions;
  }

  /** An entry that comes from no record. */
  note(entry: LedgerEntry): void {
    this.#take(entry.seq, entry);
  }

  #take(seq: number, note: LedgerEntry | undefined): void {
    const slot = seq % KEPT;
    if (note !== undefined || this.#notes[slot] !== undefined) this.#notes[slot] = note;
    this.#next = seq + 1;
  }

  /** What is still there from number `from` on. */
  since(from: number): RecentEntries {
    const next = this.#next;
    const first = Math.max(0, next - KEPT);
    const entries: LedgerEntry[] = [];
    for (let seq = Math.max(first, from); seq < next; seq++) {
      const entry = this.#notes[seq % KEPT] ?? this.#entryOf(this.#record(seq), seq);
      let at = entries.length;
      while (at > 0 && isAhead(entries[at - 1] as LedgerEntry, entry)) at -= 1;
      entries.splice(at, 0, entry);
    }
    return { entries, first, next };
  }

  #record(number: number): TraceRecord {
    const at = (number % KEPT) * FIELDS;
    const field = (n: number): number => this.#numbers[at + n] as number;
    return {
      timeUs: field(0),
      kind: field(1),
      fid: field(2) === NO_FID ? undefined : field(2),
      correlation: field(3),
      body: [field(4), field(5), field(6), field(7)],
      more: field(8),
      instructions: field(9),
    };
  }
}

function isAhead(one: LedgerEntry, of: LedgerEntry): boolean {
  return one.timeUs > of.timeUs && one.timeUs - of.timeUs < SKEW_US;
}
