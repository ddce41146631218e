/**
 * How far the replay of a run on threads has come, per function: the sequences of records that have to come out the same
 * (compared.ts), how many of each it has repeated, and the place where it took another way.
 */
import type { LedgerEntry } from "../../machine/ledger-entry.ts";
import type { JournalRecord } from "../journal/index.ts";
import { auditFunction } from "./audit.ts";
import { comparedFacts, comparedKind } from "./compared.ts";
import { isGuestAction } from "./host-events.ts";
import { type Divergence, differs, inWords } from "./report.ts";

/** Records of one kind, in their order: those recorded, and how many of them the replay has repeated. */
interface Sequence {
  readonly expected: readonly JournalRecord[];
  repeated: number;
}

/** One function's part of the run. */
export interface Track {
  readonly sequences: ReadonlyMap<string, Sequence>;
  /** Transitions that the replay has made. */
  made: number;
  /** What the guest has done to the function so far. */
  guestActions: number;
  /** Since when its recovery machine is held. */
  heldSinceUs: number | undefined;
  /** Where the replay took another way, or a record is not what it could be. */
  divergence: Divergence | undefined;
  /** The record of that place. */
  record: JournalRecord | undefined;
}

export function trackOf(records: readonly JournalRecord[], fid: number): Track {
  const sequences = new Map<string, { expected: JournalRecord[]; repeated: number }>();
  for (const record of records) {
    const kind = record.fid === fid ? comparedKind(record) : undefined;
    if (kind === undefined) continue;
    const sequence = sequences.get(kind) ?? { expected: [], repeated: 0 };
    sequences.set(kind, sequence);
    sequence.expected.push(record);
  }
  const misfit = auditFunction(records.filter((record) => record.fid === fid));
  return {
    sequences,
    made: 0,
    guestActions: 0,
    heldSinceUs: undefined,
    divergence: misfit === undefined ? undefined : differs(misfit.record, misfit.why),
    record: undefined,
  };
}

/** An entry of the replay. */
export function follow(tracks: ReadonlyMap<number, Track>, entry: LedgerEntry): void {
  const track = entry.fid === undefined ? undefined : tracks.get(entry.fid);
  if (track !== undefined && isGuestAction(entry)) track.guestActions += 1;
  if (track === undefined) return;
  if (entry.kind === "state") track.made += 1;
  const kind = comparedKind(entry);
  const sequence = kind === undefined ? undefined : track.sequences.get(kind);
  const wanted = sequence?.expected[sequence.repeated];
  // More than was recorded is no difference: the recording ended before.
  if (sequence === undefined || wanted === undefined || track.divergence !== undefined) return;
  if (comparedFacts(entry) === comparedFacts(wanted)) {
    sequence.repeated += 1;
    return;
  }
  track.divergence = differs(wanted, inWords(entry));
  track.record = wanted;
}

/** The earliest record that the replay has not repeated. */
export function firstMissing(sequences: Track["sequences"]): JournalRecord | undefined {
  const missing = [...sequences.values()].flatMap(({ expected, repeated }) => {
    const next = expected[repeated];
    return next === undefined ? [] : [next];
  });
  return missing.sort((a, b) => a.seq - b.seq)[0];
}

/** Whether any function still has records to repeat. */
export function open(tracks: ReadonlyMap<number, Track>): boolean {
  for (const { sequences, divergence } of tracks.values()) {
    if (divergence !== undefined) continue;
    for (const { expected, repeated } of sequences.values()) {
      if (repeated < expected.length) return true;
    }
  }
  return false;
}
