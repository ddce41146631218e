import { endianness } from "node:os";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { alignUp, at, hostIsBigEndian, isPowerOfTwo, swap32 } from "../../../src/base/bits.ts";

describe("alignUp", () => {
  test.each([
    [0, 4096, 0],
    [1, 4096, 4096],
    [4096, 4096, 4096],
    [4097, 4096, 8192],
    [2 ** 32 - 1, 65536, 2 ** 32],
    [2 ** 52 + 1, 4096, 2 ** 52 + 4096],
  ])("of %d to %d is %d", (value, unit, expected) => {
    expect(alignUp(value, unit)).toBe(expected);
  });
});

describe("isPowerOfTwo", () => {
  test("holds for each of 2^0 to 2^52 and for neither neighbour from 2^2 on", () => {
    for (let exponent = 0; exponent <= 52; exponent++) {
      expect(isPowerOfTwo(2 ** exponent)).toBe(true);
      if (exponent < 2) continue;
      expect(isPowerOfTwo(2 ** exponent - 1)).toBe(false);
      expect(isPowerOfTwo(2 ** exponent + 1)).toBe(false);
    }
  });

  test.each([0, -1, -2, 0.5, 3, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
    "is false for %d",
    (value) => {
      expect(isPowerOfTwo(value)).toBe(false);
    },
  );
});

describe("swap32", () => {
  test.each([
    [0x01020304, 0x04030201],
    [0x000000ff, 0xff000000 | 0],
    [0x80000000 | 0, 0x00000080],
    [-1, -1],
  ])("of %d is %d", (word, expected) => {
    expect(swap32(word)).toBe(expected);
  });

  test("is its own inverse and agrees with DataView in both byte orders", () => {
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (word) => {
        const view = new DataView(new ArrayBuffer(4));
        view.setInt32(0, word, false);
        expect(swap32(word)).toBe(view.getInt32(0, true));
        expect(swap32(swap32(word))).toBe(word);
      }),
    );
  });
});

describe("the host", () => {
  test("has the byte order that Node reports", () => {
    expect(hostIsBigEndian).toBe(endianness() === "BE");
  });
});

describe("at", () => {
  test("reads an element of a typed array", () => {
    expect(at(new Int32Array([7, -8]), 1)).toBe(-8);
  });
});
