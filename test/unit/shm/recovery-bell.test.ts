import { expect, it } from "vitest";
import { load, store } from "../../../src/shm/atomics.ts";
import { FunctionBlock } from "../../../src/shm/blocks.ts";
import { planMemory, recoveryTraceRing } from "../../../src/shm/memory-map.ts";
import {
  RecoveryThreadWords,
  recoveryBell,
  recoverySleepWord,
  recoveryThreadWords,
} from "../../../src/shm/recovery-bell.ts";
import { createVmMemory, type VmMemory } from "../../../src/shm/vm-memory.ts";

function twoFunctions(sharedRecovery: boolean): VmMemory {
  const plan = { vcpuCount: 1, functionCount: 2, ramBytes: 1 << 20, vcpuBytes: 4096 };
  return createVmMemory(planMemory({ ...plan, hostBytes: 4096, sharedRecovery }));
}

it("wakes the function's own worker by a word of the function", () => {
  const vm = twoFunctions(false);
  const [words, sleeping] = recoverySleepWord(vm, 1);
  const block = (vm.map.functionBlocks[1] as number) / 4;
  expect([words, sleeping]).toEqual([vm.words, block + FunctionBlock.workerSleeping]);
  store(words, sleeping, 1);
  recoveryBell(vm, 1).ring(4);
  expect(load(words, sleeping)).toBe(0);
  expect(load(vm.words, block + FunctionBlock.workerSummary)).toBe(4);
});

it("wakes a worker that is shared by that worker's word, whichever function is rung; each keeps its own summary", () => {
  const vm = twoFunctions(true);
  vm.recoveryWords = recoveryThreadWords();
  for (const index of [0, 1]) {
    store(vm.recoveryWords, RecoveryThreadWords.sleeping, 1);
    recoveryBell(vm, index).ring(1 << index);
    expect(load(vm.recoveryWords, RecoveryThreadWords.sleeping)).toBe(0);
  }
  expect([0, 1].map((index) => recoveryBell(vm, index).take())).toEqual([1, 2]);
});

it("has one trace ring for functions of one thread, one each for others", () => {
  const rings = (vm: VmMemory): number =>
    new Set([0, 1].map((index) => recoveryTraceRing(vm.map, index))).size;
  expect([rings(twoFunctions(true)), rings(twoFunctions(false))]).toEqual([1, 2]);
});
