/**
 * An experiment with everything resolved: plain data that travels to workers and stands in the ledger's header.
 * `schema.ts` makes it from YAML; trials, statistics and report read it.
 */
import type { Distribution } from "../base/distribution.ts";
import type { KernelName, StageName } from "../guest-model/index.ts";
import type { Policy } from "../recovery/policy.ts";
import type { MetricName } from "./metrics.ts";
import type { Scenario } from "./scenario.ts";

/** One combination of the sweep's values; `label` is "" without a sweep. */
export interface PlanPoint {
  readonly label: string;
  readonly values: Readonly<Record<string, number | string>>;
  readonly scenarios: readonly Scenario[];
  readonly policies: readonly PlannedPolicy[];
}

export interface PlannedPolicy {
  readonly label: string;
  readonly policy: Policy;
  /** An ES module that decides instead of the policy's own tables. */
  readonly module?: { readonly file: string; readonly sha256: string };
}

export type PlannedGuest =
  | {
      readonly label: string;
      readonly kind: "model";
      readonly kernel: KernelName;
      readonly driver: string;
      /** Stage times that replace the driver's own (`zmend experiment fit`). */
      readonly times?: Readonly<Partial<Record<StageName, Distribution>>>;
    }
  | {
      readonly label: string;
      readonly kind: "machine";
      /** A fixture's name, or a snapshot's file. */
      readonly machine: string;
      /** Of what it is made of: image and first root file system, or the snapshot. */
      readonly sha256: string;
    };

/** Repetitions: fixed, or until the interval of `metric` is narrow enough for every policy. */
export interface StoppingRule {
  readonly metric: MetricName;
  /** Full width of the 95 % interval. */
  readonly narrowerThan: number;
  readonly atLeast: number;
  /** Looked at after each `every` repetitions. */
  readonly every: number;
}

/** Closed form beside the estimate (known-answer.yaml), by point in the order of `points`. */
export interface KnownAnswer {
  readonly metric: MetricName;
  readonly formula: string;
  readonly values: readonly number[];
}

export interface Plan {
  readonly name: string;
  readonly question: string;
  readonly seed: number;
  /** The most repetitions; the only ones without a stopping rule. */
  readonly repetitions: number;
  readonly stop?: StoppingRule;
  /** Metrics of the report; the first one decides the verdict. */
  readonly metrics: readonly MetricName[];
  /** Policy that the others are compared with; the first one unless the file says otherwise. */
  readonly baseline: string;
  /** Times to recover are censored here, seconds. */
  readonly deadlineSeconds: number;
  /** All points have the same labels of scenarios and policies, in the same order. */
  readonly points: readonly PlanPoint[];
  readonly guests: readonly PlannedGuest[];
  readonly knownAnswer?: KnownAnswer;
}

/** Trials of one repetition. */
export function trialsPerRepetition(plan: Plan): number {
  const first = plan.points[0];
  if (first === undefined) return 0;
  return plan.points.length * first.scenarios.length * plan.guests.length * first.policies.length;
}

/** Indices into the plan's lists. */
export interface TrialCoordinates {
  readonly trial: number;
  readonly repetition: number;
  readonly point: number;
  readonly scenario: number;
  readonly guest: number;
  readonly policy: number;
}

/** Where trial number `trial` stands: policies vary fastest, so the partners of a comparison are neighbours. */
export function coordinatesOf(plan: Plan, trial: number): TrialCoordinates {
  const first = plan.points[0];
  const policies = first?.policies.length ?? 1;
  const scenarios = first?.scenarios.length ?? 1;
  let rest = trial;
  const digit = (base: number): number => {
    const value = rest % base;
    rest = Math.floor(rest / base);
    return value;
  };
  const policy = digit(policies);
  const guest = digit(plan.guests.length);
  const scenario = digit(scenarios);
  const point = digit(plan.points.length);
  return { trial, repetition: rest, point, scenario, guest, policy };
}

/** What a trial is about. */
export interface PlannedTrial {
  readonly at: TrialCoordinates;
  readonly scenario: Scenario;
  readonly planned: PlannedPolicy;
  readonly guest: PlannedGuest;
}

/** Undefined when the plan has no such trial. */
export function trialOf(plan: Plan, trial: number): PlannedTrial | undefined {
  const at = coordinatesOf(plan, trial);
  const point = plan.points[at.point];
  const scenario = point?.scenarios[at.scenario];
  const planned = point?.policies[at.policy];
  const guest = plan.guests[at.guest];
  if (scenario === undefined || planned === undefined || guest === undefined) return undefined;
  return { at, scenario, planned, guest };
}
