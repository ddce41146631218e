/** From the daemon's config to what its supervisor builds: spec, boot source and rules of each VM. */
import { dirname, resolve } from "node:path";
import { checkDisks, type NvmeInput } from "../backend/sim/index.ts";
import { wallClockMs } from "../base/clock.ts";
import { ZmendError } from "../base/errors.ts";
import { hex } from "../base/hex.ts";
import { FUNCTIONS_MAX } from "../base/limits.ts";
import {
  type DaemonConfig,
  type DaemonFunction,
  type DaemonVm,
  readDaemonConfig,
} from "../config/daemon-config.ts";
import { type FaultStep, isFile } from "../config/parts.ts";
import { checkCapacity, demandOf } from "../control/daemon/capacity.ts";
import type { PlannedFunction, VmPlan } from "../control/daemon/managed-vm.ts";
import { type GuestSource, imageSum } from "../control/journal/index.ts";
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
}

/** Everything that can be wrong with a config on this machine is said before anything starts. @throws ZmendError */
export function loadDaemonConfig(file: string): LoadedConfig {
  const config = readDaemonConfig(file, configChecks(dirname(resolve(file))));
  const plans = planDaemon(config, file);
  // One image may have one writer, whichever VMs have it.
  checkDisks(plans.flatMap((plan) => plan.functions.map((entry) => entry.config)));
  checkCapacity(demandOf(plans.map((plan) => plan.spec)), config.limits);
  return { config, plans };
}

/** @throws ZmendError for images, policies and CCDF files that are missing or wrong, each VM's first one named */
export function planDaemon(config: DaemonConfig, file: string): DaemonVmPlan[] {
  const refused: ZmendError[] = [];
  const plans = config.vms.flatMap((vm) => {
    try {
      return [planVm(vm, config, dirname(resolve(file)))];
    } catch (error) {
      if (!(error instanceof ZmendError)) throw error;
      refused.push(error);
      return [];
    }
  });
  const [first] = refused;
  if (first === undefined) return plans;
  if (refused.length === 1) throw first;
  throw new ZmendError(first.code, [...new Set(refused.map(({ message }) => message))].join("\n"));
}

/** Paths in a config are relative to the file that names them. */
function planVm(vm: DaemonVm, whole: DaemonConfig, folder: string): DaemonVmPlan {
  const at = (path: string): string => resolve(folder, path);
  const read = (): BootSource => {
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
  };
  const all = plannedFunctions(vm, at);
  const spec = {
    ...specOf(vm, all, folder),
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
    guest: guestOf(vm, read(), at),
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

/** Room for functions that operators plug later. */
const SPARE_SLOTS = 4;

type Locate = (path: string) => string;

function plannedFunctions(vm: DaemonVm, at: Locate): PlannedFunction[] {
  return vm.functions.map((entry, index) => ({
    id: entry.id ?? `fn-${hex(entry.fid, 8).slice(2)}`,
    fid: entry.fid,
    config: planFunction(located(entry, at), index, entry.faults.map(locatedFault(at))),
  }));
}

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

function specOf(vm: DaemonVm, all: readonly PlannedFunction[], folder: string): VmSpec {
  // What is neither there nor brought by its fault plan waits for an operator, outside the machine.
  const placed = vm.functions.flatMap((entry, index) => {
    const planned = all[index];
    const comes = entry.present || entry.faults.some((fault) => fault.plug !== undefined);
    return comes && planned !== undefined ? [{ entry, planned }] : [];
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
    policy: policyAt(vm.policy, folder),
    policies: placed.map(({ entry }) =>
      entry.policy === undefined ? undefined : policyAt(entry.policy, folder),
    ),
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
