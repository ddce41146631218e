import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { monotonicNowUs } from "../../../src/base/clock.ts";
import { lookEvery } from "../../../src/machine/pump.ts";

vi.mock("../../../src/base/clock.ts", () => ({ monotonicNowUs: vi.fn(() => 0) }));
const clock = vi.mocked(monotonicNowUs);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A clock that moves only by `passes`, and an event loop that goes on only by `turnEnds`. */
function slowTurns() {
  const waiting: (() => void)[] = [];
  vi.stubGlobal("setImmediate", (call: (...given: unknown[]) => void, ...given: unknown[]) => {
    waiting.push(() => call(...given));
  });
  let nowMs = 0;
  clock.mockImplementation(() => nowMs * 1000);
  return {
    passes: (ms: number) => {
      nowMs += ms;
    },
    turnEnds: () => {
      for (const call of waiting.splice(0)) call();
    },
  };
}

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

  it("that have to go on are called again after the others' turn, until they are done or taken away", () => {
    const { passes, turnEnds } = slowTurns();
    const seen: string[] = [];
    const look = (name: string, steps: number): (() => void) => {
      let left = steps;
      return lookEvery(10, (hasTime) => {
        do {
          seen.push(name);
          passes(0.2);
          left -= 1;
        } while (left > 0 && hasTime());
        if (left > 0) return false;
        left = steps;
        return true;
      });
    };
    const ends = [look("short", 1), look("long", 4), look("endless", 99), look("last", 1)];
    const turn = (): string => {
      turnEnds();
      return seen.splice(0).join(" ");
    };
    try {
      vi.advanceTimersByTime(10);
      expect(turn()).toBe("short long long long");
      expect(turn()).toBe("long endless");
      ends[2]?.();
      vi.advanceTimersByTime(10);
      expect(turn()).toBe("last");
      expect(turn()).toBe("");
    } finally {
      for (const end of ends) end();
      vi.unstubAllGlobals();
    }
  });

  it("that take long let others have the thread in between, and none begins before all had their turn", () => {
    const { passes, turnEnds } = slowTurns();
    const seen: string[] = [];
    const look = (name: string, ms: number): (() => void) =>
      lookEvery(10, () => {
        seen.push(name);
        passes(ms);
      });
    const ends = [look("long", 5), look("short", 0.01), look("short too", 0.01), look("last", 5)];
    const turn = (): string[] => {
      turnEnds();
      return seen.splice(0);
    };
    try {
      vi.advanceTimersByTime(10);
      expect(seen.splice(0)).toEqual(["long"]);
      vi.advanceTimersByTime(20);
      expect(turn()).toEqual(["short", "short too", "last"]);
      expect(turn()).toEqual([]);
      vi.advanceTimersByTime(10);
      expect(seen).toEqual(["long"]);
    } finally {
      for (const end of ends) end();
      vi.unstubAllGlobals();
    }
  });
});
