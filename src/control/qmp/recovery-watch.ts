/**
 * From the ledger's lines to the two events of ours: each error as it is raised, and each phase of a recovery as it
 * ends, with its duration; the last one of a recovery carries them all.
 */
import type { LedgerEntry } from "../../machine/ledger-entry.ts";
import type { EventName } from "./event-table.ts";

interface Episode {
  readonly sinceUs: number;
  readonly phases: { readonly phase: string; readonly "duration-us": number }[];
}

interface Track {
  state: string;
  enteredUs: number;
  episode: Episode | undefined;
  /** First error that no recovery has taken up. */
  errorUs: number | undefined;
}

/** States in which a function waits for nobody: a recovery has ended, well or not. */
const SETTLED: ReadonlySet<string> = new Set(["operational", "quarantined", "failed", "detached"]);

/** Phases kept of one recovery: a driver that fails for ever must not fill the memory. */
const PHASES_MAX = 64;

export interface RecoveryNews {
  readonly name: EventName;
  /** Made for those who listen: at once or not at all. */
  readonly data: () => object;
}

export class RecoveryWatch {
  readonly #tracks = new Map<number, Track>();
  readonly #idOf: (fid: number) => string;

  constructor(idOf: (fid: number) => string) {
    this.#idOf = idOf;
  }

  /** What clients are to be told of `entry`, if anything. */
  news(entry: LedgerEntry): RecoveryNews | undefined {
    if (entry.fid === undefined) return undefined;
    if (entry.kind === "error-raised") return this.#error(entry, entry.fid);
    return entry.kind === "state" ? this.#state(entry, entry.fid) : undefined;
  }

  #error(entry: LedgerEntry, fid: number): RecoveryNews {
    const track = this.#track(fid);
    track.errorUs ??= entry.timeUs;
    return {
      name: "X_ZMEND_ERROR",
      data: () => ({
        id: this.#idOf(fid),
        fid,
        pec: Number(entry.detail["pec"]),
        disposition: String(entry.detail["disposition"]),
        "time-us": Math.round(entry.timeUs),
      }),
    };
  }

  #state(entry: LedgerEntry, fid: number): RecoveryNews {
    const track = this.#track(fid);
    const { detail, timeUs } = entry;
    const from = String(detail["from"]);
    const to = String(detail["to"]);
    const entered = track.state === from ? track.enteredUs : timeUs;
    track.state = to;
    track.enteredUs = timeUs;
    const duration = Math.max(0, Math.round(timeUs - entered));
    if (SETTLED.has(from) && !SETTLED.has(to)) {
      track.episode = { sinceUs: track.errorUs ?? timeUs, phases: [] };
    }
    const { episode } = track;
    const settled = SETTLED.has(from);
    if (episode !== undefined && !settled && episode.phases.length < PHASES_MAX) {
      episode.phases.push({ phase: from, "duration-us": duration });
    }
    const over = SETTLED.has(to) && episode !== undefined;
    if (SETTLED.has(to)) {
      track.episode = undefined;
      track.errorUs = undefined;
    }
    return {
      name: "X_ZMEND_RECOVERY",
      data: () => ({
        id: this.#idOf(fid),
        fid,
        phase: from,
        "duration-us": duration,
        state: to,
        cause: String(detail["event"]),
        "time-us": Math.round(timeUs),
        ...(over
          ? {
              phases: episode.phases,
              "total-us": Math.max(0, Math.round(timeUs - episode.sinceUs)),
            }
          : {}),
      }),
    };
  }

  #track(fid: number): Track {
    let track = this.#tracks.get(fid);
    if (track === undefined) {
      track = { state: "operational", enteredUs: 0, episode: undefined, errorUs: undefined };
      this.#tracks.set(fid, track);
    }
    return track;
  }
}
