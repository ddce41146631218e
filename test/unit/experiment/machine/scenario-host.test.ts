/** The host of a machine trial answers as the model's host does, under the same draws; what it lets pass reaches the simulated one. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { constant, Stream } from "../../../../src/base/distribution.ts";
import { ScenarioHost } from "../../../../src/experiment/machine/scenario-host.ts";
import type { HostBehaviour } from "../../../../src/experiment/scenario.ts";
import { HostModel } from "../../../../src/experiment/trial/host-model.ts";
import { TrialMemory } from "../../../../src/experiment/trial/memory.ts";
import { HOST_PENDING, type HostFunction } from "../../../../src/ports/host-function.ts";

/** A simulated host that does at once what it is asked, and counts. */
function instantHost() {
  const asked: string[] = [];
  const host = {
    facts: {},
    clearError: true,
    handle: () => 1,
    open: () => 0,
    close: () => 0,
    getError: () => 0,
    takeSignals: () => 0,
    takeRequests: () => 0,
    startReset: () => asked.push("reset") * 0,
    pollReset: () => 0,
    startClear: (operation: number) => asked.push(`clear ${operation}`) * 0,
    pollClear: () => 0,
  } as unknown as HostFunction;
  return { host, asked };
}

type Step = "reset" | "clear-9" | "clear-7" | "error" | "poll" | "wait";

const behaviour = (over: Partial<HostBehaviour>): HostBehaviour => ({
  resetUs: { kind: "lognormal", median: 100_000, sigma: 0.5 },
  refused: 0.2,
  failed: 0.2,
  hangs: 0.1,
  broken: 0.1,
  clearError: true,
  clearUs: constant(1000),
  ...over,
});

describe("a scenario's host before a simulated one", () => {
  it("answers every sequence of requests as the model's host with the same draws", () => {
    const steps = fc.array(
      fc.constantFrom<Step>("reset", "clear-9", "clear-7", "error", "poll", "wait"),
      { minLength: 1, maxLength: 40 },
    );
    fc.assert(
      fc.property(steps, fc.integer(), (list, seed) => {
        let nowUs = 0;
        const draws = [1, 2].map(() => new Stream().key(seed, 1, 2, 3));
        const memory = new TrialMemory(1);
        const model = new HostModel(memory.vm, 0, behaviour({}), draws[0] as Stream, () => nowUs);
        const real = new ScenarioHost(
          instantHost().host,
          behaviour({}),
          draws[1] as Stream,
          () => nowUs,
        );
        model.open();
        let last: Step = "poll";
        for (const step of list) {
          const answers = [model, real].map((host) => {
            if (step === "reset") return host.startReset();
            if (step === "clear-9") return host.startClear(9);
            if (step === "clear-7") return host.startClear(7);
            if (step === "poll") return last === "reset" ? host.pollReset() : host.pollClear();
            return 0;
          });
          if (step === "error") {
            model.raise(0x3a, false, true);
            real.fails(0x3a);
          }
          if (step === "wait") nowUs += 60_000;
          if (step === "reset" || step === "clear-9" || step === "clear-7") last = step;
          expect(answers[1]).toBe(answers[0]);
          expect(real.health).toBe(model.health);
        }
      }),
    );
  });

  it("asks the simulated host when its own time is over, and never for a reset that fails or hangs", () => {
    let nowUs = 0;
    const ask = (over: Partial<HostBehaviour>) => {
      const { host, asked } = instantHost();
      const always = { refused: 0, failed: 0, hangs: 0, broken: 0, resetUs: constant(500) };
      const scenario = new ScenarioHost(
        host,
        behaviour({ ...always, ...over }),
        new Stream().key(1, 2, 3, 4),
        () => nowUs,
      );
      return { scenario, asked };
    };
    const good = ask({});
    const failing = ask({ failed: 1 });
    const hanging = ask({ hangs: 1 });
    for (const { scenario } of [good, failing, hanging]) expect(scenario.startReset()).toBe(0);
    expect(good.scenario.dueUs).toBe(500);
    expect(good.scenario.pollReset()).toBe(HOST_PENDING);
    expect(good.asked).toEqual([]);
    nowUs = 500;
    expect(good.scenario.pollReset()).toBe(0);
    expect(good.asked).toEqual(["reset"]);
    expect(failing.scenario.pollReset()).toBe(-5); // EIO
    expect(hanging.scenario.pollReset()).toBe(HOST_PENDING);
    expect([...failing.asked, ...hanging.asked]).toEqual([]);
  });
});
