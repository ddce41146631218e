/** Doorway of one function's recovery worker. */
import { hostClock } from "../src/base/clock.ts";
import { buildRecovery } from "../src/machine/parts.ts";
import type { ActorTask } from "../src/machine/vm-spec.ts";
import { runRecoveryLoop } from "../src/recovery/index.ts";
import { attachVmMemory } from "../src/shm/vm-memory.ts";

/** Exit status of a worker that a test's kill hook ended. */
const KILLED_BY_HOOK = 70;

export default function recoveryLife(task: ActorTask & { readonly index: number }): void {
  const vm = attachVmMemory(task.map, task.memory);
  const clock = hostClock(task.originUs);
  // In a worker, process.exit ends this thread only, at once.
  const onKill = (): never => process.exit(KILLED_BY_HOOK);
  runRecoveryLoop(buildRecovery(vm, task.spec, task.index, clock, onKill), clock);
}
