/**
 * What the report says, in order: the verdict, the numbers behind it, plots, all comparisons, what is not shown,
 * methods with their sources, and how to get the same bytes again. No path of a machine and no wall time comes in.
 */
import { type MetricName, metricOf, phases } from "../metrics.ts";
import { resamples } from "../statistics/bootstrap.ts";
import { seriesLimit } from "../statistics/series.ts";
import { minimumRepetitions } from "../statistics/stopping.ts";
import type { Analysis, Comparison, TimeLimit } from "../summary.ts";
import { type Chart, cellLabels } from "./charts/index.ts";
import type { Block } from "./document.ts";
import {
  countText,
  differenceText,
  estimateText,
  listText,
  probabilityText,
  timeText,
} from "./format.ts";
import { limitsOf } from "./limits.ts";

/** What the report cannot know by itself. */
export interface Provenance {
  /** Version of zmend. */
  readonly version: string;
  /** The command as it would be typed, with file names but no folders of this machine. */
  readonly command: string;
  /** SHA-256 of `ledger.jsonl`. */
  readonly ledgerSha256: string;
  /** Further limits, of the guest model for example. */
  readonly limits?: readonly string[];
}

export interface DrawnChart {
  readonly chart: Chart;
  readonly svg: string;
}

/** Columns beside the name that fit on a page. */
const columnsPerTable = 5;

export function sectionsOf(
  analysis: Analysis,
  drawn: readonly DrawnChart[],
  provenance: Provenance,
): Block[] {
  const figure = (id: string): Block[] => {
    const found = drawn.find(({ chart }) => chart.id === id);
    if (found === undefined) return [];
    const { title, description } = found.chart;
    return [{ kind: "figure", id, title, description, svg: found.svg }];
  };
  return [
    verdictBlock(analysis),
    ...figure("means"),
    ...winnersTable(analysis),
    heading("Every policy, every metric"),
    ...estimateTables(analysis),
    heading("Time to recover"),
    ...figure("survival"),
    recoveryTable(analysis),
    ...figure("phases"),
    phaseTable(analysis),
    ...section("What availability costs in resets", figure("pareto")),
    ...section("The sweep, cell by cell", [...figure("sweep"), ...cellTable(analysis)]),
    ...section("Against the known answer", knownAnswerTable(analysis)),
    ...section("All comparisons", comparisonTables(analysis)),
    ...section("Trials that failed", failureTable(analysis)),
    heading("What this does not show"),
    { kind: "list", items: [...limitsOf(analysis.plan), ...(provenance.limits ?? [])] },
    heading("Methods"),
    { kind: "list", items: methods(analysis) },
    heading("The same result again"),
    ...reproduction(analysis, provenance),
  ];
}

function heading(text: string): Block {
  return { kind: "heading", text };
}

function section(title: string, blocks: readonly Block[]): Block[] {
  return blocks.length === 0 ? [] : [heading(title), ...blocks];
}

function verdictBlock({ plan, summary }: Analysis): Block {
  const policies = Object.keys(summary.policies).length;
  const facts = [
    `${countText(summary.trials)} trials: ${policies} ${policies === 1 ? "policy" : "policies, each on the same faults"}, ${countText(summary.repetitions)} repetitions${summary.cells.length > 1 ? ` of ${summary.cells.length} cells` : ""}.`,
  ];
  if (summary.failedTrials > 0) {
    facts.push(
      `${countText(summary.failedTrials)} of them failed and are left out; see "Trials that failed".`,
    );
  }
  if (plan.stop !== undefined) {
    const reached = summary.repetitions < plan.repetitions;
    const width = differenceText(plan.stop.metric, plan.stop.narrowerThan, {
      low: null,
      high: null,
    });
    facts.push(
      `Stopping rule: the interval of ${plan.stop.metric} narrower than ${width.value.replace("+", "")}${reached ? ", reached" : `; not reached within ${countText(plan.repetitions)} repetitions`}.`,
    );
  }
  facts.push(...cellFacts(plan.metrics[0], summary));
  const single = Object.values(summary.policies).some((row) =>
    Object.values(row).some((estimate) => estimate.method === "single"),
  );
  if (single)
    facts.push("One repetition allows no interval: repeat with --repetitions 30 or more.");
  return { kind: "verdict", text: summary.verdict, facts };
}

/** Where it is best and where worst, for questions that policies alone do not answer. */
function cellFacts(
  metric: MetricName | undefined,
  { cells, winners }: Analysis["summary"],
): string[] {
  const best = winners.find((winner) => winner.metric === metric)?.best;
  if (metric === undefined || best === undefined || cells.length < 2) return [];
  const sign = metricOf(metric).better === "lower" ? 1 : -1;
  const labels = cellLabels(cells);
  const ranked = cells
    .flatMap(({ policies }, index) => {
      const estimate = policies[best];
      return estimate === undefined ? [] : [{ label: labels[index] ?? "", estimate }];
    })
    .sort((a, b) => sign * (a.estimate.mean - b.estimate.mean));
  const [top] = ranked;
  const bottom = ranked.at(-1);
  if (top === undefined || bottom === undefined || ranked.length < 2) return [];
  const text = ({ label, estimate }: typeof top): string =>
    `${label} ${estimateCell(estimate, metric)}`;
  return [
    `${metricOf(metric).title} of ${best} by cell: best ${text(top)}, worst ${text(bottom)}.`,
  ];
}

function winnersTable({ summary }: Analysis): Block[] {
  const compared = summary.winners.filter(
    ({ tied, next }) => tied.length > 0 || next !== undefined,
  );
  if (compared.length === 0) return [];
  const rows = compared.map(({ metric, best, tied, next, margin }) => {
    const estimate = summary.policies[best]?.[metric];
    const value = estimate === undefined ? "" : estimateText(metric, estimate.mean, estimate).value;
    const difference =
      margin === undefined
        ? { value: "", interval: "" }
        : differenceText(metric, margin.difference, margin);
    return [
      metricOf(metric).title,
      tied.length === 0 ? best : `${best}, not told from ${listText(tied)}`,
      value,
      next ?? "",
      difference.interval === ""
        ? difference.value
        : `${difference.value} (${difference.interval})`,
      margin === undefined ? "" : probabilityText(margin.adjusted),
    ];
  });
  return [
    {
      kind: "table",
      caption: "Who wins on what, and by how much over the next that can be told apart",
      columns: [
        { title: "Metric" },
        { title: "Best" },
        { title: "Mean", numeric: true },
        { title: "Next" },
        { title: "Difference (95 % interval)", numeric: true },
        { title: "Adjusted", numeric: true },
      ],
      rows,
    },
  ];
}

function estimateTables({ plan, summary }: Analysis): Block[] {
  const policies = Object.keys(summary.policies);
  const leader = summary.winners[0]?.best;
  const blocks: Block[] = [];
  for (let from = 0; from < plan.metrics.length; from += columnsPerTable) {
    const shown = plan.metrics.slice(from, from + columnsPerTable);
    blocks.push({
      kind: "table",
      caption: `Mean and 95 % interval${from === 0 ? "" : ", continued"}`,
      columns: [
        { title: "Policy" },
        ...shown.map((metric) => ({ title: metricOf(metric).title, numeric: true })),
      ],
      rows: policies.map((policy) => [
        policy,
        ...shown.map((metric) => estimateCell(summary.policies[policy]?.[metric], metric)),
      ]),
      strong: leader === undefined || policies.length < 2 ? [] : [policies.indexOf(leader)],
    });
  }
  blocks.push({
    kind: "list",
    items: plan.metrics.map((metric) => `${metricOf(metric).title}: ${metricOf(metric).means}.`),
  });
  return blocks;
}

function estimateCell(
  estimate: Analysis["summary"]["policies"][string][MetricName],
  metric: MetricName,
): string {
  if (estimate === undefined) return "no value";
  const { value, interval } = estimateText(metric, estimate.mean, estimate);
  if (estimate.method === "constant") return `${value} in all ${estimate.n}`;
  return interval === "" ? value : `${value} (${interval})`;
}

function limitText({ time, low, high }: TimeLimit): string {
  if (time === null) return "not reached";
  const value = timeText(time);
  if (low === time && high === time) return value;
  const from = low === null ? "?" : timeText(low);
  if (high === null) return `${value} (${from} or more)`;
  const to = timeText(high);
  const unit = to.slice(to.indexOf(" "));
  return `${value} (${from.endsWith(unit) ? from.slice(0, -unit.length) : from} to ${to})`;
}

function recoveryTable({ plan, summary }: Analysis): Block {
  return {
    kind: "table",
    caption: `Kaplan-Meier estimates with 95 % intervals; still broken: at the deadline of ${timeText(plan.deadlineSeconds)}`,
    columns: [
      { title: "Policy" },
      { title: "Failures", numeric: true },
      { title: "Censored", numeric: true },
      { title: "Half recovered after", numeric: true },
      { title: "90 %", numeric: true },
      { title: "99 %", numeric: true },
      { title: "Still broken", numeric: true },
    ],
    rows: Object.entries(summary.timeToRecover).map(([policy, times]) => [
      policy,
      countText(times.failures),
      countText(times.censored),
      limitText(times.p50),
      limitText(times.p90),
      limitText(times.p99),
      times.failures === 0 ? "" : `${(times.brokenAtDeadline * 100).toFixed(2)} %`,
    ]),
  };
}

function phaseTable({ phases: byPolicy }: Analysis): Block {
  return {
    kind: "table",
    caption: "Mean time of each phase per recovered failure",
    columns: [{ title: "Policy" }, ...phases.map((phase) => ({ title: phase, numeric: true }))],
    rows: Object.entries(byPolicy).map(([policy, row]) => [
      policy,
      ...phases.map((phase) => timeText(row[phase])),
    ]),
  };
}

/** More rows than this are no table that anyone reads: then each cell has its best policy only. */
const cellRowsLimit = 240;

function cellTable({ plan, summary }: Analysis): Block[] {
  const metric = plan.metrics[0] ?? "availability";
  const { cells } = summary;
  if (cells.length < 2) return [];
  const labels = cellLabels(cells);
  const all = cells.length * Object.keys(summary.policies).length <= cellRowsLimit;
  const sign = metricOf(metric).better === "lower" ? 1 : -1;
  const rows = cells.flatMap((cell, index) => {
    const ranked = Object.entries(cell.policies).sort(([, a], [, b]) => sign * (a.mean - b.mean));
    return (all ? ranked : ranked.slice(0, 1)).map(([policy, estimate], rank) => [
      rank === 0 ? (labels[index] ?? "") : "",
      policy,
      estimateCell(estimate, metric),
    ]);
  });
  const title = metricOf(metric).title;
  return [
    {
      kind: "table",
      caption: all
        ? `${title} in each cell, best policy first; mean and 95 % interval`
        : `${title} of the best policy in each of ${cells.length} cells (too many to draw); mean and 95 % interval`,
      columns: [{ title: "Cell" }, { title: "Policy" }, { title, numeric: true }],
      rows: rows.slice(0, cellRowsLimit),
    },
    ...(rows.length > cellRowsLimit
      ? [
          {
            kind: "paragraph" as const,
            text: `${rows.length - cellRowsLimit} further cells are in summary.json.`,
          },
        ]
      : []),
  ];
}

function knownAnswerTable({ plan, summary }: Analysis): Block[] {
  if (summary.knownAnswer === undefined) return [];
  return [
    {
      kind: "table",
      caption: `${plan.knownAnswer?.formula ?? ""}: closed form beside the estimate`,
      columns: [
        { title: "Policy" },
        { title: "Point" },
        { title: "Closed form", numeric: true },
        { title: "Estimate (95 % interval)", numeric: true },
        { title: "Inside" },
      ],
      rows: summary.knownAnswer.map(({ point, policy, metric, closedForm, estimate, inside }) => [
        policy,
        point,
        estimateText(metric, closedForm, estimate).value,
        estimateCell(estimate, metric),
        inside ? "yes" : "no",
      ]),
    },
  ];
}

function comparisonTables({ plan, summary }: Analysis): Block[] {
  return plan.metrics.flatMap((metric): Block[] => {
    const shown = summary.comparisons.filter((comparison) => comparison.metric === metric);
    if (shown.length === 0) return [];
    return [
      {
        kind: "table",
        caption: `${metricOf(metric).title}: differences over the same cases`,
        columns: [
          { title: "First − second" },
          { title: "Difference (95 % interval)", numeric: true },
          { title: "p", numeric: true },
          { title: "Adjusted", numeric: true },
          { title: "d", numeric: true },
          { title: "Cliff's δ", numeric: true },
          { title: "Pairs", numeric: true },
        ],
        rows: shown.map(comparisonRow),
      },
    ];
  });
}

function comparisonRow(comparison: Comparison): string[] {
  const { metric, a, b, difference, p, adjusted, standardised, delta, n } = comparison;
  const text = differenceText(metric, difference, comparison);
  return [
    `${a} − ${b}`,
    text.interval === "" ? text.value : `${text.value} (${text.interval})`,
    probabilityText(p).replace("p ", ""),
    probabilityText(adjusted).replace("p ", ""),
    standardised === null ? "" : effectText(standardised),
    effectText(delta),
    countText(n),
  ];
}

function effectText(value: number): string {
  return value.toFixed(2).replace("-", "−");
}

function failureTable({ reasons }: Analysis): Block[] {
  if (reasons.length === 0) return [];
  return [
    {
      kind: "table",
      caption: "Reasons, with the first trial of each",
      columns: [
        { title: "Reason" },
        { title: "Trials", numeric: true },
        { title: "First trial", numeric: true },
        { title: "Its policy" },
      ],
      rows: reasons.map(({ reason, count, firstTrial, policy }) => [
        reason,
        countText(count),
        String(firstTrial),
        policy,
      ]),
    },
  ];
}

function methods({ plan, summary }: Analysis): string[] {
  const used = new Set(
    Object.values(summary.policies).flatMap((row) =>
      Object.values(row).map((estimate) => estimate.method),
    ),
  );
  const batched = summary.repetitions > seriesLimit;
  return [
    "Unit: the repetition, averaged over its scenarios and guests. Under common random numbers every policy meets the same faults in a repetition (Law, Simulation Modeling and Analysis, 11.2).",
    `Means: BCa bootstrap, ${resamples} resamples (Efron 1987, J. Am. Stat. Assoc. 82, 171-185), widened for small samples (Hesterberg 2015, Am. Stat. 69, 371-386).`,
    ...(batched
      ? [
          `Beyond ${countText(seriesLimit)} repetitions neighbours are merged into batches whose means are resampled (Law, 9.5.3).`,
        ]
      : []),
    ...(used.has("exact")
      ? ["Yes/no outcomes: exact intervals (Clopper and Pearson 1934, Biometrika 26, 404-413)."]
      : []),
    ...(used.has("constant")
      ? [
          `"in all N" marks values that never varied: no interval is possible; with N repetitions, at most ${(300 / Math.max(3, summary.repetitions)).toPrecision(2)} % of all repetitions differ, with 95 % confidence (rule of three).`,
        ]
      : []),
    'Comparisons: paired differences; p by Student\'s paired t test, for yes/no or constant differences by the exact sign test (McNemar 1947); corrected for all comparisons together by Holm (1979, Scand. J. Statist. 6, 65-70). "Wins" and "told apart" mean adjusted p < 0.05.',
    "Effect sizes: d, the mean paired difference over its standard deviation; Cliff's δ (1993, Psychological Bulletin 114, 494-509).",
    "Recovery curves: Kaplan and Meier (1958); Greenwood's variance; log(-log) bands (Kalbfleisch and Prentice, 1.4). Failures not recovered by the deadline or the trial's end are censored there. Times are binned, 1.6 % wide.",
    ...(plan.stop === undefined
      ? []
      : [
          `Stopping: Chow and Robbins 1965 (Ann. Math. Statist. 36, 457-462), not before ${minimumRepetitions} repetitions, where the lack of coverage of order 1/n (Woodroofe 1977, Ann. Statist. 5, 984-995) is small; looks a tenth apart, two in agreement.`,
        ]),
  ];
}

function reproduction({ plan, summary }: Analysis, provenance: Provenance): Block[] {
  return [
    { kind: "code", text: provenance.command },
    {
      kind: "table",
      caption: "What fixes the result",
      columns: [{ title: "What" }, { title: "Value" }],
      rows: [
        ["zmend", provenance.version],
        ["Experiment", plan.name],
        ["Seed", String(plan.seed)],
        ["Repetitions", countText(summary.repetitions)],
        ["Ledger SHA-256", provenance.ledgerSha256],
      ],
    },
    {
      kind: "paragraph",
      text: "The same command gives the same ledger.jsonl, byte for byte, on any machine and any number of workers. The ledger's first line holds the resolved plan: policies, scenarios and guests.",
    },
  ];
}
