import { describe, expect, it } from "vitest";
import { HostClock } from "../../../src/base/clock.ts";
import { COMMAND_STOP } from "../../../src/machine/loops.ts";
import {
  declareReady,
  isReady,
  joinTime,
  mayStart,
  openGate,
  PLATFORM_ACTOR,
  passGate,
  recoveryActor,
  vcpuActor,
} from "../../../src/machine/start-gate.ts";
import { store } from "../../../src/shm/atomics.ts";
import { VmBlock } from "../../../src/shm/blocks.ts";
import { bareVm } from "../../support/vm.ts";

describe("the start gate", () => {
  it("starts the clock of whoever passes it when it is open, and knows that they are ready", () => {
    const vm = bareVm(1);
    openGate(vm, new HostClock());
    const clock = new HostClock();
    passGate(vm, clock, vcpuActor(0));
    expect(isReady(vm, vcpuActor(0))).toBe(true);
    const seen = clock.nowUs();
    let spins = 0;
    while (clock.nowUs() === seen && spins < 1e8) spins += 1;
    expect(clock.nowUs()).toBeGreaterThan(seen);
  });

  it("lets go whoever waits when the VM is told to stop", () => {
    const vm = bareVm(1);
    store(vm.words, vm.map.vmBlock / 4 + VmBlock.command, COMMAND_STOP);
    const clock = new HostClock();
    passGate(vm, clock, PLATFORM_ACTOR);
    expect(clock.nowUs()).toBe(0);
  });

  it("may be opened when platform and vCPUs are ready, whatever the recovery workers do", () => {
    const vm = bareVm(40);
    for (let index = 0; index < 40; index++) {
      expect(isReady(vm, recoveryActor(vm, index))).toBe(false);
      declareReady(vm, recoveryActor(vm, index));
      expect(isReady(vm, recoveryActor(vm, index))).toBe(true);
    }
    expect(mayStart(vm)).toBe(false);
    declareReady(vm, PLATFORM_ACTOR);
    expect(mayStart(vm)).toBe(false);
    declareReady(vm, vcpuActor(0));
    expect(mayStart(vm)).toBe(true);
    const withoutPlatform = bareVm(1);
    declareReady(withoutPlatform, vcpuActor(0));
    expect(mayStart(withoutPlatform)).toBe(false);
  });

  it("gives a successor the VM's time before it passes; before the start that time is 0", () => {
    const vm = bareVm(1);
    const early = new HostClock();
    expect(joinTime(vm, early)).toBe(false);
    expect(early.nowUs()).toBe(0);
    const main = new HostClock();
    openGate(vm, main, 3_600_000_000);
    const successor = new HostClock();
    expect(joinTime(vm, successor)).toBe(true);
    expect(Math.abs(successor.nowUs() - main.nowUs())).toBeLessThan(1_000_000);
    expect(isReady(vm, recoveryActor(vm, 0))).toBe(false);
  });

  it.each([
    ["a minute", 60],
    ["a year, longer than the host is up", 366 * 86_400],
  ])("goes on with the time of a machine that has run for %s", (_, seconds) => {
    const vm = bareVm(1);
    const main = new HostClock();
    openGate(vm, main, seconds * 1e6);
    expect(main.nowUs()).toBeGreaterThanOrEqual(seconds * 1e6);
    const joined = new HostClock();
    joinTime(vm, joined);
    expect(Math.abs(joined.nowUs() - main.nowUs())).toBeLessThan(1_000_000);
  });
});
