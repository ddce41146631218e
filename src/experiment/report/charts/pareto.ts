/** Availability against host resets, with the policies that no other one beats on both. */
import type { Analysis } from "../../summary.ts";
import {
  accent,
  base,
  type Chart,
  fewTicks,
  metricAxis,
  muted,
  policiesOf,
  rangeOf,
} from "./style.ts";

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
