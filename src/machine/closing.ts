/**
 * The end of a VM's books: what no guest will fetch any more, because the VM has stopped, is counted by looking
 * at where it stands: in the host's queue, or in the guest's CCDF ring. Main thread, after all others ended.
 */
import { CcdfKind } from "../abi/records.ts";
import { SimHostFunction } from "../backend/sim/index.ts";
import { CCDF_RING_SLOTS } from "../base/limits.ts";
import { add, peek } from "../shm/atomics.ts";
import { FunctionBlock } from "../shm/blocks.ts";
import { Lane, RingConsumer } from "../shm/ring.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import type { VmSpec } from "./vm-spec.ts";

/** Ends mediation of every function and counts what is lost with the VM as `vmStopped`. */
export function closeBooks(vm: VmMemory, spec: VmSpec): void {
  for (const [index, config] of spec.functions.entries()) {
    const discarded = new SimHostFunction(vm, index, config).close();
    const lost = Math.max(0, discarded) + unfetched(vm, index);
    add(vm.words, (vm.map.functionBlocks[index] as number) / 4 + FunctionBlock.vmStoppedLost, lost);
  }
}

/** Errors in the guest's ring; repeats (CcdfFlag) and availability events have other kind words. */
function unfetched(vm: VmMemory, index: number): number {
  const ring = new RingConsumer(vm.words, vm.map.ccdfRings[index] as number, CCDF_RING_SLOTS);
  let count = 0;
  for (let slot = ring.front(); slot >= 0; slot = ring.front()) {
    if (peek(vm.words, slot + Lane.kind) === CcdfKind.error) count += 1;
    ring.release();
  }
  return count;
}
