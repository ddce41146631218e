/**
 * What the report's plots have in common: the form of a specification, colours, fonts, the axis of a metric. Colours are the
 * page's CSS variables, so one SVG serves light, dark and print; lines also differ by dash, points by shape.
 */
import { type MetricName, metricOf } from "../../metrics.ts";
import type { MetricEstimate } from "../../statistics/series.ts";
import type { Analysis } from "../../summary.ts";

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
export const muted = "var(--muted)";
export const accent = "var(--series-1)";
const plotWidth = 560;
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

export function base(height: number | Spec, rest: Spec): Spec {
  return {
    width: plotWidth,
    height,
    padding: 8,
    config,
    ...rest,
  };
}

export const fewTicks: Spec = { tickCount: 5, labelOverlap: true };

interface MetricAxis {
  readonly title: string;
  readonly scale: Spec;
  readonly at: (value: number) => number;
}

/**
 * Shares near 1 differ in their nines, so what is missing to 1 is drawn, in percent, on a logarithmic axis on which
 * the better side stays the better side. Other metrics, and shares of exactly 1, on a linear one.
 */
export function metricAxis(metric: MetricName, values: readonly number[]): MetricAxis {
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
export function rangeOf(estimates: readonly MetricEstimate[]): number[] {
  return estimates.flatMap(({ mean, low, high }) => [mean, low ?? mean, high ?? mean]);
}

export function policiesOf(analysis: Analysis): string[] {
  return Object.keys(analysis.summary.policies);
}
