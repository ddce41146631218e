/** Threads that stand, and the guest's time meanwhile. */
import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../../src/base/clock.ts";
import { GuestClock } from "../../../src/machine/guest-clock.ts";
import {
  addFrozen,
  deviceResetDone,
  forgetActor,
  frozenUs,
  HOLD_ALL,
  HOLD_NOBODY,
  HOLD_VCPUS,
  holdOf,
  orderDeviceReset,
  orderHold,
  standAsOther,
  standAsVcpu,
  standsStill,
  takeDeviceReset,
} from "../../../src/machine/hold.ts";
import { COMMAND_STOP } from "../../../src/machine/loops.ts";
import { store } from "../../../src/shm/atomics.ts";
import { VmBlock } from "../../../src/shm/blocks.ts";
import { bareVm } from "../../support/vm.ts";

describe("a hold", () => {
  it("of the vCPUs lets the other threads go on", () => {
    const vm = bareVm(1);
    orderHold(vm, HOLD_VCPUS);
    expect(standAsOther(vm, 0)).toBe(false);
    expect(holdOf(vm)).toBe(HOLD_VCPUS);
  });

  it("is seen as long as the thread stands, and no longer", () => {
    const vm = bareVm(1);
    orderHold(vm, HOLD_ALL);
    const seen: boolean[] = [];
    const stood = standAsVcpu(vm, 40, () => {
      seen.push(standsStill(vm, 40), standsStill(vm, 8));
      orderHold(vm, HOLD_NOBODY);
    });
    expect(stood).toBe(true);
    expect(seen).toEqual([true, false]);
    expect(standsStill(vm, 40)).toBe(false);
  });

  it("ends with the VM, and a dead thread does not stand", () => {
    const vm = bareVm(1);
    orderHold(vm, HOLD_ALL);
    standAsVcpu(vm, 1, () => {
      store(vm.words, vm.map.vmBlock / 4 + VmBlock.command, COMMAND_STOP);
      forgetActor(vm, 1);
      expect(standsStill(vm, 1)).toBe(false);
    });
    expect(standAsOther(vm, 0)).toBe(false);
  });

  it("resets the devices once when it is asked to", () => {
    const vm = bareVm(1);
    let resets = 0;
    orderDeviceReset(vm);
    expect(deviceResetDone(vm)).toBe(false);
    for (let n = 0; n < 2; n++) takeDeviceReset(vm, () => resets++);
    expect(resets).toBe(1);
    expect(deviceResetDone(vm)).toBe(true);
  });
});

describe("the guest's clock", () => {
  it("does not count what the CPUs have stood, and never goes back", () => {
    const vm = bareVm(1);
    const clock = new VirtualClock();
    const guest = new GuestClock(vm, clock);
    clock.advanceTo(1000);
    expect(guest.nowUs()).toBe(1000);
    // Stood from 1000 to 2^32 + 1000: the total takes two words.
    clock.advanceTo(2 ** 32 + 1000);
    addFrozen(vm, 2 ** 32);
    guest.refresh();
    expect(guest.nowUs()).toBe(1000);
    addFrozen(vm, -5);
    expect(frozenUs(vm)).toBe(2 ** 32);
  });
});
