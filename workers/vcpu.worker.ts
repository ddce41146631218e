/** Doorway of one vCPU's thread. */
import { type MessagePort, parentPort, receiveMessageOnPort } from "node:worker_threads";
import { HostClock } from "../src/base/clock.ts";
import { GuestClock } from "../src/machine/guest-clock.ts";
import { collectLoadGarbage } from "../src/machine/load-garbage.ts";
import { buildProcessor } from "../src/machine/parts.ts";
import { passGate, vcpuActor } from "../src/machine/start-gate.ts";
import { nameOwnThread, takeOwnPriority } from "../src/machine/thread-priority.ts";
import { runVcpu } from "../src/machine/vcpu-loop.ts";
import { ACTOR_LOADED, type ActorTask, attachTo, type VcpuPlug } from "../src/machine/vm-spec.ts";
import { ConsoleOutput } from "../src/shm/console-output.ts";

export default function vcpuLife(
  task: ActorTask & {
    readonly index: number;
    readonly orders: MessagePort;
    readonly interpreter: WebAssembly.Module;
  },
): void {
  parentPort?.postMessage(ACTOR_LOADED);
  takeOwnPriority(task.spec.vcpuNice ?? 0);
  nameOwnThread(`vcpu-${task.index} ${task.spec.name}`);
  collectLoadGarbage();
  const vm = attachTo(task);
  const clock = new HostClock();
  const guestClock = new GuestClock(vm, clock);
  const output = new ConsoleOutput(vm);
  const askForRoom = (): void => task.orders.postMessage(null);
  const write = (bytes: Uint8Array): void => output.write(bytes, clock.nowUs(), askForRoom);
  const { vcpu, resetDevices, plug } = buildProcessor(
    vm,
    task.spec,
    task.index,
    clock,
    write,
    guestClock,
    task.interpreter,
  );
  const actor = vcpuActor(task.index);
  const resumed = (): void => {
    for (;;) {
      const order = receiveMessageOnPort(task.orders)?.message as VcpuPlug | undefined;
      if (order === undefined) break;
      plug(order.index, order.config);
    }
    guestClock.refresh();
    vcpu.reload();
  };
  passGate(vm, clock, actor);
  runVcpu({ vcpu, actor, resetDevices, resumed }, vm);
  task.orders.close();
}
