import { describe, expect, it } from "vitest";
import {
  hostAreaBytes,
  SimHostFunction,
  simFunctionConfig,
  translationOf,
} from "../../../../src/backend/sim/index.ts";
import { ENOSPC } from "../../../../src/ports/host-function.ts";
import { planMemory } from "../../../../src/shm/memory-map.ts";
import { createVmMemory } from "../../../../src/shm/vm-memory.ts";

const START = 0x1_0000_0000n;
const FIRST = 0x10_0000; // page number of START

function pinned(avail: number, taken = 0) {
  const config = simFunctionConfig({ fid: 1, pins: { avail, taken } });
  const vm = createVmMemory(
    planMemory({
      vcpuCount: 1,
      functionCount: 1,
      ramBytes: 1 << 20,
      vcpuBytes: 4096,
      hostBytes: hostAreaBytes([config]),
    }),
  );
  const host = new SimHostFunction(vm, 0, config);
  const { pinning } = host;
  const translation = translationOf(vm, 0, config);
  if (pinning === undefined || translation === undefined) throw new Error("does not pin");
  return { config, vm, host, pinning, translation };
}

describe("a function whose device reaches only what is mapped", () => {
  it("tells the guest a DMA range of dma_avail pages (vfio-uapi.md 5.5)", () => {
    const { host } = pinned(256);
    expect(host.facts).toMatchObject({
      startDma: START,
      endDma: START + 256n * 4096n - 1n,
      dmaAvail: 256,
    });
    expect(pinned(65535).host.facts.endDma).toBe(START + 65535n * 4096n - 1n);
  });

  it("translates with what was mapped last, not with what the guest's tables say", () => {
    const { pinning, translation } = pinned(256);
    expect(pinning.map(START + 0x3000n, 0x7000, true)).toBe(0);
    expect(pinning.map(START + 0x4000n, 0x9000, false)).toBe(0);
    expect([2, 3, 4].map((page) => translation.lookup(FIRST + page))).toEqual([-1, 14, 19]);
    expect(pinning.unmap(START + 0x3000n, 0x1000n)).toBe(0);
    expect(translation.lookup(FIRST + 3)).toBe(-1);
    expect(translation.lookup(FIRST - 1)).toBe(-1);
    expect(translation.lookup(FIRST + 256)).toBe(-1);
  });

  it("has room for dma_avail mappings less what others took; ENOSPC beyond, room again after unmap", () => {
    const { pinning } = pinned(8, 5);
    expect([0n, 1n, 2n, 3n].map((n) => pinning.map(START + n * 4096n, 0, true))).toEqual([
      0,
      0,
      0,
      -ENOSPC,
    ]);
    pinning.unmap(START, 4096n);
    expect(pinning.map(START + 3n * 4096n, 0, true)).toBe(0);
  });

  it("keeps its mappings in shared memory: a successor's object goes on with them", () => {
    const { vm, config, pinning } = pinned(8, 7);
    pinning.map(START, 0x1000, true);
    const successor = new SimHostFunction(vm, 0, config).pinning;
    expect(successor?.map(START + 4096n, 0, true)).toBe(-ENOSPC);
    expect(successor?.unmap(START, 8n * 4096n)).toBe(0);
    expect(successor?.map(START + 4096n, 0, true)).toBe(0);
  });

  it("needs no memory where no function pins", () => {
    const plain = simFunctionConfig({ fid: 2 });
    expect(hostAreaBytes([plain])).toBeLessThan(hostAreaBytes([pinned(8).config]));
    expect(translationOf(pinned(8).vm, 0, plain)).toBeUndefined();
  });

  it("brings numbers a user wrote into range", () => {
    expect(simFunctionConfig({ fid: 1, pins: { avail: 1e9, taken: -4 } }).pins).toEqual({
      avail: 65535,
      taken: 0,
    });
    expect(simFunctionConfig({ fid: 1, pins: { avail: Number.NaN, taken: -3 } }).pins).toEqual({
      avail: 1,
      taken: 0,
    });
  });
});
