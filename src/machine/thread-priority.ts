/**
 * Who gives way to whom where threads want the same core: recovery workers and the platform (the host's side of a function)
 * to nobody, then the main thread, then the guests' CPUs, last the threads that V8 keeps (compilation, collection of garbage).
 * Without it a worker that an error has woken waits behind the main thread's turn or a compilation, some milliseconds now and
 * then, and V8's futex lock passes through a thread that stands in the queue behind them (measured with `perf sched`).
 *
 * On Linux a thread's id is a process id to setpriority(2), and /proc/thread-self tells a worker its own; elsewhere
 * nothing happens. Threads only ever step back from the nice value that the process was started with. New threads begin at
 * the main thread's, so that one steps back only where they may go up again (root, or RLIMIT_NICE: getrlimit(2)).
 */
import { readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { getPriority, setPriority } from "node:os";
import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";

const NICE_MAX = 19;

/** Key of the nice value from which workers step back, when it is not the one that they were born with. */
const BASE = "zmend.nice";

/** What `ps -L`, `top -H` and a profiler call the calling thread; Linux keeps 15 bytes. */
export function nameOwnThread(name: string): void {
  try {
    writeFileSync("/proc/thread-self/comm", name.slice(0, 15));
  } catch {
    // No /proc: the thread keeps its name.
  }
}

/**
 * Calling worker only, at its start.
 *
 * @param nice by how much it steps back: 0 (as everybody) to 19
 */
export function takeOwnPriority(nice: number): void {
  const base = getEnvironmentData(BASE);
  if (nice <= 0 && base === undefined) return;
  try {
    const thread = Number(readlinkSync("/proc/thread-self").split("/").at(-1));
    const from = typeof base === "number" ? base : getPriority(thread);
    setPriority(thread, Math.min(NICE_MAX, from + Math.max(0, nice)));
  } catch {
    // Another system, or no /proc: the scheduler goes by its own rules then.
  }
}

/** By how much threads step back, added to the nice value that the process was started with. */
export interface Priorities {
  readonly main: number;
  readonly vcpu: number;
  readonly helpers: number;
}

/** @param vcpuNice of the config: guests step back by this much, the main thread by half of it, V8 behind everybody */
export function prioritiesOf(vcpuNice: number): Priorities {
  const helpers = vcpuNice === 0 ? 0 : NICE_MAX;
  return { main: Math.ceil(vcpuNice / 2), vcpu: vcpuNice, helpers };
}

/**
 * Main thread, before any VM starts: V8's threads step back, and the main thread itself where it may.
 *
 * @returns false when the main thread had to stay, because threads that it starts could not go up again
 */
export function settlePriorities({ main, helpers }: Priorities): boolean {
  if (helpers <= 0) return true;
  try {
    const base = getPriority();
    const others = readdirSync("/proc/self/task")
      .map(Number)
      .filter((thread) => thread !== process.pid);
    const mayGoUp = others.some((thread) => goesUpAgain(thread, base));
    for (const thread of others) stepTo(thread, Math.min(NICE_MAX, base + helpers));
    if (!mayGoUp) return false;
    setEnvironmentData(BASE, base);
    setPriority(Math.min(NICE_MAX, base + main));
  } catch {
    // Another system, or no /proc.
  }
  return true;
}

/** Tried on a thread that is to step back anyway. */
function goesUpAgain(thread: number, base: number): boolean {
  return base < NICE_MAX && stepTo(thread, base + 1) && stepTo(thread, base);
}

/** @returns false when the thread may not, or has ended meanwhile */
function stepTo(thread: number, nice: number): boolean {
  try {
    setPriority(thread, nice);
    return true;
  } catch {
    return false;
  }
}
