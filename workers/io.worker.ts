/** Doorway of the platform's thread: hardware and the interrupt side of the simulated host kernel. */
import { type MessagePort, parentPort } from "node:worker_threads";
import { HostClock } from "../src/base/clock.ts";
import { collectLoadGarbage } from "../src/machine/load-garbage.ts";
import type { PlatformUnit } from "../src/machine/loops.ts";
import { platformBetween } from "../src/machine/orders.ts";
import { buildPlatform } from "../src/machine/platform-parts.ts";
import { isReady, PLATFORM_ACTOR, passGate, recoveryActor } from "../src/machine/start-gate.ts";
import { nameOwnThread, takeOwnPriority } from "../src/machine/thread-priority.ts";
import { ACTOR_LOADED, type ActorTask, attachTo } from "../src/machine/vm-spec.ts";

interface PlatformTask extends ActorTask {
  readonly orders: MessagePort;
  /** Where the platform of a snapshot stood. */
  readonly saved?: Parameters<PlatformUnit["load"]>[0];
}

export default function platformLife(task: PlatformTask): void {
  parentPort?.postMessage(ACTOR_LOADED);
  takeOwnPriority(0);
  nameOwnThread(`platform ${task.spec.name}`);
  collectLoadGarbage();
  const vm = attachTo(task);
  const clock = new HostClock();
  const listens = (index: number): boolean => isReady(vm, recoveryActor(vm, index));
  const platform = buildPlatform(vm, task.spec, clock, listens);
  if (task.saved !== undefined) platform.load(task.saved);
  passGate(vm, clock, PLATFORM_ACTOR);
  platform.run(vm, () => platformBetween(vm, platform, task.orders));
  task.orders.close();
}
