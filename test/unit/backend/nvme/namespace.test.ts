import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MemoryStore } from "../../../../src/backend/sim/nvme/namespace.ts";

const SIZE = 300_000; // several pieces of 64 KiB and an odd end

describe("a namespace in memory", () => {
  it("holds what a flat array would hold, whatever is written, zeroed and deallocated", () => {
    const step = fc.record({
      kind: fc.constantFrom("write", "write", "zero", "deallocate"),
      from: fc.nat(SIZE - 1),
      length: fc.oneof(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: SIZE })),
      value: fc.integer({ min: 1, max: 255 }),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
        const store = new MemoryStore(SIZE);
        const model = new Uint8Array(SIZE);
        for (const { kind, from, length: wanted, value } of steps) {
          const length = Math.min(wanted, SIZE - from);
          if (kind === "write") {
            model.fill(value, from, from + length);
            expect(store.write(from, new Uint8Array(length).fill(value))).toBe(0);
          } else {
            model.fill(0, from, from + length);
            const call =
              kind === "zero" ? store.zero(from, length) : store.deallocate(from, length);
            expect(call).toBe(0);
          }
        }
        const found = new Uint8Array(SIZE).fill(0xaa);
        store.read(0, found);
        expect(Buffer.compare(found, model)).toBe(0);
      }),
      { numRuns: 100 },
    );
  });

  it("of many gigabytes is zeroed in as many steps as it has written pieces", () => {
    const store = new MemoryStore(64 * 1024 ** 3);
    const far = 63 * 1024 ** 3 + 5;
    store.write(far, Uint8Array.of(1, 2, 3));
    expect(store.zero(1, 64 * 1024 ** 3 - 1)).toBe(0);
    const found = new Uint8Array(3).fill(9);
    store.read(far, found);
    expect([...found]).toEqual([0, 0, 0]);
  });
});
