/** Parameters that generated data were drawn with come back; data of no family are refused; what is written is read again. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type Distribution, Stream } from "../../../../src/base/distribution.ts";
import { planOf } from "../../../../src/experiment/experiment-file.ts";
import { fitTimes, fitWeibull } from "../../../../src/experiment/fit/families.ts";
import { fitLedger, fitLines, timesFile } from "../../../../src/experiment/fit/fit.ts";
import { headerOf, ledgerText, type TrialRow } from "../../../../src/experiment/ledger.ts";

const folder = mkdtempSync(join(tmpdir(), "zmend-fit-"));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function drawn(from: Distribution, n: number, key: number): number[] {
  const draws = new Stream().key(key, n, 1, 2);
  return Array.from({ length: n }, () => draws.draw(from));
}

describe("times fitted to generated data", () => {
  it.each<Distribution>([
    { kind: "lognormal", median: 25_600, sigma: 0.25 },
    { kind: "weibull", scale: 9_000, shape: 2.5 },
    { kind: "weibull", scale: 700, shape: 0.8 },
    { kind: "exponential", mean: 3_000 },
  ])("$kind: family and parameters come back within what 600 values tell", (from) => {
    const { distribution, best } = fitTimes(drawn(from, 600, 5), 1);
    expect(best?.p).toBeGreaterThan(0.05);
    // An exponential is a Weibull of shape 1: one more parameter may win by chance, and says the same.
    if (from.kind === "exponential" && distribution.kind === "weibull") {
      expect(Math.abs(distribution.shape - 1)).toBeLessThan(0.1);
      expect(Math.abs(distribution.scale / from.mean - 1)).toBeLessThan(0.1);
      return;
    }
    expect(distribution.kind).toBe(from.kind);
    for (const [name, value] of Object.entries(from)) {
      if (typeof value !== "number") continue;
      const fitted = (distribution as unknown as Record<string, number>)[name] ?? 0;
      expect(Math.abs(fitted / value - 1), name).toBeLessThan(0.1);
    }
  });

  it("the shape of a Weibull solves its likelihood equation", () => {
    const values = drawn({ kind: "weibull", scale: 40, shape: 1.7 }, 300, 9);
    const fitted = fitWeibull(values);
    if (fitted.kind !== "weibull") throw new Error(fitted.kind);
    const { shape } = fitted;
    const sum = (of: (value: number) => number): number =>
      values.reduce((total, value) => total + of(value), 0);
    const left = sum((x) => x ** shape * Math.log(x)) / sum((x) => x ** shape) - 1 / shape;
    expect(left).toBeCloseTo(sum(Math.log) / values.length, 8);
  });

  it("its p-value is no smaller than 5 % for about 95 of 100 sets of its own kind", () => {
    const from: Distribution = { kind: "lognormal", median: 1000, sigma: 0.4 };
    const refused = Array.from({ length: 40 }, (_, key) =>
      fitTimes(drawn(from, 60, 100 + key), key),
    )
      .map(({ best }) => best?.p ?? 0)
      .filter((p) => p < 0.05).length;
    // Binomial(40, 0.05): more than 7 happens once in 3,000 times; the seeds are fixed.
    expect(refused).toBeLessThanOrEqual(7);
  });

  it("two humps are no family: the measured quantiles stand in their place, and the line says why", () => {
    const humps = [
      ...drawn({ kind: "uniform", low: 900, high: 1100 }, 200, 1),
      ...drawn({ kind: "uniform", low: 9000, high: 9100 }, 200, 2),
    ];
    const { distribution, best } = fitTimes(humps, 1);
    expect(best?.p).toBeLessThan(0.05);
    if (distribution.kind !== "measured") throw new Error(distribution.kind);
    expect(distribution.quantiles).toHaveLength(101);
    expect(distribution.quantiles[0]).toBe(Math.min(...humps));
    expect(distribution.quantiles.at(-1)).toBe(Math.max(...humps));
  });

  it("a few values, or all the same, are taken as they are", () => {
    expect(fitTimes([500, 100, 300], 1).distribution).toEqual({
      kind: "measured",
      quantiles: [100, 300, 500],
    });
    expect(fitTimes([18, 18, 18], 1).distribution).toEqual({ kind: "constant", value: 18 });
  });
});

// Files -------------------------------------------------------------------------------------------------------

const experiment = (guests: string): string => `version: 1
name: measured
question: How long?
repetitions: 200
metrics: [timeToRecover]
scenarios:
  - name: one
    hours: 1
    errors: [{ arrivals: { trace: { atSeconds: [1] } } }]
guests: ${guests}
policies: [mediated, reset-first]
`;

/** A ledger whose recoveries were drawn. */
function ledger(): string {
  const plan = planOf(experiment("[{ machine: zrecover }]"), "measured.yaml", folder);
  const teardown = drawn({ kind: "lognormal", median: 20_000, sigma: 0.3 }, 200, 3);
  const resume = drawn({ kind: "weibull", scale: 5_000, shape: 3 }, 200, 4);
  const rows = teardown.map((us, repetition): TrialRow => {
    const identity = { trial: 2 * repetition, repetition, point: "", scenario: "one" };
    return {
      ...identity,
      guest: "zrecover",
      policy: "mediated",
      status: "done",
      metrics: { failures: 1, recoveries: repetition % 10 === 9 ? 0 : 1 },
      timeToRecover: { recovered: [], censored: [] },
      phases: {
        detect: 0,
        notify: 18e-6,
        guest: us / 1e6,
        reset: 0.1,
        restore: 0.0009,
        resume: (resume[repetition] ?? 0) / 1e6,
      },
    };
  });
  const lines = [ledgerText(headerOf(plan)), ...rows.map(ledgerText)];
  writeFileSync(at("ledger.jsonl"), `${lines.join("\n")}\n`);
  return at("ledger.jsonl");
}

describe("experiment fit", () => {
  it("a ledger's phases become stages of the model, and the file is a guest's timesFile", () => {
    const model = fitLedger(ledger());
    expect(model.recoveries).toBe(180);
    expect(
      model.stages.map(({ phase, stage, fit }) => [phase, stage, fit.distribution.kind]),
    ).toEqual([
      ["notify", "machineCheck", "constant"],
      ["guest", "teardown", "lognormal"],
      ["restore", "register", "constant"],
      ["resume", "restart", "weibull"],
    ]);
    writeFileSync(at("times.yaml"), timesFile(model));
    const guests = "[{ kernel: '6.1', driver: nvme, timesFile: times.yaml }]";
    const [guest] = planOf(experiment(guests), "measured.yaml", folder).guests;
    if (guest?.kind !== "model") throw new Error("no model");
    expect(guest.times).toMatchObject({
      machineCheck: { kind: "constant", value: 18 },
      fetch: { kind: "constant", value: 0 },
      decide: { kind: "constant", value: 0 },
      enable: { kind: "constant", value: 0 },
      restore: { kind: "constant", value: 0 },
    });
    const { teardown, restart } = guest.times ?? {};
    if (teardown?.kind !== "lognormal" || restart?.kind !== "weibull") throw new Error("families");
    expect(teardown.median / 20_000).toBeCloseTo(1, 1);
    expect(restart.shape / 3).toBeCloseTo(1, 0);
    expect(fitLines(model).join("\n")).toMatch(/guest -> teardown: lognormal.*Kolmogorov-Smirnov/);
  });

  it("entries of a recorded run give the phases that they show", () => {
    const lines = [0, 1].flatMap((number) => {
      const entry = (timeUs: number, kind: string, detail = {}): string =>
        JSON.stringify({ vm: "alpha", timeUs: number * 1e6 + timeUs, kind, fid: 1, detail });
      const clp = (response: string) => ({ operation: "disable", response });
      return [
        entry(0, "error-raised"),
        entry(10, "ccdf-read"),
        entry(40, "fetched"),
        entry(1040 + number, "clp-set", clp("0x0108")),
        entry(21_040, "clp-set", clp("0x0010")),
        entry(21_140, "first-good-load"),
      ];
    });
    writeFileSync(
      at("journal.jsonl"),
      `${lines.join("\n")}\n{"vm":"","kind":"started","detail":{}}\n`,
    );
    const { stages, recoveries } = fitLedger(at("journal.jsonl"));
    expect(recoveries).toBe(2);
    expect(stages.map(({ stage, fit }) => [stage, fit.distribution])).toEqual([
      ["machineCheck", { kind: "constant", value: 30 }],
      ["teardown", { kind: "measured", quantiles: [1000, 1001] }],
      ["register", { kind: "constant", value: 100 }],
    ]);
  });

  it("what cannot be fitted is said in a sentence", () => {
    expect(() => fitLedger(at("none"))).toThrow(/cannot be read; name a ledger.jsonl/);
    writeFileSync(at("odd"), "neither of them");
    expect(() => fitLedger(at("odd"))).toThrow(/neither a ledger, nor an exported journal/);
    writeFileSync(at("empty.jsonl"), '{"vm":"","kind":"started","detail":{}}\n');
    expect(() => fitLedger(at("empty.jsonl"))).toThrow(/no recovery to fit/);
    const file = ledger();
    expect(() => fitLedger(file, { guest: "zrecovr" })).toThrow(/has the guests zrecover/);
    expect(() => fitLedger(file, { policy: "patient" })).toThrow(/not 'patient'/);
    expect(() => fitLedger(file, { policy: "reset-first" })).toThrow(/no recovery to fit/);
  });
});
