/**
 * Device specific regions of a VFIO device fd, from index 9 on: each says by its type capability what it is. The
 * error region of posting v1, or the regions that carry a function's facts. Thread: recovery worker.
 * Source: vfio-uapi.md 1.6, 2.4, 5.6.
 */
import { type ByteOrder, encodeInto } from "../../abi/layout.ts";
import {
  inOrder,
  VFIO_PCI_NUM_REGIONS,
  VFIO_REGION_INFO_CAP_TYPE,
  VFIO_REGION_INFO_FLAG_CAPS,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_STRIDE,
  VfioInfoCapHeader,
  VfioRegionInfo,
  VfioRegionInfoCapType,
} from "../../abi/vfio.ts";
import { VFIO_REGION_TYPE_PCI_VENDOR_IBM } from "../../abi/zpci-err.ts";
import { EINVAL } from "../../ports/host-function.ts";

export interface SpecialRegion {
  readonly subtype: number;
  readonly size: number;
  /** Reads from `start`, which lies inside. @returns bytes read or -errno */
  read(start: number, target: Uint8Array): number;
}

/** A region of bytes that never change: readable at any offset and length, to its end. */
export function fixedRegion(subtype: number, bytes: Uint8Array): SpecialRegion {
  return {
    subtype,
    size: bytes.length,
    read: (start, target) => {
      const part = bytes.subarray(start, start + target.length);
      target.set(part);
      return part.length;
    },
  };
}

export class SpecialRegions {
  readonly #list: readonly SpecialRegion[];
  readonly #order: ByteOrder;

  constructor(list: readonly SpecialRegion[], order: ByteOrder) {
    this.#list = list;
    this.#order = order;
  }

  /** Regions of the device: the fixed ones of vfio-pci and these. */
  get count(): number {
    return VFIO_PCI_NUM_REGIONS + this.#list.length;
  }

  /** Answers GET_REGION_INFO for `index` >= 9. */
  info(index: number, view: DataView, argsz: number): number {
    const region = this.#list[index - VFIO_PCI_NUM_REGIONS];
    if (region === undefined) return -EINVAL;
    const needed = VfioRegionInfo.size + VfioRegionInfoCapType.size;
    const fits = argsz >= needed;
    encodeInto(inOrder(VfioRegionInfo, this.#order), view, 0, {
      argsz: fits ? argsz : needed,
      flags: VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_CAPS,
      capOffset: fits ? VfioRegionInfo.size : 0,
      size: BigInt(region.size),
      offset: BigInt(index) * BigInt(VFIO_REGION_STRIDE),
    });
    if (!fits) return 0;
    const at = VfioRegionInfo.size;
    const head = { id: VFIO_REGION_INFO_CAP_TYPE, version: 1, next: 0 };
    encodeInto(inOrder(VfioInfoCapHeader, this.#order), view, at, head);
    encodeInto(inOrder(VfioRegionInfoCapType, this.#order), view, at, {
      type: VFIO_REGION_TYPE_PCI_VENDOR_IBM,
      subtype: region.subtype,
    });
    return 0;
  }

  /** @returns undefined when the offset is in none of these, else bytes read or -errno */
  pread(offset: number, target: Uint8Array): number | undefined {
    const index = Math.floor(offset / VFIO_REGION_STRIDE);
    const region = this.#list[index - VFIO_PCI_NUM_REGIONS];
    if (region === undefined) return undefined;
    const start = offset - index * VFIO_REGION_STRIDE;
    return start < region.size ? region.read(start, target) : -EINVAL;
  }
}
