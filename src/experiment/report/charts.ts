/**
 * The report's plots as vega-lite specifications: data and encodings, no drawing. Colours are the page's CSS
 * variables, so one SVG serves light, dark and print; lines also differ by dash, points by shape.
 */
import { type MetricName, metricOf, phases } from "../metrics.ts";
import type { MetricEstimate } from "../statistics/series.ts";
import type { SurvivalCurve } from "../statistics/survival.ts";
import type { Analysis, Cell } from "../summary.ts";
import { estimateText } from "./format.ts";

/** A vega-lite specification, as its JSON schema has it. */
export type Spec = Readonly<Record<string, unknown>>;

export interface Chart {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly spec: Spec;
}

/** Colours of the page (html.ts). */
export const seriesColours = [1, 2, 3, 4, 5, 6, 7, 8].map((number) => `var(--series-${number})`);
const ink = "var(--ink)";
const muted = "var(--muted)";
const accent = "var(--series-1)";
const dashes = [
  [1, 0],
  [6, 3],
  [2, 2],
  [8, 3, 2, 3],
  [4, 2],
  [1, 3],
  [10, 4],
  [6, 2, 2, 2],
];
const plotWidth = 560;
/** More lines than colours cannot be told apart. */
const linesLimit = seriesColours.length;
/** Points of a line: finer steps than the eye sees are left out. */
const linePoints = 160;

const config: Spec = {
  background: "transparent",
  font: "system-ui, sans-serif",
  axis: {
    labelColor: ink,
    titleColor: ink,
    domainColor: muted,
    tickColor: muted,
    gridColor: "var(--grid)",
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: 500,
    labelLimit: 220,
  },
  legend: {
    labelColor: ink,
    titleColor: ink,
    labelFontSize: 12,
    titleFontSize: 12,
    labelLimit: 220,
  },
  header: { labelColor: ink, titleColor: ink, labelFontSize: 12 },
  view: { stroke: null },
  text: { color: ink, fontSize: 12 },
};

function base(height: number | Spec, rest: Spec): Spec {
  return {
    width: plotWidth,
    height,
    padding: 8,
    config,
    ...rest,
  };
}

const fewTicks: Spec = { tickCount: 5, labelOverlap: true };

interface MetricAxis {
  readonly title: string;
  readonly scale: Spec;
  readonly at: (value: number) => number;
}

/**
 * Shares near 1 differ in their nines, so what is missing to 1 is drawn, in percent, on a logarithmic axis on which
 * the better side stays the better side. Other metrics, and shares of exactly 1, on a linear one.
 */
function metricAxis(metric: MetricName, values: readonly number[]): MetricAxis {
  const { title, unit } = metricOf(metric);
  const linear = { zero: false, nice: true };
  if (unit !== "ratio") {
    return {
      title: unit === "1" ? title : `${title}, ${unit}`,
      scale: linear,
      at: (value) => value,
    };
  }
  if (values.some((value) => value >= 1)) {
    return { title: `${title}, %`, scale: linear, at: (value) => value * 100 };
  }
  return {
    title: "Missing to 100 %, log scale",
    scale: { type: "log", reverse: true, nice: false, domain: roomy(values) },
    at: (value) => (1 - value) * 100,
  };
}

/** What is missing, in percent, with room at both ends for points and labels. */
function roomy(values: readonly number[]): readonly [number, number] {
  const missing = values.map((value) => (1 - value) * 100);
  return [Math.min(...missing) / 1.6, Math.max(...missing) * 1.6];
}

/** Ends of intervals included, so that a logarithmic axis is only used where all of them have a place. */
function rangeOf(estimates: readonly MetricEstimate[]): number[] {
  return estimates.flatMap(({ mean, low, high }) => [mean, low ?? mean, high ?? mean]);
}

function policiesOf(analysis: Analysis): string[] {
  return Object.keys(analysis.summary.policies);
}

/** Means with their intervals, best on top: the answer at first sight. */
export function intervalChart(analysis: Analysis, metric: MetricName): Chart | undefined {
  const sign = metricOf(metric).better === "higher" ? -1 : 1;
  const estimates = policiesOf(analysis)
    .flatMap((policy) => {
      const estimate = analysis.summary.policies[policy]?.[metric];
      return estimate === undefined ? [] : [{ policy, estimate }];
    })
    .sort((a, b) => sign * (a.estimate.mean - b.estimate.mean));
  if (estimates.length === 0) return undefined;
  const axis = metricAxis(metric, rangeOf(estimates.map(({ estimate }) => estimate)));
  const values = estimates.map(({ policy, estimate }) => {
    const { mean, low, high } = estimate;
    const { value, interval } = estimateText(metric, mean, estimate);
    return {
      policy,
      mean: axis.at(mean),
      low: axis.at(low ?? mean),
      high: axis.at(high ?? mean),
      text: value,
      spoken: interval === "" ? `${policy} ${value}` : `${policy} ${value} (${interval})`,
    };
  });
  const y = { field: "policy", type: "nominal", sort: null, title: null };
  const x = { type: "quantitative", scale: axis.scale, title: axis.title, axis: fewTicks };
  return {
    id: "means",
    title: `${metricOf(metric).title}, mean and 95 % interval`,
    description: `Best first: ${values.map((row) => row.spoken).join("; ")}.`,
    spec: base(
      { step: 30 },
      {
        data: { values },
        layer: [
          {
            mark: { type: "rule", color: accent, strokeWidth: 3 },
            encoding: { y, x: { ...x, field: "low" }, x2: { field: "high" } },
          },
          {
            mark: {
              type: "point",
              color: accent,
              fill: accent,
              filled: true,
              size: 80,
              opacity: 1,
            },
            encoding: { y, x: { ...x, field: "mean" } },
          },
          {
            mark: { type: "text", align: "center", dy: -12, fontSize: 11 },
            encoding: { y, x: { ...x, field: "mean" }, text: { field: "text" } },
          },
        ],
      },
    ),
  };
}

interface StepRow {
  readonly policy: string;
  readonly time: number;
  readonly broken: number;
  readonly low: number;
  readonly high: number;
}

/** Steps that the eye can see, from 1 on the left edge to the right edge. */
function stepRows(policy: string, curve: SurvivalCurve, from: number, to: number): StepRow[] {
  const rows: StepRow[] = [{ policy, time: from, broken: 1, low: 1, high: 1 }];
  let shown = 1;
  curve.steps.forEach((step, index) => {
    const last = index === curve.steps.length - 1;
    if (!last && shown - step.survival < 1 / linePoints) return;
    shown = step.survival;
    rows.push({ policy, time: step.time, broken: step.survival, low: step.low, high: step.high });
  });
  const end = rows.at(-1);
  if (end !== undefined && end.broken > 0 && end.time < to) rows.push({ ...end, time: to });
  return rows;
}

/** Share of failures not yet recovered, over time. */
export function survivalChart(analysis: Analysis): Chart | undefined {
  const shown = policiesOf(analysis).filter(
    (policy) => (analysis.curves[policy]?.steps.length ?? 0) > 0,
  );
  const policies = shown.slice(0, linesLimit);
  const times = policies.flatMap(
    (policy) => analysis.curves[policy]?.steps.map((step) => step.time) ?? [],
  );
  const deadline = analysis.plan.deadlineSeconds;
  if (times.length === 0) return undefined;
  let earliest = deadline;
  let latest = 0;
  for (const time of times) {
    if (time > 0 && time < earliest) earliest = time;
    if (time > latest) latest = time;
  }
  const from = earliest * 0.8;
  const to = Math.max(deadline, latest) * 1.05;
  const values = policies.flatMap((policy) =>
    stepRows(policy, analysis.curves[policy] as SurvivalCurve, from, to),
  );
  const x = {
    field: "time",
    type: "quantitative",
    scale: { type: "log", domain: [from, to], nice: false },
    axis: { format: "~g", title: "Seconds since the failure's first error", grid: true },
  };
  const policy = { field: "policy", type: "nominal", sort: null };
  const colour = {
    ...policy,
    title: null,
    scale: { domain: policies, range: seriesColours.slice(0, policies.length) },
    legend: {
      orient: "bottom",
      columns: 4,
      symbolType: "stroke",
      symbolSize: 300,
      symbolStrokeWidth: 2,
      symbolOpacity: 1,
    },
  };
  const spoken = policies.map((name) => {
    const times = analysis.summary.timeToRecover[name];
    const median = times?.p50.time;
    const half =
      median == null ? "less than half recovered" : `half after ${median.toPrecision(3)} s`;
    return `${name}: ${half}, ${((times?.brokenAtDeadline ?? 1) * 100).toFixed(1)} % still broken at the deadline`;
  });
  return {
    id: "survival",
    title: "Failures not yet recovered",
    description: `Kaplan-Meier curves with 95 % bands, dotted line: deadline of ${deadline} s. ${spoken.join("; ")}.${
      shown.length > policies.length ? ` The first ${linesLimit} of ${shown.length} policies.` : ""
    }`,
    spec: base(280, {
      data: { values },
      layer: [
        {
          mark: { type: "area", interpolate: "step-after", opacity: 0.15 },
          encoding: {
            x,
            y: {
              field: "low",
              type: "quantitative",
              axis: { format: "%", title: "Not yet recovered" },
            },
            y2: { field: "high" },
            color: colour,
          },
        },
        {
          mark: { type: "line", interpolate: "step-after", strokeWidth: 2 },
          encoding: {
            x,
            y: { field: "broken", type: "quantitative", scale: { domain: [0, 1] } },
            color: colour,
            strokeDash: {
              ...policy,
              title: null,
              scale: { domain: policies, range: dashes.slice(0, policies.length) },
              legend: colour.legend,
            },
          },
        },
        {
          data: { values: [{ time: deadline }] },
          mark: { type: "rule", color: muted, strokeDash: [2, 3] },
          encoding: { x },
        },
      ],
    }),
  };
}

/** Policies that no other one beats on both: more availability and fewer resets. In order of resets. */
export function paretoFront(
  points: readonly { policy: string; availability: number; resets: number }[],
): string[] {
  return points
    .filter(
      (point) =>
        !points.some(
          (other) =>
            other.availability >= point.availability &&
            other.resets <= point.resets &&
            (other.availability > point.availability || other.resets < point.resets),
        ),
    )
    .sort((a, b) => a.resets - b.resets)
    .map((point) => point.policy);
}

/** Points closer than this, of the plot's width or of their height, would have their labels on one another. */
const CLOSE = 0.04;

/** One label for points in one place, at the first of them; "" at the others. */
export function sharedLabels(
  points: readonly { policy: string; at: number; resets: number }[],
): string[] {
  const resets = points.map((point) => point.resets);
  const width = Math.max(...resets) - Math.min(...resets);
  const close = (a: (typeof points)[number], b: (typeof points)[number]): boolean =>
    Math.abs(a.resets - b.resets) <= CLOSE * width &&
    Math.abs(a.at - b.at) <= CLOSE * Math.max(Math.abs(a.at), Math.abs(b.at));
  const first = points.map((point) => points.findIndex((other) => close(point, other)));
  return points.map((_, index) =>
    points
      .filter((_other, n) => first[n] === index)
      .map(({ policy }) => policy)
      .join(", "),
  );
}

/** Availability against host resets. */
export function paretoChart(analysis: Analysis): Chart | undefined {
  const rows = policiesOf(analysis).flatMap((policy) => {
    const row = analysis.summary.policies[policy];
    const up = row?.availability;
    const resets = row?.hostResets;
    return up === undefined || resets === undefined ? [] : [{ policy, up, resets }];
  });
  const axis = metricAxis("availability", rangeOf(rows.map(({ up }) => up)));
  const points = rows.map(({ policy, up, resets }) => ({
    policy,
    availability: up.mean,
    at: axis.at(up.mean),
    low: axis.at(up.low ?? up.mean),
    high: axis.at(up.high ?? up.mean),
    resets: resets.mean,
    fewest: resets.low ?? resets.mean,
    most: resets.high ?? resets.mean,
  }));
  if (points.length < 2) return undefined;
  const front = paretoFront(points);
  const labels = sharedLabels(points);
  const values = points.map((point, index) => ({
    ...point,
    front: front.includes(point.policy),
    label: labels[index] ?? "",
  }));
  const x = {
    type: "quantitative",
    title: "Host resets per trial, mean",
    scale: { zero: false, padding: 30 },
  };
  const y = { type: "quantitative", title: axis.title, scale: axis.scale, axis: fewTicks };
  return {
    id: "pareto",
    title: "Availability against host resets",
    description: `Further up is better, further left is gentler on the host. On the front, where more availability costs more resets: ${front.join(", ")}.`,
    spec: base(280, {
      data: { values },
      layer: [
        {
          transform: [{ filter: "datum.front" }],
          mark: { type: "line", interpolate: "step-after", color: muted, strokeDash: [4, 3] },
          encoding: { x: { ...x, field: "resets" }, y: { ...y, field: "at" } },
        },
        {
          mark: { type: "rule", color: muted },
          encoding: {
            x: { ...x, field: "resets" },
            y: { ...y, field: "low" },
            y2: { field: "high" },
          },
        },
        {
          mark: { type: "rule", color: muted },
          encoding: {
            x: { ...x, field: "fewest" },
            x2: { field: "most" },
            y: { ...y, field: "at" },
          },
        },
        {
          mark: {
            type: "point",
            filled: true,
            size: 90,
            color: accent,
            stroke: accent,
            opacity: 1,
          },
          encoding: {
            x: { ...x, field: "resets" },
            y: { ...y, field: "at" },
            fill: { condition: { test: "datum.front", value: accent }, value: "var(--page)" },
          },
        },
        {
          mark: { type: "text", align: "left", dx: 9, dy: -9 },
          encoding: {
            x: { ...x, field: "resets" },
            y: { ...y, field: "at" },
            text: { field: "label" },
          },
        },
      ],
    }),
  };
}

/** Where the time of a recovery goes. */
export function phaseChart(analysis: Analysis): Chart | undefined {
  const values = policiesOf(analysis).flatMap((policy) =>
    phases.map((phase, order) => ({
      policy,
      phase,
      order,
      seconds: analysis.phases[policy]?.[phase] ?? 0,
    })),
  );
  if (!values.some((row) => row.seconds > 0)) return undefined;
  const longest = policiesOf(analysis).map((policy) => {
    const rows = values.filter((row) => row.policy === policy);
    const whole = rows.reduce((sum, row) => sum + row.seconds, 0);
    const top = rows.reduce((a, b) => (b.seconds > a.seconds ? b : a));
    return whole === 0
      ? `${policy}: no recovery`
      : `${policy}: ${whole.toPrecision(3)} s, most of it ${top.phase} (${((100 * top.seconds) / whole).toFixed(0)} %)`;
  });
  return {
    id: "phases",
    title: "Where the time to recover goes",
    description: `Mean seconds of each phase per recovered failure. ${longest.join("; ")}.`,
    spec: base(
      { step: 30 },
      {
        data: { values },
        mark: { type: "bar", stroke: "var(--page)", strokeWidth: 1 },
        encoding: {
          y: { field: "policy", type: "nominal", sort: null, title: null },
          x: {
            field: "seconds",
            type: "quantitative",
            title: "Seconds per recovery, mean",
            stack: "zero",
          },
          order: { field: "order", type: "quantitative" },
          color: {
            field: "phase",
            type: "nominal",
            title: null,
            sort: null,
            scale: { domain: phases, range: seriesColours.slice(0, phases.length) },
            legend: { orient: "bottom", columns: 6 },
          },
        },
      },
    ),
  };
}

/** What tells a cell from the others; parts that never vary are left out. */
export function cellLabels(cells: readonly Cell[]): string[] {
  const varies = (key: "point" | "scenario" | "guest"): boolean =>
    new Set(cells.map((cell) => cell[key])).size > 1;
  const keys = (["point", "scenario", "guest"] as const).filter(varies);
  return cells.map((cell) => keys.map((key) => cell[key]).join(" · ") || "all");
}

/** One digit less than the interval supports is enough to compare cells. */
function coarseText(metric: MetricName, { mean, low, high }: MetricEstimate): string {
  const half = low === null || high === null ? 0 : 5 * (high - low);
  return estimateText(metric, mean, { low: mean - half, high: mean + half }).value;
}

/** The deciding metric of every policy in every cell of the sweep. */
export function heatMap(analysis: Analysis): Chart | undefined {
  const { cells } = analysis.summary;
  const metric = analysis.plan.metrics[0] ?? "availability";
  const better = metricOf(metric).better;
  if (cells.length < 2 || cells.length > 60) return undefined;
  const labels = cellLabels(cells);
  const means = cells.flatMap((cell) => Object.values(cell.policies).map(({ mean }) => mean));
  const axis = metricAxis(metric, means);
  const values = cells.flatMap((cell, index) =>
    Object.entries(cell.policies).map(([policy, estimate]) => ({
      cell: labels[index] ?? "",
      policy,
      mean: estimate.mean,
      value: axis.at(estimate.mean),
      text: coarseText(metric, estimate),
    })),
  );
  if (values.length === 0) return undefined;
  const extreme = (sign: number) =>
    values.reduce((a, b) => (sign * b.mean > sign * a.mean ? b : a));
  const [top, bottom] = better === "lower" ? [extreme(-1), extreme(1)] : [extreme(1), extreme(-1)];
  const y = { field: "cell", type: "nominal", sort: null, title: null };
  const x = {
    field: "policy",
    type: "nominal",
    sort: null,
    title: null,
    axis: {
      orient: "top",
      labelAngle: policiesOf(analysis).length > 6 ? -40 : 0,
      domain: false,
      ticks: false,
    },
  };
  return {
    id: "sweep",
    title: `${metricOf(metric).title} in every cell of the design`,
    description: `Darker is better. Best: ${top.policy} at ${top.cell} (${top.text}); worst: ${bottom.policy} at ${bottom.cell} (${bottom.text}).`,
    spec: base(
      { step: 28 },
      {
        data: { values },
        encoding: { x, y },
        layer: [
          {
            mark: { type: "rect", color: accent, stroke: "var(--page)", strokeWidth: 2 },
            encoding: {
              fillOpacity: {
                field: "value",
                type: "quantitative",
                legend: null,
                scale: {
                  ...axis.scale,
                  range: better === "lower" ? [0.6, 0.05] : [0.05, 0.6],
                },
              },
            },
          },
          { mark: { type: "text", fontSize: 11 }, encoding: { text: { field: "text" } } },
        ],
      },
    ),
  };
}

/** All charts that the data allow, in the report's order. */
export function chartsOf(analysis: Analysis): Chart[] {
  const metric = analysis.plan.metrics[0] ?? "availability";
  return [
    intervalChart(analysis, metric),
    survivalChart(analysis),
    paretoChart(analysis),
    phaseChart(analysis),
    heatMap(analysis),
  ].filter((chart) => chart !== undefined);
}
