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
});
