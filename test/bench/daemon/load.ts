/** What both sides of the daemon bench have in common: shape of the load, and how a process's memory is watched. */
import { readFileSync } from "node:fs";

export const VMS = 8;
export const FUNCTIONS_PER_VM = 8;
export const FUNCTIONS = VMS * FUNCTIONS_PER_VM;

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Calls `raise` for each function once a second, evenly spread, for `seconds`; returns how often it did. */
export async function oncePerSecond(
  seconds: number,
  raise: (index: number) => unknown,
): Promise<number> {
  const startMs = performance.now();
  let raised = 0;
  for (let second = 0; second < seconds; second++) {
    for (let index = 0; index < FUNCTIONS; index++) {
      const dueMs = startMs + (second + index / FUNCTIONS) * 1000;
      const waitMs = dueMs - performance.now();
      if (waitMs > 1) await pause(waitMs);
      await raise(index);
      raised++;
    }
  }
  return raised;
}

/** Resident bytes of a process. Source: proc(5), /proc/PID/statm, pages. */
export function residentBytes(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * 4096;
}

/** CPU seconds that a process has used, all threads. Source: proc(5), /proc/PID/stat fields 14 and 15, 100 Hz. */
export function cpuSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Bytes per minute of a least-squares line through samples {ms, bytes}. */
export function slopePerMinute(samples: readonly (readonly [number, number])[]): number {
  const n = samples.length;
  if (n < 2) return Number.NaN;
  const mean = (of: (sample: readonly [number, number]) => number): number =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / n;
  const x = mean(([ms]) => ms);
  const y = mean(([, bytes]) => bytes);
  const above = samples.reduce((sum, [ms, bytes]) => sum + (ms - x) * (bytes - y), 0);
  const below = samples.reduce((sum, [ms]) => sum + (ms - x) ** 2, 0);
  return (above / below) * 60_000;
}
