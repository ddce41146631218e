import { beforeEach, describe, expect, test } from "vitest";
import { VirtualClock } from "../../../src/base/clock.ts";
import { platformTraceRing } from "../../../src/shm/memory-map.ts";
import { Lane, RingConsumer, recordTimeUs } from "../../../src/shm/ring.ts";
import { TraceWriter } from "../../../src/shm/trace.ts";
import type { VmMemory } from "../../../src/shm/vm-memory.ts";
import { bareVm } from "../../support/vm.ts";

const SLOTS = 4096;
let vm: VmMemory;
let clock: VirtualClock;
let trace: TraceWriter;
let reader: RingConsumer;
beforeEach(() => {
  vm = bareVm(1);
  clock = new VirtualClock();
  trace = new TraceWriter(vm, platformTraceRing(vm.map), clock);
  reader = new RingConsumer(vm.words, platformTraceRing(vm.map), SLOTS);
});

describe("a trace writer", () => {
  test("stamps its record with the VM's clock and writes four body words, the rest zero", () => {
    clock.advanceTo(5e9);
    trace.write(3, -1, 7, 99, 10, 11, -12, 13);
    const slot = reader.front();
    const lanes = [...vm.words.subarray(slot, slot + 16)];
    expect(lanes.slice(Lane.kind, Lane.timeLow)).toEqual([3, -1, 7]);
    expect(lanes[Lane.correlation]).toBe(99);
    expect(lanes.slice(Lane.body)).toEqual([10, 11, -12, 13, 0, 0, 0, 0]);
    expect(recordTimeUs(vm.words, slot)).toBe(5e9);
  });

  test("loses and counts what does not fit, and overwrites nothing", () => {
    for (let n = 0; n < SLOTS + 3; n++) trace.write(1, 0, 0, n, 0, 0, 0, 0);
    expect(reader.lost()).toBe(3);
    let expected = 0;
    for (let slot = reader.front(); slot >= 0; slot = reader.front()) {
      expect(vm.words[slot + Lane.correlation]).toBe(expected);
      expected += 1;
      reader.release();
    }
    expect(expected).toBe(SLOTS);
  });
});
