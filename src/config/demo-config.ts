/**
 * The configuration of `zmend demo`: one VM, its functions, what happens to them and how each must end.
 * One schema gives types, defaults and validation; units are in the key names.
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { hostInterfaces } from "../abi/zpci-err.ts";
import { ZmendError } from "../base/errors.ts";
import { FUNCTIONS_MAX, GUEST_RAM_MAX_BYTES, GUEST_RAM_MIN_BYTES } from "../base/limits.ts";
import { suggestion } from "../base/nearest.ts";
import { parseYaml } from "../base/yaml-file.ts";

const u32Max = 0xffffffff;

/** "16MiB", "64M", "1.5GiB" or a number of bytes. */
export function parseSize(text: string | number): number | undefined {
  if (typeof text === "number") return Number.isInteger(text) && text >= 0 ? text : undefined;
  const match = /^(\d+(?:\.\d+)?)\s*([KMG])?(i?B)?$/i.exec(text.trim());
  if (match === null) return undefined;
  const unit = { K: 1024, M: 1024 ** 2, G: 1024 ** 3 }[(match[2] ?? "").toUpperCase()] ?? 1;
  const bytes = Number(match[1]) * unit;
  return Number.isInteger(bytes) ? bytes : undefined;
}

const size = z.union([z.string(), z.number()]).transform((value, context) => {
  const bytes = parseSize(value);
  if (bytes === undefined) {
    context.addIssue({ code: "custom", message: `expected a size such as 16MiB, got '${value}'` });
    return z.NEVER;
  }
  if (bytes < GUEST_RAM_MIN_BYTES || bytes > GUEST_RAM_MAX_BYTES) {
    context.addIssue({ code: "custom", message: `expected 1MiB..3584MiB, got '${value}'` });
    return z.NEVER;
  }
  return bytes;
});

const id32 = z
  .number({ error: (issue) => `expected 0..0xffffffff, got ${JSON.stringify(issue.input)}` })
  .int({ error: (issue) => `expected 0..0xffffffff, got ${String(issue.input)}` })
  .min(0, { error: (issue) => `expected 0..0xffffffff, got ${String(issue.input)}` })
  .max(u32Max, { error: (issue) => `expected 0..0xffffffff, got ${String(issue.input)}` });

const milliseconds = z.number().min(0);

/** What is wrong with the names of a host's interface, if anything: the key and one sentence. */
export function hostProblem(
  dialect: string,
  abi: string,
): { readonly key: "dialect" | "abi"; readonly text: string } | undefined {
  const dialects = Object.keys(hostInterfaces);
  const shapes = Object.entries(hostInterfaces).find(([name]) => name === dialect)?.[1];
  const say = (kind: "dialect" | "abi", name: string, known: readonly string[]) => ({
    key: kind,
    text: `${kind} '${name}' is unknown${suggestion(name, known)}; name one of ${known.join(", ")}`,
  });
  if (shapes === undefined) return say("dialect", dialect, dialects);
  return shapes.includes(abi) ? undefined : say("abi", abi, shapes);
}

/** How a function must have ended: the recovery state's name. */
export const expectedStates = ["operational", "failed", "quarantined", "detached"] as const;

const hostSchema = z
  .strictObject({ dialect: z.string().default("zpci"), abi: z.string().default("merged") })
  .check((context) => {
    const problem = hostProblem(context.value.dialect, context.value.abi);
    if (problem === undefined) return;
    context.issues.push({
      code: "custom",
      input: context.value,
      path: [problem.key],
      message: problem.text,
    });
  });

const functionSchema = z.strictObject({
  fid: id32,
  uid: z.number().int().min(1).max(0xffff),
  /** What is behind the function: zmend's small test function, or an NVMe controller. */
  device: z.enum(["test", "nvme"]).default("test"),
  /** The controller: serial, namespaces, faults, seed. Its checks come with the simulated hardware (`DemoChecks`). */
  nvme: z.record(z.string(), z.unknown()).optional(),
  profile: z.enum(["plain", "recorded"]).default("plain"),
  /** How the host tells of errors, and in which shape its interface is (`zmend abi list`). */
  host: hostSchema.default({ dialect: "zpci", abi: "merged" }),
  /** Whether the host can clear the error state in place (MPCIFC 9 and 7). */
  clearError: z.boolean().default(false),
  /** Host errno values that the next VFIO_DEVICE_RESETs answer first. */
  resetFailures: z.array(z.enum(["EAGAIN", "EIO"])).default([]),
  /** How long a reset of the function takes. */
  resetMs: milliseconds.default(2),
  expect: z.enum(expectedStates).default("operational"),
});

const when = {
  atMs: milliseconds.optional(),
  afterAccesses: z.number().int().min(1).optional(),
};

const step = z
  .strictObject({
    ...when,
    function: id32,
    /** A CCDF sequence of guest-fixtures/ccdf, by name, or a file. */
    ccdf: z.string().optional(),
    /** One architected error event. */
    pec: z.number().int().min(1).max(0xffff).optional(),
    faddr: z.number().int().min(0).optional(),
    /** The event carries a handle that is no longer current. */
    stale: z.boolean().optional(),
    /** The device's next DMA goes to an address that the guest has not mapped. */
    dma: z.literal("translation").optional(),
  })
  .check((context) => {
    const value = context.value;
    const kinds = [value.ccdf, value.pec, value.dma].filter((entry) => entry !== undefined);
    if (kinds.length !== 1) {
      context.issues.push({
        code: "custom",
        input: value,
        message: "needs exactly one of ccdf, pec and dma",
      });
    }
    if ((value.atMs === undefined) === (value.afterAccesses === undefined)) {
      context.issues.push({
        code: "custom",
        input: value,
        message: "needs exactly one of atMs and afterAccesses",
      });
    }
  });

/** What a config is checked against besides its own schema. */
export interface DemoChecks {
  readonly names: KnownNames;
  /** Every problem of a value as an NVMe controller, each as "nvme.path[0].key: what is wrong". */
  readonly nvme: (value: unknown) => readonly string[];
}

/** Names that a config may use, by what they name; files are told by a slash or their ending. */
export interface KnownNames {
  readonly fixture: readonly string[];
  readonly policy: readonly string[];
  readonly "CCDF sequence": readonly string[];
  readonly "CPU model": readonly string[];
}

const demoSchema = z
  .strictObject({
    version: z.literal(1),
    vm: z.strictObject({
      name: z.string().min(1).default("demo"),
      fixture: z.string().optional(),
      kernel: z.string().optional(),
      memory: size.default(16 * 1024 ** 2),
      cpu: z.string().default("zmend"),
    }),
    policy: z.string().default("mediated"),
    /** The run fails when it has not ended by then. */
    deadlineMs: z.number().min(100).max(600_000).default(12_000),
    /** How long the guest goes on with checked DMA after the last function has settled. */
    settleMs: milliseconds.default(300),
    functions: z.array(functionSchema).min(1).max(FUNCTIONS_MAX),
    sequence: z.array(step).default([]),
  })
  .check((context) => {
    const value = context.value;
    const problem = (path: (string | number)[], message: string): void => {
      context.issues.push({ code: "custom", input: value, path, message });
    };
    for (const key of ["fid", "uid"] as const) {
      const seen = new Map<number, number>();
      for (const [index, entry] of value.functions.entries()) {
        const first = seen.get(entry[key]);
        if (first !== undefined) {
          const shown = `0x${entry[key].toString(16)}`;
          problem(["functions", index, key], `${shown} is already taken by functions[${first}]`);
        }
        seen.set(entry[key], index);
      }
    }
    const fids = new Set(value.functions.map((entry) => entry.fid));
    for (const [index, entry] of value.sequence.entries()) {
      if (!fids.has(entry.function)) {
        const shown = `0x${entry.function.toString(16)}`;
        problem(["sequence", index, "function"], `no function has the fid ${shown}`);
      }
    }
    if ((value.vm.fixture === undefined) === (value.vm.kernel === undefined)) {
      problem(["vm"], "needs exactly one of fixture and kernel");
    }
  });

export type DemoConfig = z.output<typeof demoSchema>;
export type DemoFunction = DemoConfig["functions"][number];
export type DemoStep = DemoConfig["sequence"][number];

/** @throws ZmendError CONFIG_INVALID: every problem with file, line and key */
export function parseDemoConfig(text: string, file: string, checks?: DemoChecks): DemoConfig {
  const schema =
    checks === undefined
      ? demoSchema
      : demoSchema.check(namesCheck(checks.names), nvmeCheck(checks.nvme));
  return parseYaml(text, file, schema, "CONFIG_INVALID");
}

export function readDemoConfig(file: string, checks?: DemoChecks): DemoConfig {
  return parseDemoConfig(readText(file), file, checks);
}

function nvmeCheck(problemsOf: DemoChecks["nvme"]): z.core.CheckFn<DemoConfig> {
  return (context) => {
    for (const [index, { device, nvme }] of context.value.functions.entries()) {
      const report = (path: PropertyKey[], message: string): void => {
        const place = ["functions", index, ...path];
        context.issues.push({ code: "custom", input: nvme, path: place, message });
      };
      if (nvme === undefined) continue;
      if (device !== "nvme") report(["nvme"], "needs device: nvme");
      for (const problem of problemsOf(nvme)) {
        const [, place = "nvme", message = problem] = /^(\S+?): (.*)$/.exec(problem) ?? [];
        const path = place.split(/[.[\]]+/).filter((part) => part !== "");
        report(
          path.map((part) => (/^\d+$/.test(part) ? Number(part) : part)),
          message,
        );
      }
    }
  };
}

function namesCheck(known: KnownNames): z.core.CheckFn<DemoConfig> {
  return (context) => {
    const { vm, policy, sequence } = context.value;
    const demand = (
      kind: keyof KnownNames,
      name: string | undefined,
      path: PropertyKey[],
    ): void => {
      if (name === undefined || isFile(name) || known[kind].includes(name)) return;
      const hint = suggestion(name, known[kind]);
      const message = `${kind} '${name}' is unknown${hint}; name one of ${known[kind].join(", ")}`;
      context.issues.push({ code: "custom", input: name, path, message });
    };
    demand("fixture", vm.fixture, ["vm", "fixture"]);
    demand("CPU model", vm.cpu, ["vm", "cpu"]);
    demand("policy", policy, ["policy"]);
    for (const [index, step] of sequence.entries()) {
      demand("CCDF sequence", step.ccdf, ["sequence", index, "ccdf"]);
    }
  };
}

function isFile(name: string): boolean {
  return name.includes("/") || /\.(json|ya?ml)$/.test(name);
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new ZmendError(
      "CONFIG_INVALID",
      `Config file ${file} cannot be read; name an existing YAML file with --config.`,
      { file },
      { cause: error },
    );
  }
}
