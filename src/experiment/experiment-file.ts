/**
 * From an experiment's YAML to its plan: parameters are put in, the sweep is laid out, policies and guests are resolved.
 * Every refusal names file, line and key. Cold path.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parse as parsePlainYaml, stringify } from "yaml";
import { constant } from "../base/distribution.ts";
import { ZmendError } from "../base/errors.ts";
import { suggestion } from "../base/nearest.ts";
import { parseYaml } from "../base/yaml-file.ts";
import { parsePolicy, readPolicy } from "../recovery/index.ts";
import { availabilityFormula, poissonAvailability } from "./known-answer.ts";
import { machineDigest } from "./machine/sources.ts";
import type { MetricName } from "./metrics.ts";
import type { Plan, PlannedGuest, PlannedPolicy, PlanPoint } from "./plan.ts";
import type { Arrivals, FaultSource, Scenario } from "./scenario.ts";
import {
  type ExperimentFile,
  experimentSchema,
  type GuestFile,
  HOUR,
  headSchema,
  type PolicyEntry,
  type ScenarioFile,
  SECOND,
  timesFileSchema,
} from "./schema.ts";

/** More trials than this have to be confirmed. */
const TRIALS_UNASKED_MAX = 1_000_000;
/** Points of a sweep that are laid out at all. */
const POINTS_MAX = 10_000;

export interface PlanOptions {
  /** `--set`: instead of the file's `parameters:`. */
  readonly set?: Readonly<Record<string, string>>;
  readonly repetitions?: number | undefined;
  readonly seed?: number | undefined;
  /** `--policy`: instead of the file's policies. */
  readonly policies?: readonly string[] | undefined;
  /** `--yes`: as many trials as it takes. */
  readonly confirmed?: boolean | undefined;
}

type Values = Readonly<Record<string, number | string>>;

function invalid(message: string, detail: Readonly<Record<string, unknown>> = {}): ZmendError {
  return new ZmendError("EXPERIMENT_INVALID", message, detail);
}

/** config/experiments, seen from the sources and from the compiled package. */
function experimentFolder(): string {
  const relative = import.meta.url.endsWith(".ts")
    ? "../../config/experiments/"
    : "../../../config/experiments/";
  return fileURLToPath(new URL(relative, import.meta.url));
}

/** Names of the shipped experiments, sorted. */
export function experimentNames(): string[] {
  return readdirSync(experimentFolder())
    .filter((file) => file.endsWith(".yaml"))
    .map((file) => basename(file, ".yaml"))
    .sort();
}

export interface ExperimentText {
  readonly text: string;
  /** As shown in messages. */
  readonly file: string;
  /** Where the file's own relative paths start. */
  readonly folder: string;
}

/** A shipped experiment by name, or a YAML file by its path. */
export function readExperiment(nameOrFile: string): ExperimentText {
  const isPath = nameOrFile.includes("/") || /\.ya?ml$/.test(nameOrFile);
  const names = experimentNames();
  if (!isPath && !names.includes(nameOrFile)) {
    throw invalid(
      `Experiment '${nameOrFile}' is unknown${suggestion(nameOrFile, names)}; name one of ${names.join(", ")} or a YAML file.`,
    );
  }
  const path = isPath ? nameOrFile : `${experimentFolder()}${nameOrFile}.yaml`;
  const file = isPath ? nameOrFile : `config/experiments/${nameOrFile}.yaml`;
  if (!existsSync(path)) {
    throw invalid(
      `Experiment file ${file} does not exist; name an existing YAML file or one of ${names.join(", ")}.`,
    );
  }
  try {
    return { text: readFileSync(path, "utf8"), file, folder: dirname(resolve(path)) };
  } catch (error) {
    throw new ZmendError(
      "EXPERIMENT_INVALID",
      `Experiment file ${file} cannot be read; check that it is a readable YAML file.`,
      { file },
      { cause: error },
    );
  }
}

export function loadExperiment(nameOrFile: string, options: PlanOptions = {}): Plan {
  const { text, file, folder } = readExperiment(nameOrFile);
  return planOf(text, file, folder, options);
}

// Parameters and sweep ----------------------------------------------------------------------------------------

/** Lines of the file in which `$name` is no use of a parameter: comments. */
function putIn(text: string, file: string, values: Values): string {
  return text
    .split("\n")
    .map((line, number) => {
      if (/^\s*#/.test(line)) return line;
      return line.replace(/\$([A-Za-z][A-Za-z0-9]*)/g, (_, name: string) => {
        const value = values[name];
        if (value === undefined) {
          throw invalid(
            `${file}:${number + 1}: '$${name}' is no parameter${suggestion(name, Object.keys(values))}; name it under parameters: or sweep:.`,
          );
        }
        return String(value);
      });
    })
    .join("\n");
}

/** The file's parameters with other values; a swept parameter that is set is not swept. */
function settings(
  file: string,
  defaults: Values,
  swept: readonly string[],
  set: Readonly<Record<string, string>>,
): Values {
  const values: Record<string, number | string> = { ...defaults };
  const known = [...Object.keys(defaults), ...swept];
  for (const [name, text] of Object.entries(set)) {
    if (!known.includes(name)) {
      const list = known.length === 0 ? "it has none" : `it has ${known.join(", ")}`;
      throw invalid(
        `--set ${name}: ${file} has no such parameter${suggestion(name, known)}; ${list}.`,
      );
    }
    if (!/^[A-Za-z0-9._+-]{1,64}$/.test(text)) {
      throw invalid(`--set ${name}: '${text}' is neither a number nor a plain word.`);
    }
    const number = Number(text);
    values[name] = Number.isNaN(number) ? text : number;
  }
  return values;
}

function pointsOf(
  file: string,
  sweep: Readonly<Record<string, readonly (number | string)[]>>,
): Values[] {
  const size = Object.values(sweep).reduce((product, list) => product * list.length, 1);
  if (size > POINTS_MAX) {
    throw invalid(
      `${file}: the sweep has ${size} combinations, more than ${POINTS_MAX}; sweep fewer values.`,
      { points: size },
    );
  }
  let points: Values[] = [{}];
  for (const [name, list] of Object.entries(sweep)) {
    points = points.flatMap((point) => list.map((value) => ({ ...point, [name]: value })));
  }
  return points;
}

function labelOf(point: Values): string {
  return Object.entries(point)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
}

// Parts -------------------------------------------------------------------------------------------------------

function arrivalsOf(given: ScenarioFile["errors"][number]["arrivals"], folder: string): Arrivals {
  const { poisson, weibull, bursts, trace } = given;
  if (poisson !== undefined) return { kind: "poisson", meanUs: HOUR / poisson.perHour };
  if (weibull !== undefined) {
    return { kind: "weibull", scaleUs: weibull.scaleSeconds * SECOND, shape: weibull.shape };
  }
  if (bursts !== undefined) {
    return { kind: "bursts", meanUs: HOUR / bursts.perHour, size: bursts.size, gap: bursts.gapMs };
  }
  const seconds =
    trace?.atSeconds ?? readTrace(resolve(folder, trace?.file ?? ""), trace?.file ?? "");
  return {
    kind: "trace",
    atUs: seconds.map((at) => Math.round(at * SECOND)).sort((a, b) => a - b),
  };
}

/** A recorded trace: one time in seconds per line; empty lines and lines that start with # do not count. */
function readTrace(path: string, shown: string): number[] {
  if (!existsSync(path))
    throw invalid(`Trace file ${shown} does not exist; name an existing file.`);
  const times: number[] = [];
  for (const [number, line] of readFileSync(path, "utf8").split("\n").entries()) {
    const text = line.trim();
    if (text === "" || text.startsWith("#")) continue;
    const at = Number(text);
    if (!(at >= 0)) {
      throw invalid(`${shown}:${number + 1}: '${text.slice(0, 40)}' is no time in seconds.`);
    }
    times.push(at);
  }
  if (times.length === 0) throw invalid(`Trace file ${shown} has no times; write one per line.`);
  return times;
}

function sourceOf(given: ScenarioFile["errors"][number], folder: string): FaultSource {
  const entries = Object.entries(given.pecs);
  const total = entries.reduce((sum, [, weight]) => sum + weight, 0);
  return {
    arrivals: arrivalsOf(given.arrivals, folder),
    scope: given.scope,
    share: given.share,
    spreadUs: given.spreadMs ?? constant(0),
    pecs: entries.map(([pec, weight]) => ({ pec: Number(pec), weight: weight / total })),
    stale: given.stale,
    lostSignal: given.lostSignal,
  };
}

function scenarioOf(given: ScenarioFile, folder: string): Scenario {
  const { host, operator } = given;
  return {
    name: given.name,
    horizonUs: given.hours * HOUR,
    guests: given.guests,
    functionsPerGuest: given.functionsPerGuest,
    sources: given.errors.map((source) => sourceOf(source, folder)),
    host: {
      // A function-level reset takes 100 ms by the PCI Express specification (6.6.2).
      resetUs: host.resetMs ?? host.resetSeconds ?? constant(0.1 * SECOND),
      refused: host.refused,
      failed: host.failed,
      hangs: host.hangs,
      broken: host.broken,
      clearError: host.clearError,
      clearUs: host.clearMs ?? constant(0.001 * SECOND),
    },
    operator: {
      ...(operator.restartVmMinutes === undefined
        ? {}
        : { restartVmUs: operator.restartVmMinutes }),
      ...(operator.repairMinutes === undefined ? {} : { repairUs: operator.repairMinutes }),
    },
  };
}

function guestOf(given: GuestFile, folder: string): PlannedGuest {
  const { kernel, driver, machine, timesFile } = given;
  if (machine !== undefined) {
    const sha256 = machineDigest(machine, folder);
    const label = given.label ?? basename(machine).replace(/\.snap$/, "");
    return { label, kind: "machine", machine, sha256 };
  }
  if (kernel === undefined || driver === undefined) throw new RangeError("checked by the schema");
  const label = given.label ?? `${kernel}-${driver}`;
  const timesMs = timesFile === undefined ? given.timesMs : readTimes(timesFile, folder);
  const times = timesMs === undefined ? {} : { times: timesMs };
  return { label, kind: "model", kernel, driver, ...times };
}

/** What `zmend experiment fit` wrote. */
function readTimes(file: string, folder: string): GuestFile["timesMs"] {
  const path = resolve(folder, file);
  if (!existsSync(path)) {
    throw invalid(
      `Times file ${file} does not exist; name a file that 'zmend experiment fit' wrote.`,
    );
  }
  return parseYaml(readFileSync(path, "utf8"), file, timesFileSchema, "EXPERIMENT_INVALID").timesMs;
}

/** Nobody repairs functions of a machine: a lost one stays lost until the VM is started again. */
function checkOperators(file: string, plan: Plan): void {
  const machine = plan.guests.find((guest) => guest.kind === "machine");
  if (machine === undefined) return;
  for (const { name, operator } of plan.points.flatMap(({ scenarios }) => scenarios)) {
    if (operator.repairUs === undefined) continue;
    throw invalid(
      `${file}: scenario '${name}' has operator.repairMinutes, but nobody repairs functions of machine '${machine.label}'; leave one of them out.`,
    );
  }
}

function pathOf(nameOrFile: string, folder: string): string {
  const isPath = nameOrFile.includes("/") || /\.ya?ml$/.test(nameOrFile);
  return isPath ? resolve(folder, nameOrFile) : nameOrFile;
}

function policyOf(entry: PolicyEntry, folder: string): PlannedPolicy {
  if (typeof entry === "string") {
    if (/\.(mjs|js|ts)$/.test(entry)) return policyOf({ base: "mediated", module: entry }, folder);
    const { text } = readPolicy(pathOf(entry, folder));
    const policy = parsePolicy(text, entry);
    return { label: policy.name, policy };
  }
  const { text } = readPolicy(pathOf(entry.base, folder));
  if (entry.module !== undefined)
    return moduleOf(entry.module, entry.name, text, entry.base, folder);
  const base = parsePolicy(text, entry.base);
  if (entry.change === undefined) return { label: entry.name ?? base.name, policy: base };
  const name = entry.name ?? `${base.name}-changed`;
  const changed = changedPolicy(parsePlainYaml(text), entry.change);
  const policy = parsePolicy(stringify(changed), `policies: ${name}`);
  return { label: name, policy: { ...policy, name } };
}

/** `change: { storm.tokens: 4 }`: keys with dots reach inside. */
function changedPolicy(base: unknown, change: Readonly<Record<string, unknown>>): unknown {
  const result = structuredClone(base) as Record<string, unknown>;
  for (const [path, value] of Object.entries(change)) {
    const keys = path.split(".");
    let at = result;
    for (const key of keys.slice(0, -1)) {
      const inner = at[key];
      if (typeof inner !== "object" || inner === null) at[key] = {};
      at = at[key] as Record<string, unknown>;
    }
    at[keys.at(-1) ?? ""] = value;
  }
  return result;
}

/** Whether `import` takes TypeScript here. Source: Node's documentation, process.features.typescript. */
function stripsTypes(): boolean {
  const features: Readonly<Record<string, unknown>> = { ...process.features };
  return typeof features["typescript"] === "string";
}

function moduleOf(
  file: string,
  name: string | undefined,
  baseText: string,
  base: string,
  folder: string,
): PlannedPolicy {
  const path = resolve(folder, file);
  if (!existsSync(path)) {
    throw invalid(`Policy module ${file} does not exist; name an existing ES module (.mjs).`);
  }
  if (file.endsWith(".ts") && !stripsTypes()) {
    throw invalid(
      `Policy module ${file} needs a Node that strips types (22.18, 23.6 or newer), this is ${process.version}; ` +
        "use a newer Node, or compile it to .mjs.",
    );
  }
  const sha256 = createHash("sha256").update(readFileSync(path)).digest("hex");
  const label = name ?? basename(file).replace(/\.\w+$/, "");
  return {
    label,
    policy: { ...parsePolicy(baseText, base), name: label },
    module: { file, sha256 },
  };
}

// The plan ----------------------------------------------------------------------------------------------------

function duplicate(labels: readonly string[]): string | undefined {
  return labels.find((label, index) => labels.indexOf(label) !== index);
}

function checkLabels(file: string, what: string, labels: readonly string[]): void {
  const twice = duplicate(labels);
  if (twice !== undefined) {
    throw invalid(`${file}: two ${what} are named '${twice}'; give one of them another name.`);
  }
}

/** @throws ZmendError EXPERIMENT_INVALID or POLICY_INVALID */
export function planOf(
  text: string,
  file: string,
  folder: string,
  options: PlanOptions = {},
): Plan {
  const head = parseYaml(text, file, headSchema, "EXPERIMENT_INVALID");
  const set = { ...options.set };
  const defaults = settings(file, head.parameters, Object.keys(head.sweep), set);
  const sweep = Object.fromEntries(Object.entries(head.sweep).filter(([name]) => !(name in set)));
  const points = pointsOf(file, sweep);
  const files = points.map((point) => {
    const values = { ...defaults, ...point };
    return parseYaml(putIn(text, file, values), file, experimentSchema, "EXPERIMENT_INVALID");
  });
  const first = files[0] as ExperimentFile;
  const repetitions = options.repetitions ?? first.repetitions;
  const laidOut = points.map((values, number): PlanPoint => {
    const experiment = files[number] as ExperimentFile;
    const entries = options.policies ?? experiment.policies;
    const policies = entries.map((entry) =>
      policyOf(entry, options.policies === undefined ? folder : process.cwd()),
    );
    const scenarios = experiment.scenarios.map((given) => scenarioOf(given, folder));
    checkLabels(
      file,
      "policies",
      policies.map(({ label }) => label),
    );
    checkLabels(
      file,
      "scenarios",
      scenarios.map(({ name }) => name),
    );
    return { label: labelOf(values), values, scenarios, policies };
  });
  const guests = first.guests.map((given) => guestOf(given, folder));
  checkLabels(
    file,
    "guests",
    guests.map(({ label }) => label),
  );
  const labels = laidOut[0]?.policies.map(({ label }) => label) ?? [];
  const baseline = first.baseline ?? labels[0] ?? "";
  if (!labels.includes(baseline) && options.policies === undefined) {
    throw invalid(
      `${file}: baseline '${baseline}' is no policy of this experiment${suggestion(baseline, labels)}.`,
    );
  }
  if (first.stop !== undefined && first.repetitions <= first.stop.atLeast) {
    throw invalid(
      `${file}: stop: looks first after ${first.stop.atLeast} repetitions, repetitions: allows ${first.repetitions}; ` +
        "raise repetitions, which is the most there may be, or leave out stop.",
    );
  }
  const plan: Plan = {
    name: first.name,
    question: first.question,
    seed: options.seed ?? first.seed,
    repetitions,
    ...(first.stop === undefined
      ? {}
      : { stop: { ...first.stop, metric: first.stop.metric as MetricName } }),
    metrics: first.metrics as MetricName[],
    baseline: labels.includes(baseline) ? baseline : (labels[0] ?? ""),
    deadlineSeconds: first.deadlineSeconds,
    points: laidOut,
    guests,
    ...knownAnswer(files),
  };
  checkOperators(file, plan);
  confirm(file, plan, options.confirmed === true);
  return plan;
}

function knownAnswer(files: readonly ExperimentFile[]): Pick<Plan, "knownAnswer"> {
  if (files[0]?.knownAnswer === undefined) return {};
  const values = files.map(({ knownAnswer: known, scenarios }) =>
    known === undefined
      ? Number.NaN
      : poissonAvailability(known.ratePerHour, known.recoverySeconds, scenarios[0]?.hours ?? 1),
  );
  return { knownAnswer: { metric: "availability", formula: availabilityFormula, values } };
}

function confirm(file: string, plan: Plan, confirmed: boolean): void {
  const first = plan.points[0];
  const trials =
    plan.points.length *
    (first?.scenarios.length ?? 0) *
    (first?.policies.length ?? 0) *
    plan.guests.length *
    plan.repetitions;
  if (trials <= TRIALS_UNASKED_MAX || confirmed) return;
  throw new ZmendError(
    "EXPERIMENT_INVALID",
    `${file}: this plan has ${trials.toLocaleString("en-US")} trials (points ${plan.points.length} × ` +
      `scenarios ${first?.scenarios.length} × guests ${plan.guests.length} × policies ${first?.policies.length} × ` +
      `repetitions ${plan.repetitions.toLocaleString("en-US")}); say --yes if that is meant.`,
    { trials },
  );
}
