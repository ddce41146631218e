import { describe, expect, it } from "vitest";
import { DemoMonitor } from "../../../src/daemon/demo-monitor.ts";
import { VCPU_CHECK_STOP, VCPU_DISABLED_WAIT } from "../../../src/machine/loops.ts";
import { DETERMINISTIC_EPOCH_MS, type VmSpec } from "../../../src/machine/vm-spec.ts";
import { loadPolicy } from "../../../src/recovery/index.ts";
import { store } from "../../../src/shm/atomics.ts";
import { VmBlock } from "../../../src/shm/blocks.ts";
import { bareVm } from "../../support/vm.ts";

const spec: VmSpec = {
  name: "demo",
  ramBytes: 1024 ** 2,
  cpuModel: "zmend",
  functions: [],
  policy: loadPolicy("mediated"),
  epochMs: DETERMINISTIC_EPOCH_MS,
};

/** A quiet run that has just asked its guest to end. */
function asked() {
  const vm = bareVm(1);
  const set = (word: number, value: number): void =>
    store(vm.words, vm.map.vmBlock / 4 + word, value);
  const monitor = new DemoMonitor(vm, spec, 10_000, 300);
  expect(monitor.check(0)).toBe("running");
  expect(monitor.check(300_000)).toBe("quiesce");
  set(VmBlock.quiesceRequested, 1);
  expect(monitor.check(300_001)).toBe("quiescing");
  return { monitor, set };
}

describe("a demo's end", () => {
  it("is in order when the guest stops after it has taken the request", () => {
    const { monitor, set } = asked();
    set(VmBlock.quiesceRequested, 0);
    set(VmBlock.vcpuStopped, VCPU_DISABLED_WAIT);
    expect(monitor.check(300_002)).toBe("ended");
    set(VmBlock.vcpuStopped, VCPU_CHECK_STOP);
    expect(monitor.check(300_003)).toBe("halted");
  });

  it("a guest that stops with the request untaken has stopped by itself, however late it ran", () => {
    const { monitor, set } = asked();
    set(VmBlock.vcpuStopped, VCPU_DISABLED_WAIT);
    expect(monitor.check(300_002)).toBe("halted");
  });

  it("is the deadline's when nothing settles", () => {
    const monitor = new DemoMonitor(bareVm(1), spec, 200, 300);
    expect([monitor.check(0), monitor.check(200_000)]).toEqual(["running", "deadline"]);
  });
});
