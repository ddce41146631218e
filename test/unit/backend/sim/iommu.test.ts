import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SimIommu } from "../../../../src/backend/sim/iommu.ts";

const EINVAL = 22;
const EFAULT = 14;
const EEXIST = 17;
const ENOSPC = 28;
const ENOTTY = 25;
const EOVERFLOW = 75;
const START = 0x1_0000_0000n;
const END = 0x1_1fff_ffffn;
const TOP = 0xffff_ffff_ffff_f000n;

interface MapWords {
  readonly argsz?: number;
  readonly flags?: number;
  readonly vaddr?: bigint;
  readonly iova?: bigint;
  readonly size?: bigint;
}

const iommu = (dmaAvail?: number): SimIommu =>
  new SimIommu({
    startDma: START,
    endDma: END,
    byteOrder: "big",
    ...(dmaAvail === undefined ? {} : { dmaAvail }),
  });

function map(host: SimIommu, words: MapWords = {}): number {
  const view = new DataView(new ArrayBuffer(32));
  view.setUint32(0, words.argsz ?? 32);
  view.setUint32(4, words.flags ?? 3);
  view.setBigUint64(8, words.vaddr ?? 0x7000_0000n);
  view.setBigUint64(16, words.iova ?? START);
  view.setBigUint64(24, words.size ?? 0x1000n);
  return host.ioctl(0x3b71, new Uint8Array(view.buffer));
}

/** @returns the answer and the bytes unmapped */
function unmap(
  host: SimIommu,
  iova: bigint,
  size: bigint,
  flags = 0,
  argsz = 24,
): [number, bigint] {
  const view = new DataView(new ArrayBuffer(24));
  view.setUint32(0, argsz);
  view.setUint32(4, flags);
  view.setBigUint64(8, iova);
  view.setBigUint64(16, size);
  return [host.ioctl(0x3b72, new Uint8Array(view.buffer)), view.getBigUint64(16)];
}

describe("VFIO_IOMMU_MAP_DMA (vfio-uapi.md 1.9)", () => {
  it.each<[string, MapWords, number]>([
    ["argsz below 32", { argsz: 31 }, -EINVAL],
    ["an unknown flag", { flags: 0x13 }, -EINVAL],
    ["neither READ nor WRITE", { flags: 0 }, -EINVAL],
    ["size 0", { size: 0n }, -EINVAL],
    ["an IOVA off its page", { iova: START + 1n }, -EINVAL],
    ["an address off its page", { vaddr: 0x800n }, -EINVAL],
    ["an IOVA below start_dma", { iova: START - 0x1000n }, -EINVAL],
    ["an end above end_dma", { iova: END - 0xfffn, size: 0x2000n }, -EINVAL],
    ["a wrap-around", { iova: TOP, size: 0x2000n }, -EOVERFLOW],
    ["the last page", { iova: END - 0xfffn }, 0],
  ])("answers %s as the kernel does", (_, words, answer) => {
    expect(map(iommu(), words)).toBe(answer);
  });

  it("refuses an overlap with -EEXIST, whatever its extent", () => {
    const host = iommu();
    expect(map(host, { iova: START + 0x2000n, size: 0x2000n })).toBe(0);
    expect(map(host, { iova: START + 0x3000n })).toBe(-EEXIST);
    expect(map(host, { iova: START, size: 0x10000n })).toBe(-EEXIST);
    expect(map(host, { iova: START + 0x1000n })).toBe(0);
  });

  it("takes one unit of dma_avail per call however large, then answers -ENOSPC", () => {
    const host = iommu(2);
    expect(map(host, { size: 0x100000n })).toBe(0);
    expect(map(host, { iova: START + 0x100000n })).toBe(0);
    expect(host.dmaAvail).toBe(0);
    expect(map(host, { iova: START + 0x200000n })).toBe(-ENOSPC);
    expect(unmap(host, START, 0x100000n)).toEqual([0, 0x100000n]);
    expect(map(host, { iova: START + 0x200000n })).toBe(0);
  });
});

describe("VFIO_IOMMU_UNMAP_DMA (vfio-uapi.md 1.9)", () => {
  it("refuses what is misaligned, empty, wraps or would split a mapping", () => {
    const host = iommu();
    map(host, { size: 0x4000n });
    expect(unmap(host, START, 0x4000n, 0, 23)[0]).toBe(-EINVAL);
    expect(unmap(host, START, 0x4000n, 0x10)[0]).toBe(-EINVAL);
    expect(unmap(host, START, 0n)[0]).toBe(-EINVAL);
    expect(unmap(host, START + 1n, 0x1000n)[0]).toBe(-EINVAL);
    expect(unmap(host, TOP, 0x2000n)[0]).toBe(-EOVERFLOW);
    expect(unmap(host, START, 0x2000n)[0]).toBe(-EINVAL);
    expect(unmap(host, START + 0x1000n, 0x8000n)[0]).toBe(-EINVAL);
    expect(host.mapped(START + 0x3fffn)).toBe(true);
  });

  it("of nothing succeeds with size 0; ALL takes neither IOVA nor size", () => {
    const host = iommu();
    expect(unmap(host, START, 0x1000n)).toEqual([0, 0n]);
    map(host);
    map(host, { iova: START + 0x8000n, size: 0x2000n });
    expect(unmap(host, START, 0n, 2)[0]).toBe(-EINVAL);
    expect(unmap(host, 0n, 0n, 2)).toEqual([0, 0x3000n]);
    expect(host.mapped(START)).toBe(false);
  });

  it("gives back what was mapped, for any order of calls", () => {
    const page = fc.integer({ min: 0, max: 15 });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), page, page)), (calls) => {
        const host = iommu(8);
        let used = 0n;
        for (const [wanted, at, pages] of calls) {
          const iova = START + BigInt(at) * 0x1000n;
          const size = BigInt(pages + 1) * 0x1000n;
          if (!wanted) {
            const [rc, bytes] = unmap(host, iova, size);
            if (rc === 0) used -= bytes;
          } else if (map(host, { iova, size }) === 0) used += size;
        }
        expect(unmap(host, 0n, 0n, 2)).toEqual([0, used]);
        expect(host.dmaAvail).toBe(8);
      }),
      { numRuns: 200 },
    );
  });
});

describe("VFIO_IOMMU_GET_INFO and the container's other calls", () => {
  it("tells the size it needs, then MIGRATION, DMA_AVAIL and IOVA_RANGE", () => {
    const host = iommu();
    map(host);
    const short = new DataView(new ArrayBuffer(24));
    short.setUint32(0, 24);
    expect(host.ioctl(0x3b70, new Uint8Array(short.buffer))).toBe(0);
    expect([short.getUint32(0), short.getUint32(4), short.getUint32(16)]).toEqual([104, 3, 0]);
    const view = new DataView(new ArrayBuffer(104));
    view.setUint32(0, 104);
    expect(host.ioctl(0x3b70, new Uint8Array(view.buffer))).toBe(0);
    expect(view.getBigUint64(8)).toBe(0x1000n);
    const chain: number[] = [];
    let at = view.getUint32(16);
    for (; at !== 0; at = view.getUint32(at + 4)) chain.push(view.getUint16(at));
    expect(chain).toEqual([2, 3, 1]);
    expect(view.getUint32(56 + 8)).toBe(65534);
    expect([view.getBigUint64(72 + 16), view.getBigUint64(72 + 24)]).toEqual([START, END]);
    short.setUint32(0, 15);
    expect(host.ioctl(0x3b70, new Uint8Array(short.buffer))).toBe(-EINVAL);
  });

  it("API version 0, TYPE1v2 there, SPAPR not, an unknown call -ENOTTY", () => {
    const host = iommu();
    expect(host.ioctl(0x3b64)).toBe(0);
    expect([1, 3, 9, 2, 5].map((extension) => host.ioctl(0x3b65, extension))).toEqual([
      1, 1, 1, 0, 0,
    ]);
    expect(host.ioctl(0x3b79, new Uint8Array(40))).toBe(-ENOTTY);
    expect(host.ioctl(0x3b71, new Uint8Array(31))).toBe(-EFAULT);
  });
});
