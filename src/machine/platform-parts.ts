/** Builds the platform of a VM: a module of its own, so that its thread loads no more than it needs. */
import { translationOf } from "../backend/sim/pinned-dma.ts";
import { SimPlatform } from "../backend/sim/platform.ts";
import { ZpciDma } from "../devices/zpci/dma.ts";
import { Measurement } from "../devices/zpci/measurement.ts";
import { DmaTlb } from "../devices/zpci/tlb.ts";
import type { Clock } from "../ports/clock.ts";
import { FloatingInterrupts } from "../shm/floating.ts";
import { GuestRam } from "../shm/guest-ram.ts";
import { platformTraceRing } from "../shm/memory-map.ts";
import { TraceWriter } from "../shm/trace.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { PlatformUnit } from "./loops.ts";
import type { VmSpec } from "./vm-spec.ts";

/** @param listens whether somebody listens to the errors of function `index` (platform.ts) */
export function buildPlatform(
  vm: VmMemory,
  spec: VmSpec,
  clock: Clock,
  listens?: (index: number) => boolean,
): PlatformUnit {
  const ram = new GuestRam(vm);
  const tlb = new DmaTlb(ram);
  const floating = new FloatingInterrupts(vm);
  const platform = new SimPlatform(
    vm,
    spec.functions,
    clock,
    // The platform knows functions that were plugged later; the spec of the start does not.
    (index, config) => new ZpciDma(vm, ram, tlb, index, floating, translationOf(vm, index, config)),
    new TraceWriter(vm, platformTraceRing(vm.map), clock),
    listens,
  );
  const measurements = vm.map.functionBlocks.map(
    (_, index) => new Measurement(vm, ram, index, spec.epochMs),
  );
  return new PlatformUnit(vm, platform, measurements, clock);
}
