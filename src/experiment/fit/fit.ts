/**
 * `zmend experiment fit`: the model guest's times from measured recoveries. Each measured phase becomes the one stage of the
 * model (`src/guest-model/drivers.ts`) that its time is spent in; the other stages of the phase become 0, because nothing
 * tells them apart from outside of the guest.
 */
import { stringify } from "yaml";
import type { Distribution } from "../../base/distribution.ts";
import { ZmendError } from "../../base/errors.ts";
import type { StageName } from "../../guest-model/index.ts";
import { type Fit, fitTimes, VALUES_MIN } from "./families.ts";
import {
  type GuestPhase,
  type MeasuredRecoveries,
  readRecoveries,
  type SampleChoice,
} from "./samples.ts";

interface PhaseRow {
  readonly phase: GuestPhase;
  readonly stage: StageName;
  /** Stages of the same phase, which take no time beside it. */
  readonly others: readonly StageName[];
}

const rows: readonly PhaseRow[] = [
  { phase: "notify", stage: "machineCheck", others: ["fetch"] },
  { phase: "guest", stage: "teardown", others: ["decide"] },
  { phase: "restore", stage: "register", others: ["enable"] },
  { phase: "resume", stage: "restart", others: ["restore"] },
];

export interface FittedStage {
  readonly phase: GuestPhase;
  readonly stage: StageName;
  readonly others: readonly StageName[];
  readonly fit: Fit;
}

export interface FittedModel {
  readonly source: string;
  readonly recoveries: number;
  readonly stages: readonly FittedStage[];
}

/** @throws ZmendError LEDGER_INVALID when there is nothing to fit */
export function fitLedger(file: string, choice: SampleChoice = {}, seed = 1): FittedModel {
  return fitRecoveries(readRecoveries(file, choice), file, seed);
}

function fitRecoveries(measured: MeasuredRecoveries, file: string, seed: number): FittedModel {
  const { samples, recoveries, source } = measured;
  if (recoveries < 2) {
    throw new ZmendError(
      "LEDGER_INVALID",
      `${file} has ${recoveries === 0 ? "no recovery" : "one recovery"} to fit (an experiment's trial counts when it has one failure that the guest recovers from); record more of them.`,
      { file, recoveries },
    );
  }
  const stages = rows
    .filter(({ phase }) => samples[phase].length > 0)
    .map((row) => ({ ...row, fit: fitTimes(samples[row.phase], seed) }));
  return { source, recoveries, stages };
}

/** The file that a guest's `timesFile:` names; comments say how well each stage fits. */
export function timesFile(model: FittedModel): string {
  const timesMs: Record<string, unknown> = {};
  for (const { stage, others, fit } of model.stages) {
    for (const other of others) timesMs[other] = 0;
    timesMs[stage] = inMs(fit.distribution);
  }
  const comments = fitLines(model).map((line) => `# ${line}`);
  const body = stringify({ version: 1, source: model.source, timesMs }, { lineWidth: 110 });
  return `# Times of a guest model, by 'zmend experiment fit'.\n${comments.join("\n")}\n${body}`;
}

/** What stands in the file, and on the terminal, per stage. */
export function fitLines({ recoveries, source, stages }: FittedModel): string[] {
  return [
    `${recoveries} recoveries of ${source}`,
    ...stages.map(({ phase, stage, fit }) => {
      const { best, n, distribution } = fit;
      const head = `${phase} -> ${stage}: ${text(distribution)}, n ${n}`;
      if (best === undefined) {
        const why = distribution.kind === "constant" ? "all the same" : `fewer than ${VALUES_MIN}`;
        return `${head} (${why})`;
      }
      const fitted = `Kolmogorov-Smirnov distance ${best.distance.toFixed(3)}, p ${best.p.toFixed(3)}`;
      if (distribution.kind !== "measured") return `${head}, ${fitted}`;
      return `${head} (the best of the families, ${text(best.distribution)}, does not fit: ${fitted})`;
    }),
  ];
}

const round = (us: number): number => Number((us / 1000).toPrecision(6));

function inMs(distribution: Distribution): unknown {
  switch (distribution.kind) {
    case "constant":
      return round(distribution.value);
    case "exponential":
      return { exponential: { mean: round(distribution.mean) } };
    case "lognormal": {
      const { median, sigma } = distribution;
      return { lognormal: { median: round(median), sigma: Number(sigma.toPrecision(4)) } };
    }
    case "weibull": {
      const { scale, shape } = distribution;
      return { weibull: { scale: round(scale), shape: Number(shape.toPrecision(4)) } };
    }
    case "uniform":
      return { uniform: { low: round(distribution.low), high: round(distribution.high) } };
    case "measured":
      return { measured: distribution.quantiles.map(round) };
  }
}

function text(distribution: Distribution): string {
  const ms = (us: number): string => `${round(us)} ms`;
  switch (distribution.kind) {
    case "constant":
      return `constant ${ms(distribution.value)}`;
    case "exponential":
      return `exponential, mean ${ms(distribution.mean)}`;
    case "lognormal":
      return `lognormal, median ${ms(distribution.median)}, sigma ${distribution.sigma.toPrecision(3)}`;
    case "weibull":
      return `Weibull, scale ${ms(distribution.scale)}, shape ${distribution.shape.toPrecision(3)}`;
    case "uniform":
      return `uniform, ${ms(distribution.low)} to ${ms(distribution.high)}`;
    case "measured":
      return `${distribution.quantiles.length} measured quantiles, ${ms(distribution.quantiles[0] ?? 0)} to ${ms(distribution.quantiles.at(-1) ?? 0)}`;
  }
}
