/**
 * A function whose device reaches only what its container has mapped: the worker's side maps through the container's
 * ioctls, the platform's side translates with the table. Source: vfio-uapi.md 1.9, 5.5.
 */
import { encode } from "../../abi/layout.ts";
import { inOrder } from "../../abi/vfio.ts";
import {
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VfioIommuType1DmaMap,
  VfioIommuType1DmaUnmap,
} from "../../abi/vfio-iommu.ts";
import type { HostPinning, HostTranslation } from "../../ports/host-function.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import type { SimFunctionConfig } from "./config.ts";
import { SimIommu } from "./iommu.ts";
import { IommuPages } from "./iommu-pages.ts";
import { profileOf } from "./profiles.ts";

const PAGE = 4096n;
const MAP_READ = 1;
const MAP_WRITE = 2;

/** Last address of the guest's DMA range when the container allows `avail` mappings (vfio-uapi.md 5.5). */
export function pinnedEnd(start: bigint, end: bigint, avail: number): bigint {
  const last = start + BigInt(avail) * PAGE - 1n;
  return last < end ? last : end;
}

export class PinnedDma implements HostPinning {
  readonly #container: SimIommu;
  readonly #ramOffset: number;

  constructor(vm: VmMemory, index: number, config: SimFunctionConfig) {
    const { avail = 1, taken = 0 } = config.pins ?? {};
    const { startDma, endDma } = profileOf(config);
    this.#ramOffset = vm.map.ramOffset;
    this.#container = new SimIommu({
      startDma,
      endDma: pinnedEnd(startDma, endDma, avail),
      dmaAvail: avail - taken,
      pages: new IommuPages(vm, index, avail),
    });
  }

  /** "User addresses" are byte offsets in the VM's memory. */
  map(iova: bigint, address: number, writable: boolean): number {
    const buffer = encode(inOrder(VfioIommuType1DmaMap, "host"), {
      argsz: VfioIommuType1DmaMap.size,
      flags: MAP_READ | (writable ? MAP_WRITE : 0),
      vaddr: BigInt(this.#ramOffset + address),
      iova,
      size: PAGE,
    });
    return this.#container.ioctl(VFIO_IOMMU_MAP_DMA, buffer);
  }

  unmap(iova: bigint, length: bigint): number {
    const buffer = encode(inOrder(VfioIommuType1DmaUnmap, "host"), {
      argsz: VfioIommuType1DmaUnmap.size,
      flags: 0,
      iova,
      size: length,
    });
    return this.#container.ioctl(VFIO_IOMMU_UNMAP_DMA, buffer);
  }
}

/** What the device of function `index` translates with; undefined where it walks the guest's tables. */
export function translationOf(
  vm: VmMemory,
  index: number,
  config: SimFunctionConfig,
): HostTranslation | undefined {
  if (config.pins === undefined) return undefined;
  const pages = new IommuPages(vm, index, config.pins.avail);
  const first = Number(profileOf(config).startDma / PAGE);
  return { lookup: (page) => pages.lookup(page - first) };
}
