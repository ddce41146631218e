import { describe, expect, it } from "vitest";
import { HostBlock } from "../../../../src/backend/sim/host-area.ts";
import {
  type FaultRule,
  pciFaultProblems,
  simFunctionConfig,
} from "../../../../src/backend/sim/index.ts";
import { EIO } from "../../../../src/ports/host-function.ts";
import { SimHost } from "../../../support/sim-host.ts";

const SCRATCHPAD = 0x2c;
const error: FaultRule["action"] = { type: "ccdf", pec: 0x3a };

function one(rule: FaultRule, extra: object = {}): SimHost {
  return new SimHost([{ fid: 1, faults: [rule], ...extra }]);
}

/** BAR loads, and what the platform does about them. */
function loads(sim: SimHost, count: number, offset = SCRATCHPAD): number[] {
  const regions = sim.regions();
  return Array.from({ length: count }, () => {
    regions.load(0, offset, 4);
    const found = regions.valueLow;
    sim.run();
    return found;
  });
}

describe("a fault plan", () => {
  it("that is malformed is refused whole, with every problem and its path", () => {
    const rules = [
      { when: { atUs: 5 }, action: { type: "ccdf", pec: 0x3a } },
      { when: { atUs: -1, afterAccesses: 2 }, action: { type: "storm", pec: 0, count: 0 } },
      { when: {}, action: { type: "linkdown" }, time: 3 },
      { when: { dma: { from: 9, to: 3 } }, action: { type: "unplug", how: "now" }, times: 0 },
      { when: { perAccess: 2 }, action: { type: "burst", ccdfs: [{ pec: 70000 }] } },
      7,
    ];
    const problems = [
      "faults[1].when.atUs: expected microseconds, 0 or more",
      "faults[1].when: needs exactly one of atUs, afterAccesses, afterTransfers, command, bar, dma, perAccess, perTransfer",
      "faults[1].action.pec: expected a PEC from 1 to 0xffff",
      "faults[1].action.count: expected 1 to 10000",
      "faults[1].action.everyUs: expected 1 or more microseconds",
      "faults[2].time: unknown key",
      "faults[2].when: needs exactly one of atUs, afterAccesses, afterTransfers, command, bar, dma, perAccess, perTransfer",
      "faults[2].action.type: expected one of ccdf, burst, dma, storm, allOnes, blockedDma, linkDown, lostStores, lostInterrupts, lostSignals, unplug, plug",
      'faults[3].times: expected 1 or more, or "always"',
      "faults[3].when.dma: expected { from, to? } with DMA addresses, to not below from",
      "faults[3].action.how: expected request or surprise",
      "faults[4].when.perAccess: expected a probability from 0.00001 to 1",
      "faults[4].action.ccdfs: expected a list of events",
      "faults[5]: expected an object",
    ];
    expect(pciFaultProblems(rules)).toEqual(problems);
    expect(() => simFunctionConfig({ fid: 0x10, faults: rules as never })).toThrow(
      `Faults of function 0x10: ${problems.join("; ")}`,
    );
    const sim = new SimHost([{ fid: 1 }]);
    expect(sim.platform.armFaults(0, rules)).toEqual(problems);
    expect(sim.platform.armedFaults(0).pci).toEqual([]);
    expect(pciFaultProblems({})).toEqual(["faults: expected a list of fault rules"]);
  });

  it("can be armed while the platform runs; counts begin then; what is armed is listed", () => {
    const sim = new SimHost([{ fid: 1 }]);
    sim.open();
    loads(sim, 5);
    const rules: FaultRule[] = [
      { when: { afterAccesses: 3 }, action: error, times: 2 },
      { when: { command: "now" }, action: error },
    ];
    expect(sim.platform.armFaults(0, rules)).toEqual([]);
    expect(sim.platform.armedFaults(0).pci).toEqual(rules);
    loads(sim, 2);
    expect(sim.book("errorsRaised")).toBe(0);
    loads(sim, 1);
    expect(sim.book("errorsRaised")).toBe(1);
    expect(sim.platform.armedFaults(0).pci).toEqual([{ ...rules[0], times: 1 }, rules[1]]);
    expect(sim.platform.armFaults(9, rules)).toEqual(["no function stands in slot 9"]);
  });
});

describe("when", () => {
  it("an access to an address: exactly that access meets the broken function", () => {
    const sim = one({ when: { bar: { from: 0x20, to: 0x2f } }, action: error });
    sim.open();
    expect(loads(sim, 2, 0)).not.toContain(-1); // identification, not watched
    expect(loads(sim, 2, SCRATCHPAD)).toEqual([0, -1]); // the access itself, then the error
    expect(sim.book("errorsRaised")).toBe(1);
    expect(sim.platform.armedFaults(0).pci).toEqual([]);
  });

  it("an access that only touches the watched offsets counts, one beside them does not", () => {
    const sim = one({ when: { bar: { from: 0x2e } }, action: error, times: "always" });
    sim.open();
    loads(sim, 1, 0x28);
    expect(sim.book("errorsRaised")).toBe(0);
    loads(sim, 1, SCRATCHPAD);
    expect(sim.book("errorsRaised")).toBe(1);
  });

  it("by chance, the same accesses each time for one seed, others for another", () => {
    const fired = (seed: number): number[] => {
      const sim = one(
        { when: { perAccess: 0.1 }, action: { type: "ccdf", pec: 0x2a }, times: "always" },
        { faultSeed: seed },
      );
      sim.open();
      return Array.from({ length: 300 }, () => {
        loads(sim, 1);
        return sim.book("errorsRaised");
      });
    };
    const first = fired(1);
    expect(fired(1)).toEqual(first);
    expect(fired(2)).not.toEqual(first);
    // 300 draws of 0.1: five standard deviations are 26.
    expect(first.at(-1)).toBeGreaterThan(4);
    expect(first.at(-1)).toBeLessThan(56);
  });
});

describe("what", () => {
  it("storm: so many events, so far apart", () => {
    const sim = one({
      when: { atUs: 100 },
      action: { type: "storm", pec: 0x02, count: 5, everyUs: 1000 },
    });
    sim.open();
    sim.runTo(100);
    expect(sim.book("errorsRaised")).toBe(1);
    for (const us of [1100, 2100, 3100]) sim.runTo(us);
    expect(sim.book("errorsRaised")).toBe(4);
    sim.settle();
    expect(sim.book("errorsRaised")).toBe(5);
  });

  it("storm: each event with the failing address and the handle that it was asked for", () => {
    const storm = (more: object) => {
      const action = { type: "storm", pec: 0x3a, count: 2, everyUs: 1000, ...more } as const;
      const sim = one({ when: { atUs: 100 }, action });
      const host = sim.open();
      for (const us of [100, 1100]) sim.runTo(us);
      sim.settle();
      return { sim, host };
    };
    const { sim, host } = storm({ faddr: 0x1234 });
    expect(sim.book("errorsRaised")).toBe(2);
    expect(host.getError(sim.slot())).toBe(0);
    // Bytes 16 to 23 of the CCDF, big-endian (zpci-guest.md 7.1).
    expect(sim.bytesAt(sim.slot()).slice(32, 48)).toBe("0000000000001234");
    const stale = storm({ stale: true }).sim;
    expect([stale.book("errorsRaised"), stale.book("hostStale")]).toEqual([2, 2]);
  });

  it("all ones for a time, without an event", () => {
    const sim = one({ when: { atUs: 10 }, action: { type: "allOnes", forUs: 50 } });
    sim.open();
    sim.regions().store(0, SCRATCHPAD, 4, 0, 0x1234);
    sim.runTo(10);
    expect(loads(sim, 1)).toEqual([-1]);
    sim.regions().store(0, SCRATCHPAD, 4, 0, 0x5678); // lost
    sim.runTo(60);
    expect(loads(sim, 1)).toEqual([0x1234]);
    expect(sim.book("errorsRaised")).toBe(0);
  });

  it("blocked DMA until the function is reset", () => {
    const sim = one({ when: { atUs: 10 }, action: { type: "blockedDma" } });
    const host = sim.open();
    sim.runTo(10);
    expect(sim.area().get(HostBlock.impaired)).toBe(2);
    host.startReset();
    sim.settle();
    expect(host.pollReset()).toBe(0);
    expect(sim.area().get(HostBlock.impaired)).toBe(0);
  });

  it("link down: out of reach without a word, no reset succeeds, then event 0x003a", () => {
    const sim = one({ when: { atUs: 10 }, action: { type: "linkDown", forUs: 1000 } });
    const host = sim.open();
    sim.runTo(10);
    expect(loads(sim, 1)).toEqual([-1]);
    expect(sim.book("errorsRaised")).toBe(0);
    host.startReset();
    sim.run();
    expect(host.pollReset()).toBe(-EIO);
    sim.runTo(1010);
    expect(sim.book("errorsRaised")).toBe(1);
    expect(loads(sim, 1)).toEqual([-1]); // still in error: it wants a reset now
    sim.runTo(5000);
    host.startReset();
    sim.settle();
    expect(host.pollReset()).toBe(0);
  });

  it("a link that never comes back is a permanent error at once", () => {
    const sim = one({ when: { atUs: 10 }, action: { type: "linkDown" } });
    const host = sim.open();
    sim.runTo(10);
    expect(host.takeSignals()).toBe(1);
    expect(host.getError(sim.slot())).toBe(0);
    expect(sim.vm.view.getUint16(sim.slot() + 30)).toBe(0x3b);
  });

  it("lost stores: so many doorbells do not ring", () => {
    const sim = one({ when: { atUs: 10 }, action: { type: "lostStores", count: 2 } });
    sim.open();
    sim.runTo(10);
    const regions = sim.regions();
    for (const value of [1, 2, 3]) {
      regions.store(0, SCRATCHPAD, 4, 0, value);
    }
    expect(loads(sim, 1)).toEqual([3]);
  });

  it("lost signals: the event is stored, nobody is told", () => {
    const sim = new SimHost([
      {
        fid: 1,
        faults: [
          { when: { atUs: 10 }, action: { type: "lostSignals" } },
          { when: { atUs: 20 }, action: error },
        ],
      },
    ]);
    const host = sim.open();
    sim.runTo(20);
    expect(host.takeSignals()).toBe(0);
    expect(host.getError(sim.slot())).toBe(0);
  });
});
