import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { exp, expm1, log, log1p, pow } from "../../../src/base/elementary.ts";

const epsilon = 2 ** -52;

/** Distance in units of the last place of `expected`. Math's own error is below 1 ulp in V8. */
function ulps(value: number, expected: number): number {
  if (Object.is(value, expected)) return 0;
  const exponent = Math.max(-1022, Math.floor(Math.log2(Math.abs(expected))));
  return Math.abs(value - expected) / (2 ** exponent * epsilon);
}

describe("elementary functions from + - * / alone", () => {
  test("exp is within 2 ulp of Math.exp over its whole range", () => {
    fc.assert(
      fc.property(fc.double({ min: -745, max: 709.7, noNaN: true }), (x) => {
        expect(ulps(exp(x), Math.exp(x))).toBeLessThanOrEqual(2);
      }),
      { numRuns: 20_000 },
    );
  });

  test("exp is within 2 ulp of Math.exp around 0", () => {
    fc.assert(
      fc.property(fc.double({ min: -2, max: 2, noNaN: true }), (x) => {
        expect(ulps(exp(x), Math.exp(x))).toBeLessThanOrEqual(2);
      }),
      { numRuns: 20_000 },
    );
  });

  test("log is within 2 ulp of Math.log for every positive number", () => {
    fc.assert(
      fc.property(fc.double({ min: 5e-324, noNaN: true }), (x) => {
        expect(ulps(log(x), Math.log(x))).toBeLessThanOrEqual(2);
      }),
      { numRuns: 20_000 },
    );
  });

  test("log keeps its digits around 1, where the result is small", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.5, max: 2, noNaN: true }), (x) => {
        expect(ulps(log(x), Math.log(x))).toBeLessThanOrEqual(2);
      }),
      { numRuns: 20_000 },
    );
  });

  test("log1p and expm1 are within 4 ulp of Math's, tiny arguments included", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.double({ min: -0.999, max: 1e6, noNaN: true }),
          fc.double({ min: -1e-8, max: 1e-8, noNaN: true }),
        ),
        (x) => {
          expect(ulps(log1p(x), Math.log1p(x))).toBeLessThanOrEqual(4);
          const y = Math.min(x, 700);
          expect(ulps(expm1(y), Math.expm1(y))).toBeLessThanOrEqual(4);
        },
      ),
      { numRuns: 20_000 },
    );
  });

  test("pow is within 3 + 2|y ln x| ulp of Math.pow, 3 + 2|y| for whole exponents", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1e-6, max: 1e6, noNaN: true }),
        fc.double({ min: -20, max: 20, noNaN: true }),
        (x, y) => {
          const size = Math.abs(Number.isInteger(y) ? y : y * Math.log(x));
          expect(ulps(pow(x, y), x ** y)).toBeLessThanOrEqual(3 + 2 * size);
        },
      ),
      { numRuns: 20_000 },
    );
  });

  test("exp and log are each other's inverse to the last bits", () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-300, max: 1e300, noNaN: true }), (x) => {
        const relative = Math.abs(exp(log(x)) / x - 1);
        expect(relative).toBeLessThanOrEqual(epsilon * (2 + Math.abs(Math.log(x))));
      }),
    );
  });

  test("the ends of the range are those of IEEE 754", () => {
    expect([exp(0), exp(710), exp(-746), exp(Number.NEGATIVE_INFINITY)]).toEqual([
      1,
      Number.POSITIVE_INFINITY,
      0,
      0,
    ]);
    expect([log(1), log(0), log(Number.POSITIVE_INFINITY)]).toEqual([
      0,
      Number.NEGATIVE_INFINITY,
      Number.POSITIVE_INFINITY,
    ]);
    expect([exp(Number.NaN), log(-1), log(Number.NaN), pow(-2, 0.5)]).toEqual(
      Array(4).fill(Number.NaN),
    );
    expect([log1p(-1), log1p(0), expm1(0), expm1(-800)]).toEqual([
      Number.NEGATIVE_INFINITY,
      0,
      0,
      -1,
    ]);
    expect(exp(-745.13)).toBe(5e-324);
  });

  test("pow of whole exponents is exact while the result is", () => {
    expect([pow(3, 4), pow(-2, 3), pow(2, -2), pow(0, 0), pow(0, 0.5), pow(10, 15)]).toEqual([
      81, -8, 0.25, 1, 0, 1e15,
    ]);
  });
});
