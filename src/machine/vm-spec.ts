/** A VM as plain data: what every one of its threads needs to build its objects. Travels in task messages. */
import { HOST_AREA_BYTES, type SimFunctionConfig } from "../backend/sim/index.ts";
import { VCPU_AREA_BYTES } from "../cpu/index.ts";
import type { Policy } from "../recovery/index.ts";
import { type MemoryMap, planMemory } from "../shm/memory-map.ts";

export interface VmSpec {
  readonly name: string;
  readonly ramBytes: number;
  readonly cpuModel: string;
  readonly functions: readonly SimFunctionConfig[];
  readonly policy: Policy;
  /** Real time of day at the VM's time 0, milliseconds since 1970: where the guest's TOD clock starts. */
  readonly epochMs: number;
}

/** The wall time that deterministic runs start at: 2026-01-01T00:00:00Z. */
export const DETERMINISTIC_EPOCH_MS = 1_767_225_600_000;

export function mapOf(spec: VmSpec): MemoryMap {
  return planMemory({
    vcpuCount: 1,
    functionCount: spec.functions.length,
    ramBytes: spec.ramBytes,
    vcpuBytes: VCPU_AREA_BYTES,
    hostBytes: HOST_AREA_BYTES,
  });
}

/** What a worker is started with. */
export interface ActorTask {
  readonly spec: VmSpec;
  readonly map: MemoryMap;
  readonly memory: WebAssembly.Memory;
}

/** What the vCPU's thread sends for each piece of console text. */
export interface ConsoleWrite {
  readonly timeUs: number;
  readonly bytes: Uint8Array;
}

/** A worker's first word to its parent, when all its modules are loaded (`Actor.kill`). */
export const ACTOR_LOADED = "loaded";
