/**
 * Runs that a journal recorded, run again on the deterministic machine, and compared: those that were deterministic
 * (`deterministic.ts`) entry by entry, those on threads (`threads.ts`) as far as their records pin them down.
 */
import { requireMemory } from "../../machine/host-memory.ts";
import { mapOf } from "../../machine/vm-spec.ts";
import { comparedInWords } from "./compared.ts";
import { replayDeterministic } from "./deterministic.ts";
import { loadGuest } from "./recorded-guest.ts";
import type { ReplayOptions, RunReport } from "./report.ts";
import type { Run } from "./runs.ts";
import { replayThreads } from "./threads.ts";

export function replayRun(run: Run, options: ReplayOptions): RunReport {
  const { vm, firstSeq, recorded } = run;
  const base = {
    vm,
    firstSeq,
    records: run.records.length,
    comparable: 0,
    repeated: 0,
    divergences: [],
    parted: [],
    partial: run.cut !== undefined,
    stopped: false,
  };
  if (recorded === undefined) {
    const notes = ["the journal no longer has the start of this run"];
    return { ...base, mode: "unknown", compared: "nothing", replayed: false, notes };
  }
  const { mode } = recorded;
  const guest = loadGuest(recorded);
  if (typeof guest === "string") {
    return { ...base, mode, compared: "nothing", replayed: false, notes: [guest] };
  }
  requireMemory(mapOf(recorded.spec).totalBytes, `the replay of VM ${vm}`);
  const cut = run.cut === undefined ? [] : [`replayed up to record ${lastSeq(run)}: ${run.cut}`];
  const deterministic = mode === "deterministic";
  const compared = deterministic ? "every entry of the ledger, times included" : comparedInWords;
  const result = deterministic
    ? replayDeterministic(run.records, recorded, guest, options)
    : replayThreads(run.records, recorded, guest, options);
  const partial = base.partial || result.stopped;
  const notes = [...cut, ...result.notes];
  return { ...base, mode, compared, replayed: true, ...result, partial, notes };
}

function lastSeq(run: Run): number {
  return run.records.at(-1)?.seq ?? run.firstSeq;
}
