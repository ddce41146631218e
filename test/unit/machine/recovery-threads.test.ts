/** Which thread carries which function, with threads that end when the test says so. */
import type { MessagePort } from "node:worker_threads";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Actor } from "../../../src/machine/actors.ts";
import type { RecoveryTask } from "../../../src/machine/recovery-load.ts";
import { type Carrying, RecoveryThread } from "../../../src/machine/recovery-threads.ts";
import { VmRecovery } from "../../../src/machine/vm-recovery.ts";
import type { ActorTask, VmSpec } from "../../../src/machine/vm-spec.ts";
import { planMemory } from "../../../src/shm/memory-map.ts";
import { createVmMemory } from "../../../src/shm/vm-memory.ts";

interface Started {
  readonly task: RecoveryTask;
  readonly orders: MessagePort;
  readonly end: () => void;
}

const threads = vi.hoisted(() => [] as Started[]);
vi.mock("../../../src/machine/actors.ts", () => ({
  startActor(_name: string, task: RecoveryTask): Actor {
    let end: () => void = () => {};
    const done = new Promise<void>((resolve) => {
      end = resolve;
    });
    threads.push({ task, orders: task.orders, end });
    return { done, kill: () => Promise.resolve(), close: () => Promise.resolve() };
  },
}));

beforeEach(() => {
  threads.length = 0;
});

const place = { index: 0, policyNumber: 0, continued: false };
const task = {} as ActorTask;

function carrying(): Carrying & { readonly gone: number[] } {
  const gone: number[] = [];
  return { life: 1, task: () => task, left: (index) => gone.push(index), died: () => {}, gone };
}

describe("a recovery thread of a function's own", () => {
  it("is followed by another when the function comes back before its end was noticed", async () => {
    const vm = carrying();
    const thread = new RecoveryThread(true, "rec-0 test");
    thread.carry(vm, [place]);
    threads[0]?.orders.postMessage({ place: 1 }); // it has left; the thread ends with it
    await vi.waitFor(() => expect(vm.gone).toEqual([0]));
    thread.carry(vm, [place]);
    expect(threads).toHaveLength(2);
    expect(threads[1]?.task.first.places).toEqual([{ ...place, place: 2 }]);
    threads[0]?.end();
    await new Promise((resolve) => setImmediate(resolve));
    expect(vm.gone).toEqual([0]); // the end of the first is not the end of what the second carries
    threads[1]?.end();
    await vi.waitFor(() => expect(vm.gone).toEqual([0, 0]));
    await thread.end();
  });
});

describe("a function that is started while its last worker lives", () => {
  it("gets a worker when that one has left, and not a second one beside it", async () => {
    const plan = {
      vcpuCount: 1,
      functionCount: 1,
      ramBytes: 65536,
      vcpuBytes: 4096,
      hostBytes: 64,
    };
    const recovery = new VmRecovery({
      vm: createVmMemory(planMemory(plan)),
      clock: { nowUs: () => 0 },
      spec: () => ({ name: "test" }) as VmSpec,
      task: () => task,
      fail: () => expect.unreachable(),
      onWorkerDeath: undefined,
      restartsMax: undefined,
    });
    recovery.start([0]);
    recovery.leave(0); // another function gets its place
    recovery.start([0]);
    expect(threads).toHaveLength(1);
    threads[0]?.orders.postMessage({ place: 1 });
    await vi.waitFor(() => expect(threads).toHaveLength(2));
    expect([...recovery.carried()]).toEqual([0]);
    for (const { end } of threads) end();
    await recovery.ended();
    expect([...recovery.carried()]).toEqual([]);
  });
});
