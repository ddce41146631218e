/**
 * The slots of a VM's function table: which function stands in which slot, and what the guest knows it by. A slot
 * without a function is RESERVED and has no handle. Main thread, while no worker of the slot runs (and, at build,
 * before any thread does). Source: zpci-guest.md 4.1, 4.2; which identities a guest accepts: 2.3.
 */
import {
  FH_ENABLE,
  FH_INSTANCE_MASK,
  FH_INSTANCE_STEP,
  FH_SHM_VFIO,
  PCIAS_CONFIG,
} from "../../abi/pci-insn.ts";
import { CCDF_RING_SLOTS } from "../../base/limits.ts";
import type { HostRegions } from "../../ports/host-function.ts";
import { load, store } from "../../shm/atomics.ts";
import {
  FunctionBlock,
  FunctionState,
  generationOf,
  stateOf,
  stateWord,
} from "../../shm/blocks.ts";
import { RingConsumer } from "../../shm/ring.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";

const CONFIG_HEADER_BYTES = 64;
const UID_MAX = 0xffff;

export interface FunctionIdentity {
  readonly fid: number;
  readonly uid: number;
}

/** Words that outlive the function: what another function in the slot must not repeat. */
const kept: readonly number[] = [
  FunctionBlock.stateWord,
  FunctionBlock.guestHandle,
  FunctionBlock.dmaEpoch,
];

/**
 * Machine build: a function that the guest finds configured (RESERVED -> DISABLED).
 * @param regions the function while it is healthy: its config header is kept for CLP
 */
export function plugFunction(
  vm: VmMemory,
  index: number,
  identity: FunctionIdentity,
  regions: HostRegions,
): void {
  reserveFunction(vm, index, identity, regions);
  const word = blockOf(vm, index) + FunctionBlock.stateWord;
  const generation = generationOf(load(vm.words, word));
  store(vm.words, word, stateWord(generation, FunctionState.DISABLED));
}

/**
 * Gives a free slot to a function that the guest does not see yet: it stays RESERVED until the recovery worker
 * announces it. The slot's books start anew; handles and generations go on where the last function's ended.
 */
export function reserveFunction(
  vm: VmMemory,
  index: number,
  identity: FunctionIdentity,
  regions: HostRegions,
): void {
  const base = blockOf(vm, index);
  const { words } = vm;
  const old = load(words, base + FunctionBlock.guestHandle);
  const generation =
    generationOf(load(words, base + FunctionBlock.stateWord)) + (old === 0 ? 0 : 1);
  for (let word = 0; word < FunctionBlock.sizeBytes / 4; word++) {
    if (!kept.includes(word)) store(words, base + word, 0);
  }
  store(words, base + FunctionBlock.stateWord, stateWord(generation, FunctionState.RESERVED));
  store(words, base + FunctionBlock.fid, identity.fid);
  store(words, base + FunctionBlock.uid, identity.uid);
  store(words, base + FunctionBlock.index, index);
  const instance = old === 0 ? 0 : ((old & ~FH_ENABLE) + FH_INSTANCE_STEP) & FH_INSTANCE_MASK;
  store(words, base + FunctionBlock.guestHandle, instance | FH_SHM_VFIO | index);
  for (let offset = 0; offset < CONFIG_HEADER_BYTES; offset += 4) {
    const loaded = regions.load(PCIAS_CONFIG, offset, 4) === 0 ? regions.valueLow : 0;
    store(words, base + FunctionBlock.configHeader + offset / 4, loaded);
  }
}

/** No function stands there, or one that has left and whose last event the guest has fetched. */
export function slotIsFree(vm: VmMemory, index: number): boolean {
  const base = blockOf(vm, index);
  if (load(vm.words, base + FunctionBlock.guestHandle) === 0) return true;
  if (stateOf(load(vm.words, base + FunctionBlock.stateWord)) !== FunctionState.RESERVED)
    return false;
  const ring = new RingConsumer(vm.words, vm.map.ccdfRings[index] as number, CCDF_RING_SLOTS);
  return ring.front() < 0;
}

/**
 * What is wrong with an identity beside those that stand in the other slots, in one sentence; undefined when nothing
 * is. FIDs are unique; UIDs are 1 to 0xffff and unique where the guest is told that they are checked.
 */
export function identityProblem(
  vm: VmMemory,
  { fid, uid }: FunctionIdentity,
  uidChecking: boolean,
  except = -1,
): string | undefined {
  if (uidChecking && (uid < 1 || uid > UID_MAX)) {
    return `uid ${hexOf(uid)} is outside 0x1..0xffff, which UID checking demands`;
  }
  for (let index = 0; index < vm.map.functionCount; index++) {
    const base = blockOf(vm, index);
    // A function that has gone for good keeps its words until its place is taken: it may come back under its own FID.
    if (index === except || slotIsFree(vm, index)) continue;
    if (load(vm.words, base + FunctionBlock.fid) === (fid | 0)) {
      return `fid ${hexOf(fid)} is already taken`;
    }
    if (uidChecking && load(vm.words, base + FunctionBlock.uid) === uid) {
      return `uid ${hexOf(uid)} is already taken by the function with fid ${hexOf(load(vm.words, base + FunctionBlock.fid))}`;
    }
  }
  return undefined;
}

function blockOf(vm: VmMemory, index: number): number {
  return (vm.map.functionBlocks[index] as number) / 4;
}

function hexOf(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}
