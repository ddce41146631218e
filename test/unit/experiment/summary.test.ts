import { describe, expect, test } from "vitest";
import type { TrialRow } from "../../../src/experiment/ledger.ts";
import { allPairsLimit, summarise } from "../../../src/experiment/summary.ts";
import { oriented } from "../../../src/experiment/verdict.ts";
import { knownPlan, knownRows } from "../../support/experiment-rows.ts";

const plan = knownPlan();
const analysis = await summarise(knownRows(plan), plan);
const { summary } = analysis;

describe("the summary of an experiment whose truth is known", () => {
  test("has an estimate with its interval for every policy and metric of the plan", () => {
    for (const policy of ["mediated", "reset-first", "quarantine", "qemu-11"]) {
      for (const metric of plan.metrics) {
        const estimate = summary.policies[policy]?.[metric];
        expect(estimate?.n).toBe(40);
        expect(estimate?.low ?? 9).toBeLessThanOrEqual(estimate?.mean ?? 0);
        expect(estimate?.high ?? 0).toBeGreaterThanOrEqual(estimate?.mean ?? 9);
      }
    }
  });

  test("finds the policy that recovers fastest and loses least the winner on availability", () => {
    expect(summary.winners[0]).toMatchObject({
      metric: "availability",
      best: "mediated",
      tied: [],
      next: "reset-first",
    });
    expect(summary.verdict).toMatch(
      /^mediated wins on availability: 99\.\d+ % \(95 % interval [\d.]+ to [\d.]+\), [\d.]+ points above reset-first \(95 % interval [\d.]+ to [\d.]+, adjusted p < 0\.001\)\./,
    );
  });

  test("does not call a winner where policies do the same", () => {
    const losses = summary.winners.find((winner) => winner.metric === "permanentLosses");
    expect(losses).toMatchObject({ best: "mediated", tied: ["reset-first"] });
    const stops = summary.winners.find((winner) => winner.metric === "vmStops");
    expect(stops?.tied).toEqual(["reset-first", "quarantine", "qemu-11"]);
    expect(summary.verdict).not.toContain("VM stops");
  });

  test("compares every pair on every metric that can be won, corrected as one family", () => {
    expect(summary.comparisons.length).toBe(5 * 6);
    for (const { p, adjusted } of summary.comparisons) expect(adjusted).toBeGreaterThanOrEqual(p);
    const smallest = summary.comparisons.reduce((a, b) => (b.p < a.p ? b : a));
    expect(smallest.adjusted).toBeCloseTo(Math.min(1, smallest.p * 30), 15);
  });

  test("pairs repetitions, so that a difference is far surer than the means", () => {
    const [mediated, other] = ["mediated", "reset-first"].map(
      (policy) => summary.policies[policy]?.timeToRecover,
    );
    const difference = oriented(summary.comparisons, "timeToRecover", "mediated", "reset-first");
    expect(difference?.difference).toBeCloseTo((mediated?.mean ?? 0) - (other?.mean ?? 0), 10);
    expect(difference?.high).toBeLessThan(0);
    const turned = oriented(summary.comparisons, "timeToRecover", "reset-first", "mediated");
    expect(turned?.low).toBe(-(difference?.high ?? 0));
  });

  test("has the median that the faults were drawn with, and censors at the deadline", () => {
    const times = summary.timeToRecover;
    expect(times["mediated"]?.p50.time).toBeCloseTo(0.8, 1);
    expect(times["mediated"]?.p50.low).toBeLessThan(0.8);
    expect(times["mediated"]?.failures).toBe(1200);
    // Lost for good: 40 %, and of the rest Φ(ln(60/40)/0.6) = 75 % end before the deadline.
    expect(times["qemu-11"]?.brokenAtDeadline).toBeCloseTo(1 - 0.6 * 0.75, 1);
    expect(times["qemu-11"]?.p90).toEqual({ time: null, low: null, high: null });
  });

  test("has the mean of each phase, whose sum is the mean time to recover", () => {
    const phases = Object.values(analysis.phases["reset-first"] ?? {});
    const sum = phases.reduce((a, b) => a + b, 0);
    expect(sum).toBeCloseTo(summary.policies["reset-first"]?.timeToRecover?.mean ?? 0, 1);
  });

  test("is the same for the same rows", async () => {
    expect(await summarise(knownRows(plan), plan)).toEqual(analysis);
  });
});

describe("a verdict", () => {
  test("bounds what there can be between two policies that it cannot tell apart", async () => {
    const pair = knownPlan({ policies: ["a", "b"] });
    const { summary: alike } = await summarise(
      [...knownRows(pair)].map((row): TrialRow => {
        if (row.status !== "done" || row.policy !== "b") return row;
        const shift = row.repetition % 2 === 0 ? 1e-4 : -1e-4;
        const availability = (row.metrics.availability ?? 0) + shift;
        return { ...row, metrics: { ...row.metrics, availability } };
      }),
      pair,
    );
    expect(alike.verdict).toMatch(
      /^No winner on availability: the data cannot tell [ab] and [ab] apart \(best mean 99\.\d+ %, 95 % interval [\d.]+ to [\d.]+; they differ by [−\d.]+ to [+\d.]+ points\)\./,
    );
  });
});

describe("a summary", () => {
  test("leaves out trials that failed, counts them and keeps their reasons", async () => {
    function* rows(): Generator<TrialRow> {
      for (const row of knownRows(plan)) {
        const { trial, repetition, point, scenario, guest, policy } = row;
        const reason = `policy '${policy}' ran over its budget`;
        yield trial % 20 === 3
          ? { trial, repetition, point, scenario, guest, policy, status: "failed", reason }
          : row;
      }
    }
    const failing = await summarise(rows(), plan);
    expect(failing.summary.failedTrials).toBe(8);
    expect(failing.summary.policies["qemu-11"]?.availability?.n).toBe(32);
    expect(failing.reasons).toEqual([
      {
        reason: "policy 'qemu-11' ran over its budget",
        count: 8,
        firstTrial: 3,
        policy: "qemu-11",
      },
    ]);
  });

  test("of one repetition has means and no interval, and claims no winner", async () => {
    const once = knownPlan({ repetitions: 1 });
    const { summary: short } = await summarise(knownRows(once), once);
    expect(short.policies["mediated"]?.availability).toMatchObject({ low: null, high: null, n: 1 });
    expect(short.verdict).toMatch(/^No winner on availability: the data cannot tell /);
  });

  test("of one policy compares nothing and says so", async () => {
    const alone = knownPlan({ policies: ["mediated"] });
    const { summary: single } = await summarise(knownRows(alone), alone);
    expect(single.comparisons).toEqual([]);
    expect(single.verdict).toMatch(
      /^mediated: availability 99\.\d+ % .* Only one policy was tried, so nothing is compared\.$/,
    );
  });

  test("of a policy whose every trial failed says that it gave no value, and claims no win over it", async () => {
    const failing = (names: readonly string[], silent: string): Promise<string> => {
      const few = knownPlan({ policies: names });
      const rows = [...knownRows(few)].map((row): TrialRow => {
        const { trial, repetition, point, scenario, guest, policy } = row;
        const place = { trial, repetition, point, scenario, guest, policy };
        return policy === silent ? { ...place, status: "failed", reason: "it threw" } : row;
      });
      return summarise(rows, few).then(({ summary: { verdict } }) => verdict);
    };
    expect(await failing(["mediated", "patient"], "patient")).toMatch(
      /^mediated: availability 99\.\d+ % \(.*\)\. Nothing is compared: no trial of patient gave a value\.$/,
    );
    expect(await failing(["mediated", "qemu-11", "patient"], "patient")).toMatch(
      /^mediated wins on availability: .* above qemu-11 \(.*\)\. No trial of patient gave a value\./,
    );
  });

  test("of no trial says that nothing can be said", async () => {
    expect((await summarise([], plan)).summary.verdict).toBe(
      "No trial gave a value for any metric: nothing can be said.",
    );
  });

  test("of a sweep has a row for each cell beside the whole", async () => {
    const sweep = knownPlan({ points: [1, 12], repetitions: 10 });
    const { summary: swept } = await summarise(knownRows(sweep), sweep);
    expect(swept.cells.map((cell) => cell.point)).toEqual(["rate=1", "rate=12"]);
    const [low, high] = swept.cells.map((cell) => cell.policies["mediated"]?.mean ?? 0);
    expect(low).toBeGreaterThan(high ?? 1);
    const whole = swept.policies["mediated"]?.availability?.mean;
    expect(whole).toBeCloseTo(((low ?? 0) + (high ?? 0)) / 2, 12);
  });

  test("of many policies compares with the baseline and the leader, counting all pairs", async () => {
    const names = ["a", "b", "c", "d", "e", "f", "mediated"];
    const many = knownPlan({ policies: names, repetitions: 8 });
    const { summary: wide } = await summarise(knownRows(many), many);
    expect(names.length).toBeGreaterThan(allPairsLimit);
    const shown = wide.comparisons.filter((row) => row.metric === "availability");
    for (const { a, b } of shown)
      expect([a, b].some((name) => "a mediated".includes(name))).toBe(true);
    expect(shown.length).toBe(11);
    const smallest = wide.comparisons.reduce((a, b) => (b.p < a.p ? b : a));
    expect(smallest.adjusted).toBeCloseTo(Math.min(1, smallest.p * 5 * 21), 15);
  });

  test("puts the closed form of a known answer beside the estimate", async () => {
    const known = {
      ...plan,
      knownAnswer: { metric: "availability" as const, formula: "1 − λ r", values: [0.9999] },
    };
    const { summary: checked } = await summarise(knownRows(known), known);
    expect(checked.knownAnswer?.map((row) => [row.policy, row.closedForm])).toEqual([
      ["mediated", 0.9999],
      ["reset-first", 0.9999],
      ["quarantine", 0.9999],
      ["qemu-11", 0.9999],
    ]);
    expect(checked.verdict).toMatch(/^\d of 4 intervals cover the closed form\. mediated wins on /);
    for (const { estimate, inside } of checked.knownAnswer ?? []) {
      expect(inside).toBe((estimate.low ?? 1) <= 0.9999 && 0.9999 <= (estimate.high ?? 0));
    }
  });
});
