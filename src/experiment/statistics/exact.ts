/**
 * Exact binomial statistics: an interval for a share of trials, and the two-sided test that a coin is fair.
 * Source: Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the
 * binomial", Biometrika 26, 404-413, in its form with beta quantiles; McNemar 1947, Psychometrika 12, 153-157,
 * in its exact form for paired yes/no outcomes.
 */
import { betaCdf, betaQuantile } from "../mathematics.ts";
import { confidence, type Interval } from "./interval.ts";

/** Interval that covers the probability behind `successes` of `n` at least `level` of the time. */
export function clopperPearson(successes: number, n: number, level = confidence): Interval {
  const alpha = (1 - level) / 2;
  return {
    low: successes === 0 ? 0 : betaQuantile(alpha, successes, n - successes + 1),
    high: successes === n ? 1 : betaQuantile(1 - alpha, successes + 1, n - successes),
  };
}

/** P(at most k of n) of a coin with probability p. */
export function binomialCdf(k: number, n: number, p: number): number {
  if (k < 0) return 0;
  return k >= n ? 1 : betaCdf(1 - p, n - k, k + 1);
}

/** Two-sided probability of a split at least as uneven as `ups` against `downs` if both were equally likely. */
export function signTest(ups: number, downs: number): number {
  const n = ups + downs;
  return n === 0 ? 1 : Math.min(1, 2 * binomialCdf(Math.min(ups, downs), n, 0.5));
}
