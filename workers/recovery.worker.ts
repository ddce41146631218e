/** Doorway of one function's recovery worker. */
import { type MessagePort, parentPort } from "node:worker_threads";
import { HostClock } from "../src/base/clock.ts";
import { standAsOther } from "../src/machine/hold.ts";
import { PolicyOrders } from "../src/machine/orders.ts";
import { buildRecovery, comesBack } from "../src/machine/recovery-parts.ts";
import { joinTime, passGate, recoveryActor } from "../src/machine/start-gate.ts";
import { ACTOR_LOADED, type ActorTask, policyOf, withPolicy } from "../src/machine/vm-spec.ts";
import { warmUpEventPath } from "../src/machine/warm-up.ts";
import { runRecoveryLoop } from "../src/recovery/loop.ts";
import type { RecoveryUnit } from "../src/recovery/unit.ts";
import { attachVmMemory } from "../src/shm/vm-memory.ts";

/** Exit status of a worker that a test's kill hook ended. */
const KILLED_BY_HOOK = 70;

interface RecoveryTask extends ActorTask {
  readonly index: number;
  readonly orders: MessagePort;
  /** Number of the policy in `spec` (orders.ts). */
  readonly policyNumber: number;
}

export default function recoveryLife(task: RecoveryTask): void {
  parentPort?.postMessage(ACTOR_LOADED);
  const { index, spec, orders } = task;
  const vm = attachVmMemory(task.map, task.memory);
  const clock = new HostClock();
  const actor = recoveryActor(vm, index);
  const successor = joinTime(vm, clock);
  if (successor) standAsOther(vm, actor);
  // In a worker, process.exit ends this thread only, at once.
  const onKill = (): never => process.exit(KILLED_BY_HOOK);
  const continued = task.continued === true;
  const policies = new PolicyOrders(vm, index, orders, task.policyNumber, (policy) =>
    buildRecovery(vm, withPolicy(spec, index, policy), index, clock, onKill, true),
  );
  // A successor is waited for.
  if (!successor) warmUpEventPath(policyOf(spec, index));
  // One that goes on has its host function open, and its first pass needs the VM's time.
  if (continued) passGate(vm, clock, actor);
  const unit = buildRecovery(vm, spec, index, clock, onKill, continued);
  // The first pass opens the host function and arms its error signal, before the platform's time begins.
  if (!continued) {
    unit.step();
    passGate(vm, clock, actor);
  }
  const between = (current: RecoveryUnit): RecoveryUnit => {
    standAsOther(vm, actor);
    return policies.take(current);
  };
  runRecoveryLoop(unit, clock, between, comesBack(spec, index));
  orders.close();
}
