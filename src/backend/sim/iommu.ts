/**
 * The container fd of a simulated host, type 1 version 2: DMA map and unmap with every refusal, and GET_INFO with
 * its chain (MIGRATION, DMA_AVAIL, IOVA_RANGE in that order). One unit of dma_avail per MAP, however large.
 * The simulated function reaches guest storage through the guest's own tables; this is what a backend that
 * has to pin meets. Source: vfio-uapi.md 1.1, 1.9.
 */
import { type ByteOrder, decode, encodeInto, readField, writeField } from "../../abi/layout.ts";
import { inOrder, VfioInfoCapHeader } from "../../abi/vfio.ts";
import {
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VfioIommuType1DmaMap,
  VfioIommuType1DmaUnmap,
  VfioIommuType1Info,
  VfioIommuType1InfoDmaAvail,
  VfioIommuType1InfoIovaRange,
  VfioIommuType1InfoMigration,
} from "../../abi/vfio-iommu.ts";
import { EFAULT, EINVAL, ENOTTY } from "../../ports/host-function.ts";
import { viewOf } from "./ccdf-builder.ts";

const EEXIST = 17;
const ENOSPC = 28;
const EOVERFLOW = 75;

export const VFIO_GET_API_VERSION = 0x3b64;
export const VFIO_CHECK_EXTENSION = 0x3b65;
/** Extensions: TYPE1, TYPE1v2, UNMAP_ALL (1.1). */
const extensions = new Set([1, 3, 9]);

const MAP_READ = 1;
const MAP_WRITE = 2;
const UNMAP_ALL = 2;
const INFO_PGSIZES = 1;
const INFO_CAPS = 2;
const INFO_MIN = 16;
const PAGE = 4096n;
const SPACE = 1n << 64n;
const MAX_DIRTY_BITMAP_BYTES = 0x1000_0000n;

/** Module parameter dma_entry_limit. */
export const DMA_ENTRY_LIMIT = 65535;

interface Mapping {
  readonly iova: bigint;
  readonly size: bigint;
}

export interface IommuOptions {
  readonly startDma: bigint;
  /** Inclusive. */
  readonly endDma: bigint;
  readonly dmaAvail?: number;
  readonly byteOrder?: ByteOrder;
}

export class SimIommu {
  readonly #options: IommuOptions;
  readonly #order: ByteOrder;
  #mappings: Mapping[] = [];
  #avail: number;

  constructor(options: IommuOptions) {
    this.#options = options;
    this.#order = options.byteOrder ?? "host";
    this.#avail = options.dmaAvail ?? DMA_ENTRY_LIMIT;
  }

  /** MAP calls that are still allowed. */
  get dmaAvail(): number {
    return this.#avail;
  }

  /** Whether the device may reach the byte at `iova`. */
  mapped(iova: bigint): boolean {
    return this.#mappings.some((one) => iova >= one.iova && iova < one.iova + one.size);
  }

  /** @param argument a buffer, or the number where the call takes one. @returns 0, a payload or -errno */
  ioctl(request: number, argument: Uint8Array | number = 0): number {
    if (request === VFIO_GET_API_VERSION) return 0;
    if (request === VFIO_CHECK_EXTENSION) {
      return typeof argument === "number" && extensions.has(argument) ? 1 : 0;
    }
    const known = [VFIO_IOMMU_GET_INFO, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA];
    if (!known.includes(request)) return -ENOTTY;
    if (typeof argument === "number") return -EFAULT;
    if (request === VFIO_IOMMU_GET_INFO) return this.#info(argument);
    return request === VFIO_IOMMU_MAP_DMA ? this.#map(argument) : this.#unmap(argument);
  }

  #map(buffer: Uint8Array): number {
    const table = inOrder(VfioIommuType1DmaMap, this.#order);
    if (buffer.length < table.size) return -EFAULT;
    const { argsz, flags, vaddr, iova, size } = decode(table, viewOf(buffer));
    if (argsz < table.size || (flags & ~(MAP_READ | MAP_WRITE)) !== 0) return -EINVAL;
    if ((flags & (MAP_READ | MAP_WRITE)) === 0) return -EINVAL;
    if (size === 0n || (size | iova | vaddr) % PAGE !== 0n) return -EINVAL;
    if (iova + size > SPACE || vaddr + size > SPACE) return -EOVERFLOW;
    const end = iova + size;
    if (this.#mappings.some((one) => one.iova < end && iova < one.iova + one.size)) return -EEXIST;
    if (this.#avail === 0) return -ENOSPC;
    if (iova < this.#options.startDma || end - 1n > this.#options.endDma) return -EINVAL;
    this.#mappings.push({ iova, size });
    this.#avail -= 1;
    return 0;
  }

  #unmap(buffer: Uint8Array): number {
    const table = inOrder(VfioIommuType1DmaUnmap, this.#order);
    if (buffer.length < table.size) return -EFAULT;
    const { argsz, flags, iova, size } = decode(table, viewOf(buffer));
    if (argsz < table.size || (flags & ~UNMAP_ALL) !== 0) return -EINVAL;
    const all = flags === UNMAP_ALL;
    if (all ? iova !== 0n || size !== 0n : size === 0n) return -EINVAL;
    if ((iova | size) % PAGE !== 0n) return -EINVAL;
    if (iova + size > SPACE) return -EOVERFLOW;
    const end = all ? SPACE : iova + size;
    const touched = (one: Mapping): boolean => one.iova < end && iova < one.iova + one.size;
    const gone = this.#mappings.filter(touched);
    // Version 2 never splits a mapping.
    if (gone.some((one) => one.iova < iova || one.iova + one.size > end)) return -EINVAL;
    this.#mappings = this.#mappings.filter((one) => !touched(one));
    this.#avail += gone.length;
    const bytes = gone.reduce((sum, one) => sum + one.size, 0n);
    writeField(viewOf(buffer), 0, VfioIommuType1DmaUnmap.fields.size, bytes, this.#order);
    return 0;
  }

  /** A short buffer is no error: argsz tells what is needed, as with the device's GET_INFO. */
  #info(buffer: Uint8Array): number {
    const table = inOrder(VfioIommuType1Info, this.#order);
    if (buffer.length < INFO_MIN) return -EFAULT;
    const argsz = readField(viewOf(buffer), 0, table.fields.argsz, this.#order);
    if (argsz < INFO_MIN) return -EINVAL;
    if (argsz > buffer.length) return -EFAULT;
    const chain = this.#chain(table.size);
    const needed = table.size + chain.length;
    const fits = argsz >= needed;
    if (fits) buffer.set(chain, table.size);
    const head = new Uint8Array(table.size);
    encodeInto(table, viewOf(head), 0, {
      argsz: fits ? argsz : needed,
      flags: INFO_PGSIZES | INFO_CAPS,
      iovaPgsizes: PAGE,
      capOffset: fits ? table.size : 0,
    });
    buffer.set(head.subarray(0, Math.min(argsz, head.length)));
    return 0;
  }

  #chain(start: number): Uint8Array {
    const header = inOrder(VfioInfoCapHeader, this.#order);
    const sizes = [VfioIommuType1InfoMigration.size, 16, VfioIommuType1InfoIovaRange.size];
    const bytes = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
    const view = viewOf(bytes);
    let at = 0;
    const head = (id: number, size: number, last: boolean): number => {
      const here = at;
      at += size;
      encodeInto(header, view, here, { id, version: 1, next: last ? 0 : start + at });
      return here;
    };
    encodeInto(inOrder(VfioIommuType1InfoMigration, this.#order), view, head(2, 32, false), {
      flags: 0,
      pgsizeBitmap: PAGE,
      maxDirtyBitmapSize: MAX_DIRTY_BITMAP_BYTES,
    });
    encodeInto(inOrder(VfioIommuType1InfoDmaAvail, this.#order), view, head(3, 16, false), {
      avail: this.#avail,
    });
    encodeInto(inOrder(VfioIommuType1InfoIovaRange, this.#order), view, head(1, 32, true), {
      nrIovas: 1,
      start: this.#options.startDma,
      end: this.#options.endDma,
    });
    return bytes;
  }
}
