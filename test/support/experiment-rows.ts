/**
 * Ledger rows whose truth is known, made from a seed: policies differ in how fast they recover, how often they reset
 * and how often they lose a function for good, on faults that are common to all of them.
 */
import { Prng } from "../../src/base/prng.ts";
import { binOfUs, type TrialRow } from "../../src/experiment/ledger.ts";
import { exp, log, normalQuantile } from "../../src/experiment/mathematics.ts";
import { type PhaseName, phases } from "../../src/experiment/metrics.ts";
import { coordinatesOf, type Plan, trialsPerRepetition } from "../../src/experiment/plan.ts";
import type { Scenario } from "../../src/experiment/scenario.ts";
import { loadPolicy } from "../../src/recovery/index.ts";

interface Truth {
  readonly medianSeconds: number;
  readonly resets: number;
  readonly lossRate: number;
}

export const truths: Readonly<Record<string, Truth>> = {
  mediated: { medianSeconds: 0.8, resets: 1, lossRate: 0.002 },
  "reset-first": { medianSeconds: 2.5, resets: 1.8, lossRate: 0.002 },
  quarantine: { medianSeconds: 1.1, resets: 0.6, lossRate: 0.05 },
  "qemu-11": { medianSeconds: 40, resets: 0.1, lossRate: 0.4 },
};

function scenario(name: string, meanUs: number): Scenario {
  return {
    name,
    horizonUs: 86_400e6,
    guests: 1,
    functionsPerGuest: 4,
    sources: [
      {
        arrivals: { kind: "poisson", meanUs },
        scope: "function",
        share: 1,
        spreadUs: { kind: "constant", value: 0 },
        pecs: [{ pec: 0x3a, weight: 1 }],
        stale: 0,
        lostSignal: 0.01,
      },
    ],
    host: {
      resetUs: { kind: "constant", value: 300_000 },
      refused: 0.1,
      failed: 0,
      hangs: 0,
      broken: 0,
      clearError: true,
      clearUs: { kind: "constant", value: 100 },
    },
    operator: {},
  };
}

export interface PlanOptions {
  readonly policies?: readonly string[];
  readonly points?: readonly number[];
  readonly repetitions?: number;
}

export function knownPlan(options: PlanOptions = {}): Plan {
  const names = options.policies ?? Object.keys(truths);
  const points = options.points ?? [6];
  return {
    name: "storm-vs-budget",
    question: "Which recovery policy keeps a guest's functions up?",
    seed: 42,
    repetitions: options.repetitions ?? 40,
    metrics: ["availability", "timeToRecover", "hostResets", "permanentLosses", "vmStops"],
    baseline: names[0] ?? "",
    deadlineSeconds: 60,
    points: points.map((rate) => ({
      label: points.length === 1 ? "" : `rate=${rate}`,
      values: { rate },
      scenarios: [scenario("storm", 3.6e9 / rate)],
      policies: names.map((label) => ({ label, policy: loadPolicy("mediated") })),
    })),
    guests: [{ label: "6.1 nvme", kind: "model", kernel: "6.1", driver: "nvme" }],
  };
}

export function* knownRows(plan: Plan, faults = 30): Generator<TrialRow> {
  const count = plan.repetitions * trialsPerRepetition(plan);
  for (let trial = 0; trial < count; trial++) yield knownRow(plan, trial, faults);
}

/** One trial; the faults depend on repetition and point alone. */
function knownRow(plan: Plan, trial: number, faults: number): TrialRow {
  const at = coordinatesOf(plan, trial);
  const point = plan.points[at.point];
  const policy = point?.policies[at.policy]?.label ?? "";
  const truth = truths[policy] ?? { medianSeconds: 1, resets: 1, lossRate: 0 };
  const random = new Prng(1000 * at.repetition + at.point);
  const rate = Number(point?.values["rate"] ?? 1);
  const recovered = new Map<number, number>();
  const censored = new Map<number, number>();
  const share = Object.fromEntries(phases.map((phase) => [phase, 0])) as Record<PhaseName, number>;
  let down = 0;
  let recoveries = 0;
  let losses = 0;
  let recoverySeconds = 0;
  for (let fault = 0; fault < faults; fault++) {
    const seconds = truth.medianSeconds * exp(0.6 * normalQuantile(0.001 + 0.998 * random.unit()));
    const lost = random.unit() < truth.lossRate;
    if (lost || seconds > plan.deadlineSeconds) {
      const bin = binOfUs(plan.deadlineSeconds * 1e6);
      censored.set(bin, (censored.get(bin) ?? 0) + 1);
      down += plan.deadlineSeconds * 10;
      losses += 1;
      continue;
    }
    const bin = binOfUs(seconds * 1e6);
    recovered.set(bin, (recovered.get(bin) ?? 0) + 1);
    recoveries += 1;
    recoverySeconds += seconds;
    down += seconds;
    phases.forEach((phase, index) => {
      share[phase] += seconds * ([0.02, 0.05, 0.23, 0.45, 0.15, 0.1][index] ?? 0);
    });
  }
  const identity = {
    trial,
    repetition: at.repetition,
    point: point?.label ?? "",
    scenario: point?.scenarios[at.scenario]?.name ?? "",
    guest: plan.guests[at.guest]?.label ?? "",
    policy,
  };
  const sorted = (histogram: Map<number, number>): (readonly [number, number])[] =>
    [...histogram].sort((a, b) => a[0] - b[0]);
  return {
    ...identity,
    status: "done",
    metrics: {
      availability: 1 - (down * rate) / 6 / (4 * 86_400),
      ...(recoveries > 0 ? { timeToRecover: recoverySeconds / recoveries } : {}),
      hostResets: Math.round(faults * truth.resets - log(1 - random.unit())),
      permanentLosses: losses,
      vmStops: 0,
    },
    timeToRecover: { recovered: sorted(recovered), censored: sorted(censored) },
    phases: share,
  };
}
