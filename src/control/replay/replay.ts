/**
 * Runs that a journal recorded, run again on the deterministic machine, and compared.
 *
 * *A deterministic run* is run again from its spec, and every entry of its ledger is compared: time, actor, kind,
 * function, correlation and detail; console lines are not in the journal.
 *
 * *A run on threads* has real concurrency in it, and a guest whose clock was the world's. Its host is played back: every error,
 * grouped by the drain that read it, every answer to a reset, every operator's command and policy, each when its
 * function has made the transitions that it had made, the guest has done to its functions what it had done by then, and, for a
 * function in service, when the recorded time has come and the guest has executed the recorded number of instructions or
 * waits. (Recorded time is counted from the guest's first act: threads take a while to start.)
 * The guest's program and the recovery machines run anew. Compared is, per function and kind (`compared.ts`), the sequence of records:
 * transitions, CCDFs read, injected and fetched, answers of the host, steps of the policy, recoveries. Times, and the order of
 * records that different threads made, are not. A divergence is thus a place where threads, and not the inputs, decided; or where
 * another version of zmend decides otherwise; or a record that is not what was written. Also, each recorded transition must be one
 * that the recovery table has for its event.
 */

import { DeterministicVm } from "../../machine/deterministic-vm.ts";
import { EntryStream } from "../../machine/entry-stream.ts";
import { readFixture } from "../../machine/fixtures.ts";
import { requireMemory } from "../../machine/host-memory.ts";
import { readImage, readInitrd } from "../../machine/image.ts";
import { Ledger } from "../../machine/ledger.ts";
import type { LedgerEntry } from "../../machine/ledger-entry.ts";
import { COMMAND_RUN, commandOf, stoppedOf, VCPU_RUNNING } from "../../machine/loops.ts";
import { bootVm } from "../../machine/parts.ts";
import { mapOf, type VmSpec } from "../../machine/vm-spec.ts";
import { store } from "../../shm/atomics.ts";
import { FunctionBlock } from "../../shm/blocks.ts";
import { imageSum, type JournalRecord, type RecordedRun } from "../journal/index.ts";
import { auditFunction } from "./audit.ts";
import { comparedFacts, comparedInWords, comparedKind } from "./compared.ts";
import {
  type HostEvent,
  isGuestAction,
  recordedHosts,
  recordedPace,
  scheduleOf,
} from "./host-events.ts";
import { unpinned } from "./pinned.ts";
import type { Run } from "./runs.ts";

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
  /** Of them, those that were compared and came out the same. */
  readonly repeated: number;
  readonly divergences: readonly Divergence[];
  /** Where real time decided, and in the replay otherwise: what follows of that function was not compared. */
  readonly parted: readonly Parting[];
  /** Which records, and what of them. */
  readonly compared: string;
  /** False when there was nothing to replay it with. */
  readonly replayed: boolean;
  /** Why nothing, or not everything, was replayed. */
  readonly notes: readonly string[];
}

export interface ReplayOptions {
  /** A replay that has executed so many instructions ends; a guest that never waits makes a long one. */
  readonly maxInstructions: number;
}

/** The deterministic machine's own pace (deterministic-vm.ts). */
const LEAST_PACE = 100;
/** How long an event waits for a guest that is behind, virtual time. */
const PATIENCE_US = 1_000_000;
/** How long a recovery machine waits for a guest that is behind, virtual time. */
const HOLD_US = 20_000;
/** Events this far ahead do not shorten a slice. */
const SOON_US = 100_000;
/** How near a recovery must be to an event's place in it for slices to be short. */
const NEAR_TRANSITIONS = 2;
/** How long a replay goes on after the last recorded transition was due, virtual time. */
const GRACE_US = 10_000_000;

export function replayRun(run: Run, options: ReplayOptions): RunReport {
  const { vm, firstSeq, recorded } = run;
  const base = {
    vm,
    firstSeq,
    records: run.records.length,
    repeated: 0,
    divergences: [],
    parted: [],
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
  return { ...base, mode, compared, replayed: true, ...result, notes: [...cut, ...result.notes] };
}

function lastSeq(run: Run): number {
  return run.records.at(-1)?.seq ?? run.firstSeq;
}

interface Guest {
  readonly image: Uint8Array;
  readonly file: string;
  readonly initrd?: { readonly bytes: Uint8Array; readonly file: string };
  readonly append?: string;
}

/** The recorded guest, or why it is not to be had. */
function loadGuest({ guest }: RecordedRun): Guest | string {
  const { fixture, kernel = "", initrd, append, sha256 } = guest;
  let found: { readonly image: Uint8Array; readonly file: string };
  let disk: Guest["initrd"];
  try {
    found =
      fixture === undefined ? { image: readImage(kernel), file: kernel } : readFixture(fixture);
    if (initrd !== undefined) disk = { bytes: readInitrd(initrd), file: initrd };
  } catch (error) {
    return (error as Error).message;
  }
  if (imageSum(found.image) !== sha256) {
    return `the guest ${found.file} is not the recorded one (SHA-256 ${sha256.slice(0, 16)}…); restore it`;
  }
  return {
    ...found,
    ...(disk === undefined ? {} : { initrd: disk }),
    ...(append === undefined ? {} : { append }),
  };
}

type Result = Pick<RunReport, "repeated" | "divergences" | "parted" | "notes">;

function build(
  spec: VmSpec,
  { image, file, initrd, append }: Guest,
  pace?: number,
): DeterministicVm {
  const machine = new DeterministicVm(spec, () => {});
  if (pace !== undefined) machine.instructionsPerUs = pace;
  const linux = {
    ...(initrd === undefined ? {} : { initrd }),
    ...(append === undefined ? {} : { commandLine: append }),
  };
  bootVm(machine.vm, image, file, linux);
  return machine;
}

function tooLong({ maxInstructions }: ReplayOptions): string {
  return `stopped after ${maxInstructions.toLocaleString("en")} instructions; --max-instructions lets it go on`;
}

/** What of an entry has to be the same: all that is canonical but its number. */
function canonical(
  entry: Pick<LedgerEntry, "timeUs" | "kind" | "detail"> & Partial<LedgerEntry>,
): string {
  const { timeUs, actor, kind, fid, correlation, detail } = entry;
  return JSON.stringify([timeUs, actor, kind, fid ?? null, correlation ?? 0, detail]);
}

function inWords(record: {
  readonly timeUs?: number;
  readonly kind: string;
  readonly detail: Readonly<Record<string, unknown>>;
}): string {
  const facts = Object.entries(record.detail).map(([key, value]) => `${key} ${String(value)}`);
  return [`${((record.timeUs ?? 0) / 1000).toFixed(3)} ms`, record.kind, ...facts].join(" ");
}

/** Records that a VM's own threads made. */
function isLedger(record: JournalRecord): boolean {
  return record.ledgerSeq !== undefined && record.actor !== "machine";
}

function replayDeterministic(
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
  return { repeated, divergences, parted: [], notes };
}

/** Records of one kind, in their order: those recorded, and how many of them the replay has repeated. */
interface Sequence {
  readonly expected: readonly JournalRecord[];
  repeated: number;
}

/** One function's part of the run. */
interface Track {
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

function trackOf(records: readonly JournalRecord[], fid: number): Track {
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

function differs(record: JournalRecord, replayed: string): Divergence {
  const of = record.fid === undefined ? {} : { fid: record.fid };
  return { ...of, seq: record.seq, recorded: inWords(record), replayed };
}

function replayThreads(
  records: readonly JournalRecord[],
  recorded: RecordedRun,
  guest: Guest,
  options: ReplayOptions,
): Result {
  const functions = recordedHosts(recorded.spec, records);
  const spec: VmSpec = { ...recorded.spec, functions };
  const tracks = new Map(functions.map(({ fid }) => [fid, trackOf(records, fid)]));
  const pace = recordedPace(records, LEAST_PACE);
  const lateUs = lateStart(spec, guest, pace, records);
  const schedule = scheduleOf(spec, records);
  const events = schedule.events.map((event) => ({ ...event, timeUs: event.timeUs - lateUs }));
  const machine = build(spec, guest, pace);
  const ledger = new Ledger(machine.vm);
  const notes: string[] = [];
  const lastUs = Math.max(0, ...events.map(({ timeUs }) => timeUs));
  let endUs = Number.POSITIVE_INFINITY;
  try {
    while (machine.clock.nowUs() < endUs && open(tracks)) {
      if (machine.instructions() > options.maxInstructions) {
        notes.push(tooLong(options));
        break;
      }
      for (let due = nextDue(events, machine, tracks); due >= 0; ) {
        play(events.splice(due, 1)[0], machine);
        due = nextDue(events, machine, tracks);
      }
      if (events.length === 0 && endUs === Number.POSITIVE_INFINITY) {
        endUs = Math.max(machine.clock.nowUs(), lastUs) + GRACE_US;
      }
      hold(machine, tracks, schedule.actionsAt);
      machine.step(horizonOf(events, machine, tracks));
      for (const entry of ledger.drain()) follow(tracks, entry);
      if (stoppedOf(machine.vm) !== VCPU_RUNNING || commandOf(machine.vm) !== COMMAND_RUN) break;
    }
  } finally {
    machine.close();
  }
  const stopped = notes.length > 0;
  let repeated = 0;
  const divergences: Divergence[] = [];
  const parted: Parting[] = [];
  for (const { sequences, divergence, record } of tracks.values()) {
    for (const sequence of sequences.values()) repeated += sequence.repeated;
    const missing = stopped ? undefined : firstMissing(sequences);
    const place = divergence ?? (missing === undefined ? undefined : differs(missing, "nothing"));
    if (place === undefined) continue;
    // What an audit has found is no question of time.
    const at = divergence === undefined ? missing : record;
    const why = at === undefined ? undefined : unpinned(records, at);
    if (why === undefined) divergences.push(place);
    else parted.push({ ...place, why });
  }
  return { repeated, divergences, parted, notes };
}

function firstMissing(sequences: Track["sequences"]): JournalRecord | undefined {
  const missing = [...sequences.values()].flatMap(({ expected, repeated }) => {
    const next = expected[repeated];
    return next === undefined ? [] : [next];
  });
  return missing.sort((a, b) => a.seq - b.seq)[0];
}

/** Whether any function still has records to repeat. */
function open(tracks: ReadonlyMap<number, Track>): boolean {
  for (const { sequences, divergence } of tracks.values()) {
    if (divergence !== undefined) continue;
    for (const { expected, repeated } of sequences.values()) {
      if (repeated < expected.length) return true;
    }
  }
  return false;
}

/** How much later than here the recorded guest first acted: how long its threads took to start and to get warm. */
function lateStart(
  spec: VmSpec,
  guest: Guest,
  pace: number,
  records: readonly JournalRecord[],
): number {
  const recordedUs = records.find(isGuestAction)?.timeUs ?? 0;
  const machine = build(spec, guest, pace);
  const ledger = new Ledger(machine.vm);
  try {
    while (machine.clock.nowUs() < recordedUs && stoppedOf(machine.vm) === VCPU_RUNNING) {
      machine.step();
      const first = ledger.drain().find(isGuestAction);
      if (first !== undefined) return Math.max(0, recordedUs - first.timeUs);
    }
    return 0;
  } finally {
    machine.close();
  }
}

/** Number of the event that is due, -1 when none is. Of one function, and of the VM, they come in their order. */
function nextDue(
  events: readonly HostEvent[],
  machine: DeterministicVm,
  tracks: ReadonlyMap<number, Track>,
): number {
  const seen = new Set<number | undefined>();
  for (const [n, event] of events.entries()) {
    if (seen.has(event.fid)) continue;
    seen.add(event.fid);
    if (isDue(event, machine, tracks)) return n;
    if (seen.size > tracks.size) break;
  }
  return -1;
}

function isDue(
  event: HostEvent,
  machine: DeterministicVm,
  tracks: ReadonlyMap<number, Track>,
): boolean {
  const nowUs = machine.clock.nowUs();
  // A guest that does other things than it did will be found out by what follows.
  if (nowUs >= event.timeUs + PATIENCE_US) return true;
  if (!event.inRecovery && nowUs < event.timeUs) return false;
  const track = event.fid === undefined ? undefined : tracks.get(event.fid);
  const { made = 0, guestActions = 0 } = track ?? {};
  if (guestActions < event.guestActions || made < event.transitions) return false;
  return event.inRecovery || machine.idle() || machine.instructions() >= event.instructions;
}

/**
 * A worker thread that was late took several things at once that the guest had done. So a recovery machine is held until
 * the guest has done what it had done at the machine's next recorded transition; not for long, in case that needs it.
 */
function hold(
  machine: DeterministicVm,
  tracks: ReadonlyMap<number, Track>,
  actionsAt: readonly (readonly number[])[],
): void {
  const nowUs = machine.clock.nowUs();
  let index = 0;
  for (const track of tracks.values()) {
    const wanted = actionsAt[index]?.[track.made] ?? 0;
    const early = track.divergence === undefined && track.guestActions < wanted;
    track.heldSinceUs = early ? (track.heldSinceUs ?? nowUs) : undefined;
    const held = track.heldSinceUs !== undefined && nowUs < track.heldSinceUs + HOLD_US;
    machine.holdRecovery(index, held);
    index += 1;
  }
}

/** Short slices while an event waits for its place in a recovery that is going on. */
function horizonOf(
  events: readonly HostEvent[],
  machine: DeterministicVm,
  tracks: ReadonlyMap<number, Track>,
): number | undefined {
  const nowUs = machine.clock.nowUs();
  let horizonUs = Number.POSITIVE_INFINITY;
  for (const { timeUs, inRecovery, fid, transitions } of events) {
    const made = fid === undefined ? 0 : (tracks.get(fid)?.made ?? 0);
    if (inRecovery && made > 0 && made + NEAR_TRANSITIONS >= transitions) return nowUs + 1;
    if (timeUs > nowUs + SOON_US) break;
    if (timeUs > nowUs) horizonUs = Math.min(horizonUs, timeUs);
  }
  const [next] = events;
  if (next !== undefined && next.timeUs > nowUs) horizonUs = Math.min(horizonUs, next.timeUs);
  return Number.isFinite(horizonUs) ? horizonUs : undefined;
}

function play(event: HostEvent | undefined, machine: DeterministicVm): void {
  const what = event?.what;
  switch (what?.type) {
    case "raise":
      machine.order({ kind: "raise", index: what.index, actions: what.actions });
      return;
    case "command": {
      const block = (machine.vm.map.functionBlocks[what.index] as number) / 4;
      store(machine.vm.words, block + FunctionBlock.recoveryCommand, what.command);
      return;
    }
    case "policies":
      for (const [index, policy] of what.policies.entries()) {
        if (policy !== undefined) machine.setPolicy(index, policy);
      }
      return;
    case "quiesce":
      machine.requestQuiesce();
      return;
    default:
      return;
  }
}

function follow(tracks: ReadonlyMap<number, Track>, entry: LedgerEntry): void {
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
