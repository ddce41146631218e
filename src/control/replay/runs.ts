/**
 * A journal's records as runs: one VM from its start to its end, with what a replay needs of it. A part of a run can be
 * missing (the oldest segments were removed, records were lost); what cannot be replayed says why.
 */
import type { JournalRecord, RecordedRun } from "../journal/index.ts";

export interface Run {
  readonly vm: string;
  /** Sequence of its first record. */
  readonly firstSeq: number;
  /** Undefined when the journal no longer has the start. */
  readonly recorded: RecordedRun | undefined;
  readonly records: readonly JournalRecord[];
  /** What happened that a replay cannot repeat; the run is replayed up to there. */
  readonly cut: string | undefined;
}

/** Operators' commands that make another machine of a VM. */
const cutting: Readonly<Record<string, string>> = {
  "vm-restore": "a snapshot was restored",
  "function-plug": "a function was plugged",
  device_add: "a function was plugged",
};

function cutBy(record: JournalRecord): string | undefined {
  if (record.kind === "vm-reset") return "the machine was reset";
  if (record.kind === "journal-lost" || record.kind === "trace-lost") {
    return "records are missing from here on";
  }
  if (record.kind === "vm-run-state" && record.detail["reason"] === "restored") {
    return "a snapshot was restored";
  }
  if (record.kind !== "operator-command") return undefined;
  return cutting[String(record.detail["command"])];
}

interface Building {
  readonly vm: string;
  readonly firstSeq: number;
  readonly recorded: RecordedRun | undefined;
  readonly records: JournalRecord[];
  cut: string | undefined;
}

/** In the order of their starts. Records of the daemon itself belong to no run, lost ones cut every run. */
export function splitRuns(records: Iterable<JournalRecord>): Run[] {
  const runs: Building[] = [];
  const current = new Map<string, Building>();
  const begin = (record: JournalRecord, recorded: RecordedRun | undefined): Building => {
    const run: Building = {
      vm: record.vm,
      firstSeq: record.seq,
      recorded,
      records: [],
      cut: undefined,
    };
    runs.push(run);
    current.set(record.vm, run);
    return run;
  };
  for (const record of records) {
    if (record.vm === "") {
      const cut = cutBy(record);
      if (cut !== undefined) for (const run of current.values()) run.cut ??= cut;
      continue;
    }
    if (record.kind === "vm-started") {
      begin(record, record.detail as unknown as RecordedRun);
      continue;
    }
    const run = current.get(record.vm) ?? begin(record, undefined);
    run.cut ??= cutBy(record);
    if (run.cut === undefined) run.records.push(record);
  }
  return runs;
}
