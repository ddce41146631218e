import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadExperiment } from "../../../src/experiment/index.ts";
import { type FailedTrial, ledgerText, type TrialRow } from "../../../src/experiment/ledger.ts";
import { coordinatesOf, trialsPerRepetition } from "../../../src/experiment/plan.ts";
import { Sequencer } from "../../../src/experiment/runner/sequencer.ts";
import { TrialRunner } from "../../../src/experiment/trial/runner.ts";
import { identityOf } from "../../../src/experiment/trial/trial.ts";

const plan = loadExperiment("smoke", { repetitions: 3 });
const count = trialsPerRepetition(plan) * 3;

function failed(trial: number, extra: Partial<FailedTrial> = {}): TrialRow {
  const identity = identityOf(plan, coordinatesOf(plan, trial));
  return { ...identity, status: "failed", reason: "no", ...extra };
}

function written(order: readonly number[], rowOf: (trial: number) => TrialRow): string[] {
  const lines: string[] = [];
  const sequencer = new Sequencer(plan, undefined, ({ text }) => lines.push(text));
  for (const trial of order) sequencer.push(trial, ledgerText(rowOf(trial)));
  expect(sequencer.ended).toBe(true);
  return lines;
}

const inOrder = Array.from({ length: count }, (_, trial) => trial);

describe("the sequencer", () => {
  it("writes trials in order, whatever order they come in", () => {
    const wanted = written(inOrder, failed);
    expect(wanted.length).toBe(48);
    fc.assert(
      fc.property(fc.shuffledSubarray(inOrder, { minLength: count }), (order) => {
        expect(written(order, failed)).toEqual(wanted);
      }),
      { numRuns: 30 },
    );
  });

  it("withdraws a policy after its first overrun in trial order, whoever ran its further trials", () => {
    const overruns = new Set([13, 29, 33]);
    const rowOf = (trial: number): TrialRow =>
      overruns.has(trial) ? failed(trial, { withdraws: true }) : failed(trial);
    const lines = written(inOrder, rowOf);
    const backwards = written([...inOrder].reverse(), rowOf);
    expect(backwards).toEqual(lines);
    const rows = lines.map((line) => JSON.parse(line) as FailedTrial);
    const { policy } = rows[13] as FailedTrial;
    for (const row of rows) {
      const lost = row.policy === policy && row.trial > 13;
      const reason = lost
        ? `policy '${policy}' was withdrawn after it overran its time in trial 13`
        : "no";
      expect(row.reason).toBe(reason);
    }
  });

  it("of a shard takes every n-th trial", () => {
    const trials: number[] = [];
    const shard = { index: 2, count: 5 };
    const sequencer = new Sequencer(plan, shard, ({ row }) => trials.push(row.trial));
    for (const trial of inOrder)
      if (trial % 5 === 2) sequencer.push(trial, ledgerText(failed(trial)));
    expect(trials.slice(0, 3)).toEqual([2, 7, 12]);
    expect(sequencer.ended).toBe(true);
  });
});

describe("a trial that fails", () => {
  it("is a line with its reason, not the end", () => {
    const broken = {
      ...plan,
      guests: [{ label: "x", kind: "model", kernel: "7.3", driver: "none" }],
    };
    const row = new TrialRunner(broken as never, "").row(0);
    expect(row).toEqual({
      trial: 0,
      repetition: 0,
      point: "",
      scenario: "calm",
      guest: "x",
      policy: "mediated",
      status: "failed",
      reason: "no guest model 7.3 with driver none",
    });
  });

  it("and one that does not: its line says what was measured, keys in order", () => {
    const line = new TrialRunner(plan, "").line(5);
    expect(line).toMatch(
      /^\{"trial":5,"repetition":0,"point":"","scenario":"calm","guest":"7\.3-nvme","policy":"reset-first","status":"done","metrics":\{"availability":/,
    );
    expect(line).toBe(new TrialRunner(plan, "").line(5));
  });
});
