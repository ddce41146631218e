import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FunctionBlock, VmBlock } from "../../../src/shm/blocks.ts";
import {
  type MemoryMap,
  type MemoryPlan,
  planMemory,
  platformTraceRing,
  recoveryTraceRing,
  traceRingSlots,
  vcpuTraceRing,
} from "../../../src/shm/memory-map.ts";
import { RECORD_BYTES, ringBytes } from "../../../src/shm/ring.ts";
import { attachVmMemory, createVmMemory } from "../../../src/shm/vm-memory.ts";

const plans = fc.record({
  vcpuCount: fc.integer({ min: 1, max: 8 }),
  functionCount: fc.integer({ min: 0, max: 64 }),
  ramBytes: fc.integer({ min: 16, max: 57344 }).map((pages) => pages * 65536),
  vcpuBytes: fc.integer({ min: 512, max: 1 << 20 }),
  hostBytes: fc.integer({ min: 0, max: 1 << 18 }),
});

const small: MemoryPlan = {
  vcpuCount: 2,
  functionCount: 3,
  ramBytes: 1 << 20,
  vcpuBytes: 5000,
  hostBytes: 100,
};

/** Every area as [start, end, name]. */
function areas(map: MemoryMap): [number, number, string][] {
  const many = (
    name: string,
    offsets: readonly number[],
    bytes: number,
  ): [number, number, string][] =>
    offsets.map((offset, n) => [offset, offset + bytes, `${name} ${n}`]);
  return [
    ...many("VM block", [map.vmBlock], VmBlock.sizeBytes),
    ...many("function block", map.functionBlocks, FunctionBlock.sizeBytes),
    ...many("CCDF ring", map.ccdfRings, ringBytes(64)),
    ...many("request ring", map.requestRings, ringBytes(64)),
    ...map.traceRings.flatMap((ring, n) =>
      many(`trace ring ${n}`, [ring], ringBytes(traceRingSlots(map, ring))),
    ),
    ...many("host area", map.hostAreas, map.hostBytes),
    ...many("vCPU area", map.vcpuAreas, map.vcpuBytes),
    ...many("RAM", [map.ramOffset], map.ramBytes),
  ];
}

describe("a memory plan", () => {
  test("lets no two areas overlap and none leave the memory", () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const map = planMemory(plan);
        const sorted = areas(map).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
        for (let n = 1; n < sorted.length; n++) {
          expect(sorted[n]?.[0]).toBeGreaterThanOrEqual(sorted[n - 1]?.[1] ?? 0);
        }
        expect(sorted.at(-1)?.[1]).toBeLessThanOrEqual(map.totalBytes);
      }),
    );
  });

  test("starts every area on a page and guest RAM and the end on a wasm page", () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const map = planMemory(plan);
        expect(areas(map).filter(([start]) => start % 4096 !== 0)).toEqual([]);
        expect([map.ramOffset % 65536, map.totalBytes % 65536]).toEqual([0, 0]);
      }),
    );
  });

  test("is the same for the same input and travels as plain data", () => {
    const map = planMemory(small);
    expect(structuredClone(map)).toEqual(planMemory(small));
  });

  test("has the VM block at 0 and a trace ring per thread: platform, vCPUs, recovery workers", () => {
    const map = planMemory(small);
    expect(map.vmBlock).toBe(0);
    expect(map.traceRings).toHaveLength(1 + 2 + 3);
    expect([
      platformTraceRing(map),
      vcpuTraceRing(map, 0),
      vcpuTraceRing(map, 1),
      recoveryTraceRing(map, 0),
      recoveryTraceRing(map, 2),
    ]).toEqual([0, 1, 2, 3, 5].map((n) => map.traceRings[n]));
  });

  test("gives a worker of one function a small trace ring, and one of many functions a thread's", () => {
    const slots = (sharedRecovery: boolean): number[] => {
      const map = planMemory({ ...small, sharedRecovery });
      return map.traceRings.map((ring) => traceRingSlots(map, ring));
    };
    expect(slots(false)).toEqual([4096, 4096, 4096, 1024, 1024, 1024]);
    expect(slots(true)).toEqual([4096, 4096, 4096, 4096]);
  });

  test.each([
    ["no vCPU", { vcpuCount: 0 }],
    ["too many vCPUs", { vcpuCount: 9 }],
    ["too many functions", { functionCount: 65 }],
    ["too much RAM", { ramBytes: 3.5 * 2 ** 30 + 65536 }],
    ["more than 4 GiB in all", { ramBytes: 3.5 * 2 ** 30, hostBytes: 2 ** 28 }],
  ])("is refused for %s", (_name, change) => {
    expect(() => planMemory({ ...small, ...change })).toThrow();
  });
});

describe("the memory", () => {
  test("is one shared, zeroed buffer of the planned size, starting on a cache line", () => {
    const vm = createVmMemory(planMemory(small));
    expect(vm.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(vm.buffer.byteLength).toBe(vm.map.totalBytes);
    expect(vm.words.every((word) => word === 0)).toBe(true);
    expect(vm.map.totalBytes % RECORD_BYTES).toBe(0);
  });

  test("is seen alike through every view and by whoever attaches", () => {
    const vm = createVmMemory(planMemory(small));
    const other = attachVmMemory(vm.map, vm.memory);
    vm.view.setUint32(vm.map.ramOffset, 0x01020304);
    expect([...other.bytes.subarray(vm.map.ramOffset, vm.map.ramOffset + 4)]).toEqual([1, 2, 3, 4]);
  });
});
