/**
 * The controller's words, for the platform's thread: plain accessors over the function's host area and what
 * resets do to them. A view without truth of its own.
 */
import { CSTS_CFS, CSTS_RDY, CSTS_SHST_COMPLETE, CSTS_SHST_MASK } from "../../../abi/nvme.ts";
import { add, exchange, load, or, store } from "../../../shm/atomics.ts";
import type { HostArea } from "../host-area.ts";
import { Cq, DIRTY_WORDS, DOORBELLS, KEPT_FROM, NvmeBlock, QUEUE_WORDS, Sq } from "./block.ts";

export class NvmeState {
  readonly area: HostArea;
  readonly #words: Int32Array;
  readonly #base: number;

  constructor(area: HostArea) {
    this.area = area;
    this.#words = area.words;
    this.#base = area.device;
  }

  get(word: number): number {
    return load(this.#words, this.#base + word);
  }

  set(word: number, value: number): void {
    store(this.#words, this.#base + word, value);
  }

  take(word: number): number {
    return exchange(this.#words, this.#base + word, 0);
  }

  count(word: number): void {
    add(this.#words, this.#base + word, 1);
  }

  /** A number kept in two words, low first. */
  wide(low: number): number {
    return (this.get(low + 1) >>> 0) * 0x1_0000_0000 + (this.get(low) >>> 0);
  }

  setWide(low: number, value: number): void {
    this.set(low, value >>> 0);
    this.set(low + 1, Math.floor(value / 0x1_0000_0000));
  }

  addWide(low: number, amount: number): void {
    this.setWide(low, this.wide(low) + amount);
  }

  sq(qid: number, field: number): number {
    return this.get(NvmeBlock.submission + qid * QUEUE_WORDS + field);
  }

  setSq(qid: number, field: number, value: number): void {
    this.set(NvmeBlock.submission + qid * QUEUE_WORDS + field, value);
  }

  cq(qid: number, field: number): number {
    return this.get(NvmeBlock.completion + qid * QUEUE_WORDS + field);
  }

  setCq(qid: number, field: number, value: number): void {
    this.set(NvmeBlock.completion + qid * QUEUE_WORDS + field, value);
  }

  sqAddress(qid: number): bigint {
    const base = NvmeBlock.submission + qid * QUEUE_WORDS;
    return this.#address(base + Sq.baseLow, base + Sq.baseHigh);
  }

  cqAddress(qid: number): bigint {
    const base = NvmeBlock.completion + qid * QUEUE_WORDS;
    return this.#address(base + Cq.baseLow, base + Cq.baseHigh);
  }

  #address(low: number, high: number): bigint {
    return (BigInt(this.get(high) >>> 0) << 32n) | BigInt(this.get(low) >>> 0);
  }

  cqFull(qid: number): boolean {
    const size = this.cq(qid, Cq.size);
    return (this.cq(qid, Cq.tail) + 1) % size === this.cq(qid, Cq.head);
  }

  get ready(): boolean {
    return (this.get(NvmeBlock.csts) & (CSTS_RDY | CSTS_CFS)) === CSTS_RDY;
  }

  /** The controller cannot tell its state through queues any more: only a reset helps. */
  fatal(): void {
    or(this.#words, this.#base + NvmeBlock.csts, CSTS_CFS);
  }

  /** What CC.EN = 0 does; registers and counters stay. CSTS changes last. */
  resetController(): void {
    for (let word = 0; word < DIRTY_WORDS; word++) this.set(NvmeBlock.dirty + word, 0);
    this.set(NvmeBlock.badDoorbell, 0);
    for (let word = 0; word < DOORBELLS; word++) this.set(NvmeBlock.doorbells + word, 0);
    for (let word = NvmeBlock.nextQueue; word < KEPT_FROM; word++) this.set(word, 0);
    this.set(NvmeBlock.pageShift, 0);
    this.set(NvmeBlock.csts, 0);
  }

  /** What a reset of the PCI function does: everything but the counters, which survive even power. */
  resetFunction(): void {
    const csts = this.get(NvmeBlock.csts);
    const clean = (csts & CSTS_SHST_MASK) === CSTS_SHST_COMPLETE;
    if ((csts & CSTS_RDY) !== 0 && !clean) this.count(NvmeBlock.unsafeShutdowns);
    this.count(NvmeBlock.powerCycles);
    for (let word = NvmeBlock.cc; word < NvmeBlock.disables; word++) this.set(word, 0);
    this.set(NvmeBlock.disablesSeen, this.get(NvmeBlock.disables));
    this.set(NvmeBlock.functionResetsSeen, this.get(NvmeBlock.functionResets));
    this.setWide(NvmeBlock.heldUntilLow, 0);
    this.resetController();
  }
}
