/** Kaplan-Meier curves: the share of failures not yet recovered, over time. */
import type { SurvivalCurve } from "../../statistics/survival.ts";
import type { Analysis } from "../../summary.ts";
import { base, type Chart, muted, policiesOf, seriesColours } from "./style.ts";

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
/** More lines than colours cannot be told apart. */
const linesLimit = seriesColours.length;
/** Points of a line: finer steps than the eye sees are left out. */
const linePoints = 160;

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
