/** When a recovery thread collects garbage as it takes functions: on the test's own thread. */
import { MessageChannel } from "node:worker_threads";
import { afterEach, expect, it, vi } from "vitest";
import { COMMAND_STOP } from "../../../src/machine/loops.ts";
import { type CarryOrder, RecoveryLoad } from "../../../src/machine/recovery-load.ts";
import { declareReady, recoveryActor } from "../../../src/machine/start-gate.ts";
import { store } from "../../../src/shm/atomics.ts";
import { VmBlock } from "../../../src/shm/blocks.ts";
import { RecoveryThreadWords } from "../../../src/shm/recovery-bell.ts";
import { fakeSpec } from "../../support/fake-control.ts";
import { bareVm } from "../../support/vm.ts";

const collect = vi.hoisted(() => vi.fn());
vi.mock("../../../src/machine/load-garbage.ts", () => ({ collectLoadGarbage: collect }));
afterEach(() => collect.mockClear());

const words = new Int32Array(new SharedArrayBuffer(3 * 128));

/** Functions of a VM that has ended: they are taken, and leave at their first pass. */
function vmToCarry(life: number, carriedBefore: boolean): CarryOrder[] {
  const vm = bareVm(2);
  store(vm.words, vm.map.vmBlock / 4 + VmBlock.command, COMMAND_STOP);
  const task = { spec: fakeSpec(`vm${life}`, 2), map: vm.map, memory: vm.memory };
  return [0, 1].map((index) => {
    if (carriedBefore) declareReady(vm, recoveryActor(vm, index));
    const place = { place: life * 2 + index, index, policyNumber: 0, continued: false };
    return { kind: "carry", life, task, places: [place] };
  });
}

function carriedOut(orders: readonly CarryOrder[]): void {
  const [first, ...others] = orders;
  const { port1, port2 } = new MessageChannel();
  for (const order of [...others, { kind: "end" }]) port1.postMessage(order);
  store(words, RecoveryThreadWords.orders, others.length + 1);
  new RecoveryLoad({ orders: port2, words, first: first as CarryOrder, own: false }).run();
  port1.close();
}

it("collects before it takes functions that no worker has carried yet", () => {
  carriedOut([1, 2, 3].flatMap((life) => vmToCarry(life, false).slice(0, 1)));
  expect(collect).toHaveBeenCalledTimes(3);
});

it("does not when it follows a worker that has died: each function waits for it, and each comes by itself", () => {
  carriedOut([1, 2, 3].flatMap((life) => vmToCarry(life, true)));
  expect(collect).not.toHaveBeenCalled();
});
