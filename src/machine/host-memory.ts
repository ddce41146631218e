/**
 * How much memory this host can still give. Shared wasm memory is reserved, not committed, so the allocation
 * itself does not fail: the check has to be made before. Source of the files: Linux Documentation,
 * filesystems/proc.rst (MemAvailable), admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
 */
import { readFileSync } from "node:fs";
import { freemem } from "node:os";
import { ZmendError } from "../base/errors.ts";

const MIB = 1024 * 1024;

/** A file's text, empty when it cannot be read. */
export type FileReader = (path: string) => string;

/** Bytes available: the smaller of /proc/meminfo MemAvailable and what the process's cgroups have left. */
export function availableMemoryBytes(
  read: FileReader = readOptional,
  free: () => number = freemem,
): number {
  const left = [memAvailable(read), ...cgroupsLeft(read)].filter((value) => value !== undefined);
  return left.length > 0 ? Math.min(...left) : free();
}

/** @throws ZmendError NOT_ENOUGH_MEMORY when `neededBytes` exceeds what is available */
export function requireMemory(
  neededBytes: number,
  what: string,
  availableBytes = availableMemoryBytes(),
): void {
  if (neededBytes <= availableBytes) return;
  throw new ZmendError(
    "NOT_ENOUGH_MEMORY",
    `${what} needs ${Math.ceil(neededBytes / MIB)} MiB, this machine has ${Math.floor(availableBytes / MIB)} MiB available; ` +
      "give the guest less memory or free some.",
    { neededBytes, availableBytes },
  );
}

function memAvailable(read: FileReader): number | undefined {
  const match = /^MemAvailable:\s+(\d+) kB/m.exec(read("/proc/meminfo"));
  return match?.[1] === undefined ? undefined : Number(match[1]) * 1024;
}

interface Hierarchy {
  readonly root: string;
  readonly limit: string;
  readonly usage: string;
  /** Key in memory.stat of file cache that the kernel takes back first. */
  readonly reclaimable: string;
  /** The process's path in this hierarchy, from /proc/self/cgroup. */
  readonly own: RegExp;
}

const hierarchies: readonly Hierarchy[] = [
  {
    root: "/sys/fs/cgroup",
    limit: "memory.max",
    usage: "memory.current",
    reclaimable: "inactive_file",
    own: /^0::(\/.*)$/m,
  },
  {
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file",
    own: /^\d+:(?:[^:\n]*,)?memory(?:,[^:\n]*)?:(\/.*)$/m,
  },
];

/** A limit may stand at the process's own group or at any above it; each counts. */
function cgroupsLeft(read: FileReader): (number | undefined)[] {
  const membership = read("/proc/self/cgroup");
  return hierarchies.flatMap((hierarchy) => {
    const own = hierarchy.own.exec(membership)?.[1] ?? "/";
    const parts = own.split("/").filter((part) => part !== "");
    const paths = parts.map((_, index) => `/${parts.slice(0, index + 1).join("/")}`);
    return ["", ...paths].map((path) => left(read, `${hierarchy.root}${path}`, hierarchy));
  });
}

function left(read: FileReader, folder: string, hierarchy: Hierarchy): number | undefined {
  const limit = numberIn(read(`${folder}/${hierarchy.limit}`)); // "max" is no number: no limit
  const usage = numberIn(read(`${folder}/${hierarchy.usage}`));
  if (limit === undefined || usage === undefined) return undefined;
  const stat = read(`${folder}/memory.stat`);
  const cache = numberIn(
    new RegExp(`^${hierarchy.reclaimable} (\\d+)$`, "m").exec(stat)?.[1] ?? "",
  );
  return Math.max(0, limit - Math.max(0, usage - (cache ?? 0)));
}

function numberIn(text: string): number | undefined {
  return /^\d+$/.test(text.trim()) ? Number(text.trim()) : undefined;
}

function readOptional(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
