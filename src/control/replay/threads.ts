/**
 * The replay of a run on threads. It had real concurrency in it, and a guest whose clock was the world's. Its host is played back:
 * every error, grouped by the drain that read it, every answer to a reset, every operator's command and policy, each when its
 * function has made the transitions that it had made, the guest has done to its functions what it had done by then, and, for a
 * function in service, when the recorded time has come and the guest has executed the recorded number of instructions or
 * waits. (Recorded time is counted from the guest's first act: threads take a while to start.)
 * The guest's program and the recovery machines run anew. Compared is, per function and kind (`compared.ts`), the sequence of records:
 * transitions, CCDFs read, injected and fetched, answers of the host, steps of the policy, recoveries. Times, and the order of
 * records that different threads made, are not. A divergence is thus a place where threads, and not the inputs, decided; or where
 * another version of zmend decides otherwise; or a record that is not what was written. Also, each recorded transition must be one
 * that the recovery table has for its event.
 */
import type { DeterministicVm } from "../../machine/deterministic-vm.ts";
import { Ledger } from "../../machine/ledger.ts";
import { COMMAND_RUN, commandOf, stoppedOf, VCPU_RUNNING } from "../../machine/loops.ts";
import type { VmSpec } from "../../machine/vm-spec.ts";
import { store } from "../../shm/atomics.ts";
import { FunctionBlock } from "../../shm/blocks.ts";
import type { JournalRecord, RecordedRun } from "../journal/index.ts";
import {
  type HostEvent,
  isGuestAction,
  recordedHosts,
  recordedPace,
  scheduleOf,
} from "./host-events.ts";
import { unpinned } from "./pinned.ts";
import { build, type Guest } from "./recorded-guest.ts";
import {
  type Divergence,
  differs,
  type Parting,
  type ReplayOptions,
  type Result,
  tooLong,
} from "./report.ts";
import { firstMissing, follow, open, type Track, trackOf } from "./tracks.ts";

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

export function replayThreads(
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
  let stopped = false;
  const lastUs = Math.max(0, ...events.map(({ timeUs }) => timeUs));
  let endUs = Number.POSITIVE_INFINITY;
  try {
    while (machine.clock.nowUs() < endUs && open(tracks)) {
      if (machine.instructions() > options.maxInstructions) {
        notes.push(tooLong(options));
        stopped = true;
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
  return { ...judged(tracks, records, stopped), notes, stopped };
}

/** @param stopped the replay was ended: what it has not repeated says nothing */
function judged(
  tracks: ReadonlyMap<number, Track>,
  records: readonly JournalRecord[],
  stopped: boolean,
): Omit<Result, "notes" | "stopped"> {
  let comparable = 0;
  let repeated = 0;
  const divergences: Divergence[] = [];
  const parted: Parting[] = [];
  for (const { sequences, divergence, record } of tracks.values()) {
    for (const sequence of sequences.values()) {
      comparable += sequence.expected.length;
      repeated += sequence.repeated;
    }
    const missing = stopped ? undefined : firstMissing(sequences);
    const place = divergence ?? (missing === undefined ? undefined : differs(missing, "nothing"));
    if (place === undefined) continue;
    // What an audit has found is no question of time.
    const at = divergence === undefined ? missing : record;
    const why = at === undefined ? undefined : unpinned(records, at);
    if (why === undefined) divergences.push(place);
    else parted.push({ ...place, why });
  }
  return { comparable, repeated, divergences, parted };
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

// When things are due ------------------------------------------------------------------------------------

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
