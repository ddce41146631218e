import { describe, expect, it } from "vitest";
import { GuestTime } from "../../../src/daemon/guest-time.ts";
import { store } from "../../../src/shm/atomics.ts";
import { VcpuHeader } from "../../../src/shm/blocks.ts";
import type { VmMemory } from "../../../src/shm/vm-memory.ts";
import { bareVm } from "../../support/vm.ts";

function sleeping(vm: VmMemory, cpu: number, sleeps: boolean): void {
  store(vm.words, (vm.map.vcpuAreas[cpu] as number) / 4 + VcpuHeader.sleeping, sleeps ? 1 : 0);
}

describe("a guest's time", () => {
  it("is what it executed at 100 instructions a microsecond, where others have the machine", () => {
    const time = new GuestTime(bareVm(0));
    expect(time.advance(1_000_000, 20_000_000)).toBe(200_000);
    expect(time.advance(2_000_000, 20_000_000)).toBe(200_000);
    expect(time.advance(3_000_000, 50_000_000)).toBe(500_000);
  });

  it("never passes faster than the VM's, however fast the CPU is", () => {
    const time = new GuestTime(bareVm(0));
    expect(time.advance(1000, 1_000_000)).toBe(1000);
  });

  it("is the VM's while the CPU waits", () => {
    const vm = bareVm(0);
    const time = new GuestTime(vm);
    sleeping(vm, 0, true);
    expect(time.advance(700, 100)).toBe(700);
    sleeping(vm, 0, false);
    expect(time.advance(1400, 100)).toBe(700);
  });
});
