/**
 * A strict reader of metrics, for tests: Prometheus' text format 0.0.4 and OpenMetrics 1.0.0, as their documents say. It
 * throws on what `promtool check metrics` or a scraper would refuse, and on what they would quietly misread.
 */
export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly ParsedSample[];
}

export interface ParsedSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export type Exposition = "prometheus" | "openmetrics";

const METRIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const NUMBER = /^(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]Inf|NaN)$/;

/** Endings that samples of a type may have. */
const suffixes: Readonly<Record<Exposition, Readonly<Record<string, readonly string[]>>>> = {
  prometheus: { counter: [""], gauge: [""], histogram: ["_bucket", "_sum", "_count"] },
  openmetrics: {
    counter: ["_total", "_created"],
    gauge: [""],
    histogram: ["_bucket", "_sum", "_count", "_created"],
  },
};

export function parseExposition(text: string, form: Exposition): Map<string, Family> {
  if (!text.endsWith("\n")) throw new Error("the last line has no line feed");
  const lines = text.slice(0, -1).split("\n");
  if (form === "openmetrics" && lines.pop() !== "# EOF") throw new Error("no # EOF at the end");
  const families = new Map<string, Family>();
  let current: { name: string; type: string; help: string; samples: ParsedSample[] } | undefined;
  for (const line of lines) {
    if (line === "" && form === "prometheus") continue;
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment !== null) {
      const [, what, name = "", rest = ""] = comment;
      if (!METRIC_NAME.test(name)) throw new Error(`'${name}' is no metric's name`);
      if (current?.name !== name) {
        if (families.has(name)) throw new Error(`family ${name} comes twice`);
        current = { name, type: "", help: "", samples: [] };
        families.set(name, current);
      }
      if (current.samples.length > 0) throw new Error(`${what} of ${name} after its samples`);
      if (what === "HELP") current.help = rest;
      else if (suffixes[form][rest] === undefined) throw new Error(`type ${rest} of ${name}`);
      else current.type = rest;
      continue;
    }
    if (current === undefined) throw new Error(`sample before any family: ${line}`);
    const sample = parseSample(line);
    const allowed = (suffixes[form][current.type] ?? []).map(
      (ending) => `${current?.name}${ending}`,
    );
    if (!allowed.includes(sample.name)) throw new Error(`${sample.name} in family ${current.name}`);
    current.samples.push(sample);
  }
  for (const family of families.values()) checkFamily(family);
  return families;
}

function parseSample(line: string): ParsedSample {
  const open = /^([^\s{]+)(\{)?/.exec(line);
  const name = open?.[1] ?? "";
  if (!METRIC_NAME.test(name)) throw new Error(`'${name}' is no metric's name: ${line}`);
  const labels: Record<string, string> = {};
  let at = name.length;
  if (line[at] === "{") {
    at += 1;
    while (line[at] !== "}") {
      const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"/.exec(line.slice(at));
      if (label === null) throw new Error(`label at column ${at}: ${line}`);
      const [all, key = "", value = ""] = label;
      if (key in labels) throw new Error(`label ${key} twice: ${line}`);
      labels[key] = value.replace(/\\(.)/g, (_, c: string) => (c === "n" ? "\n" : c));
      at += all.length;
      if (line[at] === ",") at += 1;
      else if (line[at] !== "}") throw new Error(`label list at column ${at}: ${line}`);
    }
    at += 1;
  }
  const value = line.slice(at + 1);
  if (line[at] !== " " || !NUMBER.test(value)) throw new Error(`value of ${line}`);
  return { name, labels, value: Number(value.replace("Inf", "Infinity")) };
}

function checkFamily({ name, type, help, samples }: Family): void {
  if (type === "" || help === "") throw new Error(`family ${name} lacks HELP or TYPE`);
  const seen = new Set<string>();
  for (const { name: sample, labels, value } of samples) {
    const identity = `${sample}${JSON.stringify(Object.entries(labels).sort())}`;
    if (seen.has(identity)) throw new Error(`${identity} comes twice`);
    seen.add(identity);
    if (type === "counter" && !(value >= 0)) throw new Error(`counter ${identity} is ${value}`);
  }
  if (type === "histogram") checkHistogram(name, samples);
}

/** Buckets of one series are cumulative, in order, and end with +Inf, which equals the count. */
function checkHistogram(name: string, samples: readonly ParsedSample[]): void {
  const series = new Map<string, { le: number; value: number }[]>();
  const keyOf = (labels: ParsedSample["labels"]): string =>
    JSON.stringify(
      Object.entries(labels)
        .filter(([key]) => key !== "le")
        .sort(),
    );
  for (const { name: sample, labels, value } of samples) {
    if (sample !== `${name}_bucket`) continue;
    const le = Number((labels["le"] ?? "").replace("+Inf", "Infinity"));
    const list = series.get(keyOf(labels)) ?? [];
    const last = list.at(-1);
    if (last !== undefined && (last.le >= le || last.value > value))
      throw new Error(`${name} at le=${le}`);
    list.push({ le, value });
    series.set(keyOf(labels), list);
  }
  for (const [key, list] of series) {
    const counts = samples.filter(
      (one) => one.name === `${name}_count` && keyOf(one.labels) === key,
    );
    if (list.at(-1)?.le !== Number.POSITIVE_INFINITY) throw new Error(`${name}${key} has no +Inf`);
    if (counts[0]?.value !== list.at(-1)?.value)
      throw new Error(`${name}${key}: count and +Inf differ`);
  }
}
