/**
 * The phases of recoveries, from the ledger's entries: detected to injected (the host stores the CCDF and rings, until its
 * record is published), injected to fetched (until CHSC hands it out), fetched to recovered (the guest's first fetch since
 * the trouble began, until the recovery is over). Memory stays bounded whatever a guest leaves undone.
 */
import type { LedgerEntry } from "./ledger-entry.ts";

const recoveryPhases = [
  "detected_to_injected",
  "injected_to_fetched",
  "fetched_to_recovered",
] as const;
export type RecoveryPhase = (typeof recoveryPhases)[number];

/** One recovery from its first error to the end; phases that were not seen are absent. Microseconds. */
export interface Recovery {
  readonly fid: number;
  /** PEC of the first error, as the ledger writes it. */
  readonly pec: string;
  readonly endedUs: number;
  /** Since the first error; absent when its beginning was not seen. */
  readonly totalUs?: number;
  readonly phases: Readonly<Partial<Record<RecoveryPhase, number>>>;
}

export interface PhaseListener {
  /** One event's, or for the last phase one recovery's, duration. */
  sample(fid: number, phase: RecoveryPhase, us: number): void;
  recovery?(recovery: Recovery): void;
}

/** More errors than this are never on their way between host and guest: host queue and CCDF ring hold fewer. */
const ON_THEIR_WAY_MAX = 256;

/**
 * Two threads' entries for one error may change places by less than this, microseconds. What is further apart belongs to
 * different errors: one whose entry was lost, or that the host gave up unread.
 */
const SKEW_US = 50_000;

/** States in which an episode has ended without a recovery. */
const endings: readonly unknown[] = ["quarantined", "failed", "detached"];

interface Track {
  /** Times of stored errors that the worker has not read yet: the host's queue keeps their order. */
  readonly stored: number[];
  /** Times of reads whose error has not been told yet. */
  readonly ahead: number[];
  /** correlation -> when it was raised, when it was injected. */
  readonly raisedAt: Map<number, number>;
  readonly injectedAt: Map<number, number>;
  /** When the trouble that is not yet over began, with which code, and its phases so far. */
  since: number | undefined;
  pec: string;
  fetchedAt: number | undefined;
  phases: Partial<Record<RecoveryPhase, number>>;
}

export class PhaseTracker {
  readonly #tracks = new Map<number, Track>();
  readonly #listener: PhaseListener;

  constructor(listener: PhaseListener) {
    this.#listener = listener;
  }

  /** Entries of one function must come in order of time. */
  add(entry: LedgerEntry): void {
    if (entry.fid === undefined) return;
    const track = this.#track(entry.fid);
    const { timeUs } = entry;
    const correlation = entry.correlation ?? 0;
    switch (entry.kind) {
      case "error-raised":
        if (entry.detail["disposition"] !== "stored") return;
        forgetOlder(track.ahead, timeUs - SKEW_US);
        if (track.ahead.shift() !== undefined) return;
        bounded(track.stored);
        track.stored.push(timeUs);
        this.#begin(track, timeUs, entry);
        return;
      case "ccdf-read": {
        const raisedUs = track.stored.shift();
        if (raisedUs === undefined) {
          bounded(track.ahead);
          track.ahead.push(timeUs);
        }
        remember(track.raisedAt, correlation, raisedUs ?? timeUs);
        this.#begin(track, timeUs, entry);
        return;
      }
      case "injected":
        if (correlation === 0) return; // a repeat, or a code of zmend's own
        this.#sample(
          entry.fid,
          track,
          "detected_to_injected",
          timeUs - taken(track.raisedAt, correlation, timeUs),
        );
        remember(track.injectedAt, correlation, timeUs);
        return;
      case "not-delivered":
        track.raisedAt.delete(correlation);
        return;
      case "fetched": {
        const injected = track.injectedAt.get(correlation);
        if (injected === undefined) return;
        track.injectedAt.delete(correlation);
        track.fetchedAt ??= timeUs;
        this.#sample(entry.fid, track, "injected_to_fetched", timeUs - injected);
        return;
      }
      case "recovered":
        this.#recovered(entry.fid, track, timeUs);
        // The worker has read the host's queue empty: what is still waited for here never comes.
        forgetOlder(track.stored, timeUs - SKEW_US);
        return;
      case "state":
        if (endings.includes(entry.detail["to"])) {
          end(track);
          forgetOlder(track.stored, timeUs - SKEW_US);
        }
        return;
      default:
    }
  }

  #begin(track: Track, timeUs: number, entry: LedgerEntry): void {
    if (track.since !== undefined) return;
    track.since = timeUs;
    track.pec = String(entry.detail["pec"] ?? "");
  }

  #sample(fid: number, track: Track, phase: RecoveryPhase, us: number): void {
    track.phases[phase] ??= us;
    this.#listener.sample(fid, phase, us);
  }

  #recovered(fid: number, track: Track, timeUs: number): void {
    if (track.fetchedAt !== undefined) {
      this.#sample(fid, track, "fetched_to_recovered", timeUs - track.fetchedAt);
    }
    const { since, pec, phases } = track;
    const total = since === undefined ? {} : { totalUs: timeUs - since };
    end(track);
    this.#listener.recovery?.({ fid, pec, endedUs: timeUs, ...total, phases });
  }

  #track(fid: number): Track {
    let track = this.#tracks.get(fid);
    if (track === undefined) {
      track = {
        stored: [],
        ahead: [],
        raisedAt: new Map(),
        injectedAt: new Map(),
        since: undefined,
        pec: "",
        fetchedAt: undefined,
        phases: {},
      };
      this.#tracks.set(fid, track);
    }
    return track;
  }
}

function end(track: Track): void {
  track.since = undefined;
  track.fetchedAt = undefined;
  track.phases = {};
}

function bounded(list: number[]): void {
  if (list.length >= ON_THEIR_WAY_MAX) list.shift();
}

/** `list` is in order of time. */
function forgetOlder(list: number[], thanUs: number): void {
  while (list.length > 0 && (list[0] ?? 0) < thanUs) list.shift();
}

function remember(times: Map<number, number>, correlation: number, timeUs: number): void {
  times.set(correlation, timeUs);
  if (times.size <= ON_THEIR_WAY_MAX) return;
  for (const oldest of times.keys()) {
    times.delete(oldest);
    return;
  }
}

function taken(times: Map<number, number>, correlation: number, otherwise: number): number {
  const time = times.get(correlation);
  times.delete(correlation);
  return time ?? otherwise;
}
