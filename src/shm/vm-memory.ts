/** The shared memory of one VM with its views. Views have no truth of their own; any thread builds them. */
import type { MemoryMap } from "./memory-map.ts";

export interface VmMemory {
  readonly map: MemoryMap;
  readonly memory: WebAssembly.Memory;
  readonly buffer: SharedArrayBuffer;
  /** Little-endian words: read and write through `atomics.ts` only. */
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Of the thread that serves all functions of this VM, if one does (recovery-bell.ts); known when threads start. */
  recoveryWords?: Int32Array;
}

const WASM_PAGE = 65536;

/** Allocates the memory described by `map`; pages cost host memory only when touched. */
export function createVmMemory(map: MemoryMap): VmMemory {
  const pages = map.totalBytes / WASM_PAGE;
  return attachVmMemory(
    map,
    new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }),
  );
}

/** Builds the views over a memory that another thread created. */
export function attachVmMemory(
  map: MemoryMap,
  memory: WebAssembly.Memory,
  recoveryWords?: Int32Array,
): VmMemory {
  const buffer = memory.buffer as unknown as SharedArrayBuffer;
  return {
    map,
    memory,
    buffer,
    words: new Int32Array(buffer),
    bytes: new Uint8Array(buffer),
    view: new DataView(buffer),
    ...(recoveryWords === undefined ? {} : { recoveryWords }),
  };
}
