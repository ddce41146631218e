import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Hardware, HostBlock } from "../../../../src/backend/sim/host-area.ts";
import { instant, SimHost } from "../../../support/sim-host.ts";

const EINVAL = 22;

function host(config: Partial<SimHost["configs"][number]> = {}): SimHost {
  return new SimHost([{ fid: 2, timing: instant, ...config }]);
}

/** Bytes of a load in ascending PCI address order, as hex; "-22" style text for a refusal. */
function load(sim: SimHost, space: number, offset: number, length: number): string {
  const regions = sim.regions();
  const result = regions.load(space, offset, length);
  if (result !== 0) return String(result);
  const word = (value: number): string => (value >>> 0).toString(16).padStart(8, "0");
  return (word(regions.valueHigh) + word(regions.valueLow)).slice(-2 * length);
}

/** Stores bytes given in ascending PCI address order. */
function store(sim: SimHost, space: number, offset: number, bytes: string): number {
  const padded = bytes.padStart(16, "0");
  const high = Number.parseInt(padded.slice(0, 8), 16) | 0;
  const low = Number.parseInt(padded.slice(8), 16) | 0;
  return sim.regions().store(space, offset, bytes.length / 2, high, low);
}

describe("registers of BAR 0", () => {
  it("stand in PCI byte order: the identification reads ZMND", () => {
    expect(load(host(), 0, 0x00, 4)).toBe(Buffer.from("ZMND").toString("hex"));
    expect(load(host(), 0, 0x04, 4)).toBe("01000000");
  });

  it("can be read by bytes, halfwords, words and doublewords", () => {
    const sim = host();
    expect(store(sim, 0, 0x2c, "11223344")).toBe(0);
    expect(load(sim, 0, 0x2c, 1)).toBe("11");
    expect(load(sim, 0, 0x2e, 2)).toBe("3344");
    expect(load(sim, 0, 0x00, 8)).toBe("5a4d4e4401000000");
  });

  it("take partial and doubleword stores", () => {
    const sim = host();
    store(sim, 0, 0x10, "0102030405060708");
    expect([load(sim, 0, 0x10, 4), load(sim, 0, 0x14, 4)]).toEqual(["01020304", "05060708"]);
    store(sim, 0, 0x12, "ffee");
    expect(load(sim, 0, 0x10, 4)).toBe("0102ffee");
  });

  it("that are read-only ignore stores; the command register reads as zero", () => {
    const sim = host();
    for (const offset of [0x00, 0x04, 0x0c, 0x24, 0x28]) store(sim, 0, offset, "ffffffff");
    expect(load(sim, 0, 0x00, 8)).toBe("5a4d4e4401000000");
    expect([load(sim, 0, 0x0c, 4), load(sim, 0, 0x20, 4), load(sim, 0, 0x24, 8)]).toEqual([
      "00000000",
      "00000000",
      "0000000000000000",
    ]);
  });

  it("end at 64 KiB, and no other BAR exists", () => {
    const sim = host();
    expect(load(sim, 0, 0xfff8, 8)).toBe("0000000000000000");
    expect(load(sim, 0, 0xfffc, 8)).toBe(String(-EINVAL));
    expect(load(sim, 0, 0x10000, 1)).toBe(String(-EINVAL));
    for (const space of [1, 2, 5, 6, 14, 16, -1]) {
      expect(load(sim, space, 0, 4)).toBe(String(-EINVAL));
      expect(store(sim, space, 0, "00000000")).toBe(-EINVAL);
    }
  });
});

describe("scratch RAM and MSI-X table", () => {
  it("scratch RAM keeps what is stored at any size and place", () => {
    const access = fc.record({
      offset: fc.integer({ min: 0, max: 0x7ff8 }),
      length: fc.constantFrom(1, 2, 4, 8),
      byte: fc.integer({ min: 0, max: 255 }),
    });
    fc.assert(
      fc.property(fc.array(access, { maxLength: 20 }), (accesses) => {
        const sim = host();
        const model = new Uint8Array(0x8000);
        for (const { offset, length, byte } of accesses) {
          const bytes = Uint8Array.from({ length }, (_, i) => byte + i);
          model.set(bytes, offset);
          store(sim, 0, 0x8000 + offset, Buffer.from(bytes).toString("hex"));
        }
        for (const { offset, length } of accesses) {
          const expected = Buffer.from(model.subarray(offset, offset + length)).toString("hex");
          expect(load(sim, 0, 0x8000 + offset, length)).toBe(expected);
        }
      }),
      { numRuns: 50 },
    );
  });

  it("every vector is masked at power-on, and only the vectors that exist can be written", () => {
    const sim = host();
    expect(load(sim, 0, 0x100c, 4)).toBe("01000000");
    store(sim, 0, 0x1008, "2a000000");
    expect(load(sim, 0, 0x1008, 4)).toBe("2a000000");
    store(sim, 0, 0x1018, "2a000000");
    expect(load(sim, 0, 0x1018, 4)).toBe("00000000");
    const recorded = host({ profile: "recorded" });
    store(recorded, 0, 0x1000 + 64 * 16 + 8, "2a000000");
    expect(load(recorded, 0, 0x1000 + 64 * 16 + 8, 4)).toBe("2a000000");
  });

  it("the pending bit array is read-only", () => {
    const sim = host();
    store(sim, 0, 0x1800, "ffffffffffffffff");
    expect(load(sim, 0, 0x1800, 8)).toBe("0000000000000000");
  });
});

describe("configuration space", () => {
  it("starts with the vendor id's low byte, and names the device and its class", () => {
    expect(load(host(), 15, 0x00, 4)).toBe("34124d5a");
    expect(load(host(), 15, 0x09, 2)).toBe("0000");
    expect(load(host(), 15, 0x0b, 1)).toBe("ff");
  });

  it("answers BAR sizing: 64 KiB, 64 bits", () => {
    const sim = host();
    expect(load(sim, 15, 0x10, 8)).toBe("0400000000000000");
    store(sim, 15, 0x10, "ffffffff");
    store(sim, 15, 0x14, "ffffffff");
    expect(load(sim, 15, 0x10, 8)).toBe("0400ffffffffffff");
    for (const bar of [0x18, 0x1c, 0x20, 0x24, 0x30]) {
      store(sim, 15, bar, "ffffffff");
      expect(load(sim, 15, bar, 4)).toBe("00000000");
    }
  });

  it("has an MSI-X capability with the table size of its profile", () => {
    expect(load(host(), 15, 0x34, 1)).toBe("40");
    expect(load(host(), 15, 0x06, 2)).toBe("1000");
    expect(load(host(), 15, 0x40, 4)).toBe("11000000");
    expect(load(host({ profile: "recorded" }), 15, 0x40, 4)).toBe("11004000");
    expect(load(host(), 15, 0x44, 8)).toBe("0010000000180000");
  });

  it("lets only the bits that exist be written", () => {
    const sim = host();
    store(sim, 15, 0x00, "ffffffffffffffff");
    expect(load(sim, 15, 0x00, 8)).toBe("34124d5a46051000");
    store(sim, 15, 0x42, "ffff");
    expect(load(sim, 15, 0x42, 2)).toBe("00c0");
  });

  it("gives ones beyond its 256 bytes and ends at 4096 (zpci-guest.md 10)", () => {
    const sim = host();
    expect(load(sim, 15, 0x100, 4)).toBe("ffffffff");
    expect(load(sim, 15, 0xffc, 4)).toBe("ffffffff");
    expect(load(sim, 15, 0x1000, 4)).toBe(String(-EINVAL));
    expect(store(sim, 15, 0x100, "00000000")).toBe(0);
  });
});

describe("a function in error (3.12)", () => {
  it.each([Hardware.ERROR, Hardware.PERMANENT, Hardware.RESETTING])(
    "in hardware state %i gives ones, drops stores, and answers its BARs from the copy",
    (state) => {
      const sim = host();
      store(sim, 0, 0x2c, "11223344");
      sim.area().set(HostBlock.hardware, state);
      expect(load(sim, 0, 0x2c, 4)).toBe("ffffffff");
      expect(load(sim, 0, 0x8000, 8)).toBe("ffffffffffffffff");
      expect(load(sim, 0, 0x2c, 1)).toBe("ff");
      expect(load(sim, 15, 0x00, 4)).toBe("ffffffff");
      expect(load(sim, 15, 0x10, 4)).toBe("04000000");
      expect(store(sim, 0, 0x2c, "55555555")).toBe(0);
      expect(store(sim, 15, 0x04, "0000")).toBe(0);
      sim.area().set(HostBlock.hardware, Hardware.NORMAL);
      expect(load(sim, 0, 0x2c, 4)).toBe("11223344");
      expect(load(sim, 15, 0x04, 2)).toBe("0600");
    },
  );

  it("answers loads and stores again when it is blocked only for DMA", () => {
    const sim = host();
    sim.area().set(HostBlock.hardware, Hardware.BLOCKED);
    expect(store(sim, 0, 0x2c, "11223344")).toBe(0);
    expect(load(sim, 0, 0x2c, 4)).toBe("11223344");
  });
});

describe("hostile operands", () => {
  it("never throw and never leave the region", () => {
    const number = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(-1, 0, 65535, 2 ** 53));
    fc.assert(
      fc.property(number, number, number, number, number, (space, offset, length, high, low) => {
        const sim = host();
        expect([0, -EINVAL]).toContain(sim.regions().load(space, offset, length));
        expect([0, -EINVAL]).toContain(sim.regions().store(space, offset, length, high, low));
      }),
      { numRuns: 100 },
    );
  });
});
