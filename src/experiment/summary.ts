/**
 * From the ledger's rows to what can be said about the policies: `summary.json`, and the curves and shares that the
 * report draws. Rows are taken one by one; memory depends on the plan (policies, points, metrics), not on the trials.
 * Which statistics: `statistics/`, named in the report with their sources.
 */
import type { DoneTrial, FailedTrial, TrialRow } from "./ledger.ts";
import { binSeconds } from "./ledger.ts";
import { type MetricName, metricOf, type PhaseName, phases } from "./metrics.ts";
import { coordinatesOf, type Plan } from "./plan.ts";
import { holm, pairedDifference } from "./statistics/paired.ts";
import { type MetricEstimate, RepetitionSeries } from "./statistics/series.ts";
import {
  DurationCounts,
  kaplanMeier,
  type SurvivalCurve,
  survivalAt,
  timeUntil,
} from "./statistics/survival.ts";
import { verdictOf, type Winner } from "./verdict.ts";

export interface Comparison {
  readonly metric: MetricName;
  readonly a: string;
  readonly b: string;
  /** Mean of a - b over the same cases, and its 95 % interval (null: one repetition allows none). */
  readonly difference: number;
  readonly low: number | null;
  readonly high: number | null;
  /** Two-sided probability of the difference by chance; `adjusted` for all comparisons made (Holm). */
  readonly p: number;
  readonly adjusted: number;
  /** Effect sizes: difference over its standard deviation; P(a > b) - P(a < b). */
  readonly standardised: number | null;
  readonly delta: number;
  readonly n: number;
}

export interface TimeLimit {
  readonly time: number | null;
  readonly low: number | null;
  readonly high: number | null;
}

/** Kaplan-Meier, seconds. A null time: fewer than that share recovered while they were watched. */
export interface RecoveryTimes {
  readonly failures: number;
  readonly censored: number;
  readonly p50: TimeLimit;
  readonly p90: TimeLimit;
  readonly p99: TimeLimit;
  /** Share not recovered by the deadline. */
  readonly brokenAtDeadline: number;
}

/** One combination of sweep point, scenario and guest. */
export interface Cell {
  readonly point: string;
  readonly scenario: string;
  readonly guest: string;
  /** The deciding metric only. */
  readonly policies: Readonly<Record<string, MetricEstimate>>;
}

export interface KnownAnswerCheck {
  readonly point: string;
  readonly policy: string;
  readonly metric: MetricName;
  readonly closedForm: number;
  readonly estimate: MetricEstimate;
  readonly inside: boolean;
}

export interface Summary {
  readonly experiment: string;
  readonly question: string;
  readonly seed: number;
  readonly repetitions: number;
  readonly trials: number;
  readonly failedTrials: number;
  readonly policies: Readonly<
    Record<string, Readonly<Partial<Record<MetricName, MetricEstimate>>>>
  >;
  readonly comparisons: readonly Comparison[];
  readonly timeToRecover: Readonly<Record<string, RecoveryTimes>>;
  readonly cells: readonly Cell[];
  readonly knownAnswer?: readonly KnownAnswerCheck[];
  readonly winners: readonly Winner[];
  readonly verdict: string;
}

export interface FailureReason {
  readonly reason: string;
  readonly count: number;
  readonly firstTrial: number;
  readonly policy: string;
}

/** The summary, and what the report draws but `summary.json` need not hold. */
export interface Analysis {
  readonly plan: Plan;
  readonly summary: Summary;
  readonly curves: Readonly<Record<string, SurvivalCurve>>;
  /** Mean seconds per recovered failure. */
  readonly phases: Readonly<Record<string, Readonly<Record<PhaseName, number>>>>;
  readonly reasons: readonly FailureReason[];
}

/** Beyond so many policies, only pairs with the baseline or the leader are estimated. */
export const allPairsLimit = 6;
const reasonsLimit = 50;

interface PolicyTotals {
  readonly times: DurationCounts;
  readonly phases: Record<PhaseName, number>;
  recovered: number;
}

class Summariser {
  readonly #plan: Plan;
  readonly #policies: readonly string[];
  readonly #metrics: readonly MetricName[];
  readonly #cells: { point: string; scenario: string; guest: string }[] = [];
  /** [cell][policy][metric] */
  readonly #series: RepetitionSeries[][][];
  readonly #totals: readonly PolicyTotals[];
  readonly #reasons = new Map<string, { count: number; firstTrial: number; policy: string }>();
  #trials = 0;
  #failed = 0;
  #repetitions = 0;
  #seeds = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    const first = plan.points[0];
    this.#policies = (first?.policies ?? []).map((policy) => policy.label);
    this.#metrics = [...new Set<MetricName>([...plan.metrics, "availability", "hostResets"])];
    for (const point of plan.points) {
      for (const scenario of first?.scenarios ?? []) {
        for (const guest of plan.guests) {
          this.#cells.push({ point: point.label, scenario: scenario.name, guest: guest.label });
        }
      }
    }
    this.#series = this.#cells.map(() =>
      this.#policies.map(() => this.#metrics.map(() => new RepetitionSeries())),
    );
    this.#totals = this.#policies.map(() => ({
      times: new DurationCounts(),
      phases: Object.fromEntries(phases.map((phase) => [phase, 0])) as Record<PhaseName, number>,
      recovered: 0,
    }));
  }

  /** Rows in ledger order. */
  push(row: TrialRow): void {
    this.#trials += 1;
    this.#repetitions = Math.max(this.#repetitions, row.repetition + 1);
    if (row.status === "failed") this.#pushFailed(row);
    else this.#pushDone(row);
  }

  #pushFailed(row: FailedTrial): void {
    this.#failed += 1;
    const known = this.#reasons.get(row.reason);
    if (known !== undefined) known.count += 1;
    else if (this.#reasons.size < reasonsLimit) {
      this.#reasons.set(row.reason, { count: 1, firstTrial: row.trial, policy: row.policy });
    }
  }

  #pushDone(row: DoneTrial): void {
    const at = coordinatesOf(this.#plan, row.trial);
    const scenarios = this.#plan.points[0]?.scenarios.length ?? 1;
    const cell = (at.point * scenarios + at.scenario) * this.#plan.guests.length + at.guest;
    const series = this.#series[cell]?.[at.policy];
    const totals = this.#totals[at.policy];
    if (series === undefined || totals === undefined) return;
    this.#metrics.forEach((metric, index) => {
      const value = row.metrics[metric];
      if (value !== undefined) series[index]?.push(at.repetition, value);
    });
    for (const [bin, count] of row.timeToRecover.recovered) {
      totals.times.add(binSeconds(bin), false, count);
      totals.recovered += count;
    }
    for (const [bin, count] of row.timeToRecover.censored) {
      totals.times.add(binSeconds(bin), true, count);
    }
    for (const phase of phases) totals.phases[phase] += row.phases[phase];
  }

  finish(): Analysis {
    const pooled = this.#policies.map((_, policy) =>
      this.#metrics.map((_, metric) =>
        RepetitionSeries.merged(
          this.#series.map((cell) => cell[policy]?.[metric] as RepetitionSeries),
        ),
      ),
    );
    const policies = this.#estimates(pooled);
    const comparisons = this.#comparisons(pooled, policies);
    const curves = Object.fromEntries(
      this.#policies.map((policy, index) => [
        policy,
        kaplanMeier((this.#totals[index] as PolicyTotals).times),
      ]),
    );
    const cells = this.#cells.length > 1 ? this.#cellEstimates() : [];
    const knownAnswer = this.#knownAnswers();
    const { winners, verdict } = verdictOf(this.#plan, policies, comparisons, knownAnswer);
    const summary: Summary = {
      experiment: this.#plan.name,
      question: this.#plan.question,
      seed: this.#plan.seed,
      repetitions: this.#repetitions,
      trials: this.#trials,
      failedTrials: this.#failed,
      policies,
      comparisons,
      timeToRecover: Object.fromEntries(
        Object.entries(curves).map(([policy, curve]) => [
          policy,
          recoveryTimes(curve, this.#plan.deadlineSeconds),
        ]),
      ),
      cells,
      ...(knownAnswer === undefined ? {} : { knownAnswer }),
      winners,
      verdict,
    };
    return {
      plan: this.#plan,
      summary,
      curves,
      phases: Object.fromEntries(
        this.#policies.map((policy, index) => [
          policy,
          meanPhases(this.#totals[index] as PolicyTotals),
        ]),
      ),
      reasons: [...this.#reasons].map(([reason, rest]) => ({ reason, ...rest })),
    };
  }

  /** Each interval resamples with a stream of its own, fixed by the plan's seed and the order of the report. */
  #seed(): bigint {
    this.#seeds += 1;
    return BigInt.asUintN(64, BigInt(this.#plan.seed) + BigInt(this.#seeds) * 0xd1342543de82ef95n);
  }

  #estimates(pooled: readonly RepetitionSeries[][]): Record<string, Summary["policies"][string]> {
    const estimates: Record<string, Partial<Record<MetricName, MetricEstimate>>> = {};
    this.#policies.forEach((policy, index) => {
      const row: Partial<Record<MetricName, MetricEstimate>> = {};
      this.#metrics.forEach((metric, column) => {
        const estimate = pooled[index]?.[column]?.estimate(this.#seed());
        if (estimate !== undefined) row[metric] = estimate;
      });
      estimates[policy] = row;
    });
    return estimates;
  }

  /** Every pair of few policies; of many, each with the baseline and with the leader. Holm counts all pairs. */
  #comparisons(
    pooled: readonly RepetitionSeries[][],
    estimates: Summary["policies"],
  ): Comparison[] {
    const compared = this.#plan.metrics.filter((metric) => metricOf(metric).better !== "none");
    const count = this.#policies.length;
    const raw: Omit<Comparison, "adjusted">[] = [];
    for (const metric of compared) {
      const column = this.#metrics.indexOf(metric);
      const hubs = [this.#plan.baseline, leaderOf(metric, this.#policies, estimates)];
      for (let a = 0; a < count; a++) {
        for (let b = a + 1; b < count; b++) {
          const names = [this.#policies[a] as string, this.#policies[b] as string] as const;
          if (count > allPairsLimit && !hubs.some((hub) => names.includes(hub ?? ""))) continue;
          const [left, right] = RepetitionSeries.pairs(
            pooled[a]?.[column] as RepetitionSeries,
            pooled[b]?.[column] as RepetitionSeries,
          );
          if (left.length === 0) continue;
          const result = pairedDifference(left, right, this.#seed());
          raw.push({
            metric,
            a: names[0],
            b: names[1],
            ...result,
            ...(left.length < 2 ? { low: null, high: null } : {}),
          });
        }
      }
    }
    const family = Math.max(raw.length, (compared.length * count * (count - 1)) / 2);
    const adjusted = holm(
      raw.map((comparison) => comparison.p),
      family,
    );
    return raw.map(({ p, standardised, delta, n, ...rest }, index) => ({
      ...rest,
      p,
      adjusted: adjusted[index] as number,
      standardised,
      delta,
      n,
    }));
  }

  #cellEstimates(): Cell[] {
    const column = this.#metrics.indexOf(this.#plan.metrics[0] ?? "availability");
    return this.#cells.map((cell, index) => {
      const policies: Record<string, MetricEstimate> = {};
      this.#policies.forEach((policy, number) => {
        const estimate = this.#series[index]?.[number]?.[column]?.estimate(this.#seed());
        if (estimate !== undefined) policies[policy] = estimate;
      });
      return { ...cell, policies };
    });
  }

  #knownAnswers(): KnownAnswerCheck[] | undefined {
    const known = this.#plan.knownAnswer;
    if (known === undefined) return undefined;
    const column = this.#metrics.indexOf(known.metric);
    if (column < 0) return undefined;
    const checks: KnownAnswerCheck[] = [];
    const cellsPerPoint = this.#cells.length / this.#plan.points.length;
    this.#plan.points.forEach((point, number) => {
      this.#policies.forEach((policy, index) => {
        const parts = this.#series.slice(number * cellsPerPoint, (number + 1) * cellsPerPoint);
        const estimate = RepetitionSeries.merged(
          parts.map((cell) => cell[index]?.[column] as RepetitionSeries),
        ).estimate(this.#seed());
        const closedForm = known.values[number];
        if (estimate === undefined || closedForm === undefined) return;
        const { low, high } = estimate;
        const inside = low !== null && high !== null && low <= closedForm && closedForm <= high;
        checks.push({
          point: point.label,
          policy,
          metric: known.metric,
          closedForm,
          estimate,
          inside,
        });
      });
    });
    return checks;
  }
}

/** Best mean of a metric that can be won; undefined if no policy has a value. */
function leaderOf(
  metric: MetricName,
  policies: readonly string[],
  estimates: Summary["policies"],
): string | undefined {
  const sign = metricOf(metric).better === "higher" ? 1 : -1;
  let leader: string | undefined;
  let best = Number.NEGATIVE_INFINITY;
  for (const policy of policies) {
    const mean = estimates[policy]?.[metric]?.mean;
    if (mean !== undefined && sign * mean > best) {
      best = sign * mean;
      leader = policy;
    }
  }
  return leader;
}

function recoveryTimes(curve: SurvivalCurve, deadlineSeconds: number): RecoveryTimes {
  return {
    failures: curve.n,
    censored: curve.censored,
    p50: timeUntil(curve, 0.5),
    p90: timeUntil(curve, 0.1),
    p99: timeUntil(curve, 0.01),
    brokenAtDeadline: survivalAt(curve, deadlineSeconds),
  };
}

function meanPhases(totals: PolicyTotals): Record<PhaseName, number> {
  const count = Math.max(1, totals.recovered);
  return Object.fromEntries(phases.map((phase) => [phase, totals.phases[phase] / count])) as Record<
    PhaseName,
    number
  >;
}

/** The whole ledger's rows, in order, one at a time. */
export async function summarise(
  rows: AsyncIterable<TrialRow> | Iterable<TrialRow>,
  plan: Plan,
): Promise<Analysis> {
  const summariser = new Summariser(plan);
  for await (const row of rows) summariser.push(row);
  return summariser.finish();
}
