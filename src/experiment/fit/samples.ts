/**
 * Measured recoveries, phase by phase: from an experiment's ledger whose guests are real machines, from what `journal export`
 * writes, or from a demo's `--trace`. Only phases that are the guest's own: how long the host takes is the scenario's.
 */
import { readFileSync } from "node:fs";
import { unpackMultiple } from "msgpackr";
import { ZmendError } from "../../base/errors.ts";
import { suggestion } from "../../base/nearest.ts";
import type { LedgerEntry } from "../../machine/ledger-entry.ts";
import { LEDGER_KIND } from "../ledger.ts";
import { type RecoveryListener, RecoveryWatch } from "../machine/watch.ts";
import type { PhaseName } from "../metrics.ts";
import { readHeader, readRows } from "../runner/ledger-file.ts";

export type GuestPhase = Extract<PhaseName, "notify" | "guest" | "restore" | "resume">;
/** Microseconds, one value per recovery. */
export type Samples = Readonly<Record<GuestPhase, readonly number[]>>;

export interface MeasuredRecoveries {
  readonly recoveries: number;
  readonly samples: Samples;
  /** What they were measured on, for the file that is written. */
  readonly source: string;
}

export interface SampleChoice {
  /** Of an experiment's ledger: this guest, and trials under this policy; the only and the baseline by default. */
  readonly guest?: string | undefined;
  readonly policy?: string | undefined;
}

const empty = (): Record<GuestPhase, number[]> => ({
  notify: [],
  guest: [],
  restore: [],
  resume: [],
});

function invalid(file: string, why: string): ZmendError {
  return new ZmendError("LEDGER_INVALID", `${file}: ${why}`, { file });
}

/** @throws ZmendError LEDGER_INVALID for a file that is none of the three, USAGE for a wrong choice */
export function readRecoveries(file: string, choice: SampleChoice = {}): MeasuredRecoveries {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (cause) {
    throw new ZmendError(
      "LEDGER_INVALID",
      `Ledger ${file} cannot be read; name a ledger.jsonl, what 'journal export' wrote, or a demo's trace.`,
      { file },
      { cause },
    );
  }
  const start = bytes.toString("latin1", 0, 64);
  if (start.startsWith(`{"ledger":"${LEDGER_KIND}"`)) return fromTrials(file, choice);
  return fromEntries(start.startsWith("{") ? jsonEntries(file, bytes) : packed(file, bytes), file);
}

/** Trials with one failure that was recovered from: their phases are that recovery's. */
function fromTrials(file: string, choice: SampleChoice): MeasuredRecoveries {
  const { plan } = readHeader(file);
  const guests = plan.guests.map(({ label }) => label);
  const guest = choice.guest ?? guests[0] ?? "";
  if (!guests.includes(guest) || (choice.guest === undefined && guests.length > 1)) {
    throw new ZmendError(
      "USAGE",
      `${file} has the guests ${guests.join(", ")}; say which one with --guest NAME${suggestion(guest, guests)}.`,
    );
  }
  const policies = plan.points[0]?.policies.map(({ label }) => label) ?? [];
  const policy = choice.policy ?? plan.baseline;
  if (!policies.includes(policy)) {
    throw new ZmendError(
      "USAGE",
      `${file} has the policies ${policies.join(", ")}, not '${policy}'${suggestion(policy, policies)}; say which one with --policy NAME.`,
    );
  }
  const samples = empty();
  let recoveries = 0;
  for (const row of readRows(file)) {
    if (row.guest !== guest || row.policy !== policy || row.status !== "done") continue;
    if (row.metrics.failures !== 1 || row.metrics.recoveries !== 1) continue;
    recoveries += 1;
    for (const phase of Object.keys(samples) as GuestPhase[]) {
      samples[phase].push(row.phases[phase] * 1e6);
    }
  }
  return {
    recoveries,
    samples,
    source: `experiment ${plan.name}, guest ${guest}, policy ${policy}`,
  };
}

type Entry = Pick<LedgerEntry, "kind" | "fid" | "detail" | "timeUs"> & { readonly vm?: string };

/** Records of the daemon itself have no time of a VM, and are none of a recovery's. */
function jsonEntries(file: string, bytes: Buffer): Entry[] {
  return bytes
    .toString("utf8")
    .split("\n")
    .flatMap((line, number): Entry[] => {
      if (line.trim() === "") return [];
      try {
        const entry = JSON.parse(line) as Entry;
        return entry.timeUs === undefined ? [] : [entry];
      } catch {
        throw invalid(file, `line ${number + 1} is no JSON; name what 'journal export' wrote.`);
      }
    });
}

function packed(file: string, bytes: Buffer): Entry[] {
  try {
    const list = unpackMultiple(bytes) as Entry[];
    if (list.every((entry) => typeof entry?.kind === "string")) return list;
  } catch {
    // said below
  }
  throw invalid(file, "is neither a ledger, nor an exported journal, nor a demo's trace.");
}

/** Turning points of one function's recovery; a phase ends where the next one begins. */
class Turning implements RecoveryListener {
  readonly samples = empty();
  recoveries = 0;
  readonly #at = new Map<
    number,
    Partial<Record<"noticed" | "fetched" | "asked" | "granted", number>>
  >();

  #of(index: number): Partial<Record<"noticed" | "fetched" | "asked" | "granted", number>> {
    const found = this.#at.get(index) ?? {};
    this.#at.set(index, found);
    return found;
  }

  noticed(index: number, atUs: number): void {
    this.#of(index).noticed ??= atUs;
  }

  fetched(index: number, atUs: number): void {
    this.#of(index).fetched ??= atUs;
  }

  resetAsked(index: number, atUs: number): void {
    this.#of(index).asked ??= atUs;
  }

  resetGranted(index: number, atUs: number): void {
    this.#of(index).granted ??= atUs;
  }

  proved(index: number, atUs: number): void {
    const { noticed, fetched, asked, granted } = this.#of(index);
    this.#at.delete(index);
    if (noticed === undefined || fetched === undefined) return;
    if (asked === undefined || granted === undefined) return;
    this.recoveries += 1;
    this.samples.notify.push(fetched - noticed);
    this.samples.guest.push(asked - fetched);
    this.samples.restore.push(atUs - granted);
  }

  changed(index: number, state: string): void {
    if (["quarantined", "failed", "detached", "unplugging"].includes(state)) this.#at.delete(index);
  }
}

/** Entries of several VMs may stand in one journal; a function is known by VM and FID. */
function fromEntries(entries: readonly Entry[], file: string): MeasuredRecoveries {
  const turning = new Turning();
  const names = entries.map(({ vm = "", fid }) => `${vm} ${fid}`);
  const functions = [...new Set(names)];
  const watch = new RecoveryWatch(
    functions.map((_, index) => index),
    turning,
  );
  const index = new Map(functions.map((name, number) => [name, number]));
  for (const [number, entry] of entries.entries()) {
    if (entry.fid === undefined) continue;
    const fid = index.get(names[number] ?? "") ?? 0;
    watch.add({ seq: 0, actor: "machine", ...entry, fid });
  }
  const { recoveries, samples } = turning;
  return { recoveries, samples, source: `recorded run ${file.replace(/^.*\//, "")}` };
}
