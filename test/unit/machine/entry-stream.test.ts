import { describe, expect, it } from "vitest";
import { TraceKind } from "../../../src/abi/records.ts";
import { VirtualClock } from "../../../src/base/clock.ts";
import { TRACE_RING_SLOTS } from "../../../src/base/limits.ts";
import { EntryStream } from "../../../src/machine/entry-stream.ts";
import { platformTraceRing } from "../../../src/shm/memory-map.ts";
import { TraceWriter } from "../../../src/shm/trace.ts";
import { bareVm } from "../../support/vm.ts";

function setup() {
  const vm = bareVm(1);
  const clock = new VirtualClock();
  const platform = new TraceWriter(vm, platformTraceRing(vm.map), clock);
  const told: number[] = [];
  return {
    told,
    stream: new EntryStream(vm, (entry) => told.push(entry.timeUs)),
    raise: (timeUs: number) => {
      clock.advanceTo(timeUs);
      platform.write(TraceKind.errorRaised, 0, 1, 1, 0x3a, 0, 0, 0);
    },
  };
}

describe("the stream of entries", () => {
  it("tells in quiet times what is old enough, some looks later", () => {
    const { stream, raise, told } = setup();
    stream.look(100_000);
    raise(105_000);
    for (const now of [110_000, 120_000, 130_000]) stream.look(now);
    expect(told).toEqual([]);
    for (const now of [140_000, 150_000, 160_000, 170_000, 180_000]) stream.look(now);
    expect(told).toEqual([105_000]);
  });

  it("drains at once a ring that fills: a burst between two looks loses nothing", () => {
    const { stream, raise, told } = setup();
    stream.look(100_000);
    for (let burst = 0; burst < 16; burst++) {
      const now = 101_000 + burst * 1000;
      for (let n = 0; n < TRACE_RING_SLOTS / 8; n++) raise(now);
      stream.look(now);
    }
    stream.pump(Number.POSITIVE_INFINITY);
    expect([told.length, stream.lost()]).toEqual([2 * TRACE_RING_SLOTS, 0]);
  });

  it("looks again when its clock has gone back (a restored machine)", () => {
    const { stream, raise, told } = setup();
    stream.look(900_000);
    raise(1000);
    stream.look(50_000);
    expect(told).toEqual([1000]);
  });

  it("tells as much as there is time for, then the rest, and takes nothing new before that", () => {
    const { stream, raise, told } = setup();
    for (let n = 1; n <= 5; n++) raise(n * 100);
    let left = 2;
    const someTime = (): boolean => --left > 0;
    expect(stream.look(100_000, someTime)).toBe(false);
    expect(told).toEqual([100, 200]);
    raise(700);
    stream.note(600, "machine", "console", {});
    left = 2;
    expect(stream.look(200_000, someTime)).toBe(false);
    expect(told).toEqual([100, 200, 300, 400]);
    left = 1;
    expect(stream.look(200_000, someTime)).toBe(true);
    expect(told).toEqual([100, 200, 300, 400, 500]);
    expect(stream.look(240_000)).toBe(true);
    expect(told.slice(5)).toEqual([600, 700]);
  });

  it("tells everything at once when there is a last time", () => {
    const { stream, raise, told } = setup();
    for (let n = 1; n <= 3; n++) raise(n * 100);
    stream.look(100_000, () => false);
    raise(400);
    stream.note(150, "machine", "console", {});
    stream.pump(Number.POSITIVE_INFINITY);
    expect(told).toEqual([100, 150, 200, 300, 400]);
  });
});
