/** Guests that mean harm: whatever they store, the controller stays within its function and its work is bounded. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HOST_AREA_BYTES } from "../../../../src/backend/sim/index.ts";
import { NvmeBlock } from "../../../../src/backend/sim/nvme/block.ts";
import { Prng } from "../../../../src/base/prng.ts";
import { NvmeDriver } from "../../../support/nvme-driver.ts";
import { IOVA, NvmeRig } from "../../../support/nvme-rig.ts";

const STORAGE = 256 * 1024;

/** Steps until quiet, with a bound that a hang would meet. */
function quiet(rig: NvmeRig): boolean {
  for (let i = 0; i < 5000; i++) if (!rig.platform.step()) return true;
  return false;
}

describe("the state of a controller", () => {
  it("fits the memory of its function", () => {
    expect(NvmeBlock.sizeBytes).toBeLessThanOrEqual(0x8000);
    expect(HOST_AREA_BYTES).toBeGreaterThan(NvmeBlock.sizeBytes);
  });
});

describe("a hostile guest", () => {
  it("that stores anything anywhere in BAR and configuration space harms nobody", () => {
    const interesting = [0x0c, 0x14, 0x24, 0x28, 0x2c, 0x30, 0x34, 0x1000, 0x1004, 0x1208, 0x2000];
    const access = fc.record({
      space: fc.constantFrom(0, 0, 0, 15),
      offset: fc.oneof(fc.constantFrom(...interesting), fc.nat(0x3fff)),
      length: fc.constantFrom(1, 2, 4, 8),
      high: fc.integer(),
      low: fc.oneof(fc.integer(), fc.constantFrom(0x01004600, 0x61004600, 0x1f001f00)),
      store: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(access, { maxLength: 60 }), (accesses) => {
        const rig = new NvmeRig({}, {}, STORAGE);
        for (const { space, offset, length, high, low, store } of accesses) {
          if (store) rig.regions.store(space, offset, length, high, low);
          else rig.regions.load(space, offset, length);
          expect(quiet(rig)).toBe(true);
        }
        expect(rig.get(8)).toBeOneOf([0x00010400, 0xffffffff]);
      }),
      { numRuns: 150 },
    );
  });

  it("that submits random commands gets a completion for each, or an error event, or CFS", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = new Prng(seed);
      const rig = new NvmeRig({ namespaces: [{ sizeBytes: 65536 }] }, {}, STORAGE);
      const driver = new NvmeDriver(rig);
      driver.probe();
      const address = (): bigint =>
        random.below(12) === 0
          ? random.u64()
          : IOVA + BigInt(random.below(STORAGE / 4096) * 4096 + random.pick([0, 0, 0, 8, 1, 512]));
      const inUse = [0, 1].flatMap((qid) => [driver.queue(qid).sq, driver.queue(qid).cq]);
      let sent = 0;
      let done = 0;
      let events = 0;
      for (let n = 0; n < 60; n++) {
        const qid = random.below(2);
        const opcode = random.pick(
          qid === 0 ? [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 0x80] : [0, 1, 2, 5, 8, 9, 4],
        );
        // Queue creation, deletion and data over the driver's own queues would blind the driver, not the controller.
        if (qid === 0 && (opcode === 0 || opcode === 4)) continue;
        let prp1 = address();
        if (inUse.includes(Number(BigInt.asUintN(52, prp1 - IOVA)) & ~0xfff))
          prp1 = IOVA + 0x30000n;
        if (opcode === 12) events += 1;
        driver.push(qid, {
          opcode,
          flags: random.pick([0, 0, 0, 0, 1, 0x40]),
          nsid: random.pick([1, 1, 1, 0, 2, 0xffffffff]),
          prp1,
          prp2: IOVA + BigInt(0x20000 + random.below(16) * 512),
          cdw10: random.pick([random.u32(), random.below(256), 1]),
          cdw11: random.pick([0, 0, random.u32()]),
          cdw12: random.pick([0, 7, 15, 127, random.u32()]),
        });
        sent += 1;
        driver.ring(qid);
        expect(quiet(rig)).toBe(true);
        if (rig.hardware() !== 0) break;
        done += driver.reap(qid).length;
      }
      const healthy = rig.hardware() === 0 && rig.get(0x1c) === 1;
      if (healthy) expect(sent - done).toBeLessThanOrEqual(Math.min(events, 4));
      else expect(rig.book("errorsRaised") + rig.book("hostHandled")).toBeGreaterThan(0);
    }
  });

  it("with random lists of PRP entries writes nowhere but where an entry points", () => {
    for (let seed = 1; seed <= 80; seed++) {
      const random = new Prng(seed);
      const rig = new NvmeRig({ namespaces: [{ sizeBytes: 1 << 20 }] }, {}, STORAGE);
      const driver = new NvmeDriver(rig);
      driver.probe();
      const list = 0x20;
      const pages = Array.from({ length: 16 }, () => 0x30 + random.below(8));
      for (const [n, page] of pages.entries()) {
        const spoiled = random.below(40) === 0 ? BigInt(1 + random.below(4095)) : 0n;
        rig.dma.view.setBigUint64(list * 4096 + n * 8, IOVA + BigInt(page * 4096) + spoiled, true);
      }
      rig.dma.written.clear();
      const blocks = 17 + random.below(110);
      driver.push(1, {
        opcode: 2,
        nsid: 1,
        prp1: IOVA + BigInt(0x2f000 + random.below(1024) * 4),
        prp2: IOVA + BigInt(list * 4096),
        cdw12: blocks - 1,
      });
      driver.ring(1);
      expect(quiet(rig)).toBe(true);
      const allowed = new Set([0x2f, ...pages, driver.queue(1).cq / 4096]);
      expect([...rig.dma.written].filter((page) => !allowed.has(page))).toEqual([]);
      expect(driver.reap(1)).toHaveLength(1);
    }
  });

  it("that makes queues over each other, and over data, finds an end", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const random = new Prng(seed);
      const rig = new NvmeRig({ namespaces: [{ sizeBytes: 65536 }] }, {}, STORAGE);
      const driver = new NvmeDriver(rig);
      driver.probe();
      const anywhere = (): bigint => IOVA + BigInt(random.below(STORAGE / 4096) * 4096);
      for (let n = 0; n < 40 && rig.hardware() === 0; n++) {
        const qid = 1 + random.below(6);
        const size = random.pick([1, 2, 63, 2047]) * 0x10000;
        const opcode = random.pick([0, 1, 4, 5]);
        const cdw11 = opcode === 5 ? 3 : random.below(6) * 0x10000 + 1;
        driver.push(0, { opcode, prp1: anywhere(), cdw10: size + qid, cdw11 });
        driver.ring(0);
        rig.set(0x1000 + random.below(14) * 4, random.pick([0, 1, 2, 63, 2047, 5000]));
        expect(quiet(rig)).toBe(true);
      }
      // However it went, a reset of the function brings the controller back.
      const host = rig.host();
      host.open();
      host.startReset();
      rig.run();
      driver.rewind(0);
      driver.probe();
      expect(driver.command(1, { opcode: 0, nsid: 1 }).status).toBe(0);
    }
  });

  it("cannot hold the platform's thread: a step carries out a bounded number of commands", () => {
    const rig = new NvmeRig();
    const driver = new NvmeDriver(rig);
    driver.enableFunction();
    driver.start();
    driver.createQueue(1, 1024);
    for (let n = 0; n < 1000; n++) driver.push(1, { opcode: 0, nsid: 1 });
    driver.ring(1);
    rig.platform.step();
    const first = driver.reap(1, false).length;
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThanOrEqual(65);
    expect(rig.platform.nextEventUs()).toBe(0);
    rig.run();
    expect(first + driver.reap(1).length).toBe(1000);
  });
});
