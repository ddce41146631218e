import { describe, expect, it } from "vitest";
import { TraceKind } from "../../../src/abi/records.ts";
import { loadExperiment } from "../../../src/experiment/experiment-file.ts";
import { injectionsOf } from "../../../src/experiment/injections.ts";
import { modelWorld } from "../../../src/experiment/trial/trial.ts";
import { Ledger } from "../../../src/machine/ledger.ts";

describe("a scenario for a live VM", () => {
  it("is the very faults that the trial's first guest meets, function by function", () => {
    const plan = loadExperiment("fleet-1000");
    const scenario = plan.points[0]?.scenarios[0];
    const policy = plan.points[0]?.policies[0]?.policy;
    const guest = plan.guests[0];
    if (scenario === undefined || policy === undefined || guest?.kind !== "model") {
      throw new Error("fleet-1000 has changed");
    }
    const list = [...injectionsOf({ plan, scenario: 0, repetition: 2, functions: 4 })];
    const raised: string[] = [];
    let ledger: Ledger | undefined;
    const { world } = modelWorld({
      scenario,
      policy,
      guest,
      seed: plan.seed,
      repetition: 2,
      scenarioNumber: 0,
      deadlineUs: 1,
      turn: () => {
        for (const { kind, timeUs, fid, detail } of ledger?.drain() ?? []) {
          if (kind === "error-raised")
            raised.push(`${timeUs} ${(fid ?? 0) - 0x100} ${detail["pec"]}`);
        }
      },
    });
    ledger = new Ledger(world.vm);
    world.run(0);
    const shown = list.map(
      ({ atUs, index, pec }) => `${atUs} ${index} 0x${pec.toString(16).padStart(4, "0")}`,
    );
    expect(TraceKind.errorRaised).toBe(1);
    expect(list.length).toBeGreaterThan(100);
    expect([...shown].sort()).toEqual(raised.sort());
    const times = list.map(({ atUs }) => atUs);
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });
});
