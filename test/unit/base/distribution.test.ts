import { describe, expect, it } from "vitest";
import { constant, type Distribution, Stream } from "../../../src/base/distribution.ts";

/** Mean and variance of many draws from streams keyed one after the other, as an experiment keys them. */
function moments(from: Distribution, count = 40_000): { mean: number; variance: number } {
  const stream = new Stream();
  let sum = 0;
  let squares = 0;
  for (let n = 0; n < count; n++) {
    const value = stream.key(7, n >>> 8, n, 1).draw(from);
    sum += value;
    squares += value * value;
  }
  const mean = sum / count;
  return { mean, variance: squares / count - mean * mean };
}

describe("a stream", () => {
  it("gives the same numbers for the same key and others for any other", () => {
    const draw = (...key: [number, number, number, number]): number =>
      new Stream().key(...key).u32();
    expect(draw(1, 2, 3, 4)).toBe(draw(1, 2, 3, 4));
    const others = new Set([draw(1, 2, 3, 4), draw(2, 2, 3, 4), draw(1, 3, 3, 4)]);
    others
      .add(draw(1, 2, 4, 4))
      .add(draw(1, 2, 3, 5))
      .add(draw(4, 3, 2, 1));
    expect(others.size).toBe(6);
  });

  it("is uniform over neighbouring keys: chi-square of 64 cells within its 99.9 % range", () => {
    const cells = new Array<number>(64).fill(0);
    const stream = new Stream();
    for (let n = 0; n < 64_000; n++) {
      const cell = Math.floor(stream.key(0, 0, n, 0).unit() * 64);
      cells[cell] = (cells[cell] ?? 0) + 1;
    }
    const chi = cells.reduce((sum, seen) => sum + (seen - 1000) ** 2 / 1000, 0);
    expect(chi).toBeGreaterThan(30); //  63 degrees of freedom
    expect(chi).toBeLessThan(104);
  });
});

describe("distributions have the moments of their formulas", () => {
  const near = (value: number, expected: number, share = 0.03): void => {
    expect(Math.abs(value - expected)).toBeLessThan(share * expected);
  };

  it("constant, uniform, exponential", () => {
    expect(moments(constant(5)).mean).toBe(5);
    const uniform = moments({ kind: "uniform", low: 2, high: 6 });
    near(uniform.mean, 4);
    near(uniform.variance, 16 / 12);
    const exponential = moments({ kind: "exponential", mean: 3 });
    near(exponential.mean, 3);
    near(exponential.variance, 9, 0.06);
  });

  it("Weibull of shape 2: mean scale * sqrt(pi) / 2", () => {
    near(moments({ kind: "weibull", scale: 10, shape: 2 }).mean, (10 * Math.sqrt(Math.PI)) / 2);
  });

  it("lognormal: mean median * e^(sigma^2 / 2)", () => {
    near(moments({ kind: "lognormal", median: 4, sigma: 0.5 }).mean, 4 * Math.exp(0.125));
  });

  it("measured values: the mean of a line between them", () => {
    near(moments({ kind: "measured", quantiles: [0, 1, 2, 3] }).mean, 1.5);
    expect(moments({ kind: "measured", quantiles: [8] }).mean).toBe(8);
  });
});
