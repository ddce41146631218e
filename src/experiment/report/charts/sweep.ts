/** The deciding metric of every policy in every cell of the sweep, as a heat map. */
import { type MetricName, metricOf } from "../../metrics.ts";
import type { MetricEstimate } from "../../statistics/series.ts";
import type { Analysis, Cell } from "../../summary.ts";
import { estimateText } from "../format.ts";
import { accent, base, type Chart, metricAxis, policiesOf } from "./style.ts";

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
