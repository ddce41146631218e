/** Doorway of the platform's thread: hardware and the interrupt side of the simulated host kernel. */
import { hostClock } from "../src/base/clock.ts";
import { buildPlatform } from "../src/machine/parts.ts";
import type { ActorTask } from "../src/machine/vm-spec.ts";
import { attachVmMemory } from "../src/shm/vm-memory.ts";

export default function platformLife(task: ActorTask): void {
  const vm = attachVmMemory(task.map, task.memory);
  buildPlatform(vm, task.spec, hostClock(task.originUs)).run(vm);
}
