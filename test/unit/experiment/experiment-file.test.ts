import { writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  experimentNames,
  loadExperiment,
  type PlanOptions,
  planOf,
} from "../../../src/experiment/experiment-file.ts";
import { poissonAvailability } from "../../../src/experiment/known-answer.ts";
import { type Plan, trialsPerRepetition } from "../../../src/experiment/plan.ts";
import { measured, modelWorld } from "../../../src/experiment/trial/trial.ts";

const base = `version: 1
name: t
question: Which?
parameters: { rate: 2 }
repetitions: 10
metrics: [availability]
scenarios:
  - name: s
    hours: 1
    errors:
      - arrivals: { poisson: { perHour: $rate } }
guests:
  - { kernel: "7.3", driver: nvme }
policies: [mediated]
`;

function plan(text: string, options: PlanOptions = {}): Plan {
  return planOf(text, "t.yaml", process.cwd(), options);
}

function refusal(text: string, options: PlanOptions = {}): string {
  try {
    plan(text, options);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("not refused");
}

describe("an experiment file", () => {
  it("becomes a plan with everything resolved", () => {
    const { points, guests, seed } = plan(base);
    expect(seed).toBe(1);
    expect(points[0]?.scenarios[0]).toMatchObject({
      horizonUs: 3_600_000_000,
      sources: [{ arrivals: { kind: "poisson", meanUs: 1_800_000_000 }, pecs: [{ pec: 0x3a }] }],
    });
    expect(points[0]?.policies[0]?.policy.name).toBe("mediated");
    expect(guests).toEqual([{ label: "7.3-nvme", kind: "model", kernel: "7.3", driver: "nvme" }]);
  });

  it("takes other values for its parameters, and says which it has", () => {
    const { points } = plan(base, { set: { rate: "4" } });
    expect(points[0]?.scenarios[0]?.sources[0]?.arrivals).toMatchObject({ meanUs: 900_000_000 });
    expect(refusal(base, { set: { rte: "4" } })).toBe(
      "--set rte: t.yaml has no such parameter (did you mean 'rate'?); it has rate.",
    );
    expect(refusal(base.replace("$rate", "$rat"))).toBe(
      "t.yaml:11: '$rat' is no parameter (did you mean 'rate'?); name it under parameters: or sweep:.",
    );
  });

  it("refuses a stopping rule that could never stop, and one that would look too soon", () => {
    const stop = "stop: { metric: availability, narrowerThan: 0.01 }\n";
    expect(refusal(`${base}${stop}`)).toBe(
      "t.yaml: stop: looks first after 100 repetitions, repetitions: allows 10; " +
        "raise repetitions, which is the most there may be, or leave out stop.",
    );
    const soon = base.replace("repetitions: 10", "repetitions: 200");
    expect(refusal(`${soon}${stop.replace("0.01", "0.01, atLeast: 30")}`)).toContain("atLeast");
    expect(plan(`${soon}${stop}`).stop).toMatchObject({ atLeast: 100, every: 1 });
  });

  it("lays out a sweep: every combination is a point with its own policies", () => {
    const swept = base
      .replace("parameters: { rate: 2 }", "sweep: { rate: [1, 2], tokens: [1, 4, 8] }")
      .replace("[mediated]", "[mediated, { name: b, change: { storm.tokens: $tokens } }]");
    const { points } = plan(swept);
    expect(points.map(({ label }) => label)).toContain("rate=2 tokens=4");
    expect(points.map(({ policies }) => policies[1]?.policy.stormTokens)).toEqual([
      1, 4, 8, 1, 4, 8,
    ]);
    expect(trialsPerRepetition(plan(swept))).toBe(12);
    expect(plan(swept, { set: { tokens: "8" } }).points.length).toBe(2);
  });

  it("refuses a billion trials unless they are meant, and a sweep nobody could lay out", () => {
    const huge = base.replace("repetitions: 10", "repetitions: 1000000000");
    expect(refusal(huge)).toBe(
      "t.yaml: this plan has 1,000,000,000 trials (points 1 × scenarios 1 × guests 1 × policies 1 × repetitions 1,000,000,000); say --yes if that is meant.",
    );
    expect(plan(huge, { confirmed: true }).repetitions).toBe(1e9);
    const list = JSON.stringify(Array.from({ length: 1000 }, (_, n) => n + 1));
    const wide = base.replace("parameters: { rate: 2 }", `sweep: { rate: ${list}, b: ${list} }`);
    expect(refusal(wide)).toBe(
      "t.yaml: the sweep has 1000000 combinations, more than 10000; sweep fewer values.",
    );
  });

  it.each([
    [
      "an unknown distribution",
      "    host: { resetMs: { gaus: { mean: 3 } } }",
      "t.yaml:12: scenarios[0].host.resetMs: unknown distribution 'gaus'; expected one of constant, uniform, exponential, weibull, lognormal, measured",
    ],
    [
      "a parameter out of range",
      "    host: { resetMs: { weibull: { scale: 3, shape: 0 } } }",
      "t.yaml:12: scenarios[0].host.resetMs.weibull.shape: expected a number 0.05 to 100, got 0",
    ],
    [
      "a parameter that the distribution does not have",
      "    host: { resetMs: { exponential: { meen: 3 } } }",
      "t.yaml:12: scenarios[0].host.resetMs.exponential.meen: unknown key 'meen' (did you mean 'mean'?)",
    ],
    [
      "a probability above 1",
      "    host: { refused: 1.5 }",
      "t.yaml:12: scenarios[0].host.refused: expected a number from 0 to 1, got 1.5",
    ],
    [
      "bounds in the wrong order",
      "    host: { resetMs: { uniform: { low: 3, high: 2 } } }",
      "t.yaml:12: scenarios[0].host.resetMs.uniform: low is above high",
    ],
    [
      "a key that does not exist",
      "    hostt: {}",
      "t.yaml:12: scenarios[0]: unknown key 'hostt' (did you mean 'host'?)",
    ],
  ])("refuses %s with file, line and key", (_, line, message) => {
    expect(refusal(base.replace("guests:\n", `${line}\nguests:\n`))).toBe(message);
  });

  it.each([
    [
      "an unknown metric",
      ["[availability]", "[availabilty]"],
      /^t\.yaml:6: metrics\[0\]: expected one of availability, .*\(did you mean 'availability'\?\)$/,
    ],
    [
      "an unknown kernel",
      ['"7.3"', '"5.4"'],
      /^t\.yaml:13: guests\[0\]\.kernel: expected one of 6\.1, 6\.12, 7\.2, 7\.3, got '5\.4'/,
    ],
    [
      "an unknown driver",
      ["nvme", "nvm"],
      /guests\[0\]\.driver: expected one of .*did you mean 'nvme'\?/,
    ],
    [
      "an unknown policy",
      ["[mediated]", "[mediatd]"],
      /^Policy 'mediatd' is unknown \(did you mean 'mediated'\?\)/,
    ],
    [
      "a policy change that is none",
      ["[mediated]", "[{ name: x, change: { storm.token: 1 } }]"],
      /policies: x:\d+: storm: .*unknown key 'token'/,
    ],
    [
      "two policies of one name",
      ["[mediated]", "[mediated, mediated]"],
      /^t\.yaml: two policies are named 'mediated'; give one of them another name\.$/,
    ],
    [
      "two kinds of arrivals",
      [
        "{ poisson: { perHour: $rate } }",
        "{ poisson: { perHour: 1 }, weibull: { scaleSeconds: 1, shape: 1 } }",
      ],
      /^t\.yaml:11: scenarios\[0\]\.errors\[0\]\.arrivals: expected one of poisson, weibull, bursts, trace$/,
    ],
    [
      "a module that is not there",
      ["[mediated]", "[{ module: ./no.mjs }]"],
      /^Policy module \.\/no\.mjs does not exist; name an existing ES module \(\.mjs\)\.$/,
    ],
  ])("refuses %s", (_, [from, to], message) => {
    expect(refusal(base.replace(from as string, to as string))).toMatch(message);
  });

  it("reads a recorded trace, and says which line is no time", async () => {
    const folder = await mkdtemp(join(tmpdir(), "zmend-trace-"));
    const file = join(folder, "trace.txt");
    writeFileSync(file, "# seconds\n20\n3.5\n");
    const text = base.replace("{ poisson: { perHour: $rate } }", `{ trace: { file: ${file} } }`);
    expect(plan(text).points[0]?.scenarios[0]?.sources[0]?.arrivals).toEqual({
      kind: "trace",
      atUs: [3_500_000, 20_000_000],
    });
    writeFileSync(file, "3\nsoon\n");
    expect(refusal(text)).toBe(`${file}:2: 'soon' is no time in seconds.`);
  });
});

describe("shipped experiments", () => {
  it.each(experimentNames())("%s has a plan", (name) => {
    const { points, question } = loadExperiment(name);
    expect(points.length).toBeGreaterThan(0);
    expect(question.endsWith("?")).toBe(true);
  });

  it("are the ones that were promised", () => {
    expect(experimentNames()).toEqual([
      "fleet-1000",
      "host-reset-flaky",
      "known-answer",
      "qemu-11-baseline",
      "real-guest",
      "slow-guest",
      "smoke",
      "stale-events",
      "storm-vs-budget",
    ]);
  });
});

describe("the known answer", () => {
  it("is 1/(1 + l R) for long times, and less down at the start, where all is well", () => {
    expect(poissonAvailability(2, 30, 1e6)).toBeCloseTo(1 / (1 + 2 / 120), 6);
    expect(poissonAvailability(60, 30, 1)).toBeGreaterThan(1 / 1.5);
  });

  it("is what the experiment measures, at a horizon where the start still counts", () => {
    const known = loadExperiment("known-answer", {
      set: { ratePerHour: "60", recoverySeconds: "30" },
    });
    const point = known.points[0];
    const scenario = { ...point?.scenarios[0], horizonUs: 300e6, guests: 1500 } as never;
    const guest = known.guests[0] as never;
    const policy = point?.policies[0]?.policy as never;
    const options = { seed: 1, repetition: 0, scenarioNumber: 0, deadlineUs: 600e6 };
    const parts = modelWorld({ scenario, guest, policy, ...options });
    for (let n = 0; n < 1500; n++) parts.world.run(n);
    const expected = poissonAvailability(60, 30, 1 / 12);
    // The standard error of 1,500 guests of five minutes is 0.003; the long-run value is 0.011 off.
    expect(Math.abs((measured(parts).metrics.availability ?? 0) - expected)).toBeLessThan(0.007);
    expect(Math.abs(1 / 1.5 - expected)).toBeGreaterThan(0.011);
  });
});
