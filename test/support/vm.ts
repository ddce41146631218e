/** A VM's memory without any of its actors: for tests of whoever only reads or writes its words. */
import { planMemory } from "../../src/shm/memory-map.ts";
import { createVmMemory, type VmMemory } from "../../src/shm/vm-memory.ts";

export function bareVm(functionCount: number): VmMemory {
  return createVmMemory(
    planMemory({
      vcpuCount: 1,
      functionCount,
      ramBytes: 1024 * 1024,
      vcpuBytes: 4096,
      hostBytes: 4096,
    }),
  );
}
