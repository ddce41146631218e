/**
 * Time to recover, where some recoveries were still going on at their deadline or when the trial ended (censored).
 * Source: Kaplan and Meier 1958, J. Am. Stat. Assoc. 53, 457-481; variance: Greenwood 1926; interval on the
 * log(-log) scale: Kalbfleisch and Prentice, "The Statistical Analysis of Failure Time Data", 1.4; interval of the
 * median: Brookmeyer and Crowley 1982, Biometrics 38, 29-41.
 * Assumes what all of these assume: that censoring has nothing to do with how long the recovery would have taken,
 * and that recoveries are independent.
 */
import { exp, log, normalQuantile } from "../mathematics.ts";
import { confidence, type Interval } from "./interval.ts";

/**
 * How many recoveries ended, and how many were given up watching, at each time. One cell per distinct time, so
 * callers whose times have no bound hand in the middles of the ledger's bins.
 */
export class DurationCounts {
  readonly #byTime = new Map<number, { ended: number; censored: number }>();

  add(time: number, censored: boolean, count = 1): void {
    let cell = this.#byTime.get(time);
    if (cell === undefined) {
      cell = { ended: 0, censored: 0 };
      this.#byTime.set(time, cell);
    }
    if (censored) cell.censored += count;
    else cell.ended += count;
  }

  /** In order of time. */
  rows(): { time: number; ended: number; censored: number }[] {
    return [...this.#byTime]
      .map(([time, cell]) => ({ time, ...cell }))
      .sort((a, b) => a.time - b.time);
  }
}

export interface SurvivalStep extends Interval {
  readonly time: number;
  readonly atRisk: number;
  readonly ended: number;
  /** Share not yet recovered just after `time`. */
  readonly survival: number;
  /** Greenwood's standard error. */
  readonly error: number;
}

export interface SurvivalCurve {
  readonly n: number;
  readonly censored: number;
  readonly steps: readonly SurvivalStep[];
}

/** One step per time at which something ended; the share before the first is 1. */
export function kaplanMeier(counts: DurationCounts, level = confidence): SurvivalCurve {
  const rows = counts.rows();
  const z = -normalQuantile((1 - level) / 2);
  let atRisk = 0;
  let censored = 0;
  for (const row of rows) {
    atRisk += row.ended + row.censored;
    censored += row.censored;
  }
  const n = atRisk;
  const steps: SurvivalStep[] = [];
  let survival = 1;
  let greenwood = 0;
  for (const row of rows) {
    if (row.ended > 0) {
      survival *= (atRisk - row.ended) / atRisk;
      if (row.ended < atRisk) greenwood += row.ended / (atRisk * (atRisk - row.ended));
      const last = steps.at(-1);
      steps.push({
        time: row.time,
        atRisk,
        ended: row.ended,
        survival,
        error: survival * Math.sqrt(greenwood),
        // At 0 the scale has no value: the upper limit of the step before still holds.
        ...(survival > 0
          ? logLogLimits(survival, greenwood, z)
          : { low: 0, high: last?.high ?? 1 }),
      });
    }
    atRisk -= row.ended + row.censored;
  }
  return { n, censored, steps };
}

function logLogLimits(survival: number, greenwood: number, z: number): Interval {
  const logarithm = log(survival);
  const spread = exp((z * Math.sqrt(greenwood)) / -logarithm);
  return { low: exp(logarithm * spread), high: exp(logarithm / spread) };
}

/** First time at which at most `share` is left; null if the curve never gets there. */
export function timeUntil(
  curve: SurvivalCurve,
  share: number,
): { time: number | null; low: number | null; high: number | null } {
  const first = (of: (step: SurvivalStep) => number): number | null =>
    curve.steps.find((step) => of(step) <= share)?.time ?? null;
  return {
    time: first((step) => step.survival),
    low: first((step) => step.low),
    high: first((step) => step.high),
  };
}

/** Share left just after `time`. */
export function survivalAt(curve: SurvivalCurve, time: number): number {
  let survival = 1;
  for (const step of curve.steps) {
    if (step.time > time) break;
    survival = step.survival;
  }
  return survival;
}
