/**
 * The replay of a run on the deterministic machine: it is run again from its spec, and every entry of its ledger is
 * compared: time, actor, kind, function, correlation and detail. Console lines are not in the journal.
 */
import { EntryStream } from "../../machine/entry-stream.ts";
import type { LedgerEntry } from "../../machine/ledger-entry.ts";
import { COMMAND_RUN, commandOf, stoppedOf, VCPU_RUNNING } from "../../machine/loops.ts";
import type { JournalRecord, RecordedRun } from "../journal/index.ts";
import { build, type Guest } from "./recorded-guest.ts";
import { type Divergence, inWords, type ReplayOptions, type Result, tooLong } from "./report.ts";

/** What of an entry has to be the same: all that is canonical but its number. */
function canonical(
  entry: Pick<LedgerEntry, "timeUs" | "kind" | "detail"> & Partial<LedgerEntry>,
): string {
  const { timeUs, actor, kind, fid, correlation, detail } = entry;
  return JSON.stringify([timeUs, actor, kind, fid ?? null, correlation ?? 0, detail]);
}

/** Records that a VM's own threads made. */
function isLedger(record: JournalRecord): boolean {
  return record.ledgerSeq !== undefined && record.actor !== "machine";
}

export function replayDeterministic(
  records: readonly JournalRecord[],
  recorded: RecordedRun,
  guest: Guest,
  options: ReplayOptions,
): Result {
  const expected = records.filter(isLedger);
  const quiesce = records.filter(
    ({ kind, detail }) => kind === "operator-command" && detail["command"] === "quiesce",
  );
  const machine = build(recorded.spec, guest);
  let repeated = 0;
  let stopped = false;
  const notes: string[] = [];
  const divergences: Divergence[] = [];
  const compare = (entry: LedgerEntry): void => {
    const wanted = expected[repeated];
    if (wanted === undefined || divergences.length > 0) return;
    if (canonical(entry) === canonical({ ...wanted, timeUs: wanted.timeUs ?? 0 } as LedgerEntry)) {
      repeated += 1;
      return;
    }
    const fid = wanted.fid === undefined ? {} : { fid: wanted.fid };
    divergences.push({
      seq: wanted.seq,
      ...fid,
      recorded: inWords(wanted),
      replayed: inWords(entry),
    });
  };
  const entries = new EntryStream(machine.vm, compare);
  try {
    let alive = true;
    while (alive && repeated < expected.length && divergences.length === 0) {
      if (machine.instructions() > options.maxInstructions) {
        notes.push(tooLong(options));
        stopped = true;
        break;
      }
      machine.step();
      alive = commandOf(machine.vm) === COMMAND_RUN && stoppedOf(machine.vm) === VCPU_RUNNING;
      entries.pump(machine.clock.nowUs());
      const asked = quiesce[0]?.timeUs;
      if (asked !== undefined && machine.clock.nowUs() >= asked) {
        quiesce.shift();
        machine.requestQuiesce();
      }
    }
    entries.pump(Number.POSITIVE_INFINITY);
    const wanted = expected[repeated];
    if (!alive && divergences.length === 0 && wanted !== undefined) {
      divergences.push({
        seq: wanted.seq,
        recorded: inWords(wanted),
        replayed: "the guest has ended",
      });
    }
  } finally {
    machine.close();
  }
  return { comparable: expected.length, repeated, divergences, parted: [], notes, stopped };
}
