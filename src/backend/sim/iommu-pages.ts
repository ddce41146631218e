/**
 * Translation table of a simulated IOMMU for one function, in shared memory, so that it outlives the worker that
 * mapped: a word per page of the DMA range, from the first one on. Recovery worker writes, the platform's thread
 * translates with it. The table is as long as the number of MAP calls the container allows, because the guest's DMA
 * range is cut to that (vfio-uapi.md 5.5).
 */
import { load, store } from "../../shm/atomics.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import type { SimFunctionConfig } from "./config.ts";
import { HOST_AREA_BYTES } from "./host-area.ts";

const PAGE = 4096;
/** Word: frame number of guest storage + 1, or 0 = not mapped. */
const FRAME = 0x3fff_ffff;
/** The page is the first of its mapping; type 1 version 2 never splits one. */
const HEAD = 0x4000_0000;
const READ_ONLY = 0x8000_0000;
/** Words before the table. */
const USED_WORD = 0;
const HEADER_WORDS = 32;

/** Shared memory that a VM's functions need on the host's side, each (`MemoryPlan.hostBytes`). */
export function hostAreaBytes(configs: readonly SimFunctionConfig[]): number {
  const pages = configs.reduce((most, { pins }) => Math.max(most, pins?.avail ?? 0), 0);
  return HOST_AREA_BYTES + (pages === 0 ? 0 : (HEADER_WORDS + pages) * 4);
}

export class IommuPages {
  /** Pages that can be mapped, from the first of the DMA range on. */
  readonly count: number;
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #table: number;
  readonly #ramOffset: number;

  constructor(vm: VmMemory, index: number, count: number) {
    this.count = count;
    this.#words = vm.words;
    this.#base = ((vm.map.hostAreas[index] as number) + HOST_AREA_BYTES) / 4;
    this.#table = this.#base + HEADER_WORDS;
    this.#ramOffset = vm.map.ramOffset;
  }

  /** Mappings that stand: what dma_avail counts. */
  get used(): number {
    return load(this.#words, this.#base + USED_WORD);
  }

  /** Frame number * 2 + 1 if read-only; -1 when nothing is mapped there. */
  lookup(page: number): number {
    if (page < 0 || page >= this.count) return -1;
    const word = load(this.#words, this.#table + page);
    const frame = word & FRAME;
    return frame === 0 ? -1 : (frame - 1) * 2 + ((word & READ_ONLY) !== 0 ? 1 : 0);
  }

  /** Whether a mapping overlaps [page, end). */
  overlaps(page: number, end: number): boolean {
    for (let n = page; n < end; n++) if (this.#word(n) !== 0) return true;
    return false;
  }

  add(page: number, end: number, vaddr: number, writable: boolean): void {
    const frame = Math.floor((vaddr - this.#ramOffset) / PAGE);
    for (let n = page; n < end; n++) {
      const word = (frame + 1 + n - page) | (writable ? 0 : READ_ONLY) | (n === page ? HEAD : 0);
      store(this.#words, this.#table + n, word);
    }
    store(this.#words, this.#base + USED_WORD, this.used + 1);
  }

  /** Whether [page, end) begins or ends inside a mapping. */
  splits(page: number, end: number): boolean {
    return this.#inside(page) || this.#inside(end);
  }

  /** @returns how many pages went */
  remove(page: number, end: number): number {
    let pages = 0;
    let mappings = 0;
    for (let n = page; n < Math.min(end, this.count); n++) {
      const word = this.#word(n);
      if (word === 0) continue;
      store(this.#words, this.#table + n, 0);
      pages += 1;
      if ((word & HEAD) !== 0) mappings += 1;
    }
    store(this.#words, this.#base + USED_WORD, this.used - mappings);
    return pages;
  }

  #inside(page: number): boolean {
    const word = this.#word(page);
    return word !== 0 && (word & HEAD) === 0;
  }

  #word(page: number): number {
    return page < this.count ? load(this.#words, this.#table + page) : 0;
  }
}
