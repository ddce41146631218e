import { expect, test } from "vitest";
import { load, store } from "../../../src/shm/atomics.ts";
import { Lock } from "../../../src/shm/lock.ts";

test("a lock is free, held, and free again", () => {
  const words = new Int32Array(new SharedArrayBuffer(16));
  const lock = new Lock(words, 2);
  lock.acquire();
  expect(load(words, 2)).toBe(1);
  lock.release();
  expect(load(words, 2)).toBe(0);
});

test("a release that may have sleepers frees the word all the same", () => {
  const words = new Int32Array(new SharedArrayBuffer(16));
  const lock = new Lock(words, 2);
  lock.acquire();
  store(words, 2, 2);
  lock.release();
  expect(load(words, 2)).toBe(0);
  lock.acquire();
  expect(load(words, 2)).toBe(1);
});
