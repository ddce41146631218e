/** Effects on the shared words alone, without table and worker. */
import { describe, expect, it } from "vitest";
import { Pec } from "../../../src/abi/ccdf.ts";
import { VirtualClock } from "../../../src/base/clock.ts";
import { CCDF_RING_SLOTS } from "../../../src/base/limits.ts";
import { Announcements } from "../../../src/recovery/announcements.ts";
import { FunctionEffects } from "../../../src/recovery/effects.ts";
import { StampClock } from "../../../src/recovery/stamp-clock.ts";
import { FunctionWords } from "../../../src/recovery/words.ts";
import { load, store } from "../../../src/shm/atomics.ts";
import { FunctionBlock, FunctionState, stateWord, VmBlock } from "../../../src/shm/blocks.ts";
import { ChannelReport } from "../../../src/shm/channel-report.ts";
import { FloatingInterrupts } from "../../../src/shm/floating.ts";
import { planMemory, recoveryTraceRing } from "../../../src/shm/memory-map.ts";
import { TraceWriter } from "../../../src/shm/trace.ts";
import { createVmMemory } from "../../../src/shm/vm-memory.ts";

function rig(state: FunctionState) {
  const map = planMemory({
    vcpuCount: 1,
    functionCount: 1,
    ramBytes: 1024 ** 2,
    vcpuBytes: 4096,
    hostBytes: 4096,
  });
  const vm = createVmMemory(map);
  const floating = new FloatingInterrupts(vm);
  const report = new ChannelReport(vm, floating);
  report.reset();
  const clock = new StampClock(new VirtualClock());
  const words = new FunctionWords(vm, 0, clock.stamp);
  const trace = new TraceWriter(vm, recoveryTraceRing(map, 0), clock);
  const effects = new FunctionEffects(vm, 0, words, clock, trace, report);
  store(vm.words, words.base + FunctionBlock.stateWord, stateWord(3, state));
  const announcements = new Announcements(effects, vm.bytes, clock, trace);
  const crw = (): number => load(vm.words, map.vmBlock / 4 + VmBlock.crwPending);
  return {
    announcements,
    effects,
    floating,
    crw,
    pec: () => effects.pecAt(effects.ring.slotWord(0)),
  };
}

describe("a function that is given up", () => {
  it("is permanent for a guest that has it enabled, who gets a record and a machine check", () => {
    const { announcements, effects, floating, crw, pec } = rig(FunctionState.ENABLED);
    announcements.injectPermanent();
    expect(effects.guestState()).toBe(FunctionState.PERMANENT_ERROR);
    expect(effects.ring.free()).toBe(CCDF_RING_SLOTS - 1);
    expect(pec()).toBe(Pec.PERMERR);
    expect(crw()).toBe(1);
    expect(floating.machineCheckPending()).toBe(true);
  });

  it("is no news for a guest that has it disabled: no record, no machine check", () => {
    const { announcements, effects, floating, crw } = rig(FunctionState.DISABLED);
    announcements.injectPermanent();
    expect(effects.ring.free()).toBe(CCDF_RING_SLOTS);
    expect(crw()).toBe(0);
    expect(floating.machineCheckPending()).toBe(false);
  });
});
