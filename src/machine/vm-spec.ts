/** A VM as plain data: what every one of its threads needs to build its objects. Travels in task messages. */
import { hostAreaBytes, type SimFunctionConfig } from "../backend/sim/index.ts";
import { VCPU_AREA_BYTES } from "../cpu/index.ts";
import type { Policy } from "../recovery/index.ts";
import { type MemoryMap, planMemory } from "../shm/memory-map.ts";

export interface VmSpec {
  readonly name: string;
  readonly ramBytes: number;
  readonly cpuModel: string;
  readonly functions: readonly SimFunctionConfig[];
  readonly policy: Policy;
  /** Policies of single functions, by index, where they differ from `policy`. */
  readonly policies?: readonly (Policy | undefined)[];
  /** Device ids of the functions, by index; `fn-FID` where there is none. */
  readonly functionIds?: readonly (string | undefined)[];
  /** Whether CLP tells the guest that UIDs are unique; absent = yes. */
  readonly uidChecking?: boolean;
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
    hostBytes: hostAreaBytes(spec.functions),
  });
}

export function policyOf(spec: VmSpec, index: number): Policy {
  return spec.policies?.[index] ?? spec.policy;
}

/** The spec with another policy for one function. */
export function withPolicy(spec: VmSpec, index: number, policy: Policy): VmSpec {
  const policies = spec.functions.map((_, n) => (n === index ? policy : spec.policies?.[n]));
  return { ...spec, policies };
}

export function functionIdOf(spec: VmSpec, index: number): string {
  const fid = spec.functions[index]?.fid ?? 0;
  return spec.functionIds?.[index] ?? `fn-${fid.toString(16).padStart(8, "0")}`;
}

/** What a worker is started with. `continued`: it goes on where a snapshot was taken. */
export interface ActorTask {
  readonly continued?: boolean;
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
