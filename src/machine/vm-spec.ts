/** A VM as plain data: what every one of its threads needs to build its objects. Travels in task messages. */
// Past the indexes: every worker loads this module, and would load all devices and instructions with it.
import type { SimFunctionConfig } from "../backend/sim/config.ts";
import { hostAreaBytes } from "../backend/sim/iommu-pages.ts";
import { VCPU_AREA_BYTES } from "../cpu/core-layout.ts";
import type { Policy } from "../recovery/index.ts";
import { type MemoryMap, planMemory } from "../shm/memory-map.ts";
import { attachVmMemory, type VmMemory } from "../shm/vm-memory.ts";
import type { WatchdogAction } from "../shm/watchdog.ts";

export interface VmSpec {
  readonly name: string;
  readonly ramBytes: number;
  readonly cpuModel: string;
  /** How the CPUs execute: by the interpreter alone (the default), or hot code as generated WebAssembly. */
  readonly accel?: "interp" | "jit";
  /** Number of CPUs; 1 by default. */
  readonly vcpus?: number;
  /** LOADPARM: what the guest reads in the SCP information; blank without it. */
  readonly loadparm?: string;
  readonly functions: readonly SimFunctionConfig[];
  /** Room for so many functions in all: what is plugged while the VM runs needs a place. */
  readonly functionSlots?: number;
  /** Indices of functions that have left for good: their places are free. */
  readonly emptySlots?: readonly number[];
  readonly policy: Policy;
  /** Policies of single functions, by index, where they differ from `policy`. */
  readonly policies?: readonly (Policy | undefined)[];
  /** Device ids of the functions, by index; `fn-FID` where there is none. */
  readonly functionIds?: readonly (string | undefined)[];
  /** Whether CLP tells the guest that UIDs are unique; absent = yes. */
  readonly uidChecking?: boolean;
  /** Real time of day at the VM's time 0, milliseconds since 1970: where the guest's TOD clock starts. */
  readonly epochMs: number;
  /** The guest has a watchdog (DIAG 0x288), and this is what happens when it fires. */
  readonly watchdog?: WatchdogAction;
  /** By how much the vCPU's thread steps back behind the recovery workers (thread-priority.ts); 0 without it. */
  readonly vcpuNice?: number;
  /** A recovery worker per function, or one for several functions, of several VMs; `own` without it. */
  readonly recoveryWorkers?: "own" | "shared";
}

/** The wall time that deterministic runs start at: 2026-01-01T00:00:00Z. */
export const DETERMINISTIC_EPOCH_MS = 1_767_225_600_000;

export function mapOf(spec: VmSpec): MemoryMap {
  return planMemory({
    vcpuCount: spec.vcpus ?? 1,
    functionCount: Math.max(spec.functions.length, spec.functionSlots ?? 0),
    ramBytes: spec.ramBytes,
    vcpuBytes: VCPU_AREA_BYTES,
    hostBytes: hostAreaBytes(spec.functions),
    ...(spec.recoveryWorkers === "shared" ? { sharedRecovery: true } : {}),
  });
}

export function configOf(spec: VmSpec, index: number): SimFunctionConfig {
  const config = spec.functions[index];
  if (config === undefined) throw new RangeError(`no function has index ${index}`);
  return config;
}

export function policyOf(spec: VmSpec, index: number): Policy {
  return spec.policies?.[index] ?? spec.policy;
}

/** The spec with another policy for one function. */
export function withPolicy(spec: VmSpec, index: number, policy: Policy): VmSpec {
  const policies = spec.functions.map((_, n) => (n === index ? policy : spec.policies?.[n]));
  return { ...spec, policies };
}

/** Indices of the places that have a function. */
export function functionIndices(spec: VmSpec): number[] {
  return [...spec.functions.keys()].filter((index) => spec.emptySlots?.includes(index) !== true);
}

/** The spec with another function in the place `index`; undefined: with none. */
export function withFunction(
  spec: VmSpec,
  index: number,
  plugged: { readonly id: string; readonly config: SimFunctionConfig } | undefined,
): VmSpec {
  const empty = (spec.emptySlots ?? []).filter((slot) => slot !== index);
  if (plugged === undefined) return { ...spec, emptySlots: [...empty, index] };
  const put = <T>(list: readonly T[], value: T): T[] =>
    Array.from({ length: Math.max(spec.functions.length, index + 1) }, (_, n) =>
      n === index ? value : (list[n] as T),
    );
  return {
    ...spec,
    functions: put(spec.functions, plugged.config),
    functionIds: put(spec.functionIds ?? [], plugged.id),
    policies: put(spec.policies ?? [], undefined),
    emptySlots: empty,
  };
}

export function functionIdOf(spec: VmSpec, index: number): string {
  const fid = spec.functions[index]?.fid ?? 0;
  return spec.functionIds?.[index] ?? `fn-${fid.toString(16).padStart(8, "0")}`;
}

/** What a thread needs to reach a VM. */
export interface ActorTask {
  readonly spec: VmSpec;
  readonly map: MemoryMap;
  readonly memory: WebAssembly.Memory;
  readonly recoveryWords?: Int32Array;
}

export function attachTo({ map, memory, recoveryWords }: ActorTask): VmMemory {
  return attachVmMemory(map, memory, recoveryWords);
}

/** What the main thread sends to a vCPU's thread, which takes it when it has stood. */
export interface VcpuPlug {
  readonly index: number;
  readonly config: SimFunctionConfig;
}

/** A worker's first word to its parent, when all its modules are loaded (`Actor.kill`). */
export const ACTOR_LOADED = "loaded";
