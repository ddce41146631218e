/**
 * The memory of a trial's VM, its clock and its threads' trace rings: what is costly to make and can serve one trial after
 * the other.
 */
import { VirtualClock } from "../../base/clock.ts";
import {
  planMemory,
  platformTraceRing,
  recoveryTraceRing,
  vcpuTraceRing,
} from "../../shm/memory-map.ts";
import { TraceWriter } from "../../shm/trace.ts";
import { createVmMemory, type VmMemory } from "../../shm/vm-memory.ts";

/** Bytes of guest storage: the model needs none, the plan wants some. */
const RAM_BYTES = 65536;
const VCPU_BYTES = 4096;

export class TrialMemory {
  readonly vm: VmMemory;
  readonly clock = new VirtualClock();
  /** Of the platform, the vCPU and each recovery machine. */
  readonly traces: readonly TraceWriter[];

  constructor(functions: number) {
    this.vm = createVmMemory(
      planMemory({
        vcpuCount: 1,
        functionCount: functions,
        ramBytes: RAM_BYTES,
        vcpuBytes: VCPU_BYTES,
        hostBytes: 4,
      }),
    );
    const { map } = this.vm;
    this.traces = [
      new TraceWriter(this.vm, platformTraceRing(map), this.clock),
      new TraceWriter(this.vm, vcpuTraceRing(map, 0), this.clock),
      ...map.functionBlocks.map(
        (_, index) => new TraceWriter(this.vm, recoveryTraceRing(map, index), this.clock),
      ),
    ];
  }

  /** As it was at first, but for the trace rings, which nobody reads in a trial. */
  clear(): void {
    const { bytes, map } = this.vm;
    bytes.fill(0, 0, map.traceRings[0]);
    const vcpu = map.vcpuAreas[0] as number;
    bytes.fill(0, vcpu, vcpu + VCPU_BYTES);
  }
}

/** Memories by number of functions, for trials that run one after the other. */
export class TrialMemories {
  readonly #made = new Map<number, TrialMemory>();

  of(functions: number): TrialMemory {
    const found = this.#made.get(functions) ?? new TrialMemory(functions);
    this.#made.set(functions, found);
    return found;
  }
}
