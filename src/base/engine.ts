/**
 * How V8 is set up for zmend's threads. Main thread, before the first worker starts; it holds for the whole process.
 *
 * V8 stops inlining where a function's callees together exceed a limit made for pages. The path of one zPCI instruction is
 * a score of small functions over shared words, and calls are half of its cost: with the higher limit PCILG takes 40 ns
 * instead of 68 (measured, Node 20).
 *
 * Young objects are collected by the thread itself. Its heap is small, so helpers have little to share; and it would wait
 * for them, which stand behind everybody (thread-priority.ts), for milliseconds where a guest's CPU is busy.
 */
import { setFlagsFromString } from "node:v8";

export function tuneEngine(): void {
  setFlagsFromString("--max-inlined-bytecode-size-cumulative=4000");
  setFlagsFromString("--no-parallel-scavenge");
}
