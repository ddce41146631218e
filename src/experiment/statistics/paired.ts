/**
 * Two policies tried on the same cases (common random numbers): difference, how sure, how large.
 * Source: paired t test, Student 1908, Biometrika 6, 1-25; why common random numbers: Law, "Simulation Modeling
 * and Analysis", 11.2; Cliff's delta: Cliff 1993, Psychological Bulletin 114, 494-509; standardised paired
 * difference d_z: Lakens 2013, Frontiers in Psychology 4:863.
 */
import { studentCdf } from "../mathematics.ts";
import { type BootstrapOptions, bootstrapMean } from "./bootstrap.ts";
import { signTest } from "./exact.ts";
import { type Interval, momentsOf } from "./interval.ts";

export interface PairedDifference extends Interval {
  /** Mean of a - b. */
  readonly difference: number;
  /** Probability of a difference this far from 0 if there were none; two-sided, not corrected. */
  readonly p: number;
  /** Mean difference over its standard deviation; null if all differences are equal. */
  readonly standardised: number | null;
  /** Cliff's delta: P(a > b) - P(a < b) over all cross pairs, -1..1. */
  readonly delta: number;
  readonly n: number;
}

/** `a[i]` and `b[i]` are the same case under two policies; at least one pair. */
export function pairedDifference(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  seed: number | bigint,
  options: BootstrapOptions = {},
): PairedDifference {
  const differences = Array.from(a, (value, index) => value - (b[index] as number));
  const moments = momentsOf(differences);
  const interval = bootstrapMean(differences, seed, options);
  return {
    difference: moments.mean,
    ...interval,
    p: probability(differences, moments.mean, moments.deviation, moments.constant),
    standardised: moments.constant ? null : moments.mean / moments.deviation,
    delta: cliffsDelta(a, b),
    n: differences.length,
  };
}

/** Yes/no outcomes and constant differences exactly, by their signs; everything else by Student's t. */
function probability(
  differences: readonly number[],
  mean: number,
  deviation: number,
  constant: boolean,
): number {
  if (constant || differences.every((value) => value === 0 || value === 1 || value === -1)) {
    let ups = 0;
    let downs = 0;
    for (const value of differences) {
      if (value > 0) ups += 1;
      if (value < 0) downs += 1;
    }
    return signTest(ups, downs);
  }
  const n = differences.length;
  const t = mean / (deviation / Math.sqrt(n));
  return Math.min(1, 2 * studentCdf(-Math.abs(t), n - 1));
}

/** By ranks, so n log n. */
export function cliffsDelta(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const left = Float64Array.from(a).sort();
  const right = Float64Array.from(b).sort();
  let below = 0;
  let upTo = 0;
  let sum = 0;
  for (const value of left) {
    while (below < right.length && (right[below] as number) < value) below += 1;
    while (upTo < right.length && (right[upTo] as number) <= value) upTo += 1;
    sum += below - (right.length - upTo);
  }
  return sum / (left.length * right.length);
}

/**
 * Probabilities adjusted for being a family: the chance of even one false claim among them stays below the level.
 * Source: Holm 1979, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6, 65-70.
 * @param family how many comparisons there are in all, if more than are listed
 */
export function holm(probabilities: readonly number[], family = probabilities.length): number[] {
  const order = probabilities.map((_, index) => index);
  order.sort((x, y) => (probabilities[x] as number) - (probabilities[y] as number) || x - y);
  const adjusted = new Array<number>(probabilities.length);
  let largest = 0;
  order.forEach((index, rank) => {
    largest = Math.max(largest, Math.min(1, (family - rank) * (probabilities[index] as number)));
    adjusted[index] = largest;
  });
  return adjusted;
}
