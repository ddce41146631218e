/**
 * Latencies of a run, from its ledger: doorbell to inject (error raised by the platform and stored by the host
 * until its record is published), inject to fetch (until CHSC hands it out), error to recovered.
 */
import type { LedgerEntry } from "./ledger-entry.ts";

export interface Percentiles {
  readonly count: number;
  /** Microseconds; null when nothing was measured. */
  readonly p50: number | null;
  readonly p99: number | null;
}

export interface Latencies {
  readonly doorbellToInject: Percentiles;
  readonly injectToFetch: Percentiles;
  readonly errorToRecovered: Percentiles;
}

/** Nearest-rank percentiles. */
export function percentiles(values: readonly number[]): Percentiles {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = (p: number): number | null =>
    sorted.length === 0 ? null : (sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? null);
  return { count: sorted.length, p50: rank(0.5), p99: rank(0.99) };
}

interface Track {
  /** Times of stored errors that the worker has not read yet: the host's queue keeps their order. */
  readonly stored: number[];
  /** correlation -> when it was raised, when it was injected. */
  readonly raisedAt: Map<number, number>;
  readonly injectedAt: Map<number, number>;
  /** When the trouble that is not yet over began. */
  troubleSince: number | undefined;
}

export class LatencyMeter {
  readonly #tracks = new Map<number, Track>();
  readonly #doorbellToInject: number[] = [];
  readonly #injectToFetch: number[] = [];
  readonly #errorToRecovered: number[] = [];

  /** Entries of one function must come in order of time. */
  add(entry: LedgerEntry): void {
    if (entry.fid === undefined) return;
    const track = this.#track(entry.fid);
    const correlation = entry.correlation ?? 0;
    switch (entry.kind) {
      case "error-raised":
        if (entry.detail["disposition"] !== "stored") return;
        track.stored.push(entry.timeUs);
        track.troubleSince ??= entry.timeUs;
        return;
      case "ccdf-read":
        track.raisedAt.set(correlation, track.stored.shift() ?? entry.timeUs);
        return;
      case "injected":
        this.#doorbellToInject.push(
          entry.timeUs - (track.raisedAt.get(correlation) ?? entry.timeUs),
        );
        track.injectedAt.set(correlation, entry.timeUs);
        return;
      case "fetched": {
        const injected = track.injectedAt.get(correlation);
        if (injected !== undefined) this.#injectToFetch.push(entry.timeUs - injected);
        return;
      }
      case "recovered":
        if (track.troubleSince !== undefined) {
          this.#errorToRecovered.push(entry.timeUs - track.troubleSince);
        }
        track.troubleSince = undefined;
        return;
      default:
    }
  }

  result(): Latencies {
    return {
      doorbellToInject: percentiles(this.#doorbellToInject),
      injectToFetch: percentiles(this.#injectToFetch),
      errorToRecovered: percentiles(this.#errorToRecovered),
    };
  }

  #track(fid: number): Track {
    let track = this.#tracks.get(fid);
    if (track === undefined) {
      track = { stored: [], raisedAt: new Map(), injectedAt: new Map(), troubleSince: undefined };
      this.#tracks.set(fid, track);
    }
    return track;
  }
}
