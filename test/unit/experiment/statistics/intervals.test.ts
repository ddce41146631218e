import fc from "fast-check";
import { mean, sampleVariance } from "simple-statistics";
import { describe, expect, test } from "vitest";
import { bootstrapMean, percentile } from "../../../../src/experiment/statistics/bootstrap.ts";
import {
  binomialCdf,
  clopperPearson,
  signTest,
} from "../../../../src/experiment/statistics/exact.ts";
import { momentsOf } from "../../../../src/experiment/statistics/interval.ts";

const finite = fc.double({ min: -1e6, max: 1e6, noNaN: true });

describe("running moments", () => {
  test("agree with simple-statistics for any numbers", () => {
    fc.assert(
      fc.property(fc.array(finite, { minLength: 2, maxLength: 50 }), (values) => {
        const moments = momentsOf(values);
        const scale = Math.max(1, ...values.map(Math.abs));
        expect(Math.abs(moments.mean - mean(values)) / scale).toBeLessThan(1e-12);
        expect(Math.abs(moments.variance - sampleVariance(values)) / scale ** 2).toBeLessThan(
          1e-12,
        );
      }),
    );
  });
});

describe("the bootstrap interval of a mean", () => {
  /** scipy 1.17.1, stats.bootstrap((x,), np.mean, n_resamples=400000, method="BCa"), random_state 0, 1, 2. */
  const skewed = [0.1, 0.4, 0.4, 0.9, 1.3, 1.7, 2.0, 2.2, 3.1, 4.8, 7.5, 11.2];

  test("is scipy's BCa interval when not widened", () => {
    const { low, high } = bootstrapMean(skewed, 1, { expanded: false, resamples: 40_000 });
    expect(Math.abs(low - 1.591667)).toBeLessThan(0.03);
    expect(Math.abs(high - 5.508333)).toBeLessThan(0.06);
  });

  test("is scipy's BCa interval at the level that Student's quantile stands for when widened", () => {
    // confidence_level = 1 - 2 Φ(sqrt(12/11) t(0.025; 11)) = 0.978486770166895
    const { low, high } = bootstrapMean(skewed, 1, { resamples: 40_000 });
    expect(Math.abs(low - 1.425)).toBeLessThan(0.03);
    expect(Math.abs(high - 6.083333)).toBeLessThan(0.08);
  });

  test("leans to the side of the long tail", () => {
    const { low, high } = bootstrapMean(skewed, 5);
    const middle = momentsOf(skewed).mean;
    expect(high - middle).toBeGreaterThan(middle - low);
  });

  test("repeats for a seed and moves with it", () => {
    expect(bootstrapMean(skewed, 7)).toEqual(bootstrapMean(skewed, 7));
    expect(bootstrapMean(skewed, 7)).not.toEqual(bootstrapMean(skewed, 8));
  });

  test("holds the mean and stays inside the data, whatever they are", () => {
    fc.assert(
      fc.property(fc.array(finite, { minLength: 2, maxLength: 30 }), (values) => {
        const { low, high } = bootstrapMean(values, 3, { resamples: 199 });
        const slack = 1e-9 * Math.max(1, ...values.map(Math.abs));
        expect(low).toBeLessThanOrEqual(high);
        expect(low).toBeGreaterThanOrEqual(Math.min(...values) - slack);
        expect(high).toBeLessThanOrEqual(Math.max(...values) + slack);
      }),
      { numRuns: 300 },
    );
  });

  test("of equal values is that value", () => {
    expect(bootstrapMean([2, 2, 2], 1)).toEqual({ low: 2, high: 2 });
    expect(bootstrapMean([4], 1)).toEqual({ low: 4, high: 4 });
  });

  test("takes percentiles between ranks", () => {
    expect(percentile([10, 20, 30], 0.5)).toBe(20);
    expect(percentile([10, 20, 30], 0.375)).toBe(15);
    expect([percentile([10, 20], 0.001), percentile([10, 20], 0.999)]).toEqual([10, 20]);
  });
});

/** scipy 1.17.1: stats.binomtest(k, n).proportion_ci(method="exact"). */
const exact: readonly [number, number, number, number][] = [
  [0, 20, 0, 0.16843347098308548],
  [1, 20, 0.0012650894979560339, 0.24873276277202772],
  [10, 100, 0.04900468922148595, 0.17622259774017532],
  [4, 10, 0.12155225811982723, 0.7376219233930549],
  [50, 50, 0.9288782635357954, 1],
];
/** scipy 1.17.1: stats.binomtest(ups, ups + downs).pvalue. */
const signs: readonly [number, number, number][] = [
  [1, 9, 0.021484375],
  [0, 6, 0.03125],
  [5, 5, 1],
  [12, 30, 0.007915897334896727],
];

describe("exact binomial statistics", () => {
  test.each(exact)("the interval of %d in %d is Clopper and Pearson's", (k, n, low, high) => {
    const interval = clopperPearson(k, n);
    expect(interval.low).toBeCloseTo(low, 10);
    expect(interval.high).toBeCloseTo(high, 10);
  });

  test("the interval of 10 in 100 is that of Clopper and Pearson's chart: 0.049 to 0.176", () => {
    const { low, high } = clopperPearson(10, 100);
    expect([low.toFixed(3), high.toFixed(3)]).toEqual(["0.049", "0.176"]);
  });

  test.each(signs)("%d ups against %d downs have the sign test's probability", (ups, downs, p) => {
    expect(signTest(ups, downs)).toBeCloseTo(p, 12);
  });

  test("the interval covers at least 95 % for every probability, by exact summation", () => {
    const n = 25;
    const intervals = Array.from({ length: n + 1 }, (_, k) => clopperPearson(k, n));
    for (let p = 0.01; p < 1; p += 0.01) {
      let covered = 0;
      intervals.forEach(({ low, high }, k) => {
        if (low <= p && p <= high) covered += binomialCdf(k, n, p) - binomialCdf(k - 1, n, p);
      });
      expect(covered).toBeGreaterThanOrEqual(0.95);
    }
  });
});
