/** The means of the deciding metric with their intervals, best on top: the answer at first sight. */
import { type MetricName, metricOf } from "../../metrics.ts";
import type { Analysis } from "../../summary.ts";
import { estimateText } from "../format.ts";
import { accent, base, type Chart, fewTicks, metricAxis, policiesOf, rangeOf } from "./style.ts";

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
