/** The cache of DMA translations that a VM's functions share: against the tables themselves. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DmaTlb } from "../../../src/devices/zpci/tlb.ts";
import { GuestRam } from "../../../src/shm/guest-ram.ts";
import { bareVm } from "../../support/vm.ts";

/** One page table per function, reached from a segment table of its own: 256 pages each. */
const FUNCTIONS = 3;
const segments = (index: number): number => 0x4_0000 + index * 0x4000;
const pages = (index: number): number => 0x6_0000 + index * 0x800;

function tables(): {
  ram: GuestRam;
  tlb: DmaTlb;
  map: (index: number, page: number, frame: number) => void;
} {
  const ram = new GuestRam(bareVm(1));
  const map = (index: number, page: number, frame: number): void =>
    ram.setU32(pages(index) + page * 8 + 4, frame * 4096);
  for (let index = 0; index < FUNCTIONS; index++) {
    ram.setU32(segments(index) + 4, pages(index));
    for (let page = 0; page < 256; page++) map(index, page, 1 + ((page * 7 + index) % 200));
  }
  return { ram, tlb: new DmaTlb(ram), map };
}

describe("DmaTlb", () => {
  test("finds only what the function's own tables have held since its context began", () => {
    const index = fc.nat({ max: FUNCTIONS - 1 });
    const page = fc.oneof(fc.nat({ max: 3 }), fc.nat({ max: 255 }));
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.record({ what: fc.constant("translate" as const), index, page }),
            fc.record({
              what: fc.constant("map" as const),
              index,
              page,
              frame: fc.integer({ min: 1, max: 200 }),
            }),
            fc.record({ what: fc.constant("forget" as const), index }),
          ),
          { maxLength: 200 },
        ),
        (steps) => {
          const { tlb, map } = tables();
          const contexts = Array.from({ length: FUNCTIONS }, () => tlb.newContext());
          const now = (of: number, at: number): number =>
            frames.get(`${of} ${at}`) ?? 1 + ((at * 7 + of) % 200);
          const frames = new Map<string, number>();
          const held = new Map<string, Set<number>>();
          for (const step of steps) {
            if (step.what === "forget") {
              contexts[step.index] = tlb.newContext();
              for (const key of held.keys()) if (key.startsWith(`${step.index} `)) held.delete(key);
              continue;
            }
            const key = `${step.index} ${step.page}`;
            const seen = held.get(key) ?? new Set([now(step.index, step.page)]);
            held.set(key, seen);
            if (step.what === "map") {
              map(step.index, step.page, step.frame);
              frames.set(key, step.frame);
              seen.add(step.frame);
              continue;
            }
            const iota = segments(step.index) | 0x800;
            expect(tlb.translate(contexts[step.index] ?? 0, 0, iota, step.page)).toBe(0);
            expect([...seen]).toContain(tlb.frame / 4096);
          }
        },
      ),
    );
  });

  test("remembers, and tells a protected page from one that is not", () => {
    const { ram, tlb, map } = tables();
    const context = tlb.newContext();
    const iota = segments(0) | 0x800;
    ram.setU32(pages(0) + 5 * 8 + 4, 0x9000 | 0x200);
    const look = (page: number): [number, boolean] => {
      expect(tlb.translate(context, 0, iota, page)).toBe(0);
      return [tlb.frame, tlb.isProtected];
    };
    expect(look(5)).toEqual([0x9000, true]);
    expect(look(6)).toEqual([(1 + 42) * 4096, false]);
    map(0, 5, 77);
    map(0, 6, 77);
    expect(look(5)).toEqual([0x9000, true]);
    expect(look(6)).toEqual([(1 + 42) * 4096, false]);
  });

  test("says at which level a walk failed, and remembers nothing of it", () => {
    const { ram, tlb } = tables();
    const context = tlb.newContext();
    ram.setU32(pages(0) + 5 * 8 + 4, 0x400);
    expect(tlb.translate(context, 0, segments(0) | 0x800, 5)).toBe(-1);
    expect(tlb.level).toBe(4);
    ram.setU32(segments(0) + 4, 0x20);
    expect(tlb.translate(context, 0, segments(0) | 0x800, 5)).toBe(-1);
    expect(tlb.level).toBe(0);
    ram.setU32(segments(0) + 4, pages(0));
    ram.setU32(pages(0) + 5 * 8 + 4, 0x9000);
    expect(tlb.translate(context, 0, segments(0) | 0x800, 5)).toBe(0);
    expect(tlb.frame).toBe(0x9000);
  });
});
