/**
 * What loading its modules leaves behind in a thread's heap (some MiB of sources and parsers' data) is collected before the
 * thread begins its life. Left alone, V8 lets the heap grow past it: what lives is then spread over pages that are half
 * empty and are never given back, because a thread that sleeps collects nothing.
 */
import { performance } from "node:perf_hooks";

/** Worker, when all its modules are loaded; needs `tuneEngine` before its start. Takes 10 to 20 ms of a core. */
export function collectLoadGarbage(): void {
  globalThis.gc?.();
}

/**
 * Main thread, when VMs and guests have been started: gives back what that has taken, above all the room for young objects,
 * which has grown to tens of MiB. `gc` leaves that as it is; the collection that an inspector asks for shrinks it. Takes some
 * 0.1 s of a core.
 */
export async function collectStartGarbage(): Promise<void> {
  const inspector = await import("node:inspector").catch(() => undefined);
  // Node can be built without one.
  if (inspector === undefined) return;
  const session = new inspector.Session();
  session.connect();
  await new Promise((resolve) => session.post("HeapProfiler.collectGarbage", resolve));
  session.disconnect();
}

const LOOK_MS = 1000;
/** A thread that is busy for less than this share of its time has come to rest. */
const REST = 0.1;
/** One that never rests collects by itself. */
const LOOKS_MAX = 30;

/**
 * Main thread, when its VMs have been started: calls `collect` as soon as the guests have brought their functions up, which
 * shows in a second with little to do. @returns the end of it
 */
export function collectAtRest(collect: () => unknown = collectStartGarbage): () => void {
  let last = performance.eventLoopUtilization();
  let looks = 0;
  const timer = setInterval(() => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    looks += 1;
    if (utilization >= REST && looks < LOOKS_MAX) return;
    clearInterval(timer);
    collect();
  }, LOOK_MS);
  return () => clearInterval(timer);
}
