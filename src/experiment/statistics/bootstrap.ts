/**
 * Bootstrap interval of a mean: bias-corrected and accelerated (BCa), with the normal quantile widened to
 * Student's for small samples.
 * Source: Efron 1987, "Better bootstrap confidence intervals", J. Am. Stat. Assoc. 82, 171-185; the widening is
 * the "expanded" interval of Hesterberg 2015, "What teachers should know about the bootstrap", Am. Stat. 69, 371-386.
 * Seeded: the same values and seed give the same interval on every engine.
 */
import { Prng } from "../../base/prng.ts";
import { normalCdf, normalQuantile, studentQuantile } from "../mathematics.ts";
import { confidence, type Interval, momentsOf } from "./interval.ts";

/** Efron and Tibshirani 1993, 14.3: 1,000 or more for BCa; an odd 1,999 puts percentiles on whole ranks. */
export const resamples = 1999;

export interface BootstrapOptions {
  readonly level?: number;
  readonly resamples?: number;
  /** False: Efron's plain interval, which is too narrow for small samples. */
  readonly expanded?: boolean;
}

/**
 * Interval for the mean of `values`.
 * @returns [mean, mean] if all values are equal: nothing can be resampled; callers say so (`Moments.constant`)
 */
export function bootstrapMean(
  values: ArrayLike<number>,
  seed: number | bigint,
  options: BootstrapOptions = {},
): Interval {
  const n = values.length;
  const moments = momentsOf(Array.from(values));
  const mean = moments.mean;
  if (n < 2 || moments.constant) return { low: mean, high: mean };
  const means = resampledMeans(values, options.resamples ?? resamples, new Prng(seed));
  const bias = biasCorrection(means, mean);
  const acceleration = accelerationOfMean(values, mean);
  const alpha = (1 - (options.level ?? confidence)) / 2;
  const z =
    options.expanded === false
      ? normalQuantile(alpha)
      : Math.sqrt(n / (n - 1)) * studentQuantile(alpha, n - 1);
  const limit = (quantile: number): number => {
    const shifted = bias + quantile;
    return percentile(means, normalCdf(bias + shifted / (1 - acceleration * shifted)));
  };
  return { low: limit(z), high: limit(-z) };
}

/** Sorted means of resamples. Hot: n draws for each. */
function resampledMeans(values: ArrayLike<number>, count: number, prng: Prng): Float64Array {
  const n = values.length;
  const copy = Float64Array.from(values);
  const means = new Float64Array(count);
  for (let resample = 0; resample < count; resample++) {
    let sum = 0;
    for (let draw = 0; draw < n; draw++) sum += copy[prng.below(n)] as number;
    means[resample] = sum / n;
  }
  return means.sort();
}

/** z0: how far the resampled means sit to one side; ties count half. */
function biasCorrection(means: Float64Array, mean: number): number {
  let below = 0;
  for (const value of means) below += value < mean ? 1 : value === mean ? 0.5 : 0;
  const share = below / means.length;
  // A share of 0 or 1 would be an infinite correction: half a resample is the least that can be seen.
  const least = 0.5 / means.length;
  return normalQuantile(Math.min(1 - least, Math.max(least, share)));
}

/** Jackknife skewness; of a mean, leaving out x moves the estimate by (x - mean) / (n - 1). */
function accelerationOfMean(values: ArrayLike<number>, mean: number): number {
  let squares = 0;
  let cubes = 0;
  for (let index = 0; index < values.length; index++) {
    const distance = (values[index] as number) - mean;
    squares += distance * distance;
    cubes += distance * distance * distance;
  }
  const scale = 6 * squares * Math.sqrt(squares);
  return scale > 0 ? cubes / scale : 0; // 0: numbers so small that their squares vanish
}

/** Quantile of sorted numbers, interpolated between ranks p (count + 1). */
export function percentile(sorted: ArrayLike<number>, p: number): number {
  const rank = p * (sorted.length + 1) - 1;
  const index = Math.min(sorted.length - 1, Math.max(0, Math.floor(rank)));
  const next = Math.min(sorted.length - 1, index + 1);
  const part = Math.min(1, Math.max(0, rank - index));
  const from = sorted[index] as number;
  return from + part * ((sorted[next] as number) - from);
}
