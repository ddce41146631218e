import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { constant, type Distribution } from "../../../../src/base/distribution.ts";
import type { DoneTrial } from "../../../../src/experiment/ledger.ts";
import type { Scenario } from "../../../../src/experiment/scenario.ts";
import { measured, modelWorld } from "../../../../src/experiment/trial/trial.ts";
import { driverNames, kernelNames } from "../../../../src/guest-model/index.ts";
import { loadPolicy, type Policy, policyNames } from "../../../../src/recovery/index.ts";

const HOUR = 3_600_000_000;

function scenarioOf(change: Partial<Scenario> = {}): Scenario {
  return {
    name: "s",
    horizonUs: 24 * HOUR,
    guests: 1,
    functionsPerGuest: 1,
    sources: [
      {
        arrivals: { kind: "poisson", meanUs: HOUR / 4 },
        scope: "function",
        share: 1,
        spreadUs: constant(0),
        pecs: [{ pec: 0x3a, weight: 1 }],
        stale: 0,
        lostSignal: 0,
      },
    ],
    host: {
      resetUs: constant(100_000),
      refused: 0,
      failed: 0,
      hangs: 0,
      broken: 0,
      clearError: false,
      clearUs: constant(1_000),
    },
    operator: {},
    ...change,
  };
}

interface How {
  readonly policy?: Policy;
  readonly kernel?: (typeof kernelNames)[number];
  readonly driver?: string;
  readonly seed?: number;
  readonly record?: () => void;
}

function run(
  scenario: Scenario,
  how: How = {},
): Pick<DoneTrial, "metrics" | "phases" | "timeToRecover"> {
  const parts = modelWorld({
    scenario,
    policy: how.policy ?? loadPolicy("mediated"),
    guest: {
      label: "g",
      kind: "model",
      kernel: how.kernel ?? "7.3",
      driver: how.driver ?? "nvme",
    },
    seed: how.seed ?? 1,
    repetition: 0,
    scenarioNumber: 0,
    deadlineUs: 60_000_000,
    record: how.record,
  });
  for (let guest = 0; guest < scenario.guests; guest++) parts.world.run(guest);
  return measured(parts);
}

/** A source with this change, in a scenario of its own. */
function withSource(change: Partial<Scenario["sources"][number]>): Scenario {
  const scenario = scenarioOf();
  return { ...scenario, sources: scenario.sources.map((source) => ({ ...source, ...change })) };
}

/** Hosts, guests, policies and faults of any kind. */
const anything = fc.record({
  seed: fc.nat(),
  policy: fc.constantFrom(...policyNames()),
  kernel: fc.constantFrom(...kernelNames),
  driver: fc.constantFrom(...driverNames),
  stale: fc.constantFrom(0, 0.3),
  lostSignal: fc.constantFrom(0, 0.5),
  failed: fc.constantFrom(0, 0.5),
  hangs: fc.constantFrom(0, 0.2),
  clearError: fc.boolean(),
  functions: fc.constantFrom(1, 3),
  permanent: fc.boolean(),
  // Beyond two seconds the guest gives up.
  resetMaxUs: fc.constantFrom(100_000, 3_000_000),
});
type Anything = typeof anything extends fc.Arbitrary<infer T> ? T : never;

function scenarioFor(how: Anything): Scenario {
  const base = scenarioOf();
  return {
    ...base,
    functionsPerGuest: how.functions,
    horizonUs: 2 * HOUR,
    sources: base.sources.map((source) => ({
      ...source,
      arrivals: {
        kind: "bursts",
        meanUs: HOUR / 6,
        size: { kind: "uniform", low: 1, high: 9 },
        gap: { kind: "exponential", mean: 20_000 },
      },
      stale: how.stale,
      lostSignal: how.lostSignal,
      pecs: [
        { pec: 0x3a, weight: how.permanent ? 0.9 : 1 },
        { pec: 0x3b, weight: how.permanent ? 0.1 : 0 },
      ],
    })),
    host: {
      ...base.host,
      resetUs: { kind: "uniform", low: 50_000, high: how.resetMaxUs },
      failed: how.failed,
      hangs: how.hangs,
      clearError: how.clearError,
    },
    operator: { repairUs: constant(HOUR / 4), restartVmUs: constant(HOUR / 6) },
  };
}

const trace = (...seconds: number[]) =>
  ({ kind: "trace", atUs: seconds.map((s) => s * 1e6) }) as const;

describe("a trial", () => {
  it("gives the same measurements for the same seed, and others for another", () => {
    const scenario = scenarioOf();
    expect(run(scenario)).toEqual(run(scenario));
    expect(run(scenario, { seed: 2 })).not.toEqual(run(scenario));
  });

  it("meets every policy with the same arrivals: common random numbers", () => {
    const scenario = scenarioOf({ host: { ...scenarioOf().host, failed: 0.3 } });
    const raised = policyNames()
      .filter((name) => name !== "qemu-11" && name !== "unplug" && name !== "quarantine")
      .map((name) => run(scenario, { policy: loadPolicy(name) }).metrics.eventsRaised);
    expect(raised.length).toBeGreaterThan(2);
    expect(new Set(raised).size).toBe(1);
  });

  it("has the measured phases add up to the times to recover", () => {
    const { metrics, phases } = run(scenarioOf());
    const sum = Object.values(phases).reduce((total, part) => total + part, 0);
    const whole = (metrics.timeToRecover ?? 0) * (metrics.recoveries ?? 0);
    expect(Math.abs(sum - whole)).toBeLessThan(1e-6);
    expect(phases.reset).toBeGreaterThan(0.1 * (metrics.recoveries ?? 0) - 1e-9);
  });

  it("is the same whether or not each try of a guest that is told to wait is made and written down", () => {
    fc.assert(
      fc.property(anything, (how) => {
        const scenario = scenarioFor(how);
        const options = { ...how, policy: loadPolicy(how.policy) };
        expect(run(scenario, { ...options, record: () => {} })).toEqual(run(scenario, options));
      }),
      { numRuns: 40 },
    );
  });

  it("keeps the books: raised = fetched + every named reason, whatever host, guest and policy do", () => {
    fc.assert(
      fc.property(anything, (how) => {
        const scenario = scenarioFor(how);
        const { metrics } = run(scenario, { ...how, policy: loadPolicy(how.policy) });
        const lost =
          (metrics.lostHostQueueFull ?? 0) +
          (metrics.lostStale ?? 0) +
          (metrics.lostSuperseded ?? 0) +
          (metrics.lostPolicy ?? 0) +
          (metrics.lostUnverifiable ?? 0) +
          (metrics.lostVmStopped ?? 0);
        const under = (metrics.eventsRaised ?? 0) - (metrics.eventsFetched ?? 0) - lost;
        // What waits at the end: at most the host's four and the guest's ring, of each function.
        expect(under).toBeGreaterThanOrEqual(0);
        expect(under).toBeLessThanOrEqual(how.functions * 68);
        expect(metrics.availability).toBeGreaterThanOrEqual(0);
        expect(metrics.availability).toBeLessThanOrEqual(1);
        expect(metrics.recoveries).toBeLessThanOrEqual(metrics.failures ?? 0);
      }),
      { numRuns: 40 },
    );
  });
});

describe("availability has its closed form", () => {
  it("of an alternating renewal process: the ideal driver, Poisson errors, a reset of constant length", () => {
    const perHour = 60;
    const seconds = 1;
    const base = withSource({ arrivals: { kind: "poisson", meanUs: HOUR / perHour } });
    const scenario: Scenario = {
      ...base,
      horizonUs: 100 * HOUR, // 6,000 failures: a standard error of 2e-4
      host: { ...base.host, resetUs: constant(seconds * 1e6) },
    };
    const { metrics } = run(scenario, { driver: "ideal" });
    const expected = 1 / (1 + (perHour / 3600) * seconds);
    expect(Math.abs((metrics.availability ?? 0) - expected)).toBeLessThan(8e-4);
    expect(metrics.timeToRecover).toBeCloseTo(seconds, 3);
  });
});

describe("who loses what", () => {
  it("a lost signal costs delay, never an event: the slow drain finds it at its own time", () => {
    const scenario = withSource({ arrivals: trace(100.25), lostSignal: 1 });
    const late = run(scenario).metrics;
    const prompt = run(withSource({ arrivals: trace(100.25) })).metrics;
    expect(late.eventsFetched).toBe(1);
    // The drains are a second apart from the start on: the one at 101 s finds what came at 100.25 s.
    expect((late.longestStall ?? 0) - (prompt.longestStall ?? 0)).toBeCloseTo(0.75, 6);
  });

  it("a burst overflows the host's queue of four while its function is being reset", () => {
    const times = Array.from({ length: 9 }, (_, n) => 100.1 + n * 0.001);
    const scenario = withSource({ arrivals: trace(100, ...times) });
    const slow = { ...scenario, host: { ...scenario.host, resetUs: constant(400_000) } };
    const { metrics } = run(slow);
    expect(metrics.eventsRaised).toBe(10);
    expect(metrics.lostHostQueueFull).toBe(5);
  });

  it("stale events disturb nobody: dropped at the worker, no failure", () => {
    const { metrics } = run(withSource({ stale: 1 }));
    expect(metrics.failures).toBe(0);
    expect(metrics.lostStale).toBe(metrics.eventsRaised);
    expect(metrics.availability).toBe(1);
  });

  it("qemu-11 stops the VM at the first error; without an operator for good", () => {
    const { metrics } = run(withSource({ arrivals: trace(3600 * 6) }), {
      policy: loadPolicy("qemu-11"),
    });
    expect(metrics.vmStops).toBe(1);
    expect(metrics.availability).toBeCloseTo(0.25, 6);
    expect(metrics.permanentLosses).toBe(1);
  });

  it("a VM that is started again works again", () => {
    const scenario = {
      ...withSource({ arrivals: trace(3600, 7200) }),
      operator: { restartVmUs: constant(600e6) },
    };
    const { metrics } = run(scenario, { policy: loadPolicy("qemu-11") });
    expect(metrics.vmStops).toBe(2);
    expect(metrics.stallSeconds).toBeCloseTo(1200, 6);
  });

  it("a driver without error handlers loses its function at the first error; repaired, it is back", () => {
    const scenario = {
      ...withSource({ arrivals: trace(3600) }),
      operator: { repairUs: constant(3600e6) },
    };
    for (const kernel of kernelNames) {
      const { metrics } = run(scenario, { driver: "no-handlers", kernel });
      expect(metrics.permanentLosses).toBe(1);
      expect(metrics.recoveries).toBe(0);
      expect(metrics.longestStall).toBeGreaterThan(3599);
      expect(metrics.longestStall).toBeLessThan(3620);
    }
  });

  it("a hanging driver takes the other functions of its guest along", () => {
    const scenario = { ...withSource({ arrivals: trace(100) }), functionsPerGuest: 2 };
    const { metrics } = run(scenario, { driver: "hanging" });
    expect(metrics.permanentLosses).toBe(2);
  });

  it("unplug and quarantine take functions out of service whose hardware works: false quarantines", () => {
    const scenario = withSource({ arrivals: trace(100, 110, 120) });
    const unplugged = run(scenario, { policy: loadPolicy("unplug") }).metrics;
    expect([unplugged.falseQuarantines, unplugged.permanentLosses]).toEqual([1, 1]);
    const quarantined = run(scenario, { policy: loadPolicy("quarantine") }).metrics;
    expect([quarantined.falseQuarantines, quarantined.recoveries]).toEqual([1, 2]);
  });

  it("a function whose hardware is gone is no false quarantine", () => {
    const scenario = withSource({ arrivals: trace(100), pecs: [{ pec: 0x3b, weight: 1 }] });
    const { metrics } = run(scenario);
    expect([metrics.falseQuarantines, metrics.permanentLosses]).toEqual([0, 1]);
  });
});

describe("correlated faults", () => {
  const fleet = (share: number, spreadUs: Distribution = constant(0)): Scenario => ({
    ...withSource({ arrivals: trace(100, 10_000), scope: "fleet", share, spreadUs }),
    guests: 40,
    functionsPerGuest: 2,
  });

  it("hit every function of the fleet at the same moments", () => {
    expect(run(fleet(1)).metrics.failures).toBe(160);
  });

  it("hit a share of it, each function by its own draw", () => {
    const { failures = 0 } = run(fleet(0.5)).metrics;
    expect(failures).toBeGreaterThan(55);
    expect(failures).toBeLessThan(105);
  });
});
