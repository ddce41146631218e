import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { lookEvery } from "../../../src/machine/pump.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("looks at an interval", () => {
  it("share one timer, and end one by one", () => {
    const seen: string[] = [];
    const endFirst = lookEvery(10, () => seen.push("first"));
    const endSecond = lookEvery(10, () => seen.push("second"));
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(10);
    endFirst();
    endFirst();
    vi.advanceTimersByTime(10);
    expect(seen).toEqual(["first", "second", "second"]);
    endSecond();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("that are of different lengths have timers of their own", () => {
    const seen: number[] = [];
    const ends = [5, 10].map((ms) => lookEvery(ms, () => seen.push(ms)));
    vi.advanceTimersByTime(10);
    expect(seen.sort((a, b) => a - b)).toEqual([5, 5, 10]);
    for (const end of ends) end();
  });

  it("may end while they look, and others begin", () => {
    const seen: string[] = [];
    const end = lookEvery(10, () => {
      seen.push("once");
      end();
    });
    vi.advanceTimersByTime(30);
    const endNext = lookEvery(10, () => seen.push("next"));
    vi.advanceTimersByTime(10);
    endNext();
    expect(seen).toEqual(["once", "next"]);
  });
});
