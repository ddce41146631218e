/**
 * Completion queues: posts entries with their phase tags, keeps those that must wait (for their time, for room,
 * for the bus) and announces them by MSI-X. Thread: platform only. NVMe 1.4, sections 4.6 and 7.5.
 */
import { NvmeCqe } from "../../../abi/nvme.ts";
import type { BusMaster } from "../bus-master.ts";
import { Cq, DEFERRED_MAX, Deferred, NvmeBlock, QUEUE_WORDS, QUEUES, Sq } from "./block.ts";
import type { NvmeState } from "./state.ts";

const f = NvmeCqe.fields;
/** The byte that holds the phase tag in its bit 0; it is written last, alone. */
const PHASE_BYTE = f.status.offset;

export class Completions {
  readonly #bus: BusMaster;
  readonly #state: NvmeState;
  readonly #entry = new Uint8Array(NvmeCqe.size);
  readonly #view = new DataView(this.#entry.buffer);
  readonly #phase = this.#entry.subarray(PHASE_BYTE, PHASE_BYTE + 1);
  /** When the next completion that waits for its time is due; Infinity when there is none. */
  nextDueUs = Number.POSITIVE_INFINITY;
  /** The guest's side refused an entry since this was cleared: worth another try later. */
  refused = false;

  constructor(bus: BusMaster, state: NvmeState) {
    this.#bus = bus;
    this.#state = state;
  }

  /** Whether a command of this queue can be taken: its completion will have a place whatever happens. */
  canTake(sqid: number): boolean {
    return !this.#state.cqFull(this.#state.sq(sqid, Sq.cqid)) && this.#free() >= 0;
  }

  /** Ends a command now, or at `dueUs` (0 = now). */
  complete(sqid: number, cid: number, status: number, dw0: number, dueUs = 0): void {
    const cqid = this.#state.sq(sqid, Sq.cqid);
    if (dueUs === 0 && this.#post(cqid, sqid, cid, status, dw0)) return;
    this.#defer(cqid, sqid, cid, status, dw0, dueUs);
  }

  /** Posts what is due. Returns whether anything was posted. */
  flush(nowUs: number): boolean {
    this.nextDueUs = Number.POSITIVE_INFINITY;
    let worked = false;
    for (let slot = 0; slot < DEFERRED_MAX; slot++) {
      const base = NvmeBlock.deferred + slot * QUEUE_WORDS;
      const state = this.#state;
      const queue = state.get(base + Deferred.queue);
      if (queue === 0) continue;
      const dueUs = state.wide(base + Deferred.dueLow);
      if (dueUs > nowUs) {
        this.nextDueUs = Math.min(this.nextDueUs, dueUs);
        continue;
      }
      const cqid = state.get(base + Deferred.cqid);
      const cid = state.get(base + Deferred.cid);
      const status = state.get(base + Deferred.status);
      const dw0 = state.get(base + Deferred.dw0);
      if (!this.#post(cqid, queue - 1, cid, status, dw0)) continue;
      state.set(base + Deferred.queue, 0);
      worked = true;
    }
    return worked;
  }

  /** Signals every queue that has unannounced entries. */
  announce(): void {
    const state = this.#state;
    if (!this.#bus.passes) return;
    for (let qid = 0; qid < QUEUES; qid++) {
      if (state.cq(qid, Cq.owed) === 0) continue;
      state.setCq(qid, Cq.owed, 0);
      const interrupt = state.cq(qid, Cq.interrupt);
      if (interrupt !== 0) this.#bus.signal(interrupt - 1);
    }
  }

  /** Ends a command that still waits for its time early. Returns whether there was one. */
  abort(sqid: number, cid: number, status: number): boolean {
    const state = this.#state;
    for (let slot = 0; slot < DEFERRED_MAX; slot++) {
      const base = NvmeBlock.deferred + slot * QUEUE_WORDS;
      if (state.get(base + Deferred.queue) !== sqid + 1) continue;
      if (state.get(base + Deferred.cid) !== cid) continue;
      if (state.wide(base + Deferred.dueLow) === 0) continue; // ended, only not posted yet
      this.#end(base, status);
      return true;
    }
    return false;
  }

  /** A submission queue goes: its waiting commands end with `status`. */
  abortQueue(sqid: number, status: number): void {
    for (let slot = 0; slot < DEFERRED_MAX; slot++) {
      const base = NvmeBlock.deferred + slot * QUEUE_WORDS;
      if (this.#state.get(base + Deferred.queue) !== sqid + 1) continue;
      if (this.#state.wide(base + Deferred.dueLow) !== 0) this.#end(base, status);
    }
  }

  /** A completion queue goes: entries that found no place in it are gone with it. */
  dropQueue(cqid: number): void {
    for (let slot = 0; slot < DEFERRED_MAX; slot++) {
      const base = NvmeBlock.deferred + slot * QUEUE_WORDS;
      if (this.#state.get(base + Deferred.cqid) === cqid) {
        this.#state.set(base + Deferred.queue, 0);
      }
    }
  }

  #end(base: number, status: number): void {
    this.#state.set(base + Deferred.status, status);
    this.#state.set(base + Deferred.dw0, 0);
    this.#state.setWide(base + Deferred.dueLow, 0);
  }

  #free(): number {
    for (let slot = 0; slot < DEFERRED_MAX; slot++) {
      const base = NvmeBlock.deferred + slot * QUEUE_WORDS;
      if (this.#state.get(base + Deferred.queue) === 0) return base;
    }
    return -1;
  }

  #defer(
    cqid: number,
    sqid: number,
    cid: number,
    status: number,
    dw0: number,
    dueUs: number,
  ): void {
    const state = this.#state;
    const base = this.#free();
    if (base < 0) {
      state.fatal(); // `canTake` was asked before: only a controller gone wrong comes here
      return;
    }
    state.set(base + Deferred.cid, cid);
    state.set(base + Deferred.status, status);
    state.set(base + Deferred.dw0, dw0);
    state.setWide(base + Deferred.dueLow, dueUs);
    state.set(base + Deferred.cqid, cqid);
    state.set(base + Deferred.queue, sqid + 1);
    if (dueUs > 0) this.nextDueUs = Math.min(this.nextDueUs, dueUs);
  }

  /**
   * Writes one entry: first whole with the old phase tag, then the tag's byte, so that the guest never sees
   * half an entry. A queue that cannot be written is fatal.
   */
  #post(cqid: number, sqid: number, cid: number, status: number, dw0: number): boolean {
    const state = this.#state;
    const size = state.cq(cqid, Cq.size);
    if (size === 0) return true; // deleted meanwhile
    if (state.cqFull(cqid) || !this.#bus.passes) return false;
    const tail = state.cq(cqid, Cq.tail);
    const phase = state.cq(cqid, Cq.phase);
    const view = this.#view;
    view.setUint32(f.dw0.offset, dw0 >>> 0, true);
    view.setUint16(f.sqHead.offset, state.sq(sqid, Sq.head), true);
    view.setUint16(f.sqid.offset, sqid, true);
    view.setUint16(f.cid.offset, cid, true);
    view.setUint16(f.status.offset, ((status << 1) | (phase ^ 1)) & 0xffff, true);
    const address = state.cqAddress(cqid) + BigInt(tail * NvmeCqe.size);
    if (!this.#write(address, this.#entry)) return !state.ready;
    this.#entry[PHASE_BYTE] = (this.#entry[PHASE_BYTE] ?? 0) ^ 1;
    if (!this.#write(address + BigInt(PHASE_BYTE), this.#phase)) return !state.ready;
    const next = (tail + 1) % size;
    state.setCq(cqid, Cq.tail, next);
    if (next === 0) state.setCq(cqid, Cq.phase, phase ^ 1);
    state.setCq(cqid, Cq.owed, 1);
    return true;
  }

  #write(address: bigint, bytes: Uint8Array): boolean {
    const result = this.#bus.transfer(address, bytes, true);
    if (result > 0) this.#state.fatal();
    if (result < 0) this.refused = true;
    return result === 0;
  }
}
