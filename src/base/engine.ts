/**
 * How V8 is set up for zmend's threads. Main thread, before the first worker starts; it holds for the whole process.
 *
 * V8 stops inlining where a function's callees together exceed a limit made for pages. The path of one zPCI instruction is
 * a score of small functions over shared words, and calls are half of its cost: with the higher limit PCILG takes 40 ns
 * instead of 68 (measured, Node 20).
 *
 * Young objects are collected by the thread itself. Its heap is small, so helpers have little to share; and it would wait
 * for them, which stand behind everybody (thread-priority.ts), for milliseconds where a guest's CPU is busy.
 *
 * Functions go from the interpreter to optimised code, without baseline code (Sparkplug) in between. A daemon has a
 * hundred isolates, each of which would compile the same functions on its own, and in the middle of an error event: without
 * it, 64 functions take some 45 MiB less, and the median from error to injection is 0.18 ms instead of 0.21. Programs with one
 * busy thread (the boot of Linux, the CPU's loops, the recovery model) lose nothing (measured, Node 20).
 *
 * Threads may collect what loading them has left behind (load-garbage.ts).
 *
 * V8 takes a code cache only under the flags that it was made under, so the build makes the threads' caches under these.
 */
import { setFlagsFromString } from "node:v8";

const flags = [
  "--max-inlined-bytecode-size-cumulative=4000",
  "--no-parallel-scavenge",
  "--no-sparkplug",
  "--expose-gc",
] as const;

let tuned = false;

export function tuneEngine(): void {
  if (tuned) return;
  tuned = true;
  for (const flag of flags) setFlagsFromString(flag);
}
