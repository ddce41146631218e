import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

type Atomics32 = typeof import("../../../src/shm/atomics.ts");

/** The module as a host of the given byte order would load it. */
async function on(bigEndian: boolean): Promise<Atomics32> {
  vi.resetModules();
  vi.doMock("../../../src/base/bits.ts", async (original) => ({
    ...(await original<typeof import("../../../src/base/bits.ts")>()),
    hostIsBigEndian: bigEndian,
  }));
  return import("../../../src/shm/atomics.ts");
}

const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });

let words: Int32Array;
let bytes: Uint8Array;
beforeEach(() => {
  words = new Int32Array(new SharedArrayBuffer(64));
  bytes = new Uint8Array(words.buffer);
});
afterEach(() => {
  vi.doUnmock("../../../src/base/bits.ts");
  vi.resetModules();
});

describe.each([
  ["of this byte order", false],
  ["of the other byte order", true],
])("on a host %s", (_name, swapped) => {
  let shm: Atomics32;
  beforeEach(async () => {
    shm = await on(swapped);
  });

  test("what is stored is loaded, atomically or not", () => {
    shm.store(words, 3, -123456789);
    expect([shm.load(words, 3), shm.peek(words, 3)]).toEqual([-123456789, -123456789]);
    shm.poke(words, 3, 0x12345678);
    expect([shm.load(words, 3), shm.peek(words, 3)]).toEqual([0x12345678, 0x12345678]);
  });

  test("exchange gives the previous value and leaves the new one", () => {
    shm.store(words, 0, 0x01020304);
    expect(shm.exchange(words, 0, 0x50607080)).toBe(0x01020304);
    expect(shm.load(words, 0)).toBe(0x50607080);
  });

  test("compareExchange changes an expected word only", () => {
    shm.store(words, 0, 5);
    expect(shm.compareExchange(words, 0, 4, 9)).toBe(5);
    expect(shm.load(words, 0)).toBe(5);
    expect(shm.compareExchange(words, 0, 5, 9)).toBe(5);
    expect(shm.load(words, 0)).toBe(9);
  });

  test("add wraps at 32 bits and gives the previous value", () => {
    shm.store(words, 0, 0x7fffffff);
    expect(shm.add(words, 0, 1)).toBe(0x7fffffff);
    expect(shm.load(words, 0)).toBe(-0x80000000);
    expect(shm.add(words, 0, -1)).toBe(-0x80000000);
    expect(shm.load(words, 0)).toBe(0x7fffffff);
  });

  test("or and and change the masked bits and give the previous value", () => {
    shm.store(words, 0, 0x0f0f0001);
    expect(shm.or(words, 0, 1 << 31)).toBe(0x0f0f0001);
    expect(shm.and(words, 0, ~1)).toBe(0x8f0f0001 | 0);
    expect(shm.load(words, 0)).toBe(0x8f0f0000 | 0);
  });

  test("agrees with plain 32-bit arithmetic for any words", () => {
    fc.assert(
      fc.property(word, word, (a, b) => {
        shm.store(words, 0, a);
        shm.add(words, 0, b);
        expect(shm.load(words, 0)).toBe((a + b) | 0);
        shm.or(words, 0, a);
        expect(shm.load(words, 0)).toBe((a + b) | 0 | a);
        shm.and(words, 0, b);
        expect(shm.load(words, 0)).toBe(((a + b) | 0 | a) & b);
      }),
    );
  });

  test("a wait for another value than the word has returns at once", () => {
    shm.store(words, 0, 0x01000000);
    shm.wait(words, 0, 1, Number.POSITIVE_INFINITY);
    shm.notify(words, 0);
    expect(shm.load(words, 0)).toBe(0x01000000);
  });

  test("orByte touches one byte, wherever it stands in its word", () => {
    bytes.set([1, 2, 3, 4, 5], 8);
    expect(shm.orByte(bytes, 10, 0x80)).toBe(3);
    expect([...bytes.subarray(8, 13)]).toEqual([1, 2, 0x83, 4, 5]);
  });
});

describe("words in memory", () => {
  test("are little-endian on this host when it is one, and on a big-endian host", async () => {
    const here = await on(false);
    here.store(words, 0, 0x01020304);
    const other = await on(true);
    other.store(words, 1, 0x01020304);
    other.poke(words, 2, 0x01020304);
    const [own, swapped, poked] = [bytes.slice(0, 4), bytes.slice(4, 8), bytes.slice(8, 12)];
    expect([...swapped]).toEqual([...own].reverse());
    expect(poked).toEqual(swapped);
  });
});
