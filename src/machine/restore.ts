/**
 * The words of a restored machine that told of threads which are no more: who sleeps, who stands, who is ready, which
 * console text is on its way. Before any thread of the new machine looks at them.
 */
import { store } from "../shm/atomics.ts";
import { FunctionBlock, VcpuHeader, VmBlock } from "../shm/blocks.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { setFrozen } from "./hold.ts";

const ofThreads: readonly number[] = [
  VmBlock.gateOpen,
  VmBlock.actorsReady,
  VmBlock.actorsReady + 1,
  VmBlock.actorsReady + 2,
  VmBlock.hold,
  VmBlock.heldActors,
  VmBlock.heldActors + 1,
  VmBlock.heldActors + 2,
  VmBlock.resetAsked,
  VmBlock.platformSleeping,
  VmBlock.consoleWriterWaits,
  VmBlock.consoleOutputTail,
  VmBlock.consoleOutputHead,
  VmBlock.deviceLock,
  VmBlock.pairLock,
];

const ofVcpus: readonly number[] = [
  VcpuHeader.sleeping,
  VcpuHeader.executing,
  VcpuHeader.sigpLock,
  VcpuHeader.purgeAsked,
  VcpuHeader.purgeDone,
];

/** @param frozenUs how long the vCPUs had stood when the snapshot was taken */
export function forgetThreads(vm: VmMemory, frozenUs: number): void {
  const { words, map } = vm;
  for (const word of ofThreads) store(words, map.vmBlock / 4 + word, 0);
  for (const block of map.functionBlocks) {
    store(words, block / 4 + FunctionBlock.workerSleeping, 0);
    store(words, block / 4 + FunctionBlock.policyAsked, 0);
    store(words, block / 4 + FunctionBlock.policyTaken, 0);
  }
  for (const area of map.vcpuAreas) {
    for (const word of ofVcpus) store(words, area / 4 + word, 0);
  }
  setFrozen(vm, frozenUs);
}
