/**
 * What every configuration file has in common: sizes, ids, the host's side of a function, faults, and the names
 * that a file may use. Each schema here serves the demo, the daemon and the generated documentation; the text of
 * `describe` is what zmend.yaml(5) and the JSON Schema say. Units are in the key names.
 */
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { hostInterfaces } from "../abi/zpci-err.ts";
import { ZmendError } from "../base/errors.ts";
import { GUEST_RAM_MAX_BYTES, GUEST_RAM_MIN_BYTES } from "../base/limits.ts";
import { suggestion } from "../base/nearest.ts";

const u32Max = 0xffffffff;

/** "16MiB", "64M", "1.5GiB" or a number of bytes. */
function parseSize(text: string | number): number | undefined {
  if (typeof text === "number") return Number.isInteger(text) && text >= 0 ? text : undefined;
  const match = /^(\d+(?:\.\d+)?)\s*([KMG])?(i?B)?$/i.exec(text.trim());
  if (match === null) return undefined;
  const unit = { K: 1024, M: 1024 ** 2, G: 1024 ** 3 }[(match[2] ?? "").toUpperCase()] ?? 1;
  const bytes = Number(match[1]) * unit;
  return Number.isInteger(bytes) ? bytes : undefined;
}

/** A size between two bounds; `range` is how a message names them. */
export function sizeBetween(least: number, most: number, range: string) {
  const error = `expected a size such as 16MiB, ${range}`;
  return z.union([z.string(), z.number()], { error }).transform((value, context) => {
    const bytes = parseSize(value);
    const message = bytes === undefined ? "expected a size such as 16MiB" : `expected ${range}`;
    if (bytes !== undefined && bytes >= least && bytes <= most) return bytes;
    context.addIssue({ code: "custom", message: `${message}, got '${value}'` });
    return z.NEVER;
  });
}

export const guestMemory = sizeBetween(GUEST_RAM_MIN_BYTES, GUEST_RAM_MAX_BYTES, "1MiB..3584MiB");

export const cpuAccel = z
  .enum(["interp", "jit"])
  .default("interp")
  .describe("how the CPUs execute: interp, or jit: hot code as generated WebAssembly");

/** IDs are written in hex, and so is their range. */
const idError = ({ input }: { readonly input?: unknown }): string =>
  `${input === undefined ? "is missing; " : ""}expected 0..0xffffffff${input === undefined ? "" : `, got ${JSON.stringify(input)}`}`;

export const id32 = z
  .number({ error: idError })
  .int({ error: idError })
  .min(0, { error: idError })
  .max(u32Max, { error: idError });

export const milliseconds = z.number().min(0);

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

const hostSchema = z
  .strictObject({
    dialect: z.string().default("zpci").describe("zpci, eeh or aer"),
    abi: z.string().default("merged").describe("shape of its interface, see 'zmend abi list'"),
    pe: z
      .number()
      .int()
      .min(1)
      .max(0x7fff)
      .optional()
      .describe("dialect eeh: functions with the same number freeze, thaw and are reset together"),
  })
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

/** The keys of a function, wherever one is configured. */
export const functionShape = {
  fid: id32.describe("the function's ID (FID), unique within the VM"),
  uid: z.number().int().min(1).max(0xffff).describe("the function's user-defined ID (UID)"),
  present: z
    .boolean()
    .default(true)
    .describe(
      "whether the function is there when the VM starts; if not, a fault with plug brings it",
    ),
  device: z
    .enum(["test", "nvme"])
    .default("test")
    .describe("what is behind the function: zmend's small test function, or an NVMe controller"),
  nvme: z
    .record(z.string(), z.unknown())
    .optional()
    .describe("the NVMe controller: serial, namespaces, faults, seed"),
  profile: z
    .enum(["plain", "recorded"])
    .default("plain")
    .describe("recorded: capabilities and vectors as a genuine 7.3-rc7 host told them"),
  host: hostSchema
    .default({ dialect: "zpci", abi: "merged" })
    .describe("how the host tells of errors"),
  clearError: z
    .boolean()
    .default(false)
    .describe("whether the host can clear the error state in place (MPCIFC 9 and 7)"),
  pins: z
    .strictObject({
      avail: z
        .number()
        .int()
        .min(1)
        .max(65535)
        .default(65535)
        .describe(
          "pages that can be mapped, the host's dma_entry_limit; the guest's DMA range ends there",
        ),
      taken: z
        .number()
        .int()
        .min(0)
        .max(65535)
        .default(0)
        .describe("how many of them others use up while the guest runs"),
    })
    .optional()
    .describe(
      "the device reaches only what the host maps for it, page by page, as a real VFIO host's",
    ),
  resetFailures: z
    .array(z.enum(["EAGAIN", "EIO"]))
    .default([])
    .describe("errno values that the next resets of the function answer first"),
  resetMs: milliseconds.default(2).describe("how long a reset of the function takes"),
};

const range = z
  .strictObject({
    from: z.number().int().min(0).describe("first address or offset"),
    to: z.number().int().min(0).optional().describe("last one, itself included; from when missing"),
  })
  .refine((value) => value.to === undefined || value.to >= value.from, "to must not be below from");
const chance = z.number().min(0.00001).max(1);
const forMs = z.strictObject({
  forMs: z
    .number()
    .min(0.001)
    .max(1e9)
    .optional()
    .describe("how long; for ever when it is missing"),
});
const lost = z.number().int().min(1).max(1_000_000);

/** Keys that say when a fault comes, and keys that say what it is: exactly one of each. */
const faultWhen = [
  "atMs",
  "afterAccesses",
  "afterTransfers",
  "bar",
  "dmaAt",
  "perAccess",
  "perTransfer",
] as const;
const faultWhat = [
  "ccdf",
  "pec",
  "dma",
  "storm",
  "allOnes",
  "blockedDma",
  "linkDown",
  "lostStores",
  "lostInterrupts",
  "lostSignals",
  "unplug",
  "plug",
] as const;

/** The keys of a fault. */
export const faultShape = {
  atMs: milliseconds.optional().describe("when: this long after the VM's start"),
  afterAccesses: z
    .number()
    .int()
    .min(1)
    .optional()
    .describe("when: at this load or store of the guest"),
  afterTransfers: z
    .number()
    .int()
    .min(1)
    .optional()
    .describe("when: at this DMA transfer of the device"),
  bar: range.optional().describe("when: at an access of the guest to these offsets of BAR 0"),
  dmaAt: range.optional().describe("when: at a DMA transfer that touches these addresses"),
  perAccess: chance
    .optional()
    .describe("when: at each load or store of the guest with this chance"),
  perTransfer: chance.optional().describe("when: at each DMA transfer with this chance"),
  times: z
    .union([z.number().int().min(1), z.literal("always")])
    .optional()
    .describe("how often; once when it is not said"),
  ccdf: z
    .string()
    .optional()
    .describe("what: a CCDF sequence of guest-fixtures/ccdf, by name, or a file"),
  pec: z.number().int().min(1).max(0xffff).optional().describe("what: one error event, its PEC"),
  faddr: z.number().int().min(0).optional().describe("failing address of the event"),
  stale: z.boolean().optional().describe("the event carries a handle that is no longer current"),
  dma: z
    .literal("translation")
    .optional()
    .describe("what: the next DMA goes to an address that the guest has not mapped"),
  storm: z
    .strictObject({
      pec: z.number().int().min(1).max(0xffff).describe("PCI event code of each event"),
      count: z.number().int().min(1).max(10_000).describe("how many events"),
      everyMs: z.number().min(0.001).max(1e9).describe("time between two of them"),
    })
    .optional()
    .describe("what: so many error events, one after the other"),
  allOnes: forMs
    .optional()
    .describe(
      "what: loads give ones and stores are lost, without an event; without forMs until a reset",
    ),
  blockedDma: forMs
    .optional()
    .describe(
      "what: DMA and interrupts do not pass, without an event; without forMs until a reset",
    ),
  linkDown: forMs
    .optional()
    .describe("what: out of reach, then event 0x003a; without forMs for good, with event 0x003b"),
  lostStores: lost
    .optional()
    .describe("what: so many of the guest's next stores (doorbells) are lost"),
  lostInterrupts: lost
    .optional()
    .describe("what: so many of the device's next interrupts are lost"),
  lostSignals: lost.optional().describe("what: so many of the host's next error signals are lost"),
  unplug: z
    .enum(["request", "surprise"])
    .optional()
    .describe("what: the host asks for the function back, or has taken it already"),
  plug: z
    .enum(["configured", "standby"])
    .optional()
    .describe("what: the function is there (again), and the guest finds it like that"),
};

export type FaultStep = z.output<z.ZodObject<typeof faultShape>>;

/** Exactly one "when", exactly one "what". */
export const faultCheck: z.core.CheckFn<FaultStep> = (context) => {
  const value = context.value;
  const report = (message: string): void => {
    context.issues.push({ code: "custom", input: value, message });
  };
  const said = (keys: readonly (keyof FaultStep)[]): number =>
    keys.filter((key) => value[key] !== undefined).length;
  if (said(faultWhat) !== 1) report(`needs exactly one of ${faultWhat.join(", ")}`);
  if (said(faultWhen) !== 1) report(`needs exactly one of ${faultWhen.join(", ")}`);
};

/** Adds one problem; the path is relative to the value that is being checked. */
export type Report = (path: readonly PropertyKey[], message: string) => void;

/**
 * A check of what keys say together. It runs even where some of them were refused by themselves, so that one look tells
 * everything: values may then be missing or of another type than theirs.
 */
export function together<T>(check: (value: T, report: Report) => void): z.core.$ZodCheck<T> {
  return z.superRefine<T>(
    (value, context) => {
      if (typeof value !== "object" || value === null) return;
      check(value, (path, message) =>
        context.addIssue({ code: "custom", path: [...path], message }),
      );
    },
    { when: () => true },
  );
}

/** The entries of a list with their places, if it is one; those that the schema refused as a whole are left out. */
export function entriesOf<T>(list: readonly T[]): [number, T][] {
  if (!Array.isArray(list)) return [];
  return [...list.entries()].filter(([, entry]) => typeof entry === "object" && entry !== null);
}

/** Two functions of one VM must not have the same id; `keys` are those that tell them apart. */
export function duplicates<T extends object>(
  list: readonly T[],
  keys: readonly (keyof T & string)[],
  place: string,
  report: Report,
): void {
  for (const key of keys) {
    const seen = new Map<unknown, number>();
    for (const [index, entry] of entriesOf(list)) {
      const value = entry[key];
      if (typeof value !== "string" && typeof value !== "number") continue;
      const first = seen.get(value);
      if (first !== undefined) {
        const shown = typeof value === "number" ? `0x${value.toString(16)}` : `'${value}'`;
        report([place, index, key], `${shown} is already taken by ${place}[${first}]`);
      }
      seen.set(value, index);
    }
  }
}

/** Names that a config may use, by what they name; files are told by a slash or their ending. */
export interface KnownNames {
  readonly fixture: readonly string[];
  readonly "Linux kernel": readonly string[];
  readonly policy: readonly string[];
  readonly "CCDF sequence": readonly string[];
  readonly "CPU model": readonly string[];
}

/** What a config is checked against besides its own schema. */
export interface ConfigChecks {
  readonly names: KnownNames;
  /** Every problem of a value as an NVMe controller, each as "nvme.path[0].key: what is wrong". */
  readonly nvme: (value: unknown) => readonly string[];
  /** Where the files are that a config names; without it nobody looks for them. */
  readonly folder?: string;
}

export function demandName(
  names: KnownNames,
  kind: keyof KnownNames,
  name: string | undefined,
  path: readonly PropertyKey[],
  report: Report,
): void {
  if (typeof name !== "string" || isFile(name) || names[kind].includes(name)) return;
  const hint = suggestion(name, names[kind]);
  report(path, `${kind} '${name}' is unknown${hint}; name one of ${names[kind].join(", ")}`);
}

/** A file that a config names has to be there; paths are relative to the config's folder. */
export function demandFile(
  { folder }: ConfigChecks,
  what: string,
  path: unknown,
  at: readonly PropertyKey[],
  report: Report,
): void {
  if (folder === undefined || typeof path !== "string") return;
  const file = resolve(folder, path);
  try {
    if (statSync(file).isFile()) accessSync(file, constants.R_OK);
    else report(at, `${what} ${file} is no file; name one`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    report(at, `${what} ${file} cannot be read (${code}); name an existing file`);
  }
}

export function isFile(name: string): boolean {
  return name.includes("/") || /\.(json|ya?ml)$/.test(name);
}

/** Checks the controller of one function; paths in the problems become paths of the file. */
export function checkNvme(
  entry: { readonly device: string; readonly nvme?: unknown },
  problemsOf: ConfigChecks["nvme"],
  at: readonly PropertyKey[],
  report: Report,
): void {
  if (typeof entry.nvme !== "object" || entry.nvme === null) return;
  if (entry.device !== "nvme") report([...at, "nvme"], "needs device: nvme");
  for (const problem of problemsOf(entry.nvme)) {
    const [, place = "nvme", message = problem] = /^(\S+?): (.*)$/.exec(problem) ?? [];
    const path = place.split(/[.[\]]+/).filter((part) => part !== "");
    report([...at, ...path.map((part) => (/^\d+$/.test(part) ? Number(part) : part))], message);
  }
}

export function readConfigText(file: string): string {
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
