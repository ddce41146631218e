import { describe, expect, test } from "vitest";
import { HostClock, monotonicNowUs, VirtualClock, wallClockMs } from "../../../src/base/clock.ts";

describe("the virtual clock", () => {
  test("starts at 0 and stands still until it is told to move", () => {
    const clock = new VirtualClock();
    expect([clock.nowUs(), clock.nowUs()]).toEqual([0, 0]);
  });

  test("moves to a later time and never back", () => {
    const clock = new VirtualClock();
    clock.advanceTo(12.5);
    clock.advanceTo(3);
    expect(clock.nowUs()).toBe(12.5);
  });

  test("ignores a time that is no number", () => {
    const clock = new VirtualClock();
    clock.advanceTo(Number.NaN);
    expect(clock.nowUs()).toBe(0);
  });
});

describe("the host clock", () => {
  test("stands at 0 until it is started", () => {
    expect(new HostClock().nowUs()).toBe(0);
  });

  test("never goes back", () => {
    const clock = new HostClock().start(monotonicNowUs());
    const readings = Array.from({ length: 1000 }, () => clock.nowUs());
    expect(readings.filter((reading, n) => n > 0 && reading < (readings[n - 1] ?? 0))).toEqual([]);
  });

  test("counts whole microseconds", () => {
    const clock = new HostClock().start(monotonicNowUs() - 123.456);
    expect(Array.from({ length: 20 }, () => clock.nowUs()).every(Number.isInteger)).toBe(true);
  });

  test("counts from its origin: a clock with a later origin shows that much less", () => {
    const origin = monotonicNowUs();
    const early = new HostClock().start(origin);
    const late = new HostClock().start(origin + 1e9);
    const before = late.nowUs();
    const between = early.nowUs() - 1e9;
    const after = late.nowUs();
    expect(between).toBeGreaterThanOrEqual(before);
    expect(between).toBeLessThanOrEqual(after);
  });

  test("agrees with the system's monotonic clock within its readings", () => {
    const before = process.hrtime.bigint();
    const now = monotonicNowUs();
    const after = process.hrtime.bigint();
    // One microsecond for the rounding of the sums.
    expect(now).toBeGreaterThan(Number(before / 1000n) - 1);
    expect(now).toBeLessThan(Number(after / 1000n) + 2);
  });
});

describe("the wall clock", () => {
  test("counts milliseconds since 1970", () => {
    const before = Date.now();
    const now = wallClockMs();
    expect(now).toBeGreaterThanOrEqual(before);
    expect(now).toBeLessThanOrEqual(Date.now());
  });
});
