/** Single-threaded claims; every interleaving is examined in test/property and test/model. */
import { beforeEach, describe, expect, test } from "vitest";
import { Doorbell } from "../../../src/shm/doorbell.ts";

const SLEEPING = 0;
const SUMMARY = 32;

let words: Int32Array;
let bell: Doorbell;
beforeEach(() => {
  words = new Int32Array(new SharedArrayBuffer(256));
  bell = new Doorbell(words, SLEEPING, SUMMARY);
});

describe("a doorbell", () => {
  test("collects the bits of all rings until they are taken, once", () => {
    bell.ring(1);
    bell.ring(4);
    bell.ring(1);
    expect(bell.take()).toBe(5);
    expect(bell.take()).toBe(0);
  });

  test("can carry all 32 bits", () => {
    bell.ring(-1);
    bell.ring(1 << 31);
    expect(bell.take()).toBe(-1);
  });

  test("does not let its owner sleep while bits are set, however long the timeout", () => {
    bell.ring(2);
    bell.sleep(Number.POSITIVE_INFINITY);
    expect(words[SLEEPING]).toBe(0);
    expect(bell.take()).toBe(2);
  });

  test.each([0, -1, Number.NaN, Number.NEGATIVE_INFINITY])(
    "does not sleep at all for a timeout of %d",
    (timeout) => {
      words[SLEEPING] = 7;
      bell.sleep(timeout);
      expect(words[SLEEPING]).toBe(7);
    },
  );

  test("leaves no sleeping flag behind when a sleep times out", () => {
    bell.sleep(1);
    expect(words[SLEEPING]).toBe(0);
  });

  test("takes a sleeping flag that a dead owner left behind, once", () => {
    words[SLEEPING] = 1;
    bell.ring(1);
    expect(words[SLEEPING]).toBe(0);
    expect(bell.take()).toBe(1);
  });
});
