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
import { isBusy } from "./compared.ts";
import { inService } from "./pinned.ts";

/**
 * One thing from outside. It is due when its function has made `transitions` transitions and the guest has done
 * `guestActions` to it. If the function was in service then, the recorded time must have come as well, and the
 * guest must have executed `instructions` or wait; within a recovery, order says more than time.
 */
export interface HostEvent {
  readonly timeUs: number;
  readonly instructions: number;
  readonly guestActions: number;
  /** The function that it comes to; absent for the whole VM. */
  readonly fid?: number;
  readonly transitions: number;
  readonly inRecovery: boolean;
  readonly what:
    | { readonly type: "raise"; readonly index: number; readonly actions: readonly FaultAction[] }
    | { readonly type: "command"; readonly index: number; readonly command: number }
    | { readonly type: "policies"; readonly policies: readonly (Policy | undefined)[] }
    | { readonly type: "quiesce" };
}

type Ccdf = Extract<FaultAction, { type: "ccdf" }>;

/** What a guest does to its functions, as the ledger tells it: the points at which host and guest meet. */
const guestActionKinds: readonly string[] = ["fetched", "clp-set", "mpcifc", "first-good-load"];

export function isGuestAction({
  kind,
  detail,
}: {
  readonly kind: string;
  readonly detail: Readonly<Record<string, unknown>>;
}): boolean {
  return guestActionKinds.includes(kind) && !isBusy(detail);
}

/** An error on its way to the worker. */
interface Raised {
  readonly record: JournalRecord;
  readonly guestActions: number;
  ccdf: Ccdf;
}

const operatorChoices: Readonly<Record<string, number>> = {
  reset: RecoveryCommand.reset,
  quarantine: RecoveryCommand.quarantine,
  release: RecoveryCommand.release,
  unplug: RecoveryCommand.unplug,
  "stop-vm": RecoveryCommand.stopVm,
  ask: RecoveryCommand.ask,
  take: RecoveryCommand.take,
};

const errnos: Readonly<Record<string, number>> = { EAGAIN, EINVAL, EIO, ENODEV, ENOTTY, done: 0 };

/** Where a function's recovery stands in the recording: how many transitions it has made, and to which state. */
interface Standing {
  readonly transitions: number;
  readonly inRecovery: boolean;
}

/** Errors of one function, grouped by the drain that read them. */
class Arrivals {
  readonly events: HostEvent[] = [];
  readonly #index: number;
  readonly #fid: number;
  #raised: Raised[] = [];
  /** CCDFs that the worker has read of `#raised`, in order. */
  #read = 0;
  /** Now, and where the drain that reads now began. */
  #standing: Standing = { transitions: 0, inRecovery: false };
  #drainFrom: Standing = this.#standing;
  /** What the guest has done to the function so far, and had done at each transition. */
  guestActions = 0;
  readonly actionsAt: number[] = [];

  constructor(index: number, fid: number) {
    this.#index = index;
    this.#fid = fid;
  }

  standing(): Standing {
    return this.#standing;
  }

  add(record: JournalRecord): void {
    if (isGuestAction(record)) this.guestActions += 1;
    else if (record.kind === "error-raised") this.#raise(record);
    else if (record.kind === "ccdf-read") this.#take(record);
    else if (record.kind === "state") this.#transition(record.detail["to"]);
  }

  #transition(to: unknown): void {
    if (to !== "draining") this.#drained();
    else this.#drainFrom = this.#standing;
    this.actionsAt.push(this.guestActions);
    const transitions = this.#standing.transitions + 1;
    this.#standing = { transitions, inRecovery: !inService.includes(to) };
    if (to !== "draining") this.#drainFrom = this.#standing;
  }

  end(): void {
    this.#read = this.#raised.length;
    this.#drained();
  }

  #raise(record: JournalRecord): void {
    const { disposition, pec } = record.detail;
    const ccdf: Ccdf = { type: "ccdf", pec: Number(pec), stale: disposition === "stale" };
    const raised = { record, guestActions: this.guestActions, ccdf };
    // What found the queue full is not raised again: whether it was full is a question of real time.
    if (disposition === "queue-full") return;
    if (disposition === "stored") this.#raised.push(raised);
    else this.#event([raised], this.#standing);
  }

  #take(record: JournalRecord): void {
    const waiting = this.#raised[this.#read];
    this.#read += 1;
    if (waiting === undefined || record.ccdf === undefined) return;
    waiting.ccdf = { type: "ccdf", ccdf: record.ccdf };
  }

  /** A drain has ended: what it read came together. */
  #drained(): void {
    const together = this.#raised.splice(0, this.#read);
    this.#read = 0;
    for (let at = 0; at < together.length; at += HOST_PENDING_MAX) {
      this.#event(together.slice(at, at + HOST_PENDING_MAX), this.#drainFrom);
    }
  }

  #event(together: readonly Raised[], standing: Standing): void {
    const [first] = together;
    if (first === undefined) return;
    const ccdfs = together.map(({ ccdf }) => ccdf);
    this.events.push({
      timeUs: first.record.timeUs ?? 0,
      instructions: first.record.instructions ?? 0,
      guestActions: first.guestActions,
      fid: this.#fid,
      ...standing,
      what: { type: "raise", index: this.#index, actions: [{ type: "burst", ccdfs }] },
    });
  }
}

export interface Schedule {
  /** Everything from outside, in order of time. */
  readonly events: readonly HostEvent[];
  /** By function index: what the guest had done to the function at each of its transitions. */
  readonly actionsAt: readonly (readonly number[])[];
}

export function scheduleOf(spec: VmSpec, records: readonly JournalRecord[]): Schedule {
  const indexOf = new Map(spec.functions.map(({ fid }, index) => [fid, index]));
  const arrivals = spec.functions.map(({ fid }, index) => new Arrivals(index, fid));
  const others: HostEvent[] = [];
  for (const record of records) {
    const index = record.fid === undefined ? undefined : indexOf.get(record.fid);
    const own = index === undefined ? undefined : arrivals[index];
    const { timeUs = 0, instructions = 0 } = record;
    const ofVm = { transitions: 0, guestActions: 0, inRecovery: false };
    const { guestActions = 0 } = own ?? {};
    const of = own === undefined ? ofVm : { fid: record.fid ?? 0, guestActions, ...own.standing() };
    const when = { timeUs, instructions, ...of };
    own?.add(record);
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
  const events = [...arrivals.flatMap((each) => each.events), ...others];
  return {
    events: events.sort((a, b) => a.timeUs - b.timeUs),
    actionsAt: arrivals.map((each) => each.actionsAt),
  };
}

/** An operator's command as the recovery machine took it: what it did not answer to changed nothing. */
function commandOf({ kind, detail, choice }: JournalRecord): number | undefined {
  if (kind === "state" && detail["event"] === "unplug-refused") return RecoveryCommand.keep;
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
