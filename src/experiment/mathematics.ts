/**
 * The special functions that statistics stand on, from + - * / and sqrt (src/base/elementary.ts says why):
 * normal, Student and beta distributions and their quantiles. Elementary functions are handed on, so that
 * everything in this folder imports its mathematics from here.
 * Accuracy, held by tests against values of scipy: 1e-11 relative for distribution functions, 1e-10 for quantiles.
 */
import { exp, log, log1p } from "../base/elementary.ts";

export { exp, expm1, log, log1p, pow } from "../base/elementary.ts";
export { normalQuantile } from "../base/normal.ts";

const sqrtPi = 1.7724538509055159;
const halfLogTwoPi = 0.9189385332046727;

/** Complementary error function. Source: DLMF 7.6.2 (series) below 2, 7.9.2 (continued fraction) above. */
export function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  if (x < 2) return 1 - erfSeries(x);
  if (x > 27.3) return 0;
  // x + (1/2)/(x + 1/(x + (3/2)/(x + …))), from the far end; 60 terms are enough from 2 on.
  let tail = x;
  for (let n = 60; n >= 1; n--) tail = x + n / 2 / tail;
  return exp(-x * x) / (tail * sqrtPi);
}

/** All terms positive: nothing cancels. */
function erfSeries(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; n < 100 && term > sum * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / sqrtPi) * exp(-x * x) * sum;
}

/** P(Z <= z) of the standard normal. */
export function normalCdf(z: number): number {
  return 0.5 * erfc(-z / Math.SQRT2);
}

/** ln Γ(x), x > 0. Source: Stirling's series, DLMF 5.11.1, after shifting x above 15. */
export function logGamma(x: number): number {
  let shifted = x;
  let product = 1;
  while (shifted < 15) {
    product *= shifted;
    shifted += 1;
  }
  const z = 1 / (shifted * shifted);
  const series =
    (1 / 12 -
      z * (1 / 360 - z * (1 / 1260 - z * (1 / 1680 - z * (1 / 1188 - (z * 691) / 360360))))) /
    shifted;
  return (shifted - 0.5) * log(shifted) - shifted + halfLogTwoPi + series - log(product);
}

/** Regularised incomplete beta I_x(a, b). Source: DLMF 8.17.22, evaluated by Lentz's method. */
export function betaCdf(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const front = exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * log(x) + b * log1p(-x));
  // The fraction converges quickly on the left of the mean; on the right the mirror image is used.
  return x < (a + 1) / (a + b + 2)
    ? (front * betaFraction(x, a, b)) / a
    : 1 - (front * betaFraction(1 - x, b, a)) / b;
}

function betaFraction(x: number, a: number, b: number): number {
  const tiny = 1e-300;
  let c = 1;
  let d = 1 - ((a + b) * x) / (a + 1);
  d = 1 / (Math.abs(d) < tiny ? tiny : d);
  let value = d;
  for (let m = 1; m <= 10_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 + even * d;
    c = 1 + even / c;
    d = 1 / (Math.abs(d) < tiny ? tiny : d);
    if (Math.abs(c) < tiny) c = tiny;
    value *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 + odd * d;
    c = 1 + odd / c;
    d = 1 / (Math.abs(d) < tiny ? tiny : d);
    if (Math.abs(c) < tiny) c = tiny;
    const change = d * c;
    value *= change;
    if (Math.abs(change - 1) < 1e-15) break;
  }
  return value;
}

/** The x with I_x(a, b) = p. */
export function betaQuantile(p: number, a: number, b: number): number {
  return increasingRoot((x) => betaCdf(x, a, b) - p, 0, 1);
}

/** P(T <= t) of Student's distribution. Source: Johnson and Kotz, by the incomplete beta. */
export function studentCdf(t: number, freedom: number): number {
  const square = t * t;
  // Both forms are the same number; the smaller argument keeps its digits.
  const tail =
    square < freedom
      ? 1 - betaCdf(square / (freedom + square), 0.5, freedom / 2)
      : betaCdf(freedom / (freedom + square), freedom / 2, 0.5);
  return t > 0 ? 1 - tail / 2 : tail / 2;
}

/** The t with P(T <= t) = p. */
export function studentQuantile(p: number, freedom: number): number {
  if (p === 0.5) return 0;
  if (p < 0.5) return -studentQuantile(1 - p, freedom);
  let high = 2;
  while (studentCdf(high, freedom) < p && high < 1e12) high *= 2;
  return increasingRoot((t) => studentCdf(t, freedom) - p, 0, high);
}

/** Bisection: at most 200 halvings, ends when the interval is two neighbouring numbers. */
function increasingRoot(f: (x: number) => number, from: number, to: number): number {
  let low = from;
  let high = to;
  for (let step = 0; step < 200; step++) {
    const middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) break;
    if (f(middle) < 0) low = middle;
    else high = middle;
  }
  return low + (high - low) / 2;
}
