import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RepetitionSeries, seriesLimit } from "../../../../src/experiment/statistics/series.ts";

function series(values: readonly (number | undefined)[]): RepetitionSeries {
  const result = new RepetitionSeries();
  values.forEach((value, repetition) => {
    if (value !== undefined) result.push(repetition, value);
  });
  return result;
}

describe("a metric over the repetitions", () => {
  test("averages the cells of a repetition before it counts it", () => {
    const cells = new RepetitionSeries();
    for (const [repetition, value] of [
      [0, 1.5],
      [0, 3.5],
      [1, 5],
      [1, 6],
    ] as const)
      cells.push(repetition, value);
    expect(cells.estimate(1n)).toMatchObject({ mean: 4, n: 2, method: "bootstrap" });
  });

  test("says of one repetition that it allows no interval, of none that there is no value", () => {
    expect(series([3]).estimate(1n)).toEqual({
      mean: 3,
      low: null,
      high: null,
      n: 1,
      method: "single",
    });
    expect(series([]).estimate(1n)).toBeUndefined();
  });

  test("says of equal values that nothing varied", () => {
    expect(series([2, 2, 2]).estimate(1n)).toMatchObject({ low: 2, high: 2, method: "constant" });
  });

  test("gives yes/no outcomes the exact interval: 1 of 20 is 0.1 % to 24.9 %", () => {
    const estimate = series([1, ...Array(19).fill(0)]).estimate(1n);
    expect(estimate?.method).toBe("exact");
    expect(estimate?.low).toBeCloseTo(0.0012650894979560339, 10);
    expect(estimate?.high).toBeCloseTo(0.24873276277202772, 10);
  });

  test("keeps its mean and its pairs beyond the limit, in bounded memory", () => {
    const count = 5 * seriesLimit + 77;
    const a = Array.from({ length: count }, (_, index) => ((index * 7919) % 101) / 7);
    const b = a.map((value, index) => value - 1 - (index % 3));
    const estimate = series(a).estimate(1n);
    const mean = a.reduce((sum, value) => sum + value, 0) / count;
    expect(estimate?.mean).toBeCloseTo(mean, 10);
    expect(estimate?.n).toBe(count);
    expect(estimate?.low).toBeLessThan(mean);
    expect(estimate?.high).toBeGreaterThan(mean);
    const [left, right] = RepetitionSeries.pairs(series(a), series(b));
    expect(left.length).toBeLessThanOrEqual(seriesLimit);
    expect(right.length).toBe(left.length);
    left.forEach((value, index) => {
      expect(value - (right[index] ?? 0)).toBeGreaterThan(0.9);
    });
  });

  test("gives batches the interval that single repetitions would give, within a sixth", () => {
    const values = Array.from({ length: seriesLimit }, (_, index) => (index * 7919) % 1009);
    const single = series(values).estimate(1n);
    const twice = series([...values, ...values]).estimate(1n);
    const width = (estimate: typeof single): number => (estimate?.high ?? 0) - (estimate?.low ?? 0);
    expect((width(twice) * Math.SQRT2) / width(single)).toBeGreaterThan(0.83);
    expect((width(twice) * Math.SQRT2) / width(single)).toBeLessThan(1.17);
  });

  test("pairs only repetitions that both have", () => {
    expect(
      RepetitionSeries.pairs(series([1, undefined, 3, 4]), series([5, 6, undefined, 8])),
    ).toEqual([
      [1, 4],
      [5, 8],
    ]);
  });

  test("merged from its parts is the one that took all values", () => {
    const values = fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 2, maxLength: 40 });
    fc.assert(
      fc.property(values, values, (a, b) => {
        const length = Math.min(a.length, b.length);
        const both = new RepetitionSeries();
        for (let repetition = 0; repetition < length; repetition++) {
          both.push(repetition, a[repetition] ?? 0);
          both.push(repetition, b[repetition] ?? 0);
        }
        const parts = [series(a.slice(0, length)), series(b.slice(0, length))];
        expect(RepetitionSeries.merged(parts).estimate(7n)).toEqual(both.estimate(7n));
      }),
      { numRuns: 50 },
    );
  });
});
