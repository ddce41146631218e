import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  cliffsDelta,
  holm,
  pairedDifference,
} from "../../../../src/experiment/statistics/paired.ts";

/** Student 1908, "The probable error of a mean", table of additional hours of sleep, both drugs, ten patients. */
const sleepA = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
const sleepB = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];

describe("a paired difference", () => {
  const result = pairedDifference(sleepA, sleepB, 1);

  test("of Student's sleep data is -1.58 hours with p = 0.002833", () => {
    expect(result.difference).toBeCloseTo(-1.58, 12);
    expect(result.p).toBeCloseTo(0.002832890197384273, 10); // scipy 1.17.1, stats.ttest_rel
    expect(result.n).toBe(10);
  });

  test("has the standardised difference and Cliff's delta that scipy's numbers give", () => {
    expect(result.standardised).toBeCloseTo(-1.2845575625910546, 10);
    expect(result.delta).toBeCloseTo(-0.49, 12); // 2 mannwhitneyu(a, b).statistic / 100 - 1
  });

  test("of Student's sleep data has an interval on one side of 0", () => {
    expect(result.low).toBeGreaterThan(-3.5);
    expect(result.high).toBeLessThan(-0.7);
    expect(result.high).toBeGreaterThan(-1.58);
  });

  test("of yes/no outcomes is tested exactly, as McNemar's test", () => {
    // 9 pairs only a, 1 pair only b, 20 the same: scipy binomtest(1, 10) = 0.021484375
    const a = [...Array(9).fill(1), 0, ...Array(20).fill(1)];
    const b = [...Array(9).fill(0), 1, ...Array(20).fill(1)];
    expect(pairedDifference(a, b, 1).p).toBeCloseTo(0.021484375, 12);
  });

  test("that is the same in every pair is as sure as tossing heads n times", () => {
    const constant = pairedDifference([3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6], 1);
    expect(constant).toMatchObject({ difference: 2, low: 2, high: 2, standardised: null });
    expect(constant.p).toBeCloseTo(2 / 2 ** 6, 12);
  });

  test("of a policy with itself is none", () => {
    expect(pairedDifference(sleepA, sleepA, 1)).toMatchObject({ difference: 0, p: 1, delta: 0 });
  });
});

describe("Cliff's delta", () => {
  const values = fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1, maxLength: 20 });

  test("is the count over all pairs, ties included", () => {
    fc.assert(
      fc.property(values, values, (a, b) => {
        let sum = 0;
        for (const x of a) for (const y of b) sum += Math.sign(x - y);
        expect(cliffsDelta(a, b)).toBeCloseTo(sum / (a.length * b.length), 12);
      }),
    );
  });

  test("is 1 if every value is larger", () => {
    expect(cliffsDelta([5, 6, 7], [1, 2])).toBe(1);
  });
});

describe("Holm's correction", () => {
  test("gives the step-down values: 0.01, 0.04, 0.03, 0.005 become 0.03, 0.06, 0.06, 0.02", () => {
    const adjusted = holm([0.01, 0.04, 0.03, 0.005]);
    expect(adjusted.map((p) => Number(p.toFixed(12)))).toEqual([0.03, 0.06, 0.06, 0.02]);
  });

  test("never goes above 1, below the raw value, or above Bonferroni", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1 }), (ps) => {
        holm(ps).forEach((adjusted, index) => {
          const p = ps[index] ?? 0;
          expect(adjusted).toBeGreaterThanOrEqual(p);
          expect(adjusted).toBeLessThanOrEqual(Math.min(1, p * ps.length));
        });
      }),
    );
  });

  test("counts comparisons that are not listed", () => {
    expect(holm([0.01], 10)).toEqual([0.1]);
  });
});
