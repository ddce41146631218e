/**
 * From the records of a run on threads: what came to the machine from outside, in the order and at the moments at which it
 * came, as a schedule for the deterministic machine. Errors are taken from the platform's records; those that one
 * drain of the worker read arrive together, because on one thread a drain ends before anything else can arrive.
 */
import {
  type FaultAction,
  type SimFunctionConfig,
  simFunctionConfig,
} from "../../backend/sim/index.ts";
import { HOST_PENDING_MAX } from "../../base/limits.ts";
import type { VmSpec } from "../../machine/vm-spec.ts";
import { EAGAIN, EINVAL, EIO, ENODEV, ENOTTY } from "../../ports/host-function.ts";
import type { Policy } from "../../recovery/index.ts";
import { RecoveryCommand } from "../../shm/blocks.ts";
import type { JournalRecord } from "../journal/index.ts";

/**
 * One thing from outside. Due at `timeUs`, when the guest has done `guestActions` to its functions and has executed
 * `instructions` or waits.
 */
export interface HostEvent {
  readonly timeUs: number;
  readonly instructions: number;
  readonly guestActions: number;
  readonly what:
    | { readonly type: "raise"; readonly index: number; readonly actions: readonly FaultAction[] }
    | { readonly type: "command"; readonly index: number; readonly command: number }
    | { readonly type: "policies"; readonly policies: readonly (Policy | undefined)[] }
    | { readonly type: "quiesce" };
}

type Ccdf = Extract<FaultAction, { type: "ccdf" }>;

/** What a guest does to its functions, as the ledger tells it: the points at which host and guest meet. */
const guestActionKinds: readonly string[] = ["fetched", "clp-set", "mpcifc", "first-good-load"];

export function isGuestAction({ kind }: { readonly kind: string }): boolean {
  return guestActionKinds.includes(kind);
}

/** An error on its way to the worker. */
interface Raised {
  readonly record: JournalRecord;
  readonly guestActions: number;
  readonly stored: boolean;
  ccdf: Ccdf;
}

const operatorChoices: Readonly<Record<string, number>> = {
  reset: RecoveryCommand.reset,
  quarantine: RecoveryCommand.quarantine,
  release: RecoveryCommand.release,
  unplug: RecoveryCommand.unplug,
  "stop-vm": RecoveryCommand.stopVm,
};

const errnos: Readonly<Record<string, number>> = { EAGAIN, EINVAL, EIO, ENODEV, ENOTTY, done: 0 };

/** Errors of one function, grouped by the drain that read them. */
class Arrivals {
  readonly events: HostEvent[] = [];
  readonly #index: number;
  #raised: Raised[] = [];
  /** CCDFs that the worker has read of `#raised`, in order. */
  #read = 0;

  constructor(index: number) {
    this.#index = index;
  }

  add(record: JournalRecord, guestActions: number): void {
    if (record.kind === "error-raised") this.#raise(record, guestActions);
    else if (record.kind === "ccdf-read") this.#take(record);
    else if (record.kind === "state" && record.detail["to"] !== "draining") this.#drained();
  }

  end(): void {
    this.#read = this.#raised.length;
    this.#drained();
  }

  #raise(record: JournalRecord, guestActions: number): void {
    const { disposition, pec } = record.detail;
    const stored = disposition === "stored";
    // What found the queue full is not raised again: whether it was full is a question of real time.
    if (disposition === "queue-full") return;
    const ccdf: Ccdf = { type: "ccdf", pec: Number(pec), stale: disposition === "stale" };
    this.#raised.push({ record, guestActions, stored, ccdf });
  }

  #take(record: JournalRecord): void {
    const waiting = this.#raised.filter(({ stored }) => stored)[this.#read];
    this.#read += 1;
    if (waiting === undefined || record.ccdf === undefined) return;
    waiting.ccdf = { type: "ccdf", ccdf: record.ccdf };
  }

  /** A drain has ended: what it read, and what was raised before and never stored, came together. */
  #drained(): void {
    if (this.#read === 0) return;
    let left = this.#read;
    const end = this.#raised.findIndex(({ stored }) => stored && left-- === 0);
    const together = end < 0 ? this.#raised : this.#raised.slice(0, end);
    this.#raised = end < 0 ? [] : this.#raised.slice(end);
    this.#read = 0;
    for (let at = 0; at < together.length; at += HOST_PENDING_MAX) {
      this.#event(together.slice(at, at + HOST_PENDING_MAX));
    }
  }

  #event(together: readonly Raised[]): void {
    const [first] = together;
    if (first === undefined) return;
    const ccdfs = together.map(({ ccdf }) => ccdf);
    this.events.push({
      timeUs: first.record.timeUs ?? 0,
      instructions: first.record.instructions ?? 0,
      guestActions: first.guestActions,
      what: { type: "raise", index: this.#index, actions: [{ type: "burst", ccdfs }] },
    });
  }
}

/** Everything from outside, in order of time. */
export function hostEvents(spec: VmSpec, records: readonly JournalRecord[]): HostEvent[] {
  const indexOf = new Map(spec.functions.map(({ fid }, index) => [fid, index]));
  const arrivals = spec.functions.map((_, index) => new Arrivals(index));
  const others: HostEvent[] = [];
  let guestActions = 0;
  for (const record of records) {
    if (isGuestAction(record)) guestActions += 1;
    const index = record.fid === undefined ? undefined : indexOf.get(record.fid);
    if (index !== undefined) arrivals[index]?.add(record, guestActions);
    const { timeUs = 0, instructions = 0 } = record;
    const when = { timeUs, instructions, guestActions };
    const command = commandOf(record);
    if (command !== undefined && index !== undefined) {
      others.push({ ...when, what: { type: "command", index, command } });
    }
    if (record.kind === "vm-policies") {
      const policies = policiesOf(record, spec.functions.length);
      others.push({ ...when, what: { type: "policies", policies } });
    }
    if (record.kind === "operator-command" && record.detail["command"] === "quiesce") {
      others.push({ ...when, what: { type: "quiesce" } });
    }
  }
  for (const each of arrivals) each.end();
  return [...arrivals.flatMap(({ events }) => events), ...others].sort(
    (a, b) => a.timeUs - b.timeUs,
  );
}

/** An operator's command as the recovery machine took it: what it did not answer to changed nothing. */
function commandOf({ kind, detail, choice }: JournalRecord): number | undefined {
  if (kind !== "state" || detail["event"] !== "operator-command") return undefined;
  return operatorChoices[choice ?? ""];
}

function policiesOf({ detail }: JournalRecord, functions: number): (Policy | undefined)[] {
  const { policy, policies } = detail as { policy?: Policy; policies?: readonly (Policy | null)[] };
  return Array.from({ length: functions }, (_, index) => policies?.[index] ?? policy);
}

/**
 * The functions with a host that answers resets as the recorded one did, one after the other, and that raises no error
 * of its own: errors come from the schedule.
 */
export function recordedHosts(
  spec: VmSpec,
  records: readonly JournalRecord[],
): readonly SimFunctionConfig[] {
  return spec.functions.map((config, index) => {
    const resets = records.filter(({ kind, fid }) => kind === "host-reset" && fid === config.fid);
    const resetFailures = resets.map(({ detail }) => errnos[String(detail["result"])] ?? EIO);
    const timing = { ...config.timing, deviceLockUs: 0, stateLockUs: 0 };
    return simFunctionConfig({ ...config, timing, resetFailures, faults: [] }, index);
  });
}

/** Instructions a microsecond of the recorded CPU at its busiest, and no less than the deterministic machine's own. */
export function recordedPace(records: readonly JournalRecord[], least: number): number {
  /** Shorter stretches say more about when counts were published than about speed. */
  const shortestUs = 5000;
  let pace = least;
  let before: JournalRecord | undefined;
  for (const record of records) {
    if (record.timeUs === undefined || record.instructions === undefined) continue;
    const us = record.timeUs - (before?.timeUs ?? 0);
    if (us < shortestUs) continue;
    pace = Math.max(pace, (record.instructions - (before?.instructions ?? 0)) / us);
    before = record;
  }
  return Math.min(pace, 10_000);
}
