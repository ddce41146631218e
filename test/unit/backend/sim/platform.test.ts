import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Hardware, HostBlock } from "../../../../src/backend/sim/host-area.ts";
import {
  type FaultRule,
  pciFaultProblems,
  simFunctionConfig,
} from "../../../../src/backend/sim/index.ts";
import { instant, SimHost } from "../../../support/sim-host.ts";

function host(faults: readonly FaultRule[]): SimHost {
  const sim = new SimHost([{ fid: 2, timing: instant, faults }]);
  sim.open();
  return sim;
}

const error = { type: "ccdf", pec: 0x3a } as const;

/** One BAR load; true when the function still answers. */
function access(sim: SimHost): boolean {
  const regions = sim.regions();
  regions.load(0, 4, 4);
  return regions.valueLow === 0x01000000;
}

describe("the fault script", () => {
  it("fires a timed rule at its time, not before, and says when it wants to be stepped", () => {
    const sim = host([{ when: { atUs: 300 }, action: error }]);
    expect(sim.platform.nextEventUs()).toBe(300);
    sim.runTo(299);
    expect(sim.book("errorsRaised")).toBe(0);
    sim.runTo(300);
    expect(sim.book("errorsRaised")).toBe(1);
    expect(sim.platform.nextEventUs()).toBe(Number.POSITIVE_INFINITY);
  });

  it("breaks the function exactly after N accesses, though the platform steps later", () => {
    const sim = host([{ when: { afterAccesses: 3 }, action: error }]);
    expect([access(sim), access(sim), access(sim), access(sim)]).toEqual([true, true, true, false]);
    expect(sim.book("errorsRaised")).toBe(0);
    expect(sim.platform.nextEventUs()).toBe(0);
    sim.run();
    expect(sim.book("errorsRaised")).toBe(1);
  });

  it("counts stores too, but neither config accesses nor refused ones", () => {
    const sim = host([{ when: { afterAccesses: 2 }, action: error }]);
    sim.regions().load(15, 0, 4);
    sim.regions().load(3, 0, 4);
    sim.regions().store(0, 0x2c, 4, 0, 0);
    expect(sim.hardware()).toBe(Hardware.NORMAL);
    sim.regions().store(0, 0x2c, 4, 0, 0);
    expect(sim.hardware()).toBe(Hardware.ERROR);
  });

  it("fires a rule whose count was passed before it was armed", () => {
    const sim = host([
      { when: { afterAccesses: 1 }, action: { type: "ccdf", pec: 0x2a } },
      { when: { afterAccesses: 2 }, action: { type: "ccdf", pec: 0x2b } },
    ]);
    for (let i = 0; i < 5; i++) access(sim);
    sim.run();
    expect(sim.book("hostFmbCode")).toBe(2);
  });

  it("does not break the function with a stale, an FMB or a DMA rule", () => {
    const sim = host([
      { when: { afterAccesses: 1 }, action: { ...error, stale: true } },
      { when: { afterAccesses: 2 }, action: { type: "ccdf", pec: 0x2a } },
      { when: { afterAccesses: 3 }, action: { type: "dma", kind: "translation" } },
    ]);
    for (let i = 0; i < 3; i++) {
      expect(access(sim)).toBe(true);
      sim.run();
      expect(sim.hardware()).toBe(Hardware.NORMAL);
    }
    expect(sim.area().get(HostBlock.dmaSabotage)).toBe(1);
  });

  it("fires named rules whenever their name is called", () => {
    const sim = host([{ when: { command: "break" }, action: error }]);
    expect(sim.platform.command("other")).toBe(0);
    expect(sim.platform.command("break")).toBe(1);
    sim.run();
    expect(sim.platform.command("break")).toBe(1);
    sim.run();
    expect(sim.book("errorsRaised")).toBe(2);
  });

  it("fills in the handle of the moment, also after a reset has changed it", () => {
    const sim = host([{ when: { atUs: 100 }, action: error }]);
    sim.area().set(HostBlock.hardware, Hardware.ERROR);
    sim.function().startReset();
    sim.run();
    sim.runTo(100);
    expect(sim.function().getError(sim.slot())).toBe(0);
    expect(sim.vm.view.getUint32(sim.slot() + 4)).toBe(0x81020001);
  });
});

describe("several functions", () => {
  it("break alone: the others answer and are not counted", () => {
    const sim = new SimHost([
      { fid: 1, timing: instant, faults: [{ when: { atUs: 10 }, action: error }] },
      { fid: 2, timing: instant },
    ]);
    sim.open(0);
    sim.open(1);
    sim.runTo(10);
    expect([sim.hardware(0), sim.hardware(1)]).toEqual([Hardware.ERROR, Hardware.NORMAL]);
    expect([sim.book("errorsRaised", 0), sim.book("errorsRaised", 1)]).toEqual([1, 0]);
    expect(sim.function(0).handle()).not.toBe(sim.function(1).handle());
  });
});

describe("a function whose errors nobody listens to yet", () => {
  it("is served and does not break; what was due breaks it when somebody listens", () => {
    let listens = false;
    const faults = [{ when: { atUs: 300 }, action: error }];
    const sim = new SimHost(
      [
        { fid: 1, timing: instant, faults },
        { fid: 2, timing: instant, faults },
      ],
      (index) => index === 1 || listens,
    );
    sim.open(0);
    sim.open(1);
    sim.platform.raise(0, error);
    sim.runTo(400);
    expect([sim.book("errorsRaised", 0), sim.book("errorsRaised", 1)]).toEqual([0, 1]);
    expect(access(sim)).toBe(true);
    expect(sim.platform.nextEventUs()).toBe(Number.POSITIVE_INFINITY);
    listens = true;
    expect(sim.platform.nextEventUs()).toBe(0);
    sim.run();
    expect(sim.book("errorsRaised", 0)).toBe(2);
    expect(access(sim)).toBe(false);
  });

  it("asks no more once somebody has listened: a worker that died is somebody's to replace", () => {
    let listens = true;
    const sim = new SimHost([{ fid: 1, timing: instant }], () => listens);
    sim.open();
    sim.run();
    listens = false;
    sim.platform.raise(0, error);
    sim.run();
    expect(sim.book("errorsRaised")).toBe(1);
  });
});

describe("a hostile fault script", () => {
  it("of any JSON is refused as a whole or never throws", () => {
    const json = fc.jsonValue();
    const rule = fc.record({ when: json, action: json });
    const nearly = fc.record({
      when: fc.constantFrom(
        { atUs: 0 },
        { atUs: Number.NaN },
        { afterAccesses: 1 },
        { command: "x" },
      ),
      action: fc.oneof(
        fc.record({ type: fc.constant("ccdf"), ccdf: json, pec: json, faddr: json, stale: json }),
        fc.record({ type: fc.constant("burst"), ccdfs: json }),
        fc.record({ type: fc.constant("dma"), kind: json }),
        fc.record({ type: fc.constantFrom("allOnes", "blockedDma", "linkDown", "lostStores") }),
        fc.record({ type: fc.constant("ccdf"), pec: fc.integer({ min: 1, max: 0xffff }) }),
        fc.record({
          type: fc.constant("storm"),
          pec: fc.constantFrom(2, 0x3b),
          count: fc.integer({ min: 1, max: 40 }),
          everyUs: fc.constantFrom(1, 1000),
        }),
      ),
    });
    fc.assert(
      fc.property(fc.array(fc.oneof(rule, nearly), { maxLength: 5 }), (faults) => {
        const refused = pciFaultProblems(faults).length > 0;
        const build = (): SimHost => host(faults as unknown as FaultRule[]);
        if (refused) {
          expect(build).toThrow("Faults of function 0x2: faults[");
          return;
        }
        const sim = build();
        access(sim);
        sim.platform.command("x");
        sim.settle();
        expect(sim.book("errorsRaised")).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 200 },
    );
  });

  it("gives usable numbers for unusable ones", () => {
    const timing = { deviceLockUs: Number.NaN, stateLockUs: -5, resetUs: 1e300 };
    const config = simFunctionConfig({
      fid: -1,
      hostHandle: 1,
      timing,
      resetFailures: [0, -3, 1.5, 11],
    });
    expect(config.fid).toBe(0xffffffff);
    expect(config.hostHandle).toBe(0x80000001);
    expect(config.timing).toEqual({ deviceLockUs: 400, stateLockUs: 0, resetUs: 1e12 });
    expect(config.resetFailures).toEqual([0, 11]); // 0: that one succeeds
  });
});
