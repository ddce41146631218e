/** Doorway of one vCPU's thread. */
import type { MessagePort } from "node:worker_threads";
import { hostClock } from "../src/base/clock.ts";
import { buildVcpu } from "../src/machine/parts.ts";
import { runVcpu } from "../src/machine/vcpu-loop.ts";
import type { ActorTask } from "../src/machine/vm-spec.ts";
import { attachVmMemory } from "../src/shm/vm-memory.ts";

export default function vcpuLife(
  task: ActorTask & { readonly index: number; readonly console: MessagePort },
): void {
  const vm = attachVmMemory(task.map, task.memory);
  const write = (bytes: Uint8Array): void => task.console.postMessage(bytes);
  runVcpu(buildVcpu(vm, task.spec, task.index, hostClock(task.originUs), write), vm);
  task.console.close();
}
