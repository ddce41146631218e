/** The platform's doorbell: whoever has something for the simulated hardware or its host kernel rings here. */
import { VmBlock } from "./blocks.ts";
import { Doorbell } from "./doorbell.ts";
import type { VmMemory } from "./vm-memory.ts";

export function platformBell(vm: VmMemory): Doorbell {
  const block = vm.map.vmBlock / 4;
  return new Doorbell(vm.words, block + VmBlock.platformSleeping, block + VmBlock.platformSummary);
}
