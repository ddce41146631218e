import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ZpciFacts } from "../../../../src/backend/sim/capabilities.ts";
import {
  type FactCarrier,
  factCarriers,
  simFunctionConfig,
} from "../../../../src/backend/sim/config.ts";
import { decodeFactRegions, encodeFactRegions } from "../../../../src/backend/sim/fact-regions.ts";
import { SimVfioDevice } from "../../../../src/backend/sim/index.ts";
import { SimHost } from "../../../support/sim-host.ts";

const hostOf = (facts: FactCarrier, abi = "v19") => ({ dialect: "zpci" as const, abi, facts });

function device(facts: FactCarrier): SimVfioDevice {
  const sim = new SimHost([{ fid: 2, host: hostOf(facts) }]);
  return new SimVfioDevice(sim.vm, 0, sim.config(), { byteOrder: "big" });
}

/** GET_REGION_INFO of a special region: size, type, subtype. */
function info(from: SimVfioDevice, index: number): readonly number[] {
  const view = new DataView(new ArrayBuffer(48));
  view.setUint32(0, 48);
  view.setUint32(8, index);
  const rc = from.ioctl(0x3b6c, new Uint8Array(view.buffer));
  if (rc !== 0) return [rc];
  return [Number(view.getBigUint64(16)), view.getUint32(40), view.getUint32(44)];
}

function read(from: SimVfioDevice, index: number, start: number, length: number): Uint8Array {
  const target = new Uint8Array(length);
  const count = from.pread(index * 2 ** 40 + start, target);
  return target.subarray(0, Math.max(0, count));
}

const today = new SimHost([{ fid: 2 }]).function().facts;

describe("facts in device regions (vfio-uapi.md 5.6)", () => {
  it.each(["region-2019", "region-2019-growable"] as const)(
    "%s: 50 packed bytes, then the string",
    (facts) => {
      const vfio = device(facts);
      const appended = facts === "region-2019" ? 0 : 24;
      expect(info(vfio, 9)).toEqual([50 + 64 + appended, 0x80001014, 2]);
      expect(info(vfio, 10)).toEqual([-22]);
      const bytes = read(vfio, 9, 0, 50);
      const view = new DataView(bytes.buffer);
      expect(view.getBigUint64(8)).toBe(today.startDma);
      expect(view.getBigUint64(16)).toBe(today.endDma);
      expect(view.getBigUint64(32)).toBe(1n);
      expect([view.getUint16(40), view.getUint16(46), view.getUint8(49)]).toEqual([
        today.pchid,
        today.maxstbl,
        today.gid,
      ]);
      expect([...read(vfio, 9, 50, 64)]).toEqual(today.utilityString);
    },
  );

  it("can be read at any offset and length, to the end and not beyond", () => {
    const vfio = device("region-2019");
    const whole = read(vfio, 9, 0, 114);
    expect([...read(vfio, 9, 7, 3)]).toEqual([...whole.subarray(7, 10)]);
    expect(read(vfio, 9, 112, 100)).toHaveLength(2);
    expect(vfio.pread(9 * 2 ** 40 + 114, new Uint8Array(1))).toBe(-22);
  });

  it("region-2020: argsz, offset 8, a chain whose last entry points at the end", () => {
    const vfio = device("region-2020");
    const [size = 0] = info(vfio, 9);
    const view = new DataView(read(vfio, 9, 0, size).slice().buffer);
    expect([view.getUint32(0), view.getUint32(4)]).toEqual([size, 8]);
    const ids: number[] = [];
    let at = 8;
    while (at < size) {
      ids.push(view.getUint16(at));
      at = view.getUint32(at + 4);
    }
    expect(ids).toEqual([1, 2, 3, 4]);
    expect(at).toBe(size);
  });

  it("regions-2020: one region each for base, group, string and path", () => {
    const vfio = device("regions-2020");
    const sizes = [9, 10, 11, 12].map((index) => info(vfio, index)[0]);
    expect(sizes).toEqual([32, 40, 12 + 64, 12 + 4]);
    expect(info(vfio, 13)).toEqual([-22]);
  });

  it.each(factCarriers.slice(1))(
    "%s: a host that tells so is read as today's, as far as it tells",
    (facts) => {
      const sim = new SimHost([{ fid: 2, host: hostOf(facts) }]);
      const found = sim.function().facts;
      const whole = facts.startsWith("region-2020") || facts === "regions-2020";
      const lacking = whole ? {} : { vfn: 0, fmbLength: 0, pft: 0, pfip: [] };
      expect(found).toEqual({ ...today, ...lacking, ccdfErrLength: 0 });
      expect(sim.function().open()).toBe(0);
    },
  );

  it("goes with hosts that had neither the merged interface nor v1's region", () => {
    const of = (abi: string) =>
      simFunctionConfig({ fid: 1, host: hostOf("region-2019", abi) }).host.facts;
    expect([of("v13"), of("merged"), of("v20"), of("v1")]).toEqual([
      "region-2019",
      undefined,
      undefined,
      undefined,
    ]);
  });

  it("no bytes of a region make the reader throw, hang or believe more than it got", () => {
    const facts = {} as ZpciFacts;
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 24 }),
        fc.uint8Array({ maxLength: 200 }),
        fc.boolean(),
        (subtype, bytes, sized) => {
          if (sized && bytes.length >= 8) {
            new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, bytes.length);
            new DataView(bytes.buffer, bytes.byteOffset).setUint32(4, 8);
          }
          const found = decodeFactRegions(facts, [{ subtype, bytes }], "big");
          expect((found.utilityString ?? []).length).toBeLessThanOrEqual(64);
          expect((found.pfip ?? []).length).toBeLessThanOrEqual(4);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("decoding what was encoded gives the facts back, in both byte orders", () => {
    for (const facts of factCarriers.slice(1)) {
      const config = simFunctionConfig({ fid: 1, host: hostOf(facts) });
      const [big, little] = (["big", "little"] as const).map((order) =>
        decodeFactRegions({} as ZpciFacts, encodeFactRegions(config, order), order),
      );
      expect(big).toEqual(little);
      expect(big?.startDma).toBe(today.startDma);
      expect(big?.utilityString).toEqual(today.utilityString);
    }
  });
});
