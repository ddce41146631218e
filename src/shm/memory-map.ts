/**
 * Where everything lives in a VM's one shared `WebAssembly.Memory`: a low control area, then guest RAM
 * at a 64 KiB boundary. Host byte offset of guest absolute address a = `ramOffset + a`. The size is
 * declared once and never grows (performance.md 3.2).
 */
import { assert } from "../base/assert.ts";
import { alignUp } from "../base/bits.ts";
import {
  CCDF_RING_SLOTS,
  FUNCTION_TRACE_RING_SLOTS,
  FUNCTIONS_MAX,
  GUEST_RAM_MAX_BYTES,
  REQUEST_RING_SLOTS,
  TRACE_RING_SLOTS,
  VCPUS_MAX,
} from "../base/limits.ts";
import { FunctionBlock, VmBlock } from "./blocks.ts";
import { ringBytes } from "./ring.ts";

const PAGE = 4096;
const WASM_PAGE = 65536;
/** What 32-bit wasm addresses reach. */
const WASM_MEMORY_MAX_BYTES = 65536 * WASM_PAGE;

export interface MemoryPlan {
  readonly vcpuCount: number;
  readonly functionCount: number;
  readonly ramBytes: number;
  /** Bytes of one vCPU area: `src/cpu` says how many. */
  readonly vcpuBytes: number;
  /** Bytes of one function's host-side area (simulated kernel, config space, BAR): the backend says. */
  readonly hostBytes: number;
  /** One recovery thread serves all functions: one trace ring for them. */
  readonly sharedRecovery?: boolean;
}

/** Byte offsets into the shared memory; plain data, so it travels in workerData. */
export interface MemoryMap extends MemoryPlan {
  readonly vmBlock: number;
  readonly functionBlocks: readonly number[];
  readonly ccdfRings: readonly number[];
  readonly requestRings: readonly number[];
  /** One trace ring per thread: platform, then vCPUs, then recovery workers by function index, or the one of all. */
  readonly traceRings: readonly number[];
  readonly hostAreas: readonly number[];
  readonly vcpuAreas: readonly number[];
  /** Storage keys: one byte per 4 KiB frame of guest RAM {ACC, F, R, C, 0}. */
  readonly storageKeys: number;
  readonly ramOffset: number;
  readonly totalBytes: number;
}

/** Lays the areas out one after the other, each on a page of its own. The config was checked before. */
export function planMemory(plan: MemoryPlan): MemoryMap {
  assert(plan.vcpuCount >= 1 && plan.vcpuCount <= VCPUS_MAX, `${plan.vcpuCount} vCPUs`);
  assert(plan.functionCount <= FUNCTIONS_MAX, `${plan.functionCount} functions`);
  assert(plan.ramBytes <= GUEST_RAM_MAX_BYTES, `${plan.ramBytes} bytes of guest RAM`);
  let next = 0;
  const take = (bytes: number): number => {
    const offset = next;
    next = alignUp(next + bytes, PAGE);
    return offset;
  };
  const many = (count: number, bytes: number): number[] =>
    Array.from({ length: count }, () => take(bytes));
  const vmBlock = take(VmBlock.sizeBytes);
  const functionBlocks = many(plan.functionCount, FunctionBlock.sizeBytes);
  const ccdfRings = many(plan.functionCount, ringBytes(CCDF_RING_SLOTS));
  const requestRings = many(plan.functionCount, ringBytes(REQUEST_RING_SLOTS));
  const traceRings = many(1 + plan.vcpuCount, ringBytes(TRACE_RING_SLOTS));
  if (!plan.sharedRecovery) {
    traceRings.push(...many(plan.functionCount, ringBytes(FUNCTION_TRACE_RING_SLOTS)));
  } else if (plan.functionCount > 0) traceRings.push(take(ringBytes(TRACE_RING_SLOTS)));
  const hostAreas = many(plan.functionCount, plan.hostBytes);
  const vcpuAreas = many(plan.vcpuCount, plan.vcpuBytes);
  const storageKeys = take(Math.ceil(plan.ramBytes / PAGE));
  const ramOffset = alignUp(next, WASM_PAGE);
  const totalBytes = alignUp(ramOffset + plan.ramBytes, WASM_PAGE);
  assert(totalBytes <= WASM_MEMORY_MAX_BYTES, `${totalBytes} bytes of shared memory`);
  return {
    ...plan,
    vmBlock,
    functionBlocks,
    ccdfRings,
    requestRings,
    traceRings,
    hostAreas,
    vcpuAreas,
    storageKeys,
    ramOffset,
    totalBytes,
  };
}

export function platformTraceRing(map: MemoryMap): number {
  return map.traceRings[0] as number;
}

export function vcpuTraceRing(map: MemoryMap, vcpu: number): number {
  return map.traceRings[1 + vcpu] as number;
}

export function recoveryTraceRing(map: MemoryMap, functionIndex: number): number {
  return map.traceRings[1 + map.vcpuCount + (map.sharedRecovery ? 0 : functionIndex)] as number;
}

/** Slots of the trace ring that begins at `ringOffset`. */
export function traceRingSlots(map: MemoryMap, ringOffset: number): number {
  const ofOneFunction = !map.sharedRecovery && map.traceRings.indexOf(ringOffset) > map.vcpuCount;
  return ofOneFunction ? FUNCTION_TRACE_RING_SLOTS : TRACE_RING_SLOTS;
}
