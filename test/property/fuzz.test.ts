/**
 * A short run of both fuzzers (`npm run fuzz` runs them long): hostile guests on honest hosts, and on hosts that
 * lie, break none of the laws; the same seed gives the same run; and the guards see what they are there for.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { simFunctionConfig } from "../../src/backend/sim/index.ts";
import { fuzz } from "../fuzz/fuzz.ts";
import { CODE } from "../fuzz/program.ts";
import { Rails } from "../fuzz/rails.ts";
import { Random } from "../fuzz/random.ts";

const seed = (fc.readConfigureGlobal()?.seed ?? Date.now()) >>> 0;

describe(`the fuzzers, seed ${seed}`, () => {
  it("break no law with a hostile guest, and repeat a run by its seed", () => {
    const first = fuzz("guest", seed, { count: 100_000 });
    const { instructions, accepted, refused } = first;
    expect(first).toMatchObject({ escapes: 0, hangs: 0, guardHits: 0, seed });
    expect(instructions).toBeGreaterThanOrEqual(100_000);
    expect(accepted + refused).toBe(instructions);
    // Neither a guest that is refused everything nor one that nothing is refused teaches anything.
    expect(accepted).toBeGreaterThan(instructions / 20);
    expect(refused).toBeGreaterThan(instructions / 20);
    expect(fuzz("guest", seed, { count: 100_000 })).toEqual(first);
    expect(fuzz("guest", seed + 1, { count: 2000 }).digest).not.toBe(first.digest);
  }, 60_000);

  it("break no law with a host that lies, some of whose records reach the guest", () => {
    const result = fuzz("host", seed, { count: 500 });
    expect(result).toMatchObject({ escapes: 0, hangs: 0, guardHits: 0 });
    expect(result.answers).toBeGreaterThanOrEqual(500);
    expect(result.accepted).toBeGreaterThan(0);
  }, 60_000);
});

describe("the guards", () => {
  const rails = (): Rails =>
    new Rails({
      functions: [simFunctionConfig({ fid: 1 })],
      policy: "mediated",
      random: new Random(seed),
    });

  it("report a store before or behind guest storage, once", () => {
    const vm = rails();
    const { bytes, map } = vm.vm;
    expect(vm.guardHits()).toBe(0);
    bytes[map.ramOffset - 1] = 0;
    bytes[map.ramOffset + map.ramBytes] = 0;
    expect([vm.guardHits(), vm.guardHits()]).toEqual([2, 0]);
  });

  it("report what was read beyond guest storage when it turns up in it", () => {
    const vm = rails();
    const { bytes, map } = vm.vm;
    expect(vm.leaks()).toBe(0);
    bytes.copyWithin(map.ramOffset + 0x1000, map.ramOffset - 64, map.ramOffset - 56);
    expect([vm.leaks(), vm.leaks()]).toEqual([1, 0]);
  });

  it("count a guest that no longer runs its program as derailed, and put it back", () => {
    const vm = rails();
    expect(vm.batch().derailed).toBe(false);
    // Instead of the first instruction, a branch to itself.
    expect(vm.batch((ram) => ram.setU32(CODE + 12, 0xa7f40000)).derailed).toBe(true);
    expect(vm.batch().derailed).toBe(false);
  });
});
