/** EEH: several functions in one PE freeze, thaw and are reset together. Source: vfio-uapi.md 6. */
import { describe, expect, it } from "vitest";
import { Hardware, HostBlock } from "../../../../src/backend/sim/host-area.ts";
import { EBUSY, ENOMSG } from "../../../../src/ports/host-function.ts";
import { SimHost } from "../../../support/sim-host.ts";

const SCRATCHPAD = 0x2c;
const eeh = { dialect: "eeh" as const, abi: "merged" };
const broken = [{ when: { atUs: 10 }, action: { type: "ccdf" as const, pec: 0x0b } }];

/** Functions 1 and 2 share PE 7, function 3 has one of its own. */
function threeFunctions() {
  const sim = new SimHost([
    { fid: 1, host: { ...eeh, pe: 7 }, faults: broken },
    { fid: 2, host: { ...eeh, pe: 7 } },
    { fid: 3, host: eeh },
  ]);
  const hosts = [0, 1, 2].map((index) => sim.open(index));
  return { sim, hosts: hosts as [(typeof hosts)[0], (typeof hosts)[0], (typeof hosts)[0]] };
}

const states = (sim: SimHost): number[] => [0, 1, 2].map((index) => sim.hardware(index));

describe("a PE of several functions", () => {
  it("a freeze hits all of them, and each has its event", () => {
    const { sim, hosts } = threeFunctions();
    sim.runTo(10);
    expect(states(sim)).toEqual([Hardware.ERROR, Hardware.ERROR, Hardware.NORMAL]);
    expect(hosts.map((host, index) => host.getError(sim.slot(index)))).toEqual([0, 0, -ENOMSG]);
    expect(hosts[1].takeSignals()).toBe(1); // idle, and told all the same
    expect([0, 1, 2].map((index) => sim.book("errorsRaised", index))).toEqual([1, 1, 0]);
  });

  it("is reset once: whoever asks first resets all, who asks later finds it done", () => {
    const { sim, hosts } = threeFunctions();
    sim.runTo(10);
    hosts[0].startReset();
    sim.settle();
    expect(hosts[0].pollReset()).toBe(0);
    expect(states(sim)).toEqual([Hardware.NORMAL, Hardware.NORMAL, Hardware.NORMAL]);
    sim.regions(0).store(0, SCRATCHPAD, 4, 0, 0x11); // function 1 is at work again
    hosts[1].startReset();
    sim.settle();
    expect(hosts[1].pollReset()).toBe(0);
    const regions = sim.regions(0);
    expect([regions.load(0, SCRATCHPAD, 4), regions.valueLow]).toEqual([0, 0x11]);
    hosts[1].startReset(); // a reset that it wants for itself, later, is one of all again
    sim.settle();
    expect([regions.load(0, SCRATCHPAD, 4), regions.valueLow]).toEqual([0, 0]);
  });

  it("two that ask at the same time wait for one reset", () => {
    const { sim, hosts } = threeFunctions();
    sim.runTo(10);
    hosts[0].startReset();
    hosts[1].startReset();
    sim.settle();
    expect([hosts[0].pollReset(), hosts[1].pollReset()]).toEqual([0, 0]);
    expect(states(sim)).toEqual([Hardware.NORMAL, Hardware.NORMAL, Hardware.NORMAL]);
  });

  it("thaws as a whole: what one function has thawed is no error for the other", () => {
    const { sim, hosts } = threeFunctions();
    sim.runTo(10);
    for (const operation of [9, 7] as const) {
      hosts[0].startClear(operation);
      sim.run();
      expect(hosts[0].pollClear()).toBe(0);
    }
    expect(states(sim)).toEqual([Hardware.NORMAL, Hardware.NORMAL, Hardware.NORMAL]);
    hosts[1].startClear(9);
    sim.run();
    expect(hosts[1].pollClear()).toBe(0);
  });

  it("fails for good as a whole", () => {
    const sim = new SimHost([
      {
        fid: 1,
        host: { ...eeh, pe: 7 },
        faults: [{ when: { atUs: 10 }, action: { type: "ccdf", pec: 0x3b } }],
      },
      { fid: 2, host: { ...eeh, pe: 7 } },
    ]);
    sim.open(0);
    sim.open(1);
    sim.runTo(10);
    expect([sim.hardware(0), sim.hardware(1)]).toEqual([Hardware.PERMANENT, Hardware.PERMANENT]);
  });
});

describe("two openers", () => {
  it("the second is refused with EBUSY and disturbs nobody; the first one's close lets it in", () => {
    const sim = new SimHost([
      { fid: 1, faults: [{ when: { atUs: 10 }, action: { type: "ccdf", pec: 0x3a } }] },
    ]);
    const first = sim.open();
    const second = sim.function(0, undefined, { opener: 2 });
    expect(second.open()).toBe(-EBUSY);
    expect(second.close()).toBe(0); // not its own to close
    sim.runTo(10);
    expect(first.getError(sim.slot())).toBe(0);
    first.close();
    expect(second.open()).toBe(0);
    expect(first.open()).toBe(-EBUSY);
  });
});

describe("an event between open and arming", () => {
  it.each(["v1", "v2", "v4", "v9", "v11", "v12", "v13", "merged"])(
    "%s: found by the drain after arming",
    (abi) => {
      const sim = new SimHost([
        {
          fid: 1,
          host: { dialect: "zpci", abi },
          faults: [{ when: { atUs: 10 }, action: { type: "ccdf", pec: 0x3a } }],
        },
      ]);
      // Mediation has begun, nothing is armed: stored, not signalled.
      sim.area().set(HostBlock.mediated, 1);
      sim.runTo(10);
      const host = sim.open();
      expect(host.takeSignals()).toBe(0);
      expect(host.getError(sim.slot())).toBe(0);
      expect(sim.vm.view.getUint16(sim.slot() + 30)).toBe(0x3a);
      expect(host.getError(sim.slot(1))).toBe(-ENOMSG);
      expect(sim.book("errorsRaised")).toBe(1);
    },
  );

  it.each(["v2", "v9"])(
    "%s: a healthy function has nothing to tell, and garbage is not asked for",
    (abi) => {
      const sim = new SimHost([{ fid: 1, host: { dialect: "zpci", abi } }]);
      const host = sim.open();
      expect(host.getError(sim.slot())).toBe(-ENOMSG);
      expect(sim.book("errorsRaised")).toBe(0);
    },
  );
});
