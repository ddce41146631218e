/** The sleep of an enabled wait: when it must not happen, and how long it may be. */
import { beforeEach, expect, test, vi } from "vitest";
import { Cpu, VcpuExit } from "../../../src/cpu/index.ts";
import * as atomics from "../../../src/shm/atomics.ts";
import { VcpuHeader } from "../../../src/shm/blocks.ts";
import { type CpuRig, cpuRig } from "../../support/cpu-rig.ts";

vi.mock(import("../../../src/shm/atomics.ts"), async (original) => ({
  ...(await original()),
  wait: vi.fn(),
}));

const waits = vi.mocked(atomics.wait);
const CR0_CLOCK_COMPARATOR = 0x800; // bit 52
const CR6_ALL = 0xff000000 | 0;

beforeEach(() => {
  waits.mockClear();
});

/** A vCPU in an enabled wait: PSW bits 6, 7 and 14. */
function waiting(): CpuRig {
  const rig = cpuRig();
  rig.put(0x1f0, "00000001800000000000000000003000");
  rig.state.setHalves(Cpu.cr, 0, CR0_CLOCK_COMPARATOR);
  rig.state.setHalves(Cpu.cr + 6 * 8, 0, CR6_ALL);
  rig.vcpu.system.timing.setClockComparator(-1, -1);
  rig.start(0x1000, 0x03020001);
  expect(rig.vcpu.run(10)).toBe(VcpuExit.wait);
  return rig;
}

test("with nothing pending it waits on its own word, at most as long as it is told", () => {
  const rig = waiting();
  rig.vcpu.sleep(70);
  const word = (rig.vm.map.vcpuAreas[0] as number) / 4 + VcpuHeader.sleeping;
  expect(waits).toHaveBeenCalledTimes(1);
  expect(waits.mock.calls[0]?.slice(1)).toEqual([word, 1, 70]);
  expect(atomics.load(rig.vm.words, word)).toBe(0);
});

test("an interruption posted between run and sleep is not slept over", () => {
  const rig = waiting();
  rig.floating.adapterInterruption(2);
  rig.vcpu.sleep(1000);
  expect(waits).not.toHaveBeenCalled();
  expect(rig.vcpu.interruptionPending()).toBe(true);
  rig.vcpu.run(1);
  expect(rig.state.low(Cpu.pswAddress)).toBe(0x3000);
});

test("it sleeps no longer than to the clock comparator, and not at all when that is due", () => {
  const rig = waiting();
  const { timing } = rig.vcpu.system;
  timing.readTod(false);
  timing.setClockComparator(timing.high, timing.low + 20_000 * 4096); // bit 51 is a microsecond
  rig.vcpu.sleep(1000);
  expect(waits.mock.calls[0]?.[3]).toBeCloseTo(20, 3);
  waits.mockClear();
  rig.clock.advanceTo(20_001);
  rig.vcpu.sleep(1000);
  expect(waits).not.toHaveBeenCalled();
  expect(rig.vcpu.interruptionPending()).toBe(true);
});
