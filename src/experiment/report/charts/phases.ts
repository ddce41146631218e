/** Where the time of a recovery goes, by phase. */
import { phases } from "../../metrics.ts";
import type { Analysis } from "../../summary.ts";
import { base, type Chart, policiesOf, seriesColours } from "./style.ts";

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
