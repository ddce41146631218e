/** What comes of the replay of a run, and how its records are put in words. */
import type { JournalRecord } from "../journal/index.ts";

export interface Divergence {
  /** Record of the journal that the replay did not repeat; absent when the replay did something more. */
  readonly seq?: number;
  readonly fid?: number;
  readonly recorded: string;
  readonly replayed: string;
}

/** A place where guest and worker met otherwise than in the recording, which does not pin down how. */
export interface Parting extends Divergence {
  readonly why: string;
}

export interface RunReport {
  readonly vm: string;
  readonly mode: "deterministic" | "threads" | "unknown";
  readonly firstSeq: number;
  /** Records of the journal that belong to the run. */
  readonly records: number;
  /** Of them, up to where the run could be replayed, those of a kind that has to come out the same. */
  readonly comparable: number;
  /** Of those, the ones that did. */
  readonly repeated: number;
  readonly divergences: readonly Divergence[];
  /** Where real time decided, and in the replay otherwise: what follows of that function was not compared. */
  readonly parted: readonly Parting[];
  /** Which records, and what of them. */
  readonly compared: string;
  /** False when there was nothing to replay it with. */
  readonly replayed: boolean;
  /** It was replayed only up to a place that its notes name. */
  readonly partial: boolean;
  /** `maxInstructions` ended the replay: what it did not come to is not known to be good. */
  readonly stopped: boolean;
  /** Why nothing, or not everything, was replayed. */
  readonly notes: readonly string[];
}

export interface ReplayOptions {
  /** A replay that has executed so many instructions ends; a guest that never waits makes a long one. */
  readonly maxInstructions: number;
}

/** What a way of replaying finds out. */
export type Result = Pick<
  RunReport,
  "comparable" | "repeated" | "divergences" | "parted" | "notes" | "stopped"
>;

/** The note of a replay that was ended. */
export function tooLong({ maxInstructions }: ReplayOptions): string {
  return `stopped after ${maxInstructions.toLocaleString("en")} instructions; --max-instructions lets it go on`;
}

/** A record, or the entry that came in its place, for people. */
export function inWords(record: {
  readonly timeUs?: number;
  readonly kind: string;
  readonly detail: Readonly<Record<string, unknown>>;
}): string {
  const facts = Object.entries(record.detail).map(([key, value]) => `${key} ${String(value)}`);
  return [`${((record.timeUs ?? 0) / 1000).toFixed(3)} ms`, record.kind, ...facts].join(" ");
}

/** The replay has something else in the place of `record`. */
export function differs(record: JournalRecord, replayed: string): Divergence {
  const of = record.fid === undefined ? {} : { fid: record.fid };
  return { ...of, seq: record.seq, recorded: inWords(record), replayed };
}
