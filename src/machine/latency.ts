/**
 * Latencies of a run, from its ledger: doorbell to inject (error raised by the platform and stored by the host
 * until its record is published), inject to fetch (until CHSC hands it out), error to recovered.
 */
import type { LedgerEntry } from "./ledger-entry.ts";
import { PhaseTracker } from "./phases.ts";

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

export class LatencyMeter {
  readonly #doorbellToInject: number[] = [];
  readonly #injectToFetch: number[] = [];
  readonly #errorToRecovered: number[] = [];
  readonly #phases = new PhaseTracker({
    sample: (_, phase, us) => {
      if (phase === "detected_to_injected") this.#doorbellToInject.push(us);
      if (phase === "injected_to_fetched") this.#injectToFetch.push(us);
    },
    recovery: ({ totalUs }) => {
      if (totalUs !== undefined) this.#errorToRecovered.push(totalUs);
    },
  });

  /** Entries of one function must come in order of time. */
  add(entry: LedgerEntry): void {
    this.#phases.add(entry);
  }

  result(): Latencies {
    return {
      doorbellToInject: percentiles(this.#doorbellToInject),
      injectToFetch: percentiles(this.#injectToFetch),
      errorToRecovered: percentiles(this.#errorToRecovered),
    };
  }
}
