/**
 * exp, log and their relatives from + - * / alone, so that every engine and every byte order gives the same
 * bits: ECMAScript leaves Math.exp, Math.log, Math.pow and `**` to the implementation, and engines differ in
 * the last bit. Lives in base because both the guest model and experiments draw from distributions.
 * Bounds (held by property tests against V8): exp and log within 2 ulp, expm1 and log1p within 4 ulp,
 * pow within 3 + 2|y ln x| ulp, or 3 + 2|y| where y is whole and at most 64.
 * Source: the series of DLMF 4.6 and 4.2.19, argument reduction as in Muller, "Elementary Functions", ch. 11.
 * Hot: no allocation.
 */

const bits = new DataView(new ArrayBuffer(8));

/** ln 2 in two parts; the upper one has 21 trailing zero bits, so that k * ln2High is exact for |k| < 2^20. */
const ln2High = 0.6931471803691238;
const ln2Low = 1.9082149292705877e-10;
const smallestNormal = 2.2250738585072014e-308;
const two54 = 18014398509481984;

/** 2^(n - 1022), n = 0 … 2045: a load, where two words written and read as one number would wait for one another. */
const powers = Float64Array.from({ length: 2046 }, (_, n) => {
  bits.setInt32(0, (n + 1) << 20);
  bits.setInt32(4, 0);
  return bits.getFloat64(0);
});

/** 2^k for -1022 <= k <= 1023. */
function powerOfTwo(k: number): number {
  return powers[k + 1022] as number;
}

/** y * 2^k with one rounding; y about 1. */
function scale(y: number, k: number): number {
  if (k > 1023) return y * 2 * powerOfTwo(k - 1);
  if (k >= -1022) return y * powerOfTwo(k);
  return (y * powerOfTwo(k + 54)) / two54;
}

/** e^x; 0 below -745.13, Infinity above 709.78. */
export function exp(x: number): number {
  if (!(x <= 709.782712893384)) return x > 0 ? Number.POSITIVE_INFINITY : Number.NaN;
  if (x < -745.1332191019412) return 0;
  const k = Math.floor(x * Math.LOG2E + 0.5);
  const high = x - k * ln2High;
  const low = k * ln2Low;
  const r = high - low; // |r| <= ln 2 / 2
  const lost = high - r - low;
  // Taylor, r^2/2 + … + r^14/14!; the first term left out is below 2^-60.
  let p = 1 / 87178291200;
  p = p * r + 1 / 6227020800;
  p = p * r + 1 / 479001600;
  p = p * r + 1 / 39916800;
  p = p * r + 1 / 3628800;
  p = p * r + 1 / 362880;
  p = p * r + 1 / 40320;
  p = p * r + 1 / 5040;
  p = p * r + 1 / 720;
  p = p * r + 1 / 120;
  p = p * r + 1 / 24;
  p = p * r + 1 / 6;
  p = p * r + 0.5;
  return scale(1 + (r + (r * r * p + (lost + lost * r))), k);
}

/** Natural logarithm; -Infinity of 0, NaN below. */
export function log(x: number): number {
  if (!(x > 0)) return x === 0 ? Number.NEGATIVE_INFINITY : Number.NaN;
  if (x === Number.POSITIVE_INFINITY) return x;
  let k = 0;
  let m = x;
  if (m < smallestNormal) {
    m *= two54;
    k = -54;
  }
  bits.setFloat64(0, m);
  const exponent = (bits.getInt32(0) >> 20) - 1023;
  k += exponent;
  // Exact; in two steps where 2^-exponent is no normal number.
  m = exponent > 1022 ? (m / 2) * powerOfTwo(1 - exponent) : m * powerOfTwo(-exponent);
  if (m > Math.SQRT2) {
    m /= 2;
    k += 1;
  }
  const f = m - 1; // exact
  const s = f / (2 + f); // ln(1 + f) = 2 artanh s
  const z = s * s; // at most 0.0295
  // 2(z/3 + z^2/5 + …); the first term left out is below 2^-62.
  let r = 2 / 25;
  r = r * z + 2 / 23;
  r = r * z + 2 / 21;
  r = r * z + 2 / 19;
  r = r * z + 2 / 17;
  r = r * z + 2 / 15;
  r = r * z + 2 / 13;
  r = r * z + 2 / 11;
  r = r * z + 2 / 9;
  r = r * z + 2 / 7;
  r = r * z + 2 / 5;
  r = r * z + 2 / 3;
  r *= z;
  // 2s = f - f²/2 + s f²/2, so the large part f stays exact and only corrections are rounded.
  const half = 0.5 * f * f;
  return k * ln2High - (half - (s * (half + r) + k * ln2Low) - f);
}

/** ln(1 + x) without the loss of 1 + x. Source: Kahan, in Goldberg 1991, theorem 4. */
export function log1p(x: number): number {
  const u = 1 + x;
  if (u === 1 || u === Number.POSITIVE_INFINITY) return x;
  if (u <= 0) return log(u);
  return (log(u) * x) / (u - 1);
}

/** e^x - 1 without the loss near 0. Source: Kahan, as above. */
export function expm1(x: number): number {
  if (x > 40 || x < -40) return exp(x) - 1;
  const u = exp(x);
  if (u === 1) return x;
  return ((u - 1) * x) / log(u);
}

/** x^y; whole y up to 64 by multiplication, others as e^(y ln x), so NaN for x < 0. */
export function pow(x: number, y: number): number {
  if (y === 0) return 1;
  if (Math.abs(y) <= 64 && Number.isInteger(y)) {
    let result = 1;
    let base = x;
    for (let n = Math.abs(y); n > 0; n >>= 1) {
      if ((n & 1) === 1) result *= base;
      base *= base;
    }
    return y < 0 ? 1 / result : result;
  }
  if (x === 0) return y > 0 ? 0 : Number.POSITIVE_INFINITY;
  return exp(y * log(x));
}
