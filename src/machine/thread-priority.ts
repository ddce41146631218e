/**
 * Lets a thread step back behind the others of its process: a guest that computes must not keep the recovery workers
 * from their core. On Linux a thread's id is a process id to setpriority(2), and /proc/thread-self tells a worker
 * its own; elsewhere nothing happens. Nobody needs a privilege for it.
 */
import { readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { getPriority, setPriority } from "node:os";

const NICE_MAX = 19;

/** What `ps -L`, `top -H` and a profiler call the calling thread; Linux keeps 15 bytes. */
export function nameOwnThread(name: string): void {
  try {
    writeFileSync("/proc/thread-self/comm", name.slice(0, 15));
  } catch {
    // No /proc: the thread keeps its name.
  }
}

/**
 * Calling thread only.
 *
 * @param nice what is added to the nice value that the process was started with: 0 (as everybody) to 19
 */
export function lowerOwnPriority(nice: number): void {
  if (nice <= 0) return;
  try {
    const thread = Number(readlinkSync("/proc/thread-self").split("/").at(-1));
    setPriority(thread, Math.min(NICE_MAX, getPriority(thread) + nice));
  } catch {
    // Another system, or no /proc: the scheduler goes by its own rules then.
  }
}

/**
 * Main thread, before any VM starts: the threads that Node and V8 keep for themselves (compilation, collection of garbage,
 * files) step back. A recovery worker whose code has just become hot would else wait some milliseconds for its compilation.
 *
 * @param nice what is added to the nice value that the process was started with: 0 (as everybody) to 19
 */
export function lowerHelpersPriority(nice: number): void {
  if (nice <= 0) return;
  try {
    const lowered = Math.min(NICE_MAX, getPriority() + nice);
    for (const thread of readdirSync("/proc/self/task").map(Number)) {
      if (thread !== process.pid) setPriority(thread, lowered);
    }
  } catch {
    // Another system, or no /proc.
  }
}
