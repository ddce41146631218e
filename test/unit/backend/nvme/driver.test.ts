/**
 * A driver that does what Linux's does, over whole lives of the controller: probe, checked I/O, errors of the
 * function and recovery, shutdown.
 */
import { describe, expect, it } from "vitest";
import { Prng } from "../../../../src/base/prng.ts";
import { NvmeDriver } from "../../../support/nvme-driver.ts";
import { NvmeRig } from "../../../support/nvme-rig.ts";

const MIB = 1 << 20;

/**
 * Up to 32 commands under way at once, the queue refilled as completions come. `model` is what the medium holds
 * by block. Returns the number of wrong or missing answers.
 */
function storm(
  driver: NvmeDriver,
  seed: number,
  commands: number,
  model = new Map<number, number>(),
): number {
  const { rig } = driver;
  const random = new Prng(seed);
  const base = driver.pages(32);
  const free = Array.from({ length: 32 }, (_, n) => n);
  const under = new Map<number, { slot: number; write: boolean; lba: number; value: number }>();
  let wrong = 0;
  for (let sent = 0; sent < commands || under.size > 0; ) {
    while (sent < commands && free.length > 0) {
      const lba = random.below(64) * 8;
      // Two commands to the same blocks would race, as they may: a driver's queue never holds both.
      if ([...under.values()].some((one) => one.lba === lba)) break;
      const slot = free.pop() ?? 0;
      const write = random.below(2) === 0;
      const value = random.below(256);
      const at = base + slot * 4096;
      rig.dma.bytes.fill(write ? value : 0xee, at, at + 4096);
      const cid = driver.push(1, {
        opcode: write ? 1 : 2,
        nsid: 1,
        prp1: driver.iova(at),
        cdw10: lba,
        cdw12: 7,
      });
      under.set(cid, { slot, write, lba, value });
      sent += 1;
    }
    driver.ring(1);
    rig.run();
    const done = driver.reap(1);
    if (done.length === 0) break;
    for (const { cid, status } of done) {
      const one = under.get(cid);
      if (one === undefined || status !== 0) {
        wrong += 1;
        continue;
      }
      under.delete(cid);
      free.push(one.slot);
      if (one.write) model.set(one.lba, one.value);
      else {
        const at = base + one.slot * 4096;
        const expected = model.get(one.lba) ?? 0;
        if (rig.dma.bytes.subarray(at, at + 4096).some((byte) => byte !== expected)) wrong += 1;
      }
    }
  }
  return wrong + under.size;
}

describe("a driver like Linux's", () => {
  it("probes: PCI identity, admin queue, identify, features, queues, descriptors", () => {
    const rig = new NvmeRig({ namespaces: [{ sizeBytes: MIB }] });
    expect([rig.get(0, 2, 15), rig.get(2, 2, 15), rig.get(8, 4, 15)]).toEqual([
      0x1b36, 0x0010, 0x01080202,
    ]);
    const driver = new NvmeDriver(rig);
    driver.enableFunction();
    expect(rig.get(0x1c)).not.toBe(0xffffffff);
    // 6.1: pci_alloc_irq_vectors(1), admin queue, then 1 + n vectors
    expect(driver.start()).toBe(1);
    const controller = driver.identify(1).data;
    expect(controller.getUint8(77)).toBeGreaterThan(0);
    expect(driver.identify(6).status).toBe(0); //  multi-CSS: I/O command set specific controller
    expect(driver.logPage(5, 4096).status).toBe(0);
    const queues = driver.setFeature(7, 0x00000000);
    expect((queues.dw0 & 0xffff) + 1).toBeGreaterThanOrEqual(1);
    driver.createQueue(1, 1024);
    expect(driver.setFeature(0x0b, 0x100).status).toBe(0);
    driver.push(0, { opcode: 0x0c });
    driver.ring(0);
    const list = driver.identify(2, 0);
    expect([list.status, list.data.getUint32(0, true)]).toEqual([0, 1]);
    const names = driver.identify(3, 1).data;
    // nvme_identify_ns_descs wants the command set where CC.CSS = 110b
    expect([names.getUint8(20), names.getUint8(24)]).toEqual([4, 0]);
    expect(driver.identify(0, 1).data.getBigUint64(0, true)).toBe(2048n);
    expect(storm(driver, 1, 300)).toBe(0);
  });

  it("keeps 32 commands under way with data that comes back right", () => {
    const driver = new NvmeDriver(new NvmeRig({ namespaces: [{ sizeBytes: MIB }] }));
    driver.probe();
    const model = new Map<number, number>();
    for (const seed of [2, 3, 4]) expect(storm(driver, seed, 400, model)).toBe(0);
    expect(model.size).toBeGreaterThan(50);
  });

  it("loses the function amid I/O, has it reset, and finds its acknowledged writes", () => {
    const rig = new NvmeRig({ namespaces: [{ sizeBytes: MIB }] });
    const driver = new NvmeDriver(rig);
    driver.probe();
    const host = rig.host();
    host.open();
    const random = new Prng(99);
    const acknowledged = new Map<number, number>();
    for (let round = 0; round < 12; round++) {
      const keep = driver.pages(1);
      for (let n = 0; n < 10; n++) {
        const lba = random.below(256) * 8;
        rig.dma.bytes.fill(1 + random.below(255), keep, keep + 4096);
        driver.push(1, { opcode: 1, nsid: 1, prp1: driver.iova(keep), cdw10: lba, cdw12: 7 });
        driver.ring(1);
        if (n === 7) rig.platform.raise(0, { type: "ccdf", pec: 0x3a });
        rig.run();
        for (const { status } of driver.reap(1)) {
          if (status === 0) acknowledged.set(lba, rig.dma.bytes[keep] ?? 0);
        }
      }
      expect(rig.get(0x1c)).toBe(0xffffffff);
      expect(host.getError(rig.vm.map.ramOffset)).toBe(0);
      expect(host.startReset()).toBe(0);
      rig.run();
      expect(host.pollReset()).toBe(0);
      driver.rewind(0);
      driver.probe();
      const at = driver.pages(1);
      for (const [lba, value] of acknowledged) {
        expect(driver.io(2, lba, 8, at).status).toBe(0);
        expect([...new Set(rig.dma.bytes.subarray(at, at + 4096))]).toEqual([value]);
      }
    }
    expect(acknowledged.size).toBeGreaterThan(30);
  });

  it("resets the controller amid I/O: nothing of before completes afterwards", () => {
    const driver = new NvmeDriver(new NvmeRig({ namespaces: [{ sizeBytes: MIB }] }));
    driver.probe();
    const { rig } = driver;
    const delay = { type: "delay", us: 1000 };
    rig.platform.armNvmeFaults(0, [{ when: { queue: "io" }, action: delay, times: "always" }]);
    for (let n = 0; n < 20; n++) driver.push(1, { opcode: 0, nsid: 1 });
    driver.ring(1);
    rig.run();
    const old = driver.queue(1);
    driver.start();
    rig.settle(1e6);
    const tags = Array.from({ length: 20 }, (_, n) =>
      rig.dma.view.getUint16(old.cq + n * 16 + 14, true),
    );
    expect(tags.every((tag) => tag === 0)).toBe(true);
    rig.platform.nvme(0)?.faults.disarmAll();
    driver.createQueue(1);
    expect(driver.command(1, { opcode: 0, nsid: 1 }).status).toBe(0);
  });

  it("shuts down cleanly, or is counted as an unsafe shutdown", () => {
    const rig = new NvmeRig();
    const driver = new NvmeDriver(rig);
    const unsafe = () => driver.logPage(2, 512).data.getBigUint64(144, true);
    const reset = () => {
      const host = rig.host();
      host.startReset();
      rig.run();
      driver.rewind(0);
      driver.probe();
    };
    driver.probe();
    expect(driver.shutDown() & 0x0c).toBe(0x08);
    reset();
    expect(unsafe()).toBe(0n);
    reset();
    expect(unsafe()).toBe(1n);
  });

  it("meets the same controller when the platform's objects are built anew", () => {
    const rig = new NvmeRig({ namespaces: [{ sizeBytes: MIB }] });
    const driver = new NvmeDriver(rig);
    driver.probe();
    driver.setFeature(1, 0x01010101);
    const successor = new NvmeRig({ namespaces: [{ sizeBytes: MIB }] });
    successor.vm.bytes.set(rig.vm.bytes);
    successor.dma.bytes.set(rig.dma.bytes);
    const heir = new NvmeDriver(successor);
    for (const [qid, queue] of driver.queues) heir.queues.set(qid, { ...queue });
    heir.rewind(driver.pages(0));
    expect(heir.getFeature(1).dw0).toBe(0x01010101);
    expect(heir.command(1, { opcode: 0, nsid: 1 }).status).toBe(0);
  });
});
