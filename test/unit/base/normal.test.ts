import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { normalQuantile } from "../../../src/base/normal.ts";
import { normalCdf } from "../../../src/experiment/mathematics.ts";

/** scipy 1.10.1, stats.norm.ppf, printed with repr: the middle, both tails, and the borders between the formulas. */
const values: readonly [number, number][] = [
  [0.5, 0],
  [0.31, -0.4958503473474533],
  [0.2, -0.8416212335729142],
  [0.0750001, -1.4395307645017301],
  [0.075, -1.4395314709384563],
  [0.05, -1.6448536269514729],
  [0.025, -1.9599639845400545],
  [0.001, -3.090232306167813],
  [1e-5, -4.264890793922825],
  [1e-10, -6.361340902404056],
  [1e-17, -8.493793224109599],
  [1e-300, -37.0470962993612],
  [0.9, 1.2815515655446004],
  [0.999999, 4.753424308817087],
];

describe("the normal quantile", () => {
  test.each(values)("of %d is scipy's", (p, expected) => {
    expect(Math.abs(normalQuantile(p) - expected)).toBeLessThanOrEqual(1e-15 * Math.abs(expected));
  });

  test("undoes the distribution function, which is computed in another way", () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-12, max: 1 - 1e-12, noNaN: true }), (p) => {
        expect(Math.abs(normalCdf(normalQuantile(p)) / p - 1)).toBeLessThan(1e-12);
      }),
    );
  });

  test("has limits at 0 and 1 and none beyond", () => {
    expect([0, 1, -0.1, 1.1, Number.NaN].map(normalQuantile)).toEqual([
      Number.NEGATIVE_INFINITY,
      Number.POSITIVE_INFINITY,
      Number.NaN,
      Number.NaN,
      Number.NaN,
    ]);
  });
});
