/**
 * V8's limits for what it takes into one compiled function, raised for threads that run trials: a trial is hundreds of
 * small functions deep in one another, called ten million times a second. Measured on Node 20: a tenth more recoveries per
 * second with these, less again with three times as much (the code no longer fits where the core keeps it).
 * Source: V8 src/flags/flag-definitions.h.
 */
import { setFlagsFromString } from "node:v8";

const flags: readonly string[] = [
  "--max-inlined-bytecode-size=1000", //            460
  "--max-inlined-bytecode-size-cumulative=2000", // 920
  "--max-inlined-bytecode-size-small=60", //         27
];

/** For a thread of trials, at its start. The flags are the process's: what is compiled later on other threads has them too. */
export function tuneEngine(): void {
  for (const flag of flags) setFlagsFromString(flag);
}
