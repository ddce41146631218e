/** The report's plots as vega-lite specifications: data and encodings, no drawing (svg.ts). One file each. */
import type { Analysis } from "../../summary.ts";
import { intervalChart } from "./means.ts";
import { paretoChart } from "./pareto.ts";
import { phaseChart } from "./phases.ts";
import type { Chart } from "./style.ts";
import { survivalChart } from "./survival.ts";
import { heatMap } from "./sweep.ts";

export type { Chart } from "./style.ts";
export { cellLabels } from "./sweep.ts";

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
