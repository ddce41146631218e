import { describe, expect, it } from "vitest";
import type { HostFunction } from "../../../src/ports/host-function.ts";
import { FIB_IOAT, FunctionBlock, MAP_NOTHING, MAP_REGISTER } from "../../../src/shm/blocks.ts";
import { RecoveryRig } from "../../support/recovery-rig.ts";

const PHASE_REQUESTED = 1;
const PHASE_RUNNING = 2;
const PHASE_DONE = 3;
const PHASE_FAILED = 4;
const START = 0x1_0000_0000n;

/** The rig's host with a container of `room` mappings. */
function rigWith(room: number) {
  const rig = new RecoveryRig();
  const mapped = new Map<bigint, number>();
  const pinning = {
    map: (iova: bigint, address: number, writable: boolean): number => {
      if (mapped.has(iova)) return -17; // EEXIST
      if (mapped.size >= room) return -28; // ENOSPC
      mapped.set(iova, writable ? address : -address);
      return 0;
    },
    unmap: (iova: bigint, length: bigint): number => {
      for (const at of [...mapped.keys()]) if (at >= iova && at < iova + length) mapped.delete(at);
      return 0;
    },
  };
  const host = new Proxy(rig.host, {
    get: (target, name) => {
      if (name === "pinning") return pinning;
      if (name === "facts") return { startDma: START, dmaAvail: 1000 };
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === "function" ? value.bind(target) : value;
    },
  }) as HostFunction;
  const ask = (entries: readonly (readonly [number, number, number])[]): void => {
    for (const [n, entry] of entries.entries()) {
      for (const [word, value] of entry.entries()) {
        rig.set(FunctionBlock.mapEntries + n * 3 + word, value);
      }
    }
    rig.set(FunctionBlock.mapCount, entries.length);
    rig.set(FunctionBlock.mapPhase, PHASE_REQUESTED);
  };
  return { rig, host, mapped, ask };
}

describe("mappings that the host makes", () => {
  it("carries out a batch in one pass: pages, read-only pages, ranges that go", () => {
    const { rig, host, mapped, ask } = rigWith(10);
    const unit = rig.unit({ host });
    rig.set(FunctionBlock.fibFlags, FIB_IOAT);
    ask([
      [1, 1, 0x20 * 2],
      [2, 1, 0x21 * 2 + 1],
      [3, 1, 0x22 * 2],
    ]);
    unit.step();
    expect(rig.get(FunctionBlock.mapPhase)).toBe(PHASE_DONE);
    ask([
      [3, 500, MAP_NOTHING],
      [1, 1, 0x30 * 2],
    ]);
    unit.step();
    expect([...mapped].sort()).toEqual([
      [START + 0x1000n, 0x30000],
      [START + 0x2000n, -0x21000],
    ]);
  });

  it("fails at the first page without room", () => {
    const { rig, host, mapped, ask } = rigWith(1);
    const unit = rig.unit({ host });
    ask([
      [1, 1, 2],
      [2, 1, 4],
    ]);
    unit.step();
    expect(rig.get(FunctionBlock.mapPhase)).toBe(PHASE_FAILED);
    expect(mapped.size).toBe(1);
  });

  it("a successor repeats the batch that its predecessor died in", () => {
    const { rig, host, mapped, ask } = rigWith(4);
    rig.unit({ host }).step();
    ask([
      [1, 1, 2],
      [2, 1, 4],
    ]);
    mapped.set(START + 0x1000n, 0x1000); // mapped already when it died
    rig.set(FunctionBlock.mapPhase, PHASE_RUNNING);
    rig.unit({ host }).step();
    expect(rig.get(FunctionBlock.mapPhase)).toBe(PHASE_DONE);
    expect(mapped.size).toBe(2);
  });

  it("drops everything when the registration is gone, but not between two batches of one", () => {
    const { rig, host, mapped, ask } = rigWith(4);
    const unit = rig.unit({ host });
    rig.set(FunctionBlock.mapKind, MAP_REGISTER);
    rig.set(FunctionBlock.mapGeneration, rig.generation);
    ask([[1, 1, 2]]);
    unit.step();
    unit.step();
    expect(mapped.size).toBe(1); // MPCIFC 4 is still at it
    rig.set(FunctionBlock.mapPhase, 0);
    rig.set(FunctionBlock.fibFlags, FIB_IOAT);
    unit.step();
    expect(mapped.size).toBe(1);
    rig.set(FunctionBlock.fibFlags, 0); // disabled, or reset
    unit.step();
    expect(mapped.size).toBe(0);
  });

  it("drops everything when the function leaves", () => {
    const { rig, host, mapped, ask } = rigWith(4);
    const unit = rig.unit({ host });
    rig.set(FunctionBlock.fibFlags, FIB_IOAT);
    ask([[1, 1, 2]]);
    unit.step();
    rig.requestBack(true);
    unit.step();
    expect(rig.stateName).toBe("detached");
    expect(mapped.size).toBe(0);
  });
});
