/** What operators see of a VM's functions, read from the shared words. */
import { type StateName, states } from "../recovery/index.ts";
import { load } from "../shm/atomics.ts";
import { FunctionBlock, stateOf } from "../shm/blocks.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { readBooks } from "./books.ts";
import type { FunctionStatus, GuestFunctionState } from "./vm-control.ts";
import { functionIdOf, functionIndices, policyOf, type VmSpec } from "./vm-spec.ts";

/** What `FunctionState` numbers are called. */
const guestStates: readonly GuestFunctionState[] = [
  "reserved",
  "standby",
  "disabled",
  "enabled",
  "blocked",
  "error",
  "permanent-error",
];

export function functionStatuses(vm: VmMemory, spec: VmSpec): readonly FunctionStatus[] {
  return functionIndices(spec).map((index) => statusOf(vm, spec, index));
}

function statusOf(vm: VmMemory, spec: VmSpec, index: number): FunctionStatus {
  const { fid, uid, device } = spec.functions[index] as VmSpec["functions"][number];
  const block = (vm.map.functionBlocks[index] as number) / 4;
  const state: StateName | undefined = states[load(vm.words, block + FunctionBlock.recoveryState)];
  return {
    index,
    id: functionIdOf(spec, index),
    fid,
    uid,
    device,
    guestHandle: load(vm.words, block + FunctionBlock.guestHandle) >>> 0,
    guestState: guestStates[stateOf(load(vm.words, block + FunctionBlock.stateWord))] ?? "reserved",
    state: state ?? "operational",
    policy: policyOf(spec, index).name,
    books: readBooks(vm, index),
  };
}
