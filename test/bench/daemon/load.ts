/** What both sides of the daemon bench have in common: shape of the load, and how a process's memory is watched. */
import { readdirSync, readFileSync } from "node:fs";

export const VMS = 8;
export const FUNCTIONS_PER_VM = 8;
export const FUNCTIONS = VMS * FUNCTIONS_PER_VM;

/** One line for whoever waits; standard output is for results. */
export function progress(text: string): void {
  process.stderr.write(`daemon: ${text}\n`);
}

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
  for (; raised < seconds * FUNCTIONS; raised++) {
    const waitMs = startMs + (raised * 1000) / FUNCTIONS - performance.now();
    if (waitMs > 1) await pause(waitMs);
    await raise(raised % FUNCTIONS);
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

/** By how much the vCPU threads of a process step back behind its recovery threads, the least of them; 0 without any. */
export function vcpuNice(pid: number): number {
  const nices = readdirSync(`/proc/${pid}/task`).map((task): readonly [string, number] => {
    const text = readFileSync(`/proc/${pid}/task/${task}/stat`, "utf8");
    const end = text.lastIndexOf(")");
    return [text.slice(text.indexOf("(") + 1, end), Number(text.slice(end + 2).split(" ")[16])];
  });
  const of = (prefix: string): number[] =>
    nices.filter(([name]) => name.startsWith(prefix)).map(([, nice]) => nice);
  const vcpus = of("vcpu-");
  return vcpus.length === 0 ? 0 : Math.min(...vcpus) - Math.max(...of("rec-"));
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
