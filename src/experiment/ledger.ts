/**
 * The ledger of an experiment, `ledger.jsonl`: a header line, then one line per trial in trial order, keys in the
 * order of the types below, nothing of the wall clock or the machine. Its SHA-256 is the run's digest. Parquet,
 * summary and report are derived from it. Source: design.md 8.
 */
import { createHash, type Hash } from "node:crypto";
import type { MetricName, PhaseName } from "./metrics.ts";
import type { Plan } from "./plan.ts";

/** Goes up whenever a trial's line may differ for the same plan and seed. */
export const LEDGER_VERSION = 1;
export const LEDGER_KIND = "zmend-experiment";

export interface Shard {
  readonly index: number;
  readonly count: number;
}

export interface LedgerHeader {
  readonly ledger: typeof LEDGER_KIND;
  readonly version: number;
  /** The file holds the trials whose number is `index` modulo `count`; absent = all. */
  readonly shard?: Shard;
  /** Everything that the trials depend on, resolved: the ledger alone is enough to run them again. */
  readonly plan: Plan;
}

/** Counts by bin (`binOfUs`), bins ascending. */
export type Histogram = readonly (readonly [bin: number, count: number])[];

/** Times to recover of one trial's failures. */
export interface TimeToRecover {
  readonly recovered: Histogram;
  /** Failures whose time ran to the deadline or to the end of the trial without a recovery. */
  readonly censored: Histogram;
}

interface TrialIdentity {
  /** 0-based, over the whole plan: repetition, then point, scenario, guest, policy. */
  readonly trial: number;
  readonly repetition: number;
  /** Labels of the plan's lists. */
  readonly point: string;
  readonly scenario: string;
  readonly guest: string;
  readonly policy: string;
}

export interface DoneTrial extends TrialIdentity {
  readonly status: "done";
  /** A metric that has no value (no recovery, no time to recover) is absent. */
  readonly metrics: Readonly<Partial<Record<MetricName, number>>>;
  readonly timeToRecover: TimeToRecover;
  /** Seconds summed over the trial's recovered failures. */
  readonly phases: Readonly<Record<PhaseName, number>>;
}

export interface FailedTrial extends TrialIdentity {
  readonly status: "failed";
  readonly reason: string;
  /** A policy module overran its time: its further trials are not run. */
  readonly withdraws?: true;
}

export type TrialRow = DoneTrial | FailedTrial;

// Histogram bins: 64 per power of two of microseconds, cut from the bits of the double, so no logarithm ------

const BIN_BITS = 6;
const bits = new DataView(new ArrayBuffer(8));
const EXPONENT_BIAS = 1023 << BIN_BITS;

/** Bin of a time; everything below 1 us is bin 0. */
export function binOfUs(us: number): number {
  if (!(us > 1)) return 0;
  bits.setFloat64(0, us);
  return (bits.getUint32(0) >>> (20 - BIN_BITS)) - EXPONENT_BIAS;
}

/** Smallest time of a bin, microseconds; that of the next bin is its upper bound. */
export function binLowUs(bin: number): number {
  bits.setUint32(0, (bin + EXPONENT_BIAS) << (20 - BIN_BITS));
  bits.setUint32(4, 0);
  return bits.getFloat64(0);
}

/** What a bin's times are taken for, seconds: its middle. */
export function binSeconds(bin: number): number {
  return (binLowUs(bin) + binLowUs(bin + 1)) / 2e6;
}

export function headerOf(plan: Plan, shard?: Shard): LedgerHeader {
  const base = { ledger: LEDGER_KIND, version: LEDGER_VERSION } as const;
  return shard === undefined ? { ...base, plan } : { ...base, shard, plan };
}

// Lines -----------------------------------------------------------------------------------------------------

/** Canonical: the objects are built in the order of the types, so plain JSON is it. */
export function ledgerText(line: LedgerHeader | TrialRow): string {
  return JSON.stringify(line);
}

/** SHA-256 over the ledger's bytes: what `sha256sum ledger.jsonl` prints. */
export class LedgerDigest {
  readonly #hash: Hash = createHash("sha256");

  add(line: string): void {
    this.#hash.update(line);
    this.#hash.update("\n");
  }

  hex(): string {
    return this.#hash.copy().digest("hex");
  }
}
