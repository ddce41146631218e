/**
 * pread and pwrite of a VFIO device fd: the config region and BAR 0 by device fd offset (vfio-uapi.md 1.6,
 * 3.12). The MSI-X table cannot be reached this way: ones are read, writes are dropped. Thread: the
 * caller's; guest instructions use `SimHostRegions` directly.
 */
import {
  VFIO_PCI_BAR0_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_REGION_STRIDE,
} from "../../abi/vfio.ts";
import { EFAULT, EINVAL, ENODEV } from "../../ports/host-function.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import { BARS_END, BARS_START } from "./config-space.ts";
import { type DeviceShape, shapeOfKind } from "./device.ts";
import {
  CONFIG_BYTES,
  Hardware,
  type HostArea,
  HostBlock,
  hostArea,
  MSIX_VECTORS_MAX,
} from "./host-area.ts";
import { SimHostRegions } from "./host-regions.ts";

const CONFIG_SPACE = 15;

export class VfioRegionIo {
  readonly #area: HostArea;
  readonly #regions: SimHostRegions;
  readonly #shape: DeviceShape;

  constructor(vm: VmMemory, functionIndex: number) {
    this.#area = hostArea(vm, functionIndex);
    this.#regions = new SimHostRegions(vm, functionIndex);
    this.#shape = shapeOfKind(this.#area.get(HostBlock.deviceKind));
  }

  /** @returns target.length or -errno */
  pread(offset: number, target: Uint8Array): number {
    return this.#each(offset, target, (space, at, size, index) => {
      if (this.#inMsixTable(space, at)) {
        target.fill(0xff, index, index + size);
        return;
      }
      const regions = this.#regions;
      regions.load(space, at, size);
      for (let i = 0; i < size; i++) {
        const low = size - 1 - i;
        const word = low < 4 ? regions.valueLow : regions.valueHigh;
        target[index + i] = (word >>> (8 * (low & 3))) & 0xff;
      }
    });
  }

  /** @returns source.length or -errno */
  pwrite(offset: number, source: Uint8Array): number {
    return this.#each(offset, source, (space, at, size, index) => {
      if (this.#inMsixTable(space, at)) return;
      let high = 0;
      let low = 0;
      for (let i = 0; i < size; i++) {
        high = (high << 8) | (low >>> 24);
        low = (low << 8) | (source[index + i] ?? 0);
      }
      this.#regions.store(space, at, size, high, low);
    });
  }

  /** Checks the range, then walks it in naturally aligned pieces of at most 8 bytes (config: 4). */
  #each(
    offset: number,
    data: Uint8Array,
    piece: (space: number, at: number, size: number, index: number) => void,
  ): number {
    const region = Math.floor(offset / VFIO_REGION_STRIDE);
    const start = offset - region * VFIO_REGION_STRIDE;
    const end = start + data.length;
    const config = region === VFIO_PCI_CONFIG_REGION_INDEX;
    if (config) {
      if (end > CONFIG_BYTES) return -EFAULT;
      const cached = start >= BARS_START && end <= BARS_END;
      if (!cached && !this.#answers()) return -ENODEV;
    } else if (
      region !== VFIO_PCI_BAR0_REGION_INDEX ||
      offset < 0 ||
      end > 2 ** this.#shape.barSizeLog2
    ) {
      return -EINVAL;
    }
    let at = start;
    while (at < end) {
      let size = config ? 4 : 8;
      while (at % size !== 0 || at + size > end) size /= 2;
      piece(config ? CONFIG_SPACE : 0, at, size, at - start);
      at += size;
    }
    return data.length;
  }

  #answers(): boolean {
    const hardware = this.#area.get(HostBlock.hardware);
    return hardware === Hardware.NORMAL || hardware === Hardware.BLOCKED;
  }

  #inMsixTable(space: number, at: number): boolean {
    const start = this.#shape.msixTableOffset;
    return space === 0 && at >= start && at < start + MSIX_VECTORS_MAX * 16;
  }
}
