/** What the vCPUs of a machine have translated so far; any thread may read it while they run. */
import type { VmMemory } from "../../shm/vm-memory.ts";
import { Core, RegionStats } from "../core-layout.ts";

export interface TranslationStatistics {
  readonly regions: number;
  readonly blocks: number;
  /** WebAssembly made, all modules together. */
  readonly bytes: number;
  readonly largestFunctionBytes: number;
  readonly compileMs: number;
  /** Regions given up: their code changed, or room was needed. */
  readonly dropped: number;
  /** Instructions executed in generated code. */
  readonly instructions: number;
}

export function translationStatistics(vm: VmMemory): TranslationStatistics {
  const words = (offset: number): number[] =>
    vm.map.vcpuAreas.map((area) => vm.view.getInt32(area + Core.regionStats + offset, true));
  const sum = (offset: number): number => words(offset).reduce((total, word) => total + word, 0);
  const executed = vm.map.vcpuAreas.map((area) =>
    Number(vm.view.getBigUint64(area + Core.regionInstructions, true)),
  );
  return {
    regions: sum(RegionStats.regions),
    blocks: sum(RegionStats.blocks),
    bytes: sum(RegionStats.bytes),
    largestFunctionBytes: Math.max(...words(RegionStats.largest)),
    compileMs: sum(RegionStats.compileUs) / 1e3,
    dropped: sum(RegionStats.dropped),
    instructions: executed.reduce((total, count) => total + count, 0),
  };
}
