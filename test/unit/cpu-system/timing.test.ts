import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../../src/base/clock.ts";
import { Cpu } from "../../../src/cpu/state.ts";
import { Timing, todOfUnixMs } from "../../../src/cpu/timing.ts";
import { createMachine, half } from "./machine.ts";

const U64 = (1n << 64n) - 1n;

function value(timing: { high: number; low: number }): bigint {
  return (BigInt(timing.high >>> 0) << 32n) | BigInt(timing.low >>> 0);
}

function timingAt(epoch: bigint): {
  clock: VirtualClock;
  timing: Timing;
  state: ReturnType<typeof createMachine>["state"];
} {
  const clock = new VirtualClock();
  const { state } = createMachine();
  const timing = new Timing(state, clock, { high: half(epoch >> 32n), low: half(epoch) });
  return { clock, timing, state };
}

describe("TOD clock", () => {
  it("1970-01-01 is 0x7D91048BCA000000 and a millisecond is 0x3E8000", () => {
    expect(value(todOfUnixMs(0))).toBe(0x7d91048bca000000n);
    expect(value(todOfUnixMs(1))).toBe(0x7d91048bca3e8000n);
    expect(value(todOfUnixMs(1_790_000_000_000))).toBe(
      0x7d91048bca000000n + 1_790_000_000_000_000n * 4096n,
    );
  });

  it("bit 51 is one microsecond", () => {
    const { clock, timing } = timingAt(0x1122334455667788n);
    clock.advanceTo(1);
    timing.readTod(false);
    expect(value(timing)).toBe(0x1122334455667788n + 4096n);
    clock.advanceTo(2.5);
    timing.readTod(false);
    expect(value(timing)).toBe(0x1122334455667788n + 10240n);
  });

  it("unique readings differ while the clock stands still, plain ones do not", () => {
    const { timing } = timingAt(0xffffffff_fffffffen);
    const seen = [true, true, true].map((unique) => {
      timing.readTod(unique);
      return value(timing);
    });
    expect(new Set(seen).size).toBe(3);
    timing.readTod(false);
    const first = value(timing);
    timing.readTod(false);
    expect(value(timing)).toBe(first);
  });

  it("set clock shifts the clock, which runs on from there", () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: U64 }),
        fc.bigInt({ min: 0n, max: U64 }),
        fc.integer({ min: 0, max: 1e9 }),
        fc.integer({ min: 0, max: 1e9 }),
        (epoch, set, beforeUs, afterUs) => {
          const { clock, timing } = timingAt(epoch);
          clock.advanceTo(beforeUs);
          timing.setTod(half(set >> 32n), half(set));
          clock.advanceTo(beforeUs + afterUs);
          timing.readTod(false);
          expect(value(timing)).toBe((set + BigInt(afterUs) * 4096n) & U64);
        },
      ),
    );
  });
});

describe("clock comparator", () => {
  it("is pending when the TOD clock exceeds it, not when they are equal", () => {
    const { clock, timing } = timingAt(0x1000_0000_0000_0000n);
    timing.setClockComparator(0x10000000, 7 * 4096);
    clock.advanceTo(7);
    expect(timing.comparatorPending()).toBe(false);
    clock.advanceTo(7.001);
    expect(timing.comparatorPending()).toBe(true);
  });

  it("compares without sign, and all ones never come", () => {
    const { clock, timing } = timingAt(0x8000_0000_0000_0000n);
    timing.setClockComparator(0x7fffffff, -1);
    expect(timing.comparatorPending()).toBe(true);
    timing.setClockComparator(-1, -2);
    expect(timing.comparatorPending()).toBe(false);
    timing.setClockComparator(-1, -1);
    clock.advanceTo(1e12);
    expect(timing.comparatorPending()).toBe(false);
    expect(timing.nextDueUs(true, false)).toBe(Number.POSITIVE_INFINITY);
  });

  it("advancing a virtual clock to the due time makes it pending, and not a tick earlier", () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: U64 }),
        fc.integer({ min: 0, max: 2 ** 40 }),
        (epoch, ahead) => {
          const { clock, timing } = timingAt(epoch);
          const target = (epoch + BigInt(ahead)) & U64;
          fc.pre(target >= epoch && target !== U64);
          timing.setClockComparator(half(target >> 32n), half(target));
          const due = timing.nextDueUs(true, false);
          clock.advanceTo(due - 1 / 4096);
          expect(timing.comparatorPending()).toBe(false);
          clock.advanceTo(due);
          expect(timing.comparatorPending()).toBe(true);
          timing.readTod(false);
          expect(value(timing)).toBe((target + 1n) & U64);
        },
      ),
    );
  });

  it("set clock moves the moment at which it comes", () => {
    const { timing } = timingAt(0n);
    timing.setClockComparator(0, 1000 * 4096);
    timing.setTod(0, 900 * 4096);
    expect(timing.nextDueUs(true, false)).toBe(100 + 1 / 4096);
  });
});

describe("CPU timer", () => {
  it("counts down 4096 units per microsecond and is pending below zero", () => {
    const { clock, timing } = timingAt(0n);
    clock.advanceTo(100);
    timing.setCpuTimer(0, 10 * 4096);
    clock.advanceTo(104);
    timing.readCpuTimer();
    expect(value(timing)).toBe(6n * 4096n);
    clock.advanceTo(110);
    expect(timing.cpuTimerPending()).toBe(false);
    clock.advanceTo(111);
    expect(timing.cpuTimerPending()).toBe(true);
    timing.readCpuTimer();
    expect(value(timing)).toBe(U64 - 4095n);
  });

  it("a negative value is pending at once, the largest not for centuries", () => {
    const { timing } = timingAt(0n);
    timing.setCpuTimer(-1, 0);
    expect(timing.cpuTimerPending()).toBe(true);
    timing.setCpuTimer(0x7fffffff, -1);
    expect(timing.cpuTimerPending()).toBe(false);
    expect(timing.nextDueUs(false, true)).toBeGreaterThan(1e15);
  });

  it("a restored state is taken up by refresh", () => {
    const { clock, timing, state } = timingAt(0n);
    clock.advanceTo(50);
    state.setU64(Cpu.clockComparator, 40n * 4096n);
    state.setU64(Cpu.cpuTimer, U64);
    timing.refresh();
    expect(timing.comparatorPending()).toBe(true);
    expect(timing.cpuTimerPending()).toBe(true);
  });
});
