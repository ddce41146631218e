import { describe, expect, test } from "vitest";
import {
  betaCdf,
  betaQuantile,
  erfc,
  log,
  logGamma,
  normalCdf,
  normalQuantile,
  studentCdf,
  studentQuantile,
} from "../../../src/experiment/mathematics.ts";

/** All values: scipy 1.17.1, printed with repr: stats.norm, stats.t, special.gammaln, betainc, betaincinv. */
const normal: readonly [number, number][] = [
  [-8, 6.22096057427174e-16],
  [-3, 0.0013498980316300933],
  [-1.96, 0.024997895148220435],
  [-0.5, 0.3085375387259869],
  [0, 0.5],
  [0.1, 0.539827837277029],
  [1, 0.8413447460685429],
  [2.7, 0.9965330261969594],
  [5, 0.9999997133484281],
];
const normalQuantiles: readonly [number, number][] = [
  [1e-12, -7.034483825301131],
  [1e-5, -4.264890793922825],
  [0.001, -3.090232306167813],
  [0.025, -1.9599639845400545],
  [0.3, -0.5244005127080409],
  [0.9, 1.2815515655446004],
  [0.975, 1.959963984540054],
  [0.9999, 3.719016485455709],
];
const gammas: readonly [number, number][] = [
  [0.1, 2.252712651734206],
  [0.5, 0.5723649429247],
  [2.5, 0.2846828704729192],
  [10, 12.801827480081469],
  [57.3, 173.56386827969146],
  [1000, 5905.220423209181],
  [123456.5, 1323898.630662737],
];
const betas: readonly [number, number, number, number][] = [
  [0.1, 2, 3, 0.0523],
  [0.5, 0.5, 0.5, 0.5],
  [0.9, 10, 2, 0.6973568802],
  [0.001, 1, 200, 0.1813511705213643],
  [0.3, 50, 120, 0.575556705163632],
  [0.2, 5, 1000, 1],
  [0.999, 1000, 1, 0.36769542477096373],
  [0.02, 3, 500.5, 0.997514153384165],
];
const betaQuantiles: readonly [number, number, number, number][] = [
  [0.025, 3, 8, 0.06673951117773447],
  [0.975, 4, 7, 0.6524528500599973],
  [0.025, 1, 50, 0.000506227983040829],
  [0.999, 200, 300, 0.4685523571144989],
];
const students: readonly [number, number, number][] = [
  [-2, 3, 0.06966298427942152],
  [0.1, 1, 0.5317255174305535],
  [1.5, 10, 0.9177463367772799],
  [2.2, 29, 0.9820366204246587],
  [-12, 5, 3.544746258580761e-5],
  [4, 1000, 0.9999659950403956],
  [63, 1, 0.9949478863933381],
];
const studentQuantiles: readonly [number, number, number][] = [
  [0.975, 1, 12.706204736174694],
  [0.975, 2, 4.302652729749462],
  [0.975, 9, 2.262157162798205],
  [0.95, 30, 1.697260886593957],
  [0.995, 100, 2.6258905214380173],
  [0.1, 4, -1.5332062740589436],
  [0.9999, 7, 7.063432828157639],
];

function relative(value: number, expected: number): number {
  return Math.abs(value - expected) / Math.max(1e-300, Math.abs(expected));
}

describe("special functions agree with scipy", () => {
  test.each(normal)("normal distribution at %d", (z, expected) => {
    expect(relative(normalCdf(z), expected)).toBeLessThan(1e-13);
  });
  test.each(normalQuantiles)("normal quantile of %d", (p, expected) => {
    expect(relative(normalQuantile(p), expected)).toBeLessThan(1e-10);
  });
  test.each(gammas)("logarithm of gamma of %d", (x, expected) => {
    expect(relative(logGamma(x), expected)).toBeLessThan(1e-13);
  });
  test.each(betas)("incomplete beta at %d of (%d, %d)", (x, a, b, expected) => {
    expect(relative(betaCdf(x, a, b), expected)).toBeLessThan(1e-11);
  });
  test.each(betaQuantiles)("beta quantile of %d of (%d, %d)", (p, a, b, expected) => {
    expect(relative(betaQuantile(p, a, b), expected)).toBeLessThan(1e-10);
  });
  test.each(students)("Student's distribution at %d with %d degrees", (t, freedom, expected) => {
    expect(relative(studentCdf(t, freedom), expected)).toBeLessThan(1e-12);
  });
  test.each(studentQuantiles)(
    "Student's quantile of %d with %d degrees",
    (p, freedom, expected) => {
      expect(relative(studentQuantile(p, freedom), expected)).toBeLessThan(1e-10);
    },
  );
});

describe("special functions at their ends", () => {
  test("gamma of 1 and 2 is 1", () => {
    expect(Math.abs(logGamma(1))).toBeLessThan(1e-14);
    expect(Math.abs(logGamma(2))).toBeLessThan(1e-14);
  });
  test("the error function's two forms meet at 2", () => {
    expect(Math.abs(erfc(2 - 1e-12) - erfc(2 + 1e-12))).toBeLessThan(1e-13);
    expect([erfc(0), erfc(30), erfc(-30)]).toEqual([1, 0, 2]);
  });
  test("quantiles of 0 and 1 are infinite, of nonsense NaN", () => {
    expect([normalQuantile(0), normalQuantile(1), normalQuantile(2)]).toEqual([
      Number.NEGATIVE_INFINITY,
      Number.POSITIVE_INFINITY,
      Number.NaN,
    ]);
    expect([betaCdf(0, 2, 3), betaCdf(1, 2, 3), studentQuantile(0.5, 3)]).toEqual([0, 1, 0]);
  });
  test("logarithms come from the same place", () => {
    expect(log(10)).toBeCloseTo(Math.LN10, 15);
  });
});
