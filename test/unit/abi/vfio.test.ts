import { describe, expect, it } from "vitest";
import { encode } from "../../../src/abi/layout.ts";
import * as vfio from "../../../src/abi/vfio.ts";

/** Numbers as vfio-uapi.md prints them (section in each name), never taken from the tables. */
const offsets: readonly [string, { fields: object }, Record<string, number>][] = [
  [
    "1.5 device info",
    vfio.VfioDeviceInfo,
    { argsz: 0, flags: 4, numRegions: 8, numIrqs: 12, capOffset: 16 },
  ],
  ["1.5 capability header", vfio.VfioInfoCapHeader, { id: 0, version: 2, next: 4 }],
  [
    "1.6 region info",
    vfio.VfioRegionInfo,
    { argsz: 0, flags: 4, index: 8, capOffset: 12, size: 16, offset: 24 },
  ],
  ["1.7 irq info", vfio.VfioIrqInfo, { argsz: 0, flags: 4, index: 8, count: 12 }],
  ["1.7 irq set", vfio.VfioIrqSet, { argsz: 0, flags: 4, index: 8, start: 12, count: 16 }],
  ["2.1 error feature", vfio.ZpciErrorFeature, { argsz: 0, flags: 4, data: 8 }],
  [
    "5.2 base",
    vfio.ZpciBaseV3,
    {
      startDma: 8,
      endDma: 16,
      pchid: 24,
      vfn: 26,
      fmbLength: 28,
      pft: 30,
      gid: 31,
      fh: 32,
      ccdfErrLength: 36,
    },
  ],
  [
    "5.3 group",
    vfio.ZpciGroupV2,
    { dasm: 8, msiAddr: 16, flags: 24, mui: 32, noi: 34, maxstbl: 36, version: 38, imaxstbl: 40 },
  ],
  ["5.4 util", vfio.ZpciUtil, { size: 8, utilStr: 12 }],
  ["5.4 pfip", vfio.ZpciPfip, { size: 8, pfip: 12 }],
];

describe("VFIO structures", () => {
  it.each(offsets)("%s: every field stands where the header puts it", (_, table, expected) => {
    const fields = table.fields as Record<string, { offset: number }>;
    for (const [name, offset] of Object.entries(expected)) {
      expect(`${name}@${fields[name]?.offset}`).toBe(`${name}@${offset}`);
    }
  });

  it("have the sizes of the exported headers", () => {
    expect(vfio.VfioDeviceInfo.size).toBe(24);
    expect([vfio.ZpciBaseV1.size, vfio.ZpciBaseV2.size, vfio.ZpciBaseV3.size]).toEqual([
      32, 40, 40,
    ]);
    expect(vfio.ZpciGroupV2.size).toBe(48);
    expect(vfio.VfioIrqSet.size).toBe(20);
  });

  it("number the ioctls as _IO(';', 100 + n) without a size", () => {
    expect(vfio.VFIO_DEVICE_GET_INFO).toBe(0x3b6b);
    expect(vfio.VFIO_DEVICE_GET_REGION_INFO).toBe(0x3b6c);
    expect(vfio.VFIO_DEVICE_GET_IRQ_INFO).toBe(0x3b6d);
    expect(vfio.VFIO_DEVICE_SET_IRQS).toBe(0x3b6e);
    expect(vfio.VFIO_DEVICE_RESET).toBe(0x3b6f);
    expect(vfio.VFIO_DEVICE_FEATURE).toBe(0x3b75);
  });

  it("compose the feature words of 1.4: probe 0x0005000d, get 0x0001000d", () => {
    const feature = vfio.VFIO_DEVICE_FEATURE_ZPCI_ERROR;
    expect(vfio.VFIO_DEVICE_FEATURE_PROBE | vfio.VFIO_DEVICE_FEATURE_GET | feature).toBe(
      0x0005000d,
    );
    expect(vfio.VFIO_DEVICE_FEATURE_GET | feature).toBe(0x0001000d);
  });

  it("take the byte order that is asked for", () => {
    const big = encode(vfio.inOrder(vfio.VfioIrqInfo, "big"), { argsz: 16, index: 3 });
    const little = encode(vfio.inOrder(vfio.VfioIrqInfo, "little"), { argsz: 16, index: 3 });
    expect([...big.subarray(0, 4)]).toEqual([0, 0, 0, 16]);
    expect([...little.subarray(0, 4)]).toEqual([16, 0, 0, 0]);
  });
});
