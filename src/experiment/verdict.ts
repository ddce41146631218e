/**
 * The answer in words: which policy wins on what, by how much, how sure. A policy wins if it is told apart from
 * every other one after Holm's correction; otherwise the verdict names those that it cannot be told apart from.
 * Pure: estimates and comparisons in, sentences out.
 */
import { type MetricName, metricOf } from "./metrics.ts";
import type { Plan } from "./plan.ts";
import { differenceText, estimateText, listText, probabilityText } from "./report/format.ts";
import type { Comparison, KnownAnswerCheck, Summary } from "./summary.ts";

/** Chance of even one wrong claim in the whole report. */
const significance = 0.05;

export interface Winner {
  readonly metric: MetricName;
  /** Best mean. */
  readonly best: string;
  /** Policies that the data cannot tell from it, in order of their means. */
  readonly tied: readonly string[];
  /** Next best that can be told apart, and the comparison that shows it. */
  readonly next?: string;
  readonly margin?: Pick<Comparison, "difference" | "low" | "high" | "adjusted">;
}

export interface Verdict {
  readonly winners: readonly Winner[];
  readonly verdict: string;
}

export function verdictOf(
  plan: Plan,
  estimates: Summary["policies"],
  comparisons: readonly Comparison[],
  knownAnswer: readonly KnownAnswerCheck[] = [],
): Verdict {
  const winners = plan.metrics
    .filter((metric) => metricOf(metric).better !== "none")
    .map((metric) => winnerOf(metric, estimates, comparisons))
    .filter((winner) => winner !== undefined);
  const first = sentences(plan, estimates, winners, comparisons);
  const known = knownAnswer.length === 0 ? [] : [knownText(knownAnswer)];
  const alone = Object.keys(estimates).length === 1 && known.length > 0;
  return { winners, verdict: [...known, ...(alone ? [] : [first])].join(" ") };
}

/** Whether arithmetic agrees, before anything else is said. */
function knownText(checks: readonly KnownAnswerCheck[]): string {
  const [only] = checks;
  const inside = checks.filter((check) => check.inside).length;
  if (only === undefined || checks.length > 1) {
    return `${inside} of ${checks.length} intervals cover the closed form.`;
  }
  const { metric, closedForm, estimate } = only;
  const { value, interval } = estimateText(metric, estimate.mean, estimate);
  const expected = estimateText(metric, closedForm, estimate).value;
  const covers = inside === 1 ? "covers" : "does not cover";
  const chance = inside === 1 ? "" : " (by chance alone, one 95 % interval in twenty does not)";
  return `The estimate ${covers} the closed form${chance}: ${titleOf(metric)} ${value} (95 % interval ${interval}), closed form ${expected}.`;
}

function winnerOf(
  metric: MetricName,
  estimates: Summary["policies"],
  comparisons: readonly Comparison[],
): Winner | undefined {
  const sign = metricOf(metric).better === "higher" ? -1 : 1;
  const ranked = Object.keys(estimates)
    .filter((policy) => estimates[policy]?.[metric] !== undefined)
    .map((policy) => ({ policy, mean: estimates[policy]?.[metric]?.mean ?? 0 }))
    .sort((a, b) => sign * (a.mean - b.mean));
  const best = ranked[0]?.policy;
  if (best === undefined) return undefined;
  const tied: string[] = [];
  let next: string | undefined;
  let margin: Winner["margin"];
  for (const { policy } of ranked.slice(1)) {
    const against = oriented(comparisons, metric, best, policy);
    const apart = against !== undefined && against.adjusted < significance;
    if (!apart) tied.push(policy);
    else if (next === undefined) {
      next = policy;
      margin = against;
    }
  }
  return {
    metric,
    best,
    tied,
    ...(next === undefined || margin === undefined ? {} : { next, margin }),
  };
}

/** The comparison of a with b, whichever way round it was made. */
export function oriented(
  comparisons: readonly Comparison[],
  metric: MetricName,
  a: string,
  b: string,
): Pick<Comparison, "difference" | "low" | "high" | "adjusted"> | undefined {
  const found = comparisons.find(
    (comparison) =>
      comparison.metric === metric &&
      ((comparison.a === a && comparison.b === b) || (comparison.a === b && comparison.b === a)),
  );
  if (found === undefined) return undefined;
  const { difference, low, high, adjusted } = found;
  if (found.a === a) return { difference, low, high, adjusted };
  return {
    difference: -difference,
    low: high === null ? null : -high,
    high: low === null ? null : -low,
    adjusted,
  };
}

/** "Time to recover, mean" in a sentence: "mean time to recover". */
function titleOf(metric: MetricName): string {
  const { title } = metricOf(metric);
  const [head, kind] = title.split(", ");
  const plain = /^[A-Z][a-z]/.test(title)
    ? `${title.charAt(0).toLowerCase()}${head?.slice(1)}`
    : head;
  return kind === undefined ? `${plain}` : `${kind} ${plain}`;
}

function sentences(
  plan: Plan,
  estimates: Summary["policies"],
  winners: readonly Winner[],
  comparisons: readonly Comparison[],
): string {
  const metric = plan.metrics[0];
  const first = winners.find((winner) => winner.metric === metric) ?? winners[0];
  if (first === undefined) return "No trial gave a value for any metric: nothing can be said.";
  const others = winners.filter((winner) => winner !== first);
  const alsoWins = others.filter(
    (winner) => winner.best === first.best && winner.tied.length === 0 && winner.next !== undefined,
  );
  const loses = others.filter(
    (winner) => winner.best !== first.best && winner.tied.length === 0 && winner.next !== undefined,
  );
  const parts = [main(first, estimates, comparisons)];
  if (alsoWins.length > 0) {
    parts.push(`It also wins on ${listText(alsoWins.map((winner) => titleOf(winner.metric)))}.`);
  }
  for (const policy of new Set(loses.map((winner) => winner.best))) {
    const on = loses.filter((winner) => winner.best === policy);
    parts.push(`${policy} wins on ${listText(on.map((winner) => titleOf(winner.metric)))}.`);
  }
  return parts.join(" ");
}

function main(
  winner: Winner,
  estimates: Summary["policies"],
  comparisons: readonly Comparison[],
): string {
  const { metric, best, tied, next, margin } = winner;
  const own = estimates[best]?.[metric];
  if (own === undefined) return "";
  const { value, interval } = estimateText(metric, own.mean, own);
  const howSure = interval === "" ? "" : ` (95 % interval ${interval})`;
  const title = titleOf(metric);
  if (Object.keys(estimates).length === 1) {
    return `${best}: ${title} ${value}${howSure}. Only one policy was tried, so nothing is compared.`;
  }
  const silent = Object.keys(estimates).filter(
    (policy) => estimates[policy]?.[metric] === undefined,
  );
  const none = silent.length === 0 ? "" : ` No trial of ${listText(silent)} gave a value.`;
  const behind = next === undefined || margin === undefined ? "" : marginText(metric, margin, next);
  if (tied.length === 0 && behind === "") {
    return `${best}: ${title} ${value}${howSure}. Nothing is compared:${none.replace(" No", " no")}`;
  }
  if (tied.length === 0) return `${best} wins on ${title}: ${value}${howSure}, ${behind}.${none}`;
  if (behind === "") {
    const mean = `best mean ${value}${interval === "" ? "" : `, 95 % interval ${interval}`}`;
    return `No winner on ${title}: the data cannot tell ${listText([best, ...tied])} apart (${mean}${boundText(winner, comparisons)}).${none}`;
  }
  return `${best} leads on ${title} with ${value}${howSure}, but the data cannot tell it from ${listText(tied)}; it is ${behind}.${none}`;
}

/** Of two that cannot be told apart: how much there can be between them. */
function boundText({ metric, best, tied }: Winner, comparisons: readonly Comparison[]): string {
  const [other] = tied;
  if (other === undefined || tied.length > 1) return "";
  const found = oriented(comparisons, metric, best, other);
  if (found === undefined || found.low === null || found.high === null) return "";
  const { interval } = differenceText(metric, found.difference, found);
  return interval === "" ? "" : `; they differ by ${interval}${unitOf(metric)}`;
}

function unitOf(metric: MetricName): string {
  return metricOf(metric).unit === "ratio" ? " points" : "";
}

function marginText(
  metric: MetricName,
  margin: NonNullable<Winner["margin"]>,
  next: string,
): string {
  const better = metricOf(metric).better === "higher" ? "above" : "below";
  const sign = margin.difference < 0 ? -1 : 1;
  const size = differenceText(metric, sign * margin.difference, {
    low: sign < 0 ? negated(margin.high) : margin.low,
    high: sign < 0 ? negated(margin.low) : margin.high,
  });
  const interval =
    size.interval === "" ? "" : `95 % interval ${size.interval.replaceAll("+", "")}, `;
  return `${size.value.replace("+", "")} ${better} ${next} (${interval}adjusted ${probabilityText(margin.adjusted)})`;
}

function negated(value: number | null): number | null {
  return value === null ? null : -value;
}
