/**
 * What a function is at, read from shared memory by any thread. The work of its driver that it has done is the one sign that
 * a guest's I/O runs which needs nothing of the guest.
 */
import { TestRegister } from "../../abi/test-function.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import { DeviceKind } from "./device.ts";
import { HostBlock, hostArea } from "./host-area.ts";
import { NvmeBlock } from "./nvme/block.ts";
import { NvmeState } from "./nvme/state.ts";

/** Goes up with each operation. NVMe: I/O commands that read or wrote. Test function: transfers since its reset. */
export function workDone(vm: VmMemory, functionIndex: number): number {
  const area = hostArea(vm, functionIndex);
  if (area.get(HostBlock.deviceKind) !== DeviceKind.nvme) {
    return area.get(HostBlock.registers + TestRegister.dmaCount / 4) >>> 0;
  }
  const state = new NvmeState(area);
  return state.wide(NvmeBlock.readsLow) + state.wide(NvmeBlock.writesLow);
}

/** Whether errors wait in the host to be read. */
export function errorsWait(vm: VmMemory, functionIndex: number): boolean {
  const area = hostArea(vm, functionIndex);
  return area.get(HostBlock.queueTail) !== area.get(HostBlock.queueHead);
}
