/** Doorway of one function's recovery worker. */
import { parentPort } from "node:worker_threads";
import { HostClock } from "../src/base/clock.ts";
import { buildRecovery } from "../src/machine/parts.ts";
import { joinTime, passGate, recoveryActor } from "../src/machine/start-gate.ts";
import { ACTOR_LOADED, type ActorTask } from "../src/machine/vm-spec.ts";
import { warmUpEventPath } from "../src/machine/warm-up.ts";
import { runRecoveryLoop } from "../src/recovery/loop.ts";
import { attachVmMemory } from "../src/shm/vm-memory.ts";

/** Exit status of a worker that a test's kill hook ended. */
const KILLED_BY_HOOK = 70;

export default function recoveryLife(task: ActorTask & { readonly index: number }): void {
  parentPort?.postMessage(ACTOR_LOADED);
  const vm = attachVmMemory(task.map, task.memory);
  const clock = new HostClock();
  const successor = joinTime(vm, clock);
  // In a worker, process.exit ends this thread only, at once.
  const onKill = (): never => process.exit(KILLED_BY_HOOK);
  const unit = buildRecovery(vm, task.spec, task.index, clock, onKill);
  // A successor is waited for.
  if (!successor) warmUpEventPath(task.spec.policy);
  // The first pass opens the host function and arms its error signal, before the platform's time begins.
  unit.step();
  passGate(vm, clock, recoveryActor(vm, task.index));
  runRecoveryLoop(unit, clock);
}
