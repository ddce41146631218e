import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { load } from "../../../src/shm/atomics.ts";
import { VmBlock } from "../../../src/shm/blocks.ts";
import { CONSOLE_RING_BYTES, ConsoleOutput } from "../../../src/shm/console-output.ts";
import { planMemory } from "../../../src/shm/memory-map.ts";
import { createVmMemory, type VmMemory } from "../../../src/shm/vm-memory.ts";

const MIB = 1024 ** 2;

function newVm(): VmMemory {
  return createVmMemory(
    planMemory({ vcpuCount: 1, functionCount: 0, ramBytes: MIB, vcpuBytes: 4096, hostBytes: 0 }),
  );
}

const unexpected = (): never => {
  throw new Error("there was room");
};

function taken(output: ConsoleOutput): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let piece = output.take(); piece !== undefined; piece = output.take()) {
    pieces.push(piece.bytes);
  }
  return pieces;
}

describe("console output", () => {
  it("has the room that is declared for it", () => {
    const vm = newVm();
    expect(CONSOLE_RING_BYTES & (CONSOLE_RING_BYTES - 1)).toBe(0);
    expect((VmBlock.sizeBytes / 4 - VmBlock.consoleOutput) * 4).toBeGreaterThanOrEqual(
      CONSOLE_RING_BYTES,
    );
    expect(VmBlock.deviceLock).toBeGreaterThanOrEqual(
      VmBlock.consoleOutput + CONSOLE_RING_BYTES / 4,
    );
    expect(vm.map.vmBlock + VmBlock.sizeBytes).toBeLessThanOrEqual(vm.map.vcpuAreas[0] as number);
  });

  it("hands text on as it was written, with its time, wherever the ring ends", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            length: fc.integer({ min: 1, max: 4096 }),
            timeUs: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
            takes: fc.integer({ min: 0, max: 3 }),
          }),
          { maxLength: 40 },
        ),
        (writes) => {
          const vm = newVm();
          const [writer, reader] = [new ConsoleOutput(vm), new ConsoleOutput(vm)];
          const wanted: { timeUs: number; bytes: number[] }[] = [];
          const seen: { timeUs: number; bytes: number[] }[] = [];
          const takeOne = (): boolean => {
            const piece = reader.take();
            if (piece !== undefined) {
              seen.push({ timeUs: piece.timeUs, bytes: [...piece.bytes] });
            }
            return piece !== undefined;
          };
          for (const [n, { length, timeUs, takes }] of writes.entries()) {
            const bytes = Uint8Array.from({ length }, (_, i) => (i * 7 + n) & 0xff);
            wanted.push({ timeUs, bytes: [...bytes] });
            writer.write(bytes, timeUs, () => expect(takeOne()).toBe(true));
            for (let k = 0; k < takes; k++) takeOne();
          }
          while (takeOne());
          expect(seen).toEqual(wanted);
          // What stands behind the ring is others'.
          const end = VmBlock.consoleOutput * 4 + CONSOLE_RING_BYTES;
          expect(vm.bytes.subarray(end, VmBlock.sizeBytes).every((byte) => byte === 0)).toBe(true);
        },
      ),
      { numRuns: 30 },
    );
  });

  it("cuts text that is longer than the ring, and waits for room without losing a byte", () => {
    const vm = newVm();
    const [writer, reader] = [new ConsoleOutput(vm), new ConsoleOutput(vm)];
    const text = Uint8Array.from({ length: 5 * CONSOLE_RING_BYTES + 3 }, (_, i) => (i * 31) & 0xff);
    const seen: number[] = [];
    let waits = 0;
    writer.write(text, 1, () => {
      waits += 1;
      for (const piece of taken(reader)) seen.push(...piece);
    });
    for (const piece of taken(reader)) seen.push(...piece);
    expect(waits).toBeGreaterThanOrEqual(4);
    expect(Uint8Array.from(seen)).toEqual(text);
  });

  it("leaves nothing behind: an empty ring, nobody waiting, no piece for no text", () => {
    const vm = newVm();
    const output = new ConsoleOutput(vm);
    output.write(new Uint8Array(0), 1, unexpected);
    expect(output.take()).toBeUndefined();
    output.write(new Uint8Array(4000), 1, unexpected);
    expect(taken(output)).toHaveLength(1);
    expect(load(vm.words, vm.map.vmBlock / 4 + VmBlock.consoleWriterWaits)).toBe(0);
  });
});
