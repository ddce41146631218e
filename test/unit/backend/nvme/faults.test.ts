import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  faultProblems,
  type NvmeFaultRule,
  nvmeProblems,
  simFunctionConfig,
} from "../../../../src/backend/sim/index.ts";
import { ZmendError } from "../../../../src/base/errors.ts";
import { NvmeDriver } from "../../../support/nvme-driver.ts";
import { NvmeRig } from "../../../support/nvme-rig.ts";

function probed(faults: readonly NvmeFaultRule[], seed = 1): NvmeDriver {
  const driver = new NvmeDriver(new NvmeRig({ faults, seed }));
  driver.probe();
  return driver;
}

/** Statuses of `count` one-block reads of ascending blocks. */
function reads(driver: NvmeDriver, count: number): number[] {
  const at = driver.pages(1);
  return Array.from({ length: count }, (_, lba) => driver.io(2, lba, 1, at).status);
}

const failure = { type: "status", status: 0x281 } as const;

describe("an NVMe fault", () => {
  it("of status strikes the n-th matching command, once", () => {
    const driver = probed([{ when: { command: "read", afterCommands: 3 }, action: failure }]);
    expect(reads(driver, 5)).toEqual([0, 0, 0x281, 0, 0]);
  });

  it("strikes as often as asked, or always", () => {
    const twice = probed([{ when: { command: "read" }, action: failure, times: 2 }]);
    expect(reads(twice, 4)).toEqual([0x281, 0x281, 0, 0]);
    const always = probed([{ when: { command: "read" }, action: failure, times: "always" }]);
    expect(reads(always, 4)).toEqual([0x281, 0x281, 0x281, 0x281]);
  });

  it("strikes by address, whatever part of the range a command touches", () => {
    const when = { lba: 100, blocks: 10 };
    const driver = probed([{ when, action: failure, times: "always" }]);
    const at = driver.pages(2);
    const hit = (lba: number, blocks: number) => driver.io(2, lba, blocks, at).status !== 0;
    expect([hit(99, 1), hit(99, 2), hit(109, 8), hit(110, 1), hit(90, 16)]).toEqual([
      false,
      true,
      true,
      false,
      true,
    ]);
    expect(driver.command(1, { opcode: 0, nsid: 1 }).status).toBe(0); // Flush has no address
  });

  it("strikes from a time on", () => {
    const driver = probed([{ when: { atUs: 500, queue: "io" }, action: failure }]);
    expect(reads(driver, 2)).toEqual([0, 0]);
    driver.rig.clock.advanceTo(500);
    expect(reads(driver, 2)).toEqual([0x281, 0]);
  });

  it("strikes by probability, the same commands for the same seed", () => {
    const rules: NvmeFaultRule[] = [
      { when: { command: "read", probability: 0.3 }, action: failure, times: "always" },
    ];
    const first = reads(probed(rules, 7), 60);
    expect(reads(probed(rules, 7), 60)).toEqual(first);
    expect(reads(probed(rules, 8), 60)).not.toEqual(first);
    const struck = first.filter((status) => status !== 0).length;
    expect(struck).toBeGreaterThan(5);
    expect(struck).toBeLessThan(40);
  });

  it("strikes admin commands by name, with Do Not Retry where asked", () => {
    const action = { type: "status", status: 6, doNotRetry: true } as const;
    const driver = new NvmeDriver(
      new NvmeRig({ faults: [{ when: { command: "identify" }, action }] }),
    );
    driver.start();
    expect(driver.identify(1).status).toBe(0x4006);
    expect(driver.identify(1).status).toBe(0);
  });

  it("of delay holds one completion back while others pass", () => {
    const driver = probed([{ when: { lba: 5 }, action: { type: "delay", us: 300 } }]);
    const { rig } = driver;
    const at = driver.iova(driver.pages(1));
    const slow = driver.push(1, { opcode: 2, nsid: 1, prp1: at, cdw10: 5 });
    const fast = driver.push(1, { opcode: 2, nsid: 1, prp1: at, cdw10: 6 });
    driver.ring(1);
    rig.run();
    expect(driver.reap(1).map(({ cid }) => cid)).toEqual([fast]);
    expect(rig.platform.nextEventUs()).toBe(300);
    rig.clock.advanceTo(299);
    rig.run();
    expect(driver.reap(1)).toEqual([]);
    rig.clock.advanceTo(300);
    rig.run();
    expect(driver.reap(1).map(({ cid }) => cid)).toEqual([slow]);
  });

  it("of delay ends early by Abort, and by the deletion of its queue", () => {
    const delay = { type: "delay", us: 1e6 } as const;
    const driver = probed([{ when: { command: "flush" }, action: delay, times: "always" }]);
    const first = driver.push(1, { opcode: 0, nsid: 1 });
    const second = driver.push(1, { opcode: 0, nsid: 1 });
    driver.ring(1);
    driver.rig.run();
    expect(driver.admin({ opcode: 8, cdw10: first * 0x10000 + 1 }).dw0).toBe(0);
    expect(driver.reap(1)).toMatchObject([{ cid: first, status: 7 }]);
    expect(driver.admin({ opcode: 0, cdw10: 1 }).status).toBe(0);
    driver.rig.run();
    expect(driver.reap(1)).toMatchObject([{ cid: second, status: 8 }]);
  });

  it("of drop carries the command out and never completes it", () => {
    const driver = probed([{ when: { command: "write" }, action: { type: "drop" } }]);
    const at = driver.pages(1);
    driver.rig.dma.bytes.fill(0xab, at, at + 512);
    driver.push(1, { opcode: 1, nsid: 1, prp1: driver.iova(at) });
    driver.ring(1);
    driver.rig.settle(1e9);
    expect(driver.reap(1)).toEqual([]);
    driver.rig.dma.bytes.fill(0, at, at + 512);
    driver.io(2, 0, 1, at);
    expect(driver.rig.dma.bytes[at + 100]).toBe(0xab);
  });

  it("of corruption changes the bytes of a read in flight, not those on the medium", () => {
    const corrupt = { type: "corrupt", bytes: 3 } as const;
    const driver = probed([{ when: { command: "read" }, action: corrupt }]);
    const at = driver.pages(1);
    driver.io(2, 0, 8, at);
    const changed = driver.rig.dma.bytes.slice(at, at + 4096).filter((byte) => byte !== 0).length;
    expect(changed).toBeGreaterThanOrEqual(1);
    expect(changed).toBeLessThanOrEqual(3);
    driver.io(2, 0, 8, at);
    expect(driver.rig.dma.bytes.slice(at, at + 4096).every((byte) => byte === 0)).toBe(true);
  });

  it("of corruption changes what a write stores", () => {
    const driver = probed([{ when: { command: "write" }, action: { type: "corrupt" } }]);
    const at = driver.pages(1);
    driver.io(1, 0, 1, at);
    driver.io(2, 0, 1, at);
    expect(driver.rig.dma.bytes.slice(at, at + 512).filter((byte) => byte !== 0)).toHaveLength(1);
  });

  it("of stuck readiness delays ready, and the way back", () => {
    const stuck = { type: "stuckReady", us: 400 } as const;
    const rig = new NvmeRig({ faults: [{ when: {}, action: stuck, times: 2 }] });
    const driver = new NvmeDriver(rig);
    expect(driver.start()).toBe(0);
    expect(rig.platform.nextEventUs()).toBe(400);
    rig.clock.advanceTo(400);
    rig.run();
    expect(rig.get(0x1c)).toBe(1);
    expect(driver.stop()).toBe(1);
    rig.clock.advanceTo(800);
    rig.run();
    expect(rig.get(0x1c)).toBe(0);
    expect(driver.start()).toBe(1);
  });

  it("of stuck readiness without an end lasts until the function is reset", () => {
    const rig = new NvmeRig({ faults: [{ when: {}, action: { type: "stuckReady" } }] });
    const driver = new NvmeDriver(rig);
    driver.start();
    rig.settle(1e12);
    expect([rig.get(0x1c), rig.platform.nextEventUs()]).toEqual([0, Number.POSITIVE_INFINITY]);
    const host = rig.host();
    host.open();
    host.startReset();
    rig.run();
    expect(driver.start()).toBe(1);
  });
});

describe("armed faults", () => {
  it("are listed until they have fired", () => {
    const rules: NvmeFaultRule[] = [
      { when: { command: "read" }, action: failure, times: 2 },
      { when: { onCommand: "go" }, action: { type: "drop" }, times: "always" },
    ];
    const driver = probed(rules);
    const listed = () =>
      driver.rig.platform.armedFaults(0).nvme.map(({ left, waiting }) => [left, waiting]);
    expect(listed()).toEqual([
      [2, false],
      [Number.POSITIVE_INFINITY, true],
    ]);
    reads(driver, 2);
    expect(listed()).toEqual([[Number.POSITIVE_INFINITY, true]]);
    expect(driver.rig.platform.command("go")).toBe(1);
    expect(listed()).toEqual([[Number.POSITIVE_INFINITY, false]]);
  });

  it("stand beside those of the platform", () => {
    const error = { type: "ccdf", pec: 0x3a } as const;
    const faults = [
      { when: { atUs: 5000 }, action: error },
      { when: { afterAccesses: 9 }, action: error },
      { when: { command: "x" }, action: error },
    ];
    const rig = new NvmeRig({}, { faults });
    expect(rig.platform.armedFaults(0).pci).toEqual(faults);
    rig.clock.advanceTo(5000);
    rig.run();
    expect(rig.platform.armedFaults(0).pci).toEqual(faults.slice(1));
    expect(rig.platform.armedFaults(7)).toEqual({ pci: [], nvme: [] });
  });

  it("can be added while the controller runs, all of them or none", () => {
    const driver = probed([]);
    const { platform } = driver.rig;
    const good = { when: { command: "read" }, action: failure };
    expect(platform.armNvmeFaults(0, [good, { when: {}, action: { type: "delay" } }])).toEqual([
      "faults[1].action.us: expected 1 or more microseconds",
    ]);
    expect(platform.armedFaults(0).nvme).toEqual([]);
    expect(platform.armNvmeFaults(0, [good])).toEqual([]);
    expect(reads(driver, 2)).toEqual([0x281, 0]);
    expect(platform.armNvmeFaults(1, [good])).toEqual(["function 1 is no NVMe controller"]);
  });
});

describe("a malformed plan", () => {
  it("is refused whole, with every problem named by its path", () => {
    const faults = [
      { when: { command: "raed" }, action: failure },
      { when: { probability: 1.5 }, action: { type: "explode" } },
      { when: { blocks: 3 }, action: { type: "corrupt", bytes: 0 }, times: 0, extra: 1 },
    ] as unknown as NvmeFaultRule[];
    expect(() => simFunctionConfig({ fid: 1, device: "nvme", nvme: { faults } })).toThrow(
      ZmendError,
    );
    expect(faultProblems(faults, "nvme.faults").map((problem) => problem.split(":")[0])).toEqual([
      "nvme.faults[0].when.command",
      "nvme.faults[1].when.probability",
      "nvme.faults[1].action.type",
      "nvme.faults[2].extra",
      "nvme.faults[2].times",
      "nvme.faults[2].when.blocks",
      "nvme.faults[2].action.bytes",
    ]);
  });

  it("of a controller names what is wrong with it", () => {
    const paths = (value: unknown) => nvmeProblems(value).map((problem) => problem.split(":")[0]);
    expect(paths({ serial: "", seed: 0.5, namespaces: [] })).toEqual([
      "nvme.serial",
      "nvme.seed",
      "nvme.namespaces",
    ]);
    expect(
      paths({ namespaces: [{ sizeBytes: 700 }, { file: "x", sizeBytes: 512 }, { size: 1 }] }),
    ).toEqual([
      "nvme.namespaces[0].sizeBytes",
      "nvme.namespaces[1]",
      "nvme.namespaces[2].size",
      "nvme.namespaces[2].sizeBytes",
    ]);
    expect(paths(null)).toEqual(["nvme"]);
  });

  it("of any JSON is refused or usable, never an accident", () => {
    const rule = fc.record(
      {
        when: fc.oneof(
          fc.jsonValue(),
          fc.record(
            { command: fc.constantFrom("read", "write", "x"), lba: fc.integer(), times: fc.nat() },
            { requiredKeys: [] },
          ),
        ),
        action: fc.oneof(
          fc.jsonValue(),
          fc.record({ type: fc.constantFrom("drop", "delay", "status"), us: fc.nat() }),
        ),
        times: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(fc.array(rule, { maxLength: 3 }), fc.jsonValue()), (faults) => {
        const problems = nvmeProblems({ faults });
        if (problems.length > 0) return;
        const driver = probed((faults ?? []) as readonly NvmeFaultRule[]);
        driver.push(1, { opcode: 2, nsid: 1, prp1: driver.iova(driver.pages(1)) });
        driver.ring(1);
        driver.rig.run();
      }),
      { numRuns: 150 },
    );
  });
});
