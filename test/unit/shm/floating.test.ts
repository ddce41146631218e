import { beforeEach, describe, expect, test } from "vitest";
import { PENDING_COMMAND, PENDING_FLOATING, VcpuHeader, VmBlock } from "../../../src/shm/blocks.ts";
import { FloatingInterrupts } from "../../../src/shm/floating.ts";
import { planMemory } from "../../../src/shm/memory-map.ts";
import { createVmMemory, type VmMemory } from "../../../src/shm/vm-memory.ts";

let vm: VmMemory;
let floating: FloatingInterrupts;
beforeEach(() => {
  vm = createVmMemory(
    planMemory({ vcpuCount: 2, functionCount: 0, ramBytes: 65536, vcpuBytes: 4096, hostBytes: 0 }),
  );
  floating = new FloatingInterrupts(vm);
});

function header(vcpu: number, word: number): number {
  return (vm.map.vcpuAreas[vcpu] as number) / 4 + word;
}

describe("a floating interruption", () => {
  test.each([
    ["a channel report", () => floating.channelReport()],
    ["an adapter interruption", () => floating.adapterInterruption(0)],
    ["a service signal", () => floating.serviceSignal(1)],
  ])("%s marks every vCPU's pending word and wakes those that sleep", (_name, post) => {
    vm.words[header(1, VcpuHeader.sleeping)] = 1;
    post();
    expect([0, 1].map((n) => vm.words[header(n, VcpuHeader.pending)])).toEqual([
      PENDING_FLOATING,
      PENDING_FLOATING,
    ]);
    expect(vm.words[header(1, VcpuHeader.sleeping)]).toBe(0);
  });

  test("keeps the other bits of the pending word", () => {
    floating.kick(PENDING_COMMAND);
    floating.channelReport();
    expect(vm.words[header(0, VcpuHeader.pending)]).toBe(PENDING_COMMAND | PENDING_FLOATING);
  });

  test("machine check: two reports before a claim are one, and are claimed once", () => {
    expect([floating.machineCheckPending(), floating.claimMachineCheck()]).toEqual([false, false]);
    floating.channelReport();
    floating.channelReport();
    expect(floating.machineCheckPending()).toBe(true);
    expect([floating.claimMachineCheck(), floating.claimMachineCheck()]).toEqual([true, false]);
  });

  test("I/O: each subclass is pending and claimed by itself", () => {
    floating.adapterInterruption(2);
    floating.adapterInterruption(7);
    expect(floating.ioPending()).toBe((1 << 2) | (1 << 7));
    expect([floating.claimIo(2), floating.claimIo(2), floating.claimIo(3)]).toEqual([
      true,
      false,
      false,
    ]);
    expect(floating.ioPending()).toBe(1 << 7);
  });

  test("service signal: parameters of untaken signals are merged, an unsigned word", () => {
    expect(floating.claimService()).toBe(-1);
    floating.serviceSignal(0x80001000);
    floating.serviceSignal(1);
    expect(floating.servicePending()).toBe(true);
    expect(floating.claimService()).toBe(0x80001001);
    expect([floating.servicePending(), floating.claimService()]).toEqual([false, -1]);
  });

  test("service signal: a parameter that an earlier claim took along is not delivered as 0", () => {
    // The poster of the second signal stands between its two stores when the first is claimed.
    floating.serviceSignal(0x1000);
    vm.words[vm.map.vmBlock / 4 + VmBlock.serviceParameter] = 0x1001;
    expect(floating.claimService()).toBe(0x1001);
    vm.words[vm.map.vmBlock / 4 + VmBlock.servicePending] = 1;
    expect(floating.claimService()).toBe(-1);
  });

  test("a machine reset clears all of them", () => {
    floating.channelReport();
    floating.adapterInterruption(1);
    floating.serviceSignal(4);
    floating.reset();
    expect([
      floating.machineCheckPending(),
      floating.ioPending(),
      floating.servicePending(),
    ]).toEqual([false, 0, false]);
    floating.serviceSignal(8);
    expect(floating.claimService()).toBe(8);
  });
});
