/**
 * Distributions fitted to measured times by maximum likelihood: exponential, lognormal, Weibull. The one with the least
 * AIC counts (Akaike 1974, IEEE Transactions on Automatic Control 19(6)); how well it fits is said by the
 * Kolmogorov-Smirnov distance, with a p-value by parametric bootstrap, because parameters estimated from the same data make
 * the table of the distance too kind (Lilliefors 1967, JASA 62; Stute et al. 1993, Metrika 40). One that the data refuse is
 * replaced by the measured quantiles. Weibull's shape: Newton on the likelihood equation (Johnson, Kotz and Balakrishnan,
 * Continuous Univariate Distributions 1, chapter 21).
 */
import { type Distribution, Stream } from "../../base/distribution.ts";
import { exp, log, pow } from "../../base/elementary.ts";
import { normalCdf } from "../mathematics.ts";

/** Below so many values nothing is fitted: the values themselves are given. */
export const VALUES_MIN = 8;
const RESAMPLES = 199;
const REFUSED_BELOW = 0.05;
/** Points of a table of quantiles. */
const QUANTILES_MAX = 101;
/** Times are measured in whole microseconds: nothing is shorter. */
const LEAST = 0.5;
const LOG_TWO_PI = 1.8378770664093453;

type Parametric = Extract<Distribution, { kind: "exponential" | "lognormal" | "weibull" }>;

export interface Candidate {
  readonly distribution: Distribution;
  readonly aic: number;
}

export interface Fit {
  readonly distribution: Distribution;
  readonly n: number;
  /** Of the best parametric one; absent where there were too few values, or they do not differ. */
  readonly best?: {
    readonly distribution: Distribution;
    readonly aic: number;
    readonly distance: number;
    readonly p: number;
  };
  /** AIC of every family that was tried, the least first. */
  readonly candidates: readonly Candidate[];
}

/** @param values microseconds @param seed of the bootstrap */
export function fitTimes(values: readonly number[], seed: number): Fit {
  const sorted = values.map((value) => Math.max(LEAST, value)).sort((a, b) => a - b);
  const n = sorted.length;
  const [first = 0] = sorted;
  if (n === 0) throw new RangeError("nothing to fit");
  if (sorted[n - 1] === first) {
    return { distribution: { kind: "constant", value: first }, n, candidates: [] };
  }
  if (n < VALUES_MIN) return { distribution: measured(sorted), n, candidates: [] };
  const candidates = families
    .map((family) => family(sorted))
    .map((distribution) => ({ distribution, aic: aicOf(distribution, sorted) }))
    .sort((a, b) => a.aic - b.aic);
  const best = candidates[0] as { distribution: Parametric; aic: number };
  const distance = distanceOf(best.distribution, sorted);
  const p = bootstrap(best.distribution, n, distance, seed);
  return {
    distribution: p < REFUSED_BELOW ? measured(sorted) : best.distribution,
    n,
    best: { ...best, distance, p },
    candidates,
  };
}

/** Quantiles of the values, at most so many. */
function measured(sorted: readonly number[]): Distribution {
  const count = Math.min(sorted.length, QUANTILES_MAX);
  const quantiles = Array.from({ length: count }, (_, index) => {
    const place = count === 1 ? 0 : (index * (sorted.length - 1)) / (count - 1);
    return sorted[Math.round(place)] as number;
  });
  return { kind: "measured", quantiles };
}

// Families ----------------------------------------------------------------------------------------------------

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

function fitExponential(values: readonly number[]): Parametric {
  return { kind: "exponential", mean: mean(values) };
}

function fitLognormal(values: readonly number[]): Parametric {
  const logs = values.map(log);
  const middle = mean(logs);
  const spread = mean(logs.map((value) => (value - middle) * (value - middle)));
  return { kind: "lognormal", median: exp(middle), sigma: Math.sqrt(spread) };
}

export function fitWeibull(values: readonly number[]): Parametric {
  // Relative to the largest, so that powers stay in range.
  const largest = Math.max(...values);
  const scaled = values.map((value) => value / largest);
  const logs = scaled.map(log);
  const middle = mean(logs);
  const spread = Math.sqrt(mean(logs.map((value) => (value - middle) * (value - middle))));
  // The slope of the log's distribution, which is of Gumbel's kind: π/√6 = 1.2825.
  let shape = 1.2825498301618641 / spread;
  for (let turn = 0; turn < 100; turn++) {
    let s0 = 0;
    let s1 = 0;
    let s2 = 0;
    for (const [index, value] of scaled.entries()) {
      const power = pow(value, shape);
      const ln = logs[index] as number;
      s0 += power;
      s1 += power * ln;
      s2 += power * ln * ln;
    }
    const value = s1 / s0 - 1 / shape - middle;
    const slope = (s2 * s0 - s1 * s1) / (s0 * s0) + 1 / (shape * shape);
    const next = Math.max(shape / 2, shape - value / slope);
    const settled = Math.abs(next - shape) < 1e-12 * shape;
    shape = next;
    if (settled) break;
  }
  const scale = largest * pow(mean(scaled.map((value) => pow(value, shape))), 1 / shape);
  return { kind: "weibull", scale, shape };
}

const families = [fitExponential, fitLognormal, fitWeibull];

function refit(like: Parametric, sorted: readonly number[]): Parametric {
  if (like.kind === "exponential") return fitExponential(sorted);
  return like.kind === "lognormal" ? fitLognormal(sorted) : fitWeibull(sorted);
}

function aicOf(distribution: Parametric, values: readonly number[]): number {
  let likelihood = 0;
  for (const value of values) likelihood += logDensity(distribution, value);
  return 2 * (distribution.kind === "exponential" ? 1 : 2) - 2 * likelihood;
}

function logDensity(distribution: Parametric, x: number): number {
  switch (distribution.kind) {
    case "exponential":
      return -log(distribution.mean) - x / distribution.mean;
    case "lognormal": {
      const { sigma } = distribution;
      const z = (log(x) - log(distribution.median)) / sigma;
      return -log(x) - log(sigma) - LOG_TWO_PI / 2 - (z * z) / 2;
    }
    case "weibull": {
      const { scale, shape } = distribution;
      const ratio = x / scale;
      return log(shape) - log(scale) + (shape - 1) * log(ratio) - pow(ratio, shape);
    }
  }
}

function cdf(distribution: Parametric, x: number): number {
  switch (distribution.kind) {
    case "exponential":
      return 1 - exp(-x / distribution.mean);
    case "lognormal":
      return normalCdf((log(x) - log(distribution.median)) / distribution.sigma);
    case "weibull":
      return 1 - exp(-pow(x / distribution.scale, distribution.shape));
  }
}

/** Kolmogorov and Smirnov's largest distance between the two distribution functions. */
export function distanceOf(distribution: Parametric, sorted: readonly number[]): number {
  const n = sorted.length;
  let largest = 0;
  for (const [index, value] of sorted.entries()) {
    const at = cdf(distribution, value);
    largest = Math.max(largest, at - index / n, (index + 1) / n - at);
  }
  return largest;
}

/** How often data of the fitted distribution lie as far from their own fit. */
function bootstrap(distribution: Parametric, n: number, distance: number, seed: number): number {
  const draws = new Stream();
  let farther = 0;
  for (let number = 0; number < RESAMPLES; number++) {
    draws.key(seed, n, number, 0x666974);
    const values = Array.from({ length: n }, () => Math.max(LEAST, draws.draw(distribution)));
    values.sort((a, b) => a - b);
    if (distanceOf(refit(distribution, values), values) >= distance) farther += 1;
  }
  return (farther + 1) / (RESAMPLES + 1);
}
