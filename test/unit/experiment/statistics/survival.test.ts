import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  DurationCounts,
  kaplanMeier,
  survivalAt,
  timeUntil,
} from "../../../../src/experiment/statistics/survival.ts";

function counts(ended: readonly number[], censored: readonly number[] = []): DurationCounts {
  const table = new DurationCounts();
  for (const time of ended) table.add(time, false);
  for (const time of censored) table.add(time, true);
  return table;
}

/**
 * Remission times under 6-mercaptopurine, weeks: Freireich et al. 1963, Blood 21, 699-716, the worked example of
 * Kalbfleisch and Prentice, 1.1 and 1.4. Survival and standard errors as printed there; log(-log) limits: scipy
 * 1.17.1, stats.ecdf(CensoredData).sf.confidence_interval(method="log-log").
 */
const remission = kaplanMeier(
  counts([6, 6, 6, 7, 10, 13, 16, 22, 23], [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]),
);
const published: readonly [number, number, number, number, number, number][] = [
  [6, 21, 0.857, 0.0764, 0.6197179552659838, 0.951551747646997],
  [7, 17, 0.807, 0.0869, 0.5631465646222333, 0.9228090192028804],
  [10, 15, 0.753, 0.0963, 0.5031995107999564, 0.8893618351692655],
  [13, 12, 0.69, 0.1068, 0.43161022248618397, 0.8490659633494507],
  [16, 11, 0.627, 0.1141, 0.36751085598750205, 0.8049121894718412],
  [22, 7, 0.538, 0.1282, 0.26777893676713505, 0.7467907176353944],
  [23, 6, 0.448, 0.1346, 0.18805200595923235, 0.6801426284952414],
];

describe("the Kaplan-Meier curve of the remission data", () => {
  test("has a step where a remission ended and nowhere else", () => {
    expect(remission.steps.map((step) => step.time)).toEqual(published.map((row) => row[0]));
    expect([remission.n, remission.censored]).toEqual([21, 12]);
  });

  test.each(published)(
    "at week %d has %d at risk, the printed share, error and limits",
    (...row) => {
      const [time, atRisk, share, error, low, high] = row;
      const step = remission.steps.find((candidate) => candidate.time === time);
      expect(step?.atRisk).toBe(atRisk);
      expect(Number(step?.survival.toFixed(3))).toBe(share);
      expect(Number(step?.error.toFixed(4))).toBe(error);
      expect(step?.low).toBeCloseTo(low, 9);
      expect(step?.high).toBeCloseTo(high, 9);
    },
  );

  test("has the published median of 23 weeks, whose upper limit is not reached", () => {
    expect(timeUntil(remission, 0.5)).toEqual({ time: 23, low: 13, high: null });
  });

  test("can be read between its steps", () => {
    expect([survivalAt(remission, 5), survivalAt(remission, 8)]).toEqual([
      1,
      expect.closeTo(0.807, 3),
    ]);
  });
});

describe("any Kaplan-Meier curve", () => {
  const times = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 40 });

  test("without censoring is the share that took longer", () => {
    fc.assert(
      fc.property(times, (ended) => {
        for (const step of kaplanMeier(counts(ended)).steps) {
          const longer = ended.filter((time) => time > step.time).length;
          expect(step.survival).toBeCloseTo(longer / ended.length, 10);
        }
      }),
    );
  });

  test("falls, and stays inside its limits", () => {
    fc.assert(
      fc.property(times, times, (ended, censored) => {
        let before = 1;
        for (const step of kaplanMeier(counts(ended, censored)).steps) {
          expect(step.survival).toBeLessThan(before);
          expect(step.low).toBeLessThanOrEqual(step.survival);
          expect(step.high).toBeGreaterThanOrEqual(step.survival);
          before = step.survival;
        }
      }),
    );
  });

  test("stays at 1 if nothing ended", () => {
    const curve = kaplanMeier(counts([], [5, 9]));
    expect(curve).toEqual({ n: 2, censored: 2, steps: [] });
    expect(timeUntil(curve, 0.5)).toEqual({ time: null, low: null, high: null });
  });
});
