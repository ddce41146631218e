/**
 * The configuration of `zmend daemon`: VMs, what they run, their functions, when they start and start again, and
 * the bounds of the whole. One schema gives types, defaults, validation, config/zmend.schema.json and
 * zmend.yaml(5).
 */
import { z } from "zod";
import { loadparmForm } from "../abi/ebcdic.ts";
import { FUNCTIONS_MAX, VCPUS_MAX } from "../base/limits.ts";
import { parseYaml } from "../base/yaml-file.ts";
import { watchdogActions } from "../shm/watchdog.ts";
import { logLevels } from "./log-levels.ts";
import {
  type ConfigChecks,
  checkNvme,
  cpuAccel,
  demandFile,
  demandName,
  duplicates,
  entriesOf,
  faultCheck,
  faultShape,
  functionShape,
  guestMemory,
  isFile,
  milliseconds,
  type Report,
  sizeBetween,
  together,
} from "./parts.ts";

/** VMs of one daemon: each has a socket and at least two threads. */
const VMS_MAX = 256;

const GIB = 1024 ** 3;
const port = z.number().int().min(0).max(65535);
/** Names become file names (QMP sockets) and labels. */
const name = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._-]{0,31}$/i,
    "expected 1 to 32 letters, digits, dots, hyphens and underscores, the first a letter or digit",
  );

/** When a VM that ended by itself is started again. */
const restartCauses = ["never", "on-crash", "on-failure", "always"] as const;

const functionSchema = z.strictObject({
  id: name.optional().describe("the device's id in QMP and commands; fn-FID without it"),
  ...functionShape,
  policy: z.string().optional().describe("recovery policy of this function, instead of the VM's"),
  present: z
    .boolean()
    .default(true)
    .describe(
      "false: not there at the start; a fault with plug, or 'zmend function plug', brings it",
    ),
  faults: z
    .array(z.strictObject(faultShape).check(faultCheck))
    .default([])
    .describe("fault plan: what happens to the function, and when"),
});

const restartSchema = z.strictObject({
  when: z
    .enum(restartCauses)
    .default("on-crash")
    .describe(
      "never; on-crash: a thread of the VM died; on-failure: also when the guest panicked or a policy " +
        "stopped it; always: also when the guest switched itself off",
    ),
  times: z.number().int().min(1).max(1000).default(3).describe("restarts within withinMs, no more"),
  withinMs: milliseconds
    .max(86_400_000)
    .default(60_000)
    .describe("the window that times counts in"),
  delayMs: milliseconds.max(3_600_000).default(500).describe("pause before a restart"),
});

const workers = z.enum(["own", "shared"]);

const vmShape = z.strictObject({
  name: name.describe("the VM's name in commands, metrics and its QMP socket"),
  fixture: z.string().optional().describe("a guest program that comes with zmend, by name"),
  kernel: z.string().optional().describe("Linux kernel, bare-metal ELF64 or flat image"),
  initrd: z.string().optional().describe("initial RAM disk for the kernel"),
  append: z.string().optional().describe("command line for the kernel"),
  loadparm: z
    .string()
    .regex(loadparmForm, "expected up to 8 letters, digits, dots and blanks")
    .optional()
    .describe("LOADPARM; zrecover takes a number in it for its pause between checks, milliseconds"),
  memory: guestMemory.default(16 * 1024 ** 2).describe("guest memory, 1MiB to 3584MiB"),
  cpu: z.string().default("zmend").describe("CPU model"),
  accel: cpuAccel,
  cpus: z
    .number()
    .int()
    .min(1)
    .max(VCPUS_MAX, `a guest has at most ${VCPUS_MAX} CPUs`)
    .default(1)
    .describe(`number of CPUs, 1 to ${VCPUS_MAX}`),
  policy: z.string().default("mediated").describe("recovery policy: a name or a YAML file"),
  autostart: z.boolean().default(true).describe("start with the daemon"),
  startOrder: z
    .number()
    .int()
    .min(0)
    .max(1000)
    .default(0)
    .describe("smaller numbers start first; equal ones at the same time"),
  startDelayMs: milliseconds
    .max(3_600_000)
    .default(0)
    .describe("pause before this VM starts with the daemon"),
  watchdog: z
    .enum(watchdogActions)
    .optional()
    .describe("gives the guest a watchdog (DIAG 0x288): what happens when it fires"),
  uidChecking: z.boolean().default(true).describe("whether the guest may take UIDs for unique"),
  functionSlots: z
    .number()
    .int()
    .min(0)
    .max(FUNCTIONS_MAX)
    .optional()
    .describe("places for functions; four more than functions has entries without this"),
  restart: restartSchema.prefault({}).describe("when a VM that ended by itself is started again"),
  recovery: z
    .strictObject({
      workers: workers.optional().describe("instead of the daemon's recovery.workers"),
    })
    .prefault({})
    .describe("how its functions are recovered"),
  functions: z.array(functionSchema).max(FUNCTIONS_MAX).default([]).describe("its PCI functions"),
});
const vmSchema = vmShape.check(together(checkTogether));

function checkTogether(vm: z.output<typeof vmShape>, report: Report): void {
  const { functions, functionSlots } = vm;
  duplicates(functions, vm.uidChecking ? ["fid", "uid", "id"] : ["fid", "id"], "functions", report);
  const places = Array.isArray(functions) ? functions.length : 0;
  if (functionSlots !== undefined && functionSlots < places) {
    report(["functionSlots"], `${places} functions need as many places`);
  }
  if ((vm.fixture === undefined) === (vm.kernel === undefined)) {
    report([], "needs exactly one of fixture and kernel");
  }
  for (const key of ["initrd", "append"] as const) {
    if (vm[key] !== undefined && vm.kernel === undefined) report([key], "needs kernel");
  }
}

const daemonSchema = z
  .strictObject({
    version: z.literal(1).describe("version of this file's form: 1"),
    logLevel: z.enum(logLevels).default("info").describe("logs on standard error"),
    stopTimeoutMs: milliseconds
      .max(600_000)
      .default(5000)
      .describe("how long guests may take to switch off before they are ended"),
    metrics: z
      .strictObject({ port: port.default(0).describe("0: a free one, told when ready") })
      .prefault({})
      .describe("Prometheus metrics on the loopback interface"),
    page: z
      .strictObject({
        port: port.default(0).describe("0: a free one, told when ready"),
        inject: z
          .boolean()
          .default(false)
          .describe("the page offers to inject errors, with the token told when ready"),
      })
      .prefault({})
      .describe("the page on the loopback interface"),
    journal: z
      .strictObject({
        maxSize: sizeBetween(4 * 1024 ** 2, 1024 * GIB, "4MiB..1TiB")
          .default(256 * 1024 ** 2)
          .describe("all files of the journal together; the oldest go first"),
        fsync: z
          .enum(["never", "interval", "always"])
          .default("interval")
          .describe("when records are forced onto the disk"),
        fsyncIntervalMs: milliseconds
          .min(10)
          .max(60_000)
          .default(1000)
          .describe("the interval of fsync: interval"),
      })
      .prefault({})
      .describe("what happened, in STATE/journal"),
    vcpuNice: z
      .number()
      .int()
      .min(0)
      .max(19)
      .default(10)
      .describe(
        "by how much guests' CPUs step back behind the recovery workers, the main thread half as much, V8's compilations behind everybody; 0: nobody does",
      ),
    recovery: z
      .strictObject({
        workers: workers
          .default("own")
          .describe(
            "a worker thread for each function, or one for up to 1,024 functions of any VMs",
          ),
      })
      .prefault({})
      .describe("how functions are recovered"),
    limits: z
      .strictObject({
        memory: sizeBetween(1024 ** 2, 1024 * GIB, "1MiB..1TiB")
          .optional()
          .describe("memory of all VMs and their threads together"),
        workers: z.number().int().min(1).max(100_000).optional().describe("threads of all VMs"),
        functions: z.number().int().min(0).max(100_000).optional().describe("functions of all VMs"),
      })
      .prefault({})
      .describe("bounds that no change of the VMs may exceed; without them the machine's own"),
    vms: z.array(vmSchema).min(1).max(VMS_MAX).describe("the virtual machines"),
  })
  .check(together(({ vms }, report) => duplicates(vms, ["name"], "vms", report)));

export type DaemonConfig = z.output<typeof daemonSchema>;
export type DaemonVm = DaemonConfig["vms"][number];
export type DaemonFunction = DaemonVm["functions"][number];
export type RestartRule = DaemonVm["restart"];

/** @throws ZmendError CONFIG_INVALID: every problem with file, line and key */
export function parseDaemonConfig(text: string, file: string, checks?: ConfigChecks): DaemonConfig {
  const schema =
    checks === undefined ? daemonSchema : daemonSchema.check(together(outerChecks(checks)));
  return parseYaml(text, file, schema, "CONFIG_INVALID");
}

/** JSON Schema of the file, draft 2020-12: what an editor checks while one types. */
export function daemonJsonSchema(): Record<string, unknown> {
  return {
    title: "zmend daemon configuration",
    ...z.toJSONSchema(daemonSchema, { io: "input", target: "draft-2020-12" }),
  };
}

function outerChecks(checks: ConfigChecks) {
  return ({ vms }: DaemonConfig, report: Report): void => {
    for (const [index, vm] of entriesOf(vms)) {
      checkVm(vm, checks, (path, message) => report(["vms", index, ...path], message));
    }
  };
}

function checkVm(vm: DaemonVm, checks: ConfigChecks, report: Report): void {
  const { names, nvme } = checks;
  demandName(names, "fixture", vm.fixture, ["fixture"], report);
  demandName(names, "CPU model", vm.cpu, ["cpu"], report);
  demandFile(checks, "kernel", vm.kernel, ["kernel"], report);
  demandFile(checks, "initial RAM disk", vm.initrd, ["initrd"], report);
  const policyAt = (policy: unknown, at: readonly PropertyKey[]): void => {
    if (typeof policy !== "string") return;
    if (isFile(policy)) demandFile(checks, "policy", policy, at, report);
    else demandName(names, "policy", policy, at, report);
  };
  policyAt(vm.policy, ["policy"]);
  for (const [index, entry] of entriesOf(vm.functions)) {
    const at = ["functions", index];
    policyAt(entry.policy, [...at, "policy"]);
    checkNvme(entry, nvme, at, report);
    for (const [number, { ccdf }] of entriesOf(entry.faults)) {
      const place = [...at, "faults", number, "ccdf"];
      if (typeof ccdf !== "string") continue;
      if (isFile(ccdf)) demandFile(checks, "CCDF sequence", ccdf, place, report);
      else demandName(names, "CCDF sequence", ccdf, place, report);
    }
  }
}
