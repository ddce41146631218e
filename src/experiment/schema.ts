/**
 * The experiment file's schema: one source of types, defaults, checks and messages. Keys carry their unit; everything
 * random is a distribution. Cold path.
 */
import { z } from "zod";
import type { Distribution } from "../base/distribution.ts";
import { FUNCTIONS_MAX } from "../base/limits.ts";
import { suggestion } from "../base/nearest.ts";
import { driverNames, kernelNames, stages } from "../guest-model/index.ts";
import { metricNames } from "./metrics.ts";
import { faultScopes } from "./scenario.ts";
import { minimumRepetitions } from "./statistics/stopping.ts";

const probability = z.number().min(0).max(1);
const label = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    "expected letters, digits, dots, hyphens, underscores",
  );

// Distributions -----------------------------------------------------------------------------------------------

type Shape = Readonly<Record<string, readonly [low: number, high: number]>>;
const ANY = Number.MAX_SAFE_INTEGER;
const positive: readonly [number, number] = [Number.MIN_VALUE, ANY];
const shapes: Readonly<Record<string, Shape>> = {
  constant: {},
  uniform: { low: [0, ANY], high: [0, ANY] },
  exponential: { mean: positive },
  weibull: { scale: positive, shape: [0.05, 100] },
  lognormal: { median: positive, sigma: [0, 10] },
  measured: {},
};
const names = Object.keys(shapes);
/** Parameters that are times or counts, and so are scaled by the key's unit. */
const scaled = new Set(["low", "high", "mean", "scale", "median"]);

type Context = { addIssue(issue: { code: "custom"; message: string; path?: PropertyKey[] }): void };

function refuse(context: Context, message: string, ...path: PropertyKey[]): never {
  context.addIssue({ code: "custom", message, path });
  return z.NEVER;
}

function parameters(
  kind: string,
  given: unknown,
  unit: number,
  context: Context,
): Record<string, number> | undefined {
  const shape = shapes[kind] as Shape;
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    refuse(context, `expected { ${Object.keys(shape).join(", ")} }`, kind);
    return undefined;
  }
  const values: Record<string, number> = {};
  for (const key of Object.keys(given)) {
    if (key in shape) continue;
    refuse(context, `unknown key '${key}'${suggestion(key, Object.keys(shape))}`, kind, key);
    return undefined;
  }
  for (const [key, [low, high]] of Object.entries(shape)) {
    const value = (given as Record<string, unknown>)[key];
    if (typeof value !== "number" || !(value >= low && value <= high)) {
      const range = high === ANY ? (low === 0 ? "0 or more" : "above 0") : `${low} to ${high}`;
      refuse(context, `expected a number ${range}, got ${JSON.stringify(value)}`, kind, key);
      return undefined;
    }
    values[key] = scaled.has(key) ? value * unit : value;
  }
  return values;
}

/** @param unit what one of the key's units is in the plan (microseconds, or 1 for counts) */
function distribution(unit: number) {
  return z.unknown().transform((value, context): Distribution => {
    if (typeof value === "number") return fixed(value, unit, context);
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      return refuse(context, `expected a number or a distribution: ${names.join(", ")}`);
    }
    const entries = Object.entries(value);
    const [kind = "", given] = entries[0] ?? [];
    if (entries.length !== 1 || !names.includes(kind)) {
      const guess = suggestion(kind, names);
      return refuse(
        context,
        `unknown distribution '${entries.map(([name]) => name).join(", ")}'${guess}; expected one of ${names.join(", ")}`,
      );
    }
    if (kind === "constant") return fixed(given, unit, context);
    if (kind === "measured") return measured(given, unit, context);
    const values = parameters(kind, given, unit, context);
    if (values === undefined) return z.NEVER;
    if (kind === "uniform" && (values["low"] ?? 0) > (values["high"] ?? 0)) {
      return refuse(context, "low is above high", kind);
    }
    return { kind, ...values } as Distribution;
  });
}

function fixed(value: unknown, unit: number, context: Context): Distribution {
  if (typeof value !== "number" || !(value >= 0 && value <= ANY)) {
    return refuse(context, `expected a number 0 or more, got ${JSON.stringify(value)}`);
  }
  return { kind: "constant", value: value * unit };
}

function measured(value: unknown, unit: number, context: Context): Distribution {
  const list = Array.isArray(value) ? value : [];
  if (
    list.length === 0 ||
    list.length > 1001 ||
    !list.every((one) => typeof one === "number" && one >= 0)
  ) {
    return refuse(context, "expected 1 to 1001 measured values, each 0 or more", "measured");
  }
  const quantiles = (list as number[]).map((one) => one * unit).sort((a, b) => a - b);
  return { kind: "measured", quantiles };
}

export const MS = 1_000;
export const SECOND = 1_000_000;
const MINUTE = 60 * SECOND;
export const HOUR = 3600 * SECOND;

// The file ----------------------------------------------------------------------------------------------------

const pecPattern = /^0x[0-9a-fA-F]{1,4}$/;
const pecs = z
  .record(z.string(), z.number().positive().max(1e9))
  .refine((map) => Object.keys(map).length > 0, "name at least one PEC with its weight")
  .refine(
    (map) => Object.keys(map).every((key) => pecPattern.test(key) && Number(key) > 0),
    "a PEC is written as a hexadecimal string, '0x003a'",
  );

const arrivals = z
  .strictObject({
    poisson: z.strictObject({ perHour: z.number().positive().max(3.6e9) }).optional(),
    weibull: z
      .strictObject({
        scaleSeconds: z.number().positive().max(1e9),
        shape: z.number().min(0.05).max(100),
      })
      .optional(),
    bursts: z
      .strictObject({
        perHour: z.number().positive().max(3.6e9),
        size: distribution(1),
        gapMs: distribution(MS),
      })
      .optional(),
    trace: z
      .strictObject({
        atSeconds: z.array(z.number().min(0)).min(1).max(1_000_000).optional(),
        file: z.string().optional(),
      })
      .refine(
        (trace) => (trace.atSeconds === undefined) !== (trace.file === undefined),
        "expected either atSeconds or file",
      )
      .optional(),
  })
  .refine(
    (given) => Object.values(given).filter((one) => one !== undefined).length === 1,
    "expected one of poisson, weibull, bursts, trace",
  );

const errorSource = z.strictObject({
  arrivals,
  scope: z.enum(faultScopes).default("function"),
  share: probability.default(1),
  spreadMs: distribution(MS).optional(),
  pecs: pecs.default({ "0x003a": 1 }),
  stale: probability.default(0),
  lostSignal: probability.default(0),
});

const host = z
  .strictObject({
    resetMs: distribution(MS).optional(),
    resetSeconds: distribution(SECOND).optional(),
    refused: probability.default(0),
    failed: probability.default(0),
    hangs: probability.default(0),
    broken: probability.default(0),
    clearError: z.boolean().default(false),
    clearMs: distribution(MS).optional(),
  })
  .refine(
    (given) => given.resetMs === undefined || given.resetSeconds === undefined,
    "expected either resetMs or resetSeconds",
  );

const operator = z.strictObject({
  restartVmMinutes: distribution(MINUTE).optional(),
  repairMinutes: distribution(MINUTE).optional(),
});

const scenario = z
  .strictObject({
    name: label,
    hours: z.number().positive().max(10_000_000),
    guests: z.number().int().min(1).max(1_000_000).default(1),
    functionsPerGuest: z.number().int().min(1).max(FUNCTIONS_MAX).default(1),
    errors: z.array(errorSource).min(1).max(64),
    host: host.prefault({}),
    operator: operator.prefault({}),
  })
  .refine(
    (given) => given.guests * given.functionsPerGuest <= 1_000_000,
    "guests times functionsPerGuest is above 1,000,000",
  );
export type ScenarioFile = z.output<typeof scenario>;

const times = z.partialRecord(z.enum(stages), distribution(MS));

/** What `zmend experiment fit` writes, and a guest's `timesFile:` names. */
export const timesFileSchema = z.strictObject({
  version: z.literal(1),
  source: z.string(),
  timesMs: times,
  fit: z.unknown().optional(),
});

const guest = z
  .strictObject({
    label: label.optional(),
    machine: z.string().min(1).max(4096).optional(),
    kernel: z.enum(kernelNames).optional(),
    driver: z.enum(driverNames as [string, ...string[]]).optional(),
    timesMs: times.optional(),
    timesFile: z.string().min(1).optional(),
  })
  .refine(
    (given) => (given.machine === undefined) !== (given.kernel === undefined),
    "expected either a model (kernel and driver) or a machine",
  )
  .refine(
    (given) => (given.kernel === undefined) === (given.driver === undefined),
    "expected kernel and driver together",
  )
  .refine(
    ({ machine, timesMs, timesFile }) =>
      machine === undefined || (timesMs === undefined && timesFile === undefined),
    "a machine takes its own time: leave out timesMs and timesFile",
  )
  .refine(
    ({ timesMs, timesFile }) => timesMs === undefined || timesFile === undefined,
    "expected either timesMs or timesFile",
  );
export type GuestFile = z.output<typeof guest>;

const change = z.record(z.string(), z.unknown());
const policy = z.union([
  z.string().min(1),
  z
    .strictObject({
      name: label.optional(),
      base: z.string().min(1).default("mediated"),
      change: change.optional(),
      module: z.string().min(1).optional(),
    })
    .refine((given) => given.module === undefined || given.change === undefined, {
      message: "a module decides by itself: leave out change",
    }),
]);
export type PolicyEntry = z.output<typeof policy>;

const scalar = z.union([z.number(), z.string().regex(/^[A-Za-z0-9._-]{1,64}$/)]);
const parameterName = /^[A-Za-z][A-Za-z0-9]*$/;
const parameterMap = z.record(
  z.string().regex(parameterName, "expected letters and digits"),
  scalar,
);

/** The fields that say which values the rest of the file is read with. */
export const headSchema = z.looseObject({
  parameters: parameterMap.default({}),
  sweep: z
    .record(
      z.string().regex(parameterName, "expected letters and digits"),
      z.array(scalar).min(1).max(1_000_000),
    )
    .default({}),
});

export const experimentSchema = z.strictObject({
  version: z.literal(1),
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,63}$/, "expected lower-case letters, digits and hyphens"),
  question: z.string().min(1).max(500),
  parameters: parameterMap.default({}),
  sweep: headSchema.shape.sweep,
  seed: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(1),
  repetitions: z.number().int().min(1).max(1_000_000_000),
  stop: z
    .strictObject({
      metric: z.enum(metricNames as [string, ...string[]]),
      narrowerThan: z.number().positive(),
      atLeast: z.number().int().min(minimumRepetitions).default(minimumRepetitions),
      every: z.number().int().min(1).default(1),
    })
    .optional(),
  metrics: z.array(z.enum(metricNames as [string, ...string[]])).min(1),
  baseline: z.string().optional(),
  deadlineSeconds: z.number().positive().max(31_536_000).default(60),
  scenarios: z.array(scenario).min(1).max(100),
  guests: z.array(guest).min(1).max(100),
  policies: z.array(policy).min(1).max(1000),
  knownAnswer: z
    .strictObject({
      ratePerHour: z.number().positive(),
      recoverySeconds: z.number().positive(),
    })
    .optional(),
});
export type ExperimentFile = z.output<typeof experimentSchema>;
