/**
 * Whether this machine can hold what a config asks for: memory, threads, functions. Checked before anything is
 * built, because shared memory is reserved without being there and a thread that cannot start is no good answer.
 */
import { readFileSync } from "node:fs";
import { ZmendError } from "../../base/errors.ts";
import { FUNCTIONS_PER_RECOVERY_THREAD } from "../../base/limits.ts";
import { countOf } from "../../base/wording.ts";
import type { Problem } from "../../base/yaml-file.ts";
import type { DaemonConfig } from "../../config/daemon-config.ts";
import { availableMemoryBytes } from "../../machine/host-memory.ts";
import { mapOf, type VmSpec } from "../../machine/vm-spec.ts";

const MIB = 1024 * 1024;
/** What an empty worker thread costs: its V8 isolate, its Node environment (measured: 8.5 MiB resident). */
const WORKER_BYTES = 8.5 * MIB;

export interface Demand {
  readonly memoryBytes: number;
  readonly workers: number;
  readonly functions: number;
}

/** What the machine has; undefined where it sets no bound. */
export interface Capacity {
  readonly memoryBytes: number;
  readonly threads: number | undefined;
}

/** Platform, CPUs and, unless they are shared, a recovery worker per function. */
function workersOf(spec: VmSpec): number {
  const own = spec.recoveryWorkers === "shared" ? 0 : spec.functions.length;
  return 1 + (spec.vcpus ?? 1) + own;
}

/** Shared recovery threads, filled as `takeSeats` (src/machine/recovery-threads.ts) fills them in the order of VMs. */
function sharedThreads(specs: readonly VmSpec[]): number {
  const seats: number[] = [];
  for (const spec of specs) {
    if (spec.recoveryWorkers !== "shared") continue;
    const wanted = mapOf(spec).functionCount;
    const room = seats.findIndex((taken) => taken + wanted <= FUNCTIONS_PER_RECOVERY_THREAD);
    if (room < 0) seats.push(wanted);
    else seats[room] = (seats[room] ?? 0) + wanted;
  }
  return seats.length;
}

export function demandOf(specs: readonly VmSpec[]): Demand {
  const sum = (of: (spec: VmSpec) => number): number =>
    specs.reduce((total, spec) => total + of(spec), 0);
  const workers = sum(workersOf) + sharedThreads(specs);
  return {
    memoryBytes: sum((spec) => mapOf(spec).totalBytes) + workers * WORKER_BYTES,
    workers,
    functions: sum((spec) => spec.functions.length),
  };
}

export function capacityOfMachine(): Capacity {
  const limits = [processLimit(), groupLimit()].filter((value) => value !== undefined);
  return {
    memoryBytes: availableMemoryBytes(),
    threads: limits.length === 0 ? undefined : Math.min(...limits),
  };
}

/** The config's own limits that the VMs exceed, each with its key. */
export function limitProblems(demand: Demand, limits: DaemonConfig["limits"]): Problem[] {
  const found: Problem[] = [];
  const over = (key: keyof DaemonConfig["limits"], asked: string, allowed: string): void => {
    const message = `the VMs need ${asked}, the limit is ${allowed}; raise it or ask for less`;
    found.push({ path: ["limits", key], message });
  };
  if (limits.memory !== undefined && demand.memoryBytes > limits.memory) {
    over(
      "memory",
      `${mib(demand.memoryBytes)} MiB with their threads`,
      `${mib(limits.memory)} MiB`,
    );
  }
  if (limits.workers !== undefined && demand.workers > limits.workers) {
    over("workers", countOf(demand.workers, "thread"), String(limits.workers));
  }
  if (limits.functions !== undefined && demand.functions > limits.functions) {
    over("functions", countOf(demand.functions, "function"), String(limits.functions));
  }
  return found;
}

/** @throws ZmendError NOT_ENOUGH_MEMORY or ENVIRONMENT for what this machine cannot hold */
export function checkCapacity(demand: Demand, capacity: Capacity = capacityOfMachine()): void {
  const memory = mib(demand.memoryBytes);
  if (demand.memoryBytes > capacity.memoryBytes) {
    throw new ZmendError(
      "NOT_ENOUGH_MEMORY",
      `The VMs and their ${demand.workers} threads need ${memory} MiB, this machine has ` +
        `${Math.floor(capacity.memoryBytes / MIB)} MiB available; configure fewer or smaller VMs, or free some.`,
      { ...demand },
    );
  }
  if (capacity.threads !== undefined && demand.workers > capacity.threads) {
    throw new ZmendError(
      "ENVIRONMENT",
      `The VMs need ${demand.workers} threads, this process may have ${capacity.threads}; ` +
        "configure fewer functions, or raise the limit (ulimit -u, TasksMax=).",
      { ...demand },
    );
  }
}

function mib(bytes: number): number {
  return Math.ceil(bytes / MIB);
}

/** RLIMIT_NPROC; root is not bound by it. */
function processLimit(): number | undefined {
  if (process.getuid?.() === 0) return undefined;
  return numberOf(/^Max processes\s+(\d+)/m.exec(read("/proc/self/limits"))?.[1]);
}

/** pids.max of the process's control group (cgroup v2). */
function groupLimit(): number | undefined {
  const group = /^0::(\/.*)$/m.exec(read("/proc/self/cgroup"))?.[1] ?? "/";
  const base = `/sys/fs/cgroup${group === "/" ? "" : group}`;
  const most = numberOf(read(`${base}/pids.max`).trim());
  const used = numberOf(read(`${base}/pids.current`).trim()) ?? 0;
  return most === undefined ? undefined : Math.max(0, most - used);
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
