import { beforeEach, describe, expect, test } from "vitest";
import type { InterruptSink } from "../../../src/ports/interrupt-sink.ts";
import { VcpuHeader } from "../../../src/shm/blocks.ts";
import { ChannelReport } from "../../../src/shm/channel-report.ts";
import type { VmMemory } from "../../../src/shm/vm-memory.ts";
import { bareVm } from "../../support/vm.ts";

let vm: VmMemory;
let raised: number;
let report: ChannelReport;
beforeEach(() => {
  vm = bareVm(40);
  raised = 0;
  const sink: InterruptSink = {
    channelReport() {
      raised += 1;
    },
    adapterInterruption() {},
    serviceSignal() {},
  };
  report = new ChannelReport(vm, sink);
  report.reset();
});

// The behaviours are those of zpci-guest.md 7.4.
describe("the channel report", () => {
  test("raises one machine check for the first event and pushes one CRW", () => {
    report.post(0);
    expect(raised).toBe(1);
    expect([report.takeCrw(), report.takeCrw()]).toEqual([true, false]);
  });

  test("pushes no further CRW while events are pending that were announced", () => {
    report.post(0);
    report.takeCrw();
    report.post(1);
    expect(report.takeCrw()).toBe(false);
    expect(raised).toBe(1);
  });

  test("raises no second machine check before STCRW has answered cc 1", () => {
    report.post(0);
    report.takeCrw();
    report.beginScan();
    report.post(0);
    expect(raised).toBe(1);
    expect(report.takeCrw()).toBe(true);
    report.beginScan();
    expect(report.takeCrw()).toBe(false);
    report.post(0);
    expect(raised).toBe(2);
  });

  test("raises the machine check from STCRW when a CRW came between its two looks", () => {
    report.post(0);
    report.takeCrw();
    // What a poster leaves that pushed after STCRW found nothing and before it enabled.
    report.returnCrw();
    expect(report.takeCrw()).toBe(true);
  });

  test("keeps the flag for records that are left: the guest loops on the P flag without a CRW", () => {
    report.post(0);
    report.takeCrw();
    report.beginScan();
    report.keepPending();
    report.post(0);
    expect(report.takeCrw()).toBe(false);
  });

  test("gives a CRW back whose store failed", () => {
    report.post(3);
    expect(report.takeCrw()).toBe(true);
    report.returnCrw();
    expect(report.takeCrw()).toBe(true);
  });

  test("has a summary bit per function in two words", () => {
    report.post(0);
    report.post(31);
    report.post(32);
    report.post(39);
    expect([report.summary(0), report.summary(1)]).toEqual([0x80000001 | 0, 0x81]);
    report.clearSummary(31);
    report.clearSummary(39);
    expect([report.summary(0), report.summary(1)]).toEqual([1, 1]);
  });

  test("after a machine reset has nothing pending and its machine check enabled", () => {
    report.post(0);
    report.clearSummary(0);
    report.reset();
    expect([raised, report.takeCrw()]).toEqual([1, false]);
    report.post(0);
    expect(raised).toBe(2);
  });

  test("announces anew what a machine reset met in a ring", () => {
    report.post(5);
    report.reset();
    expect(raised).toBe(2);
    expect(report.takeCrw()).toBe(true);
  });
});

describe("a successor's repost", () => {
  test("ends in a CRW and a machine check wherever its predecessor died", () => {
    // seiPending set, no CRW pushed: a further post would say nothing.
    report.keepPending();
    report.post(2);
    expect(raised).toBe(0);
    report.repost(2);
    expect(raised).toBe(1);
    expect(report.summary(0)).toBe(4);
    expect([report.takeCrw(), report.takeCrw()]).toEqual([true, false]);
  });

  test("clears the sleeping word of a vCPU even if its predecessor had done so", () => {
    const sleeping = (vm.map.vcpuAreas[0] as number) / 4 + VcpuHeader.sleeping;
    vm.words[sleeping] = 1;
    report.repost(0);
    expect(vm.words[sleeping]).toBe(0);
  });

  test("leaves the machine check disabled until STCRW has answered cc 1", () => {
    report.repost(0);
    report.takeCrw();
    report.beginScan();
    report.post(0);
    expect(raised).toBe(1);
    expect([report.takeCrw(), report.takeCrw()]).toEqual([true, false]);
    report.beginScan();
    report.post(0);
    expect(raised).toBe(2);
  });
});
