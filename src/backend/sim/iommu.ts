/**
 * The container fd of a simulated host, type 1 version 2: DMA map and unmap with every refusal, and GET_INFO with
 * its chain (MIGRATION, DMA_AVAIL, IOVA_RANGE in that order). One unit of dma_avail per MAP, however large.
 * A function that does not pin reaches guest storage through the guest's own tables; for one that does (`pins`), this
 * is what its device translates with. Source: vfio-uapi.md 1.1, 1.9.
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
import { EFAULT, EINVAL, ENOSPC, ENOTTY } from "../../ports/host-function.ts";
import { viewOf } from "./ccdf-builder.ts";
import { DMA_ENTRY_LIMIT } from "./config.ts";
import type { IommuPages } from "./iommu-pages.ts";

const EEXIST = 17;
const EOVERFLOW = 75;

const VFIO_GET_API_VERSION = 0x3b64;
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

/** Where the mappings of a container stand. Addresses are page aligned, ends exclusive. */
interface Mappings {
  /** MAP calls that stand. */
  readonly used: number;
  overlaps(iova: bigint, end: bigint): boolean;
  add(iova: bigint, end: bigint, vaddr: bigint, writable: boolean): void;
  /** Whether the range begins or ends inside a mapping. */
  splits(iova: bigint, end: bigint): boolean;
  /** @returns the bytes that are not mapped any more */
  remove(iova: bigint, end: bigint): bigint;
}

interface Mapping {
  readonly iova: bigint;
  readonly size: bigint;
}

/** A container of its own: nobody translates with it. */
class MappingList implements Mappings {
  #list: Mapping[] = [];

  get used(): number {
    return this.#list.length;
  }

  overlaps(iova: bigint, end: bigint): boolean {
    return this.#list.some((one) => one.iova < end && iova < one.iova + one.size);
  }

  add(iova: bigint, end: bigint): void {
    this.#list.push({ iova, size: end - iova });
  }

  splits(iova: bigint, end: bigint): boolean {
    const cut = (at: bigint): boolean =>
      this.#list.some((one) => one.iova < at && at < one.iova + one.size);
    return cut(iova) || cut(end);
  }

  remove(iova: bigint, end: bigint): bigint {
    const touched = (one: Mapping): boolean => one.iova < end && iova < one.iova + one.size;
    const gone = this.#list.filter(touched);
    this.#list = this.#list.filter((one) => !touched(one));
    return gone.reduce((sum, one) => sum + one.size, 0n);
  }
}

/** The container of a function that pins: pages of its DMA range, in shared memory. */
class MappingPages implements Mappings {
  readonly #pages: IommuPages;
  readonly #first: bigint;

  constructor(pages: IommuPages, first: bigint) {
    this.#pages = pages;
    this.#first = first;
  }

  get used(): number {
    return this.#pages.used;
  }

  overlaps(iova: bigint, end: bigint): boolean {
    return this.#pages.overlaps(this.#page(iova), this.#page(end));
  }

  add(iova: bigint, end: bigint, vaddr: bigint, writable: boolean): void {
    this.#pages.add(this.#page(iova), this.#page(end), Number(vaddr), writable);
  }

  splits(iova: bigint, end: bigint): boolean {
    return this.#pages.splits(this.#page(iova), this.#page(end));
  }

  remove(iova: bigint, end: bigint): bigint {
    return BigInt(this.#pages.remove(this.#page(iova), this.#page(end))) * PAGE;
  }

  /** Page number within the range, at most one beyond it. */
  #page(iova: bigint): number {
    if (iova <= this.#first) return 0;
    const page = (iova - this.#first) / PAGE;
    return page < BigInt(this.#pages.count) ? Number(page) : this.#pages.count;
  }
}

export interface IommuOptions {
  readonly startDma: bigint;
  /** Inclusive. */
  readonly endDma: bigint;
  readonly dmaAvail?: number;
  readonly byteOrder?: ByteOrder;
  /** Where mappings are kept that a device translates with; they start at `startDma`. */
  readonly pages?: IommuPages;
}

export class SimIommu {
  readonly #options: IommuOptions;
  readonly #order: ByteOrder;
  readonly #mappings: Mappings;
  readonly #limit: number;

  constructor(options: IommuOptions) {
    this.#options = options;
    this.#order = options.byteOrder ?? "host";
    this.#limit = options.dmaAvail ?? DMA_ENTRY_LIMIT;
    const { pages, startDma } = options;
    this.#mappings = pages === undefined ? new MappingList() : new MappingPages(pages, startDma);
  }

  /** MAP calls that are still allowed. */
  get dmaAvail(): number {
    return Math.max(0, this.#limit - this.#mappings.used);
  }

  /** Whether the device may reach the byte at `iova`. */
  mapped(iova: bigint): boolean {
    const page = iova - (iova % PAGE);
    return this.#mappings.overlaps(page, page + PAGE);
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
    if (this.#mappings.overlaps(iova, end)) return -EEXIST;
    if (this.dmaAvail === 0) return -ENOSPC;
    if (iova < this.#options.startDma || end - 1n > this.#options.endDma) return -EINVAL;
    this.#mappings.add(iova, end, vaddr, (flags & MAP_WRITE) !== 0);
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
    // Version 2 never splits a mapping.
    if (this.#mappings.splits(iova, end)) return -EINVAL;
    const bytes = this.#mappings.remove(iova, end);
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
      avail: this.dmaAvail,
    });
    encodeInto(inOrder(VfioIommuType1InfoIovaRange, this.#order), view, head(1, 32, true), {
      nrIovas: 1,
      start: this.#options.startDma,
      end: this.#options.endDma,
    });
    return bytes;
  }
}
