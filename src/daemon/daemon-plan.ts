/** From the daemon's config to what its supervisor builds: spec, boot source and rules of each VM. */
import { dirname, resolve } from "node:path";
import { DiskUses, type NvmeInput } from "../backend/sim/index.ts";
import { wallClockMs } from "../base/clock.ts";
import { ZmendError } from "../base/errors.ts";
import { hex } from "../base/hex.ts";
import { FUNCTIONS_MAX } from "../base/limits.ts";
import { type Problem, yamlProblems } from "../base/yaml-file.ts";
import {
  type DaemonConfig,
  type DaemonFunction,
  type DaemonVm,
  parseDaemonConfig,
} from "../config/daemon-config.ts";
import { type FaultStep, isFile, readConfigText } from "../config/parts.ts";
import { type Demand, demandOf, limitProblems } from "../control/daemon/capacity.ts";
import type { PlannedFunction, VmPlan } from "../control/daemon/managed-vm.ts";
import { type GuestSource, imageSum } from "../control/journal/index.ts";
import { checkBoot } from "../machine/boot-check.ts";
import { readFixture } from "../machine/fixtures.ts";
import { readImage, readInitrd } from "../machine/image.ts";
import { readSnapshot } from "../machine/snapshot.ts";
import { type BootSource, VmController } from "../machine/vm-controller.ts";
import type { VmSpec } from "../machine/vm-spec.ts";
import { loadPolicy, type Policy } from "../recovery/index.ts";
import { configChecks, planFunction } from "./plan-function.ts";

/** A VM of the config, with what the journal wants to know of its guest. */
export interface DaemonVmPlan extends VmPlan {
  readonly guest: GuestSource;
}

export interface LoadedConfig {
  readonly config: DaemonConfig;
  readonly plans: readonly DaemonVmPlan[];
  /** What a machine has to have for them. */
  readonly demand: Demand;
}

/**
 * Everything that can be wrong with a config is said before anything starts, all at once.
 * @throws ZmendError CONFIG_INVALID
 */
export function loadDaemonConfig(file: string): LoadedConfig {
  const text = readConfigText(file);
  const folder = dirname(resolve(file));
  const config = parseDaemonConfig(text, file, configChecks(folder));
  const { plans, problems } = planDaemon(config, folder);
  // What VMs need that could not be planned nobody knows.
  if (problems.length > 0) throw yamlProblems(text, file, problems, "CONFIG_INVALID");
  const demand = demandOf(plans.map((plan) => plan.spec));
  const exceeded = limitProblems(demand, config.limits);
  if (exceeded.length > 0) throw yamlProblems(text, file, exceeded, "CONFIG_INVALID");
  return { config, plans, demand };
}

export interface PlannedDaemon {
  readonly plans: readonly DaemonVmPlan[];
  /** Images, disks, policies and CCDF files that are no such thing, by their place in the config. */
  readonly problems: Problem[];
}

/** @param folder where the files are that the config names */
export function planDaemon(config: DaemonConfig, folder: string): PlannedDaemon {
  const problems: Problem[] = [];
  // One image may have one writer, whichever VMs have it.
  const disks = new DiskUses();
  const plans = config.vms.flatMap((vm, index) => {
    const before = problems.length;
    const attempt: Attempt = (path, work) => {
      try {
        return work();
      } catch (error) {
        if (!(error instanceof ZmendError)) throw error;
        for (const message of error.message.split("\n")) {
          problems.push({ path: ["vms", index, ...path], message });
        }
        return undefined;
      }
    };
    const plan = planVm(vm, config, folder, disks, attempt);
    return plan !== undefined && problems.length === before ? [plan] : [];
  });
  return { plans, problems };
}

/** Does what may fail; a failure becomes a problem at `path` of the VM. */
type Attempt = <T>(path: readonly PropertyKey[], work: () => T) => T | undefined;

function planVm(
  vm: DaemonVm,
  whole: DaemonConfig,
  folder: string,
  disks: DiskUses,
  attempt: Attempt,
): DaemonVmPlan | undefined {
  const at = (path: string): string => resolve(folder, path);
  const read = (): BootSource => readBoot(vm, at);
  const guest = attempt([vm.fixture === undefined ? "kernel" : "fixture"], () => {
    const source = read();
    checkBoot(source, vm.memory);
    return guestOf(vm, source, at);
  });
  const policy = attempt(["policy"], () => policyAt(vm.policy, folder));
  const functions = vm.functions.map((entry, index) => {
    const place = ["functions", index];
    const config = attempt([...place, "faults"], () =>
      planFunction(located(entry, at), index, entry.faults.map(locatedFault(at))),
    );
    attempt([...place, "nvme"], () => disks.take(config?.nvme));
    const own = entry.policy;
    const chosen =
      own === undefined ? undefined : attempt([...place, "policy"], () => policyAt(own, folder));
    return { entry, config, policy: chosen };
  });
  const all = functions.flatMap(({ entry, config }) =>
    config === undefined
      ? []
      : [{ id: entry.id ?? `fn-${hex(entry.fid, 8).slice(2)}`, fid: entry.fid, config }],
  );
  if (guest === undefined || policy === undefined || all.length < functions.length) return;
  const policies = functions.map((entry) => entry.policy);
  const spec = {
    ...specOf(vm, all, policy, policies),
    vcpuNice: whole.vcpuNice,
    recoveryWorkers: vm.recovery.workers ?? whole.recovery.workers,
  };
  return {
    name: vm.name,
    spec,
    functions: all,
    autostart: vm.autostart,
    startOrder: vm.startOrder,
    startDelayMs: vm.startDelayMs,
    restart: vm.restart,
    guest,
    // A machine of its own each time: the files may have changed, the time of day has.
    build: async (current) =>
      new VmController({ spec: { ...current, epochMs: wallClockMs() }, boot: read() }),
    restore: async (current, snapshotFile) =>
      new VmController({
        spec: current,
        boot: read(),
        snapshot: await readSnapshot(snapshotFile),
      }),
  };
}

function readBoot(vm: DaemonVm, at: Locate): BootSource {
  if (vm.fixture !== undefined) return readFixture(vm.fixture);
  const kernel = at(vm.kernel ?? "");
  const initrd = vm.initrd === undefined ? undefined : at(vm.initrd);
  return {
    image: readImage(kernel),
    file: kernel,
    linux: {
      ...(vm.append === undefined ? {} : { commandLine: vm.append }),
      ...(initrd === undefined ? {} : { initrd: { bytes: readInitrd(initrd), file: initrd } }),
    },
  };
}

/** Room for functions that operators plug later. */
const SPARE_SLOTS = 4;

type Locate = (path: string) => string;

function locatedFault(at: Locate) {
  return (fault: FaultStep): FaultStep =>
    fault.ccdf !== undefined && isFile(fault.ccdf) ? { ...fault, ccdf: at(fault.ccdf) } : fault;
}

/** The function with absolute paths of its disk images. */
function located(entry: DaemonFunction, at: Locate): DaemonFunction {
  const disks = (entry.nvme as NvmeInput | undefined)?.namespaces;
  if (disks === undefined) return entry;
  const namespaces = disks.map((disk) =>
    disk.file === undefined ? disk : { ...disk, file: at(disk.file) },
  );
  return { ...entry, nvme: { ...entry.nvme, namespaces } };
}

/** @param policies of the functions, where they have their own */
function specOf(
  vm: DaemonVm,
  all: readonly PlannedFunction[],
  policy: Policy,
  policies: readonly (Policy | undefined)[],
): VmSpec {
  // What is neither there nor brought by its fault plan waits for an operator, outside the machine.
  const placed = vm.functions.flatMap((entry, index) => {
    const planned = all[index];
    const comes = entry.present || entry.faults.some((fault) => fault.plug !== undefined);
    return comes && planned !== undefined ? [{ planned, policy: policies[index] }] : [];
  });
  return {
    name: vm.name,
    ramBytes: vm.memory,
    cpuModel: vm.cpu,
    accel: vm.accel,
    vcpus: vm.cpus,
    functions: placed.map(({ planned }) => planned.config),
    functionIds: placed.map(({ planned }) => planned.id),
    functionSlots: vm.functionSlots ?? Math.min(FUNCTIONS_MAX, all.length + SPARE_SLOTS),
    uidChecking: vm.uidChecking,
    ...(vm.watchdog === undefined ? {} : { watchdog: vm.watchdog }),
    ...(vm.loadparm === undefined ? {} : { loadparm: vm.loadparm }),
    policy,
    policies: placed.map((entry) => entry.policy),
    epochMs: wallClockMs(),
  };
}

function policyAt(nameOrFile: string, folder: string): Policy {
  return loadPolicy(isFile(nameOrFile) ? resolve(folder, nameOrFile) : nameOrFile);
}

function guestOf(vm: DaemonVm, boot: BootSource, at: Locate): GuestSource {
  return {
    ...(vm.fixture === undefined ? { kernel: boot.file } : { fixture: vm.fixture }),
    ...(vm.initrd === undefined ? {} : { initrd: at(vm.initrd) }),
    ...(vm.append === undefined ? {} : { append: vm.append }),
    sha256: imageSum(boot.image),
  };
}
