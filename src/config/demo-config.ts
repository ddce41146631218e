/**
 * The configuration of `zmend demo`: one VM, its functions, what happens to them and how each must end.
 * One schema gives types, defaults and validation; units are in the key names.
 */
import { z } from "zod";
import { FUNCTIONS_MAX } from "../base/limits.ts";
import { parseYaml } from "../base/yaml-file.ts";
import {
  type ConfigChecks,
  checkNvme,
  cpuAccel,
  demandName,
  duplicates,
  entriesOf,
  faultCheck,
  faultShape,
  functionShape,
  guestMemory,
  id32,
  milliseconds,
  type Report,
  readConfigText,
  together,
} from "./parts.ts";

/** How a function must have ended: the recovery state's name. */
const expectedStates = ["operational", "failed", "quarantined", "detached"] as const;

const functionSchema = z.strictObject({
  ...functionShape,
  expect: z.enum(expectedStates).default("operational"),
});

const step = z.strictObject({ function: id32, ...faultShape }).check(faultCheck);

const demoShape = z.strictObject({
  version: z.literal(1),
  vm: z.strictObject({
    name: z.string().min(1).default("demo"),
    /** Exactly one of three: our own program, a cached Debian kernel, or a file. */
    fixture: z.string().optional(),
    linux: z.string().optional(),
    kernel: z.string().optional(),
    /** For `kernel`; a cached kernel has its own. */
    initrd: z.string().optional(),
    /** Command line of a Linux kernel. */
    append: z.string().optional(),
    memory: guestMemory.default(16 * 1024 ** 2),
    cpu: z.string().default("zmend"),
    accel: cpuAccel,
    /** Whether the guest is told that UIDs are unique, and may name functions by them. */
    uidChecking: z.boolean().default(true),
  }),
  policy: z.string().default("mediated"),
  /** The run fails when it has not ended by then: the guest's time (src/daemon/guest-time.ts). */
  deadlineMs: z.number().min(100).max(600_000).default(12_000),
  /** How long the guest goes on with checked DMA after the last function has settled. */
  settleMs: milliseconds.default(300),
  functions: z.array(functionSchema).min(1).max(FUNCTIONS_MAX),
  sequence: z.array(step).default([]),
});
const demoSchema = demoShape.check(together(checkTogether));

function checkTogether(config: z.output<typeof demoShape>, report: Report): void {
  const { vm, functions, sequence } = config;
  // Where UIDs are not checked, the guest knows functions by their FIDs alone.
  duplicates(functions, vm?.uidChecking === false ? ["fid"] : ["fid", "uid"], "functions", report);
  const fids = new Set(entriesOf(functions).map(([, { fid }]) => fid));
  for (const [index, { function: fid }] of entriesOf(sequence)) {
    if (fids.has(fid) || typeof fid !== "number") continue;
    report(["sequence", index, "function"], `no function has the fid 0x${fid.toString(16)}`);
  }
  if (typeof vm !== "object" || vm === null) return;
  const { fixture, linux, kernel, initrd, append } = vm;
  if ([fixture, linux, kernel].filter((entry) => entry !== undefined).length !== 1) {
    report(["vm"], "needs exactly one of fixture, linux and kernel");
  }
  if (initrd !== undefined && kernel === undefined) report(["vm", "initrd"], "needs kernel");
  if (append !== undefined && fixture !== undefined) {
    report(["vm", "append"], "needs linux or kernel");
  }
}

export type DemoConfig = z.output<typeof demoSchema>;
export type DemoFunction = DemoConfig["functions"][number];

/** @throws ZmendError CONFIG_INVALID: every problem with file, line and key */
export function parseDemoConfig(text: string, file: string, checks?: ConfigChecks): DemoConfig {
  const schema =
    checks === undefined ? demoSchema : demoSchema.check(together(outerChecks(checks)));
  return parseYaml(text, file, schema, "CONFIG_INVALID");
}

export function readDemoConfig(file: string, checks?: ConfigChecks): DemoConfig {
  return parseDemoConfig(readConfigText(file), file, checks);
}

function outerChecks({ names, nvme }: ConfigChecks) {
  return ({ vm, policy, sequence, functions }: DemoConfig, report: Report): void => {
    demandName(names, "fixture", vm?.fixture, ["vm", "fixture"], report);
    demandName(names, "Linux kernel", vm?.linux, ["vm", "linux"], report);
    demandName(names, "CPU model", vm?.cpu, ["vm", "cpu"], report);
    demandName(names, "policy", policy, ["policy"], report);
    for (const [index, entry] of entriesOf(sequence)) {
      demandName(names, "CCDF sequence", entry.ccdf, ["sequence", index, "ccdf"], report);
    }
    for (const [index, entry] of entriesOf(functions)) {
      checkNvme(entry, nvme, ["functions", index], report);
    }
  };
}
