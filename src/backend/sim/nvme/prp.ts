/**
 * Data transfers described by PRP entries and PRP lists (NVMe 1.4, section 4.3). All entries are fetched and
 * checked before the first byte moves. Lists are as long as the data needs, so no guest can make the walk
 * longer; `data` is at most MDTS long. Thread: platform only.
 */
import { NVME_MDTS, NvmeStatus, STATUS_DNR } from "../../../abi/nvme.ts";
import type { BusMaster } from "../bus-master.ts";
import { NvmeBlock } from "./block.ts";
import type { NvmeState } from "./state.ts";

export const TRANSFER_MAX_BYTES = 4096 * 2 ** NVME_MDTS;
/** An unaligned start takes one page more. */
const SEGMENTS_MAX = 2 ** NVME_MDTS + 1;
const ENTRY = 8;
const BAD_OFFSET = NvmeStatus.invalidPrpOffset | STATUS_DNR;

export class PrpTransfer {
  readonly #bus: BusMaster;
  readonly #state: NvmeState;
  readonly #addresses = new BigUint64Array(SEGMENTS_MAX);
  readonly #lengths = new Int32Array(SEGMENTS_MAX);
  #segments = 0;
  readonly #list = new Uint8Array(SEGMENTS_MAX * ENTRY);
  readonly #view = new DataView(this.#list.buffer);

  constructor(bus: BusMaster, state: NvmeState) {
    this.#bus = bus;
    this.#state = state;
  }

  /** Moves `data` to or from the guest. Returns 0 or a status. */
  move(prp1: bigint, prp2: bigint, data: Uint8Array, toGuest: boolean): number {
    const status = this.#walk(prp1, prp2, data.length);
    if (status !== 0) return status;
    let done = 0;
    for (let i = 0; i < this.#segments; i++) {
      const length = this.#lengths[i] as number;
      const part = data.subarray(done, done + length);
      if (this.#bus.transfer(this.#addresses[i] as bigint, part, toGuest) !== 0) {
        return NvmeStatus.dataTransferError;
      }
      done += length;
    }
    return 0;
  }

  #walk(prp1: bigint, prp2: bigint, length: number): number {
    const pageBytes = 2 ** (12 + this.#state.get(NvmeBlock.pageShift));
    const mask = BigInt(pageBytes - 1);
    this.#segments = 0;
    if ((prp1 & 3n) !== 0n) return BAD_OFFSET;
    const left = length - this.#add(prp1, length, pageBytes - Number(prp1 & mask));
    if (left === 0) return 0;
    if (left > pageBytes) return this.#walkList(prp2, left, pageBytes);
    if ((prp2 & mask) !== 0n) return BAD_OFFSET;
    this.#add(prp2, left, pageBytes);
    return 0;
  }

  #walkList(start: bigint, length: number, pageBytes: number): number {
    const mask = BigInt(pageBytes - 1);
    if ((start & 7n) !== 0n) return BAD_OFFSET;
    let list = start;
    let left = length;
    while (left > 0) {
      const room = (pageBytes - Number(list & mask)) / ENTRY;
      const needed = Math.ceil(left / pageBytes);
      const here = Math.min(room, needed);
      const window = this.#list.subarray(0, here * ENTRY);
      if (this.#bus.transfer(list, window, false) !== 0) return NvmeStatus.dataTransferError;
      // The last entry of a full page is the address of the next one when data is left for it.
      const data = needed > room ? here - 1 : here;
      for (let i = 0; i < data; i++) {
        const entry = this.#view.getBigUint64(i * ENTRY, true);
        if ((entry & mask) !== 0n) return BAD_OFFSET;
        left -= this.#add(entry, left, pageBytes);
      }
      if (left === 0) return 0;
      list = this.#view.getBigUint64(data * ENTRY, true);
      if ((list & mask) !== 0n) return BAD_OFFSET;
    }
    return 0;
  }

  #add(address: bigint, left: number, room: number): number {
    const length = Math.min(left, room);
    this.#addresses[this.#segments] = address;
    this.#lengths[this.#segments] = length;
    this.#segments += 1;
    return length;
  }
}
