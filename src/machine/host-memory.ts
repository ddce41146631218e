/**
 * How much memory this host can still give. Shared wasm memory is reserved, not committed, so the
 * allocation itself does not fail: the check has to be made before (issue: compare with MemAvailable and the cgroup limit).
 */
import { readFileSync } from "node:fs";
import { freemem } from "node:os";
import { ZmendError } from "../base/errors.ts";

const MIB = 1024 * 1024;

/** Bytes available: the smaller of /proc/meminfo MemAvailable and what the cgroup has left. */
export function availableMemoryBytes(): number {
  const limits = [memAvailable(), cgroupLeft()].filter((value) => value !== undefined);
  return limits.length > 0 ? Math.min(...limits) : freemem();
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

function memAvailable(): number | undefined {
  const match = /^MemAvailable:\s+(\d+) kB/m.exec(readOptional("/proc/meminfo"));
  return match?.[1] === undefined ? undefined : Number(match[1]) * 1024;
}

function cgroupLeft(): number | undefined {
  const pairs = [
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"],
    ["/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"],
  ] as const;
  for (const [limitFile, usageFile] of pairs) {
    const limit = Number(readOptional(limitFile).trim() || Number.NaN);
    const usage = Number(readOptional(usageFile).trim() || Number.NaN);
    if (Number.isFinite(limit) && Number.isFinite(usage)) return Math.max(0, limit - usage);
  }
  return undefined;
}

function readOptional(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
