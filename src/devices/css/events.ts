/**
 * Hot file: no allocation per event. The CCDF rings as the queue behind CHSC store event information:
 * which record is next, what is dropped because its generation has ended, what a fetch means for the
 * recovery worker. Sources: zpci-guest.md 7.4; protocol and its argument: src/shm/channel-report.ts.
 */

import { AvailabilityPec, CcdfErr } from "../../abi/ccdf.ts";
import {
  CcdfFlag,
  CcdfKind,
  notDeliveredReasons,
  RequestKind,
  TraceKind,
} from "../../abi/records.ts";
import { CCDF_RING_SLOTS } from "../../base/limits.ts";
import { peek } from "../../shm/atomics.ts";
import { FunctionBlock, WORK_CREDIT } from "../../shm/blocks.ts";
import type { ChannelReport } from "../../shm/channel-report.ts";
import { Lane, RingConsumer, recordTimeUs } from "../../shm/ring.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import type { FunctionTable, ZpciFunction } from "../zpci/function.ts";

const SUPERSEDED = notDeliveredReasons.indexOf("superseded");
const pecOffset = CcdfErr.fields.pec.offset;

export class EventQueue {
  readonly #vm: VmMemory;
  readonly #functions: FunctionTable;
  readonly #report: ChannelReport;
  readonly #rings: readonly RingConsumer[];
  readonly #shared: boolean;
  #chosen = -1;
  /** After `next()`: whether further records wait behind the chosen one. */
  more = false;

  constructor(vm: VmMemory, functions: FunctionTable, report: ChannelReport) {
    this.#vm = vm;
    this.#functions = functions;
    this.#report = report;
    this.#shared = vm.map.vcpuCount > 1;
    this.#rings = vm.map.ccdfRings.map(
      (offset) => new RingConsumer(vm.words, offset, CCDF_RING_SLOTS),
    );
  }

  /**
   * Looks for the oldest record of all functions. It stays in its ring until `fetched`.
   * @returns its word index, or -1 when nothing is pending (a later post pushes a new CRW then)
   */
  next(): number {
    this.#report.beginScan();
    this.#chosen = -1;
    this.more = false;
    let slot = -1;
    let oldest = 0;
    for (let half = 0; half < 2; half++) {
      for (let bits = this.#report.summary(half); bits !== 0; bits &= bits - 1) {
        const index = half * 32 + (31 - Math.clz32(bits & -bits));
        const candidate = this.#lookAt(index);
        if (candidate < 0) continue;
        const time = recordTimeUs(this.#vm.words, candidate);
        this.more = this.#chosen >= 0;
        if (this.#chosen < 0 || time < oldest) {
          this.#chosen = index;
          slot = candidate;
          oldest = time;
        }
      }
    }
    if (slot >= 0 && !this.more) this.more = this.#hasSecond(this.#chosen);
    return slot;
  }

  /** The bit goes before the look, so that a record published after it sets the bit again. */
  #lookAt(index: number): number {
    if (index >= this.#rings.length) return -1;
    this.#report.clearSummary(index);
    const slot = this.#front(index);
    if (slot >= 0) this.#report.setSummary(index);
    return slot;
  }

  /** Oldest record of a ring that is still of the function's generation; older ones are dropped. */
  #front(index: number): number {
    const ring = this.#rings[index] as RingConsumer;
    const owner = this.#functions.all[index];
    if (this.#shared) ring.resync();
    for (let dropped = 0; dropped <= CCDF_RING_SLOTS; dropped++) {
      const slot = ring.front();
      if (slot < 0 || owner === undefined || this.#isCurrent(owner, slot)) return slot;
      this.#drop(owner, ring, slot);
    }
    return -1;
  }

  #isCurrent(owner: ZpciFunction, slot: number): boolean {
    const kind = peek(this.#vm.words, slot + Lane.kind) & 0xff;
    if (kind !== CcdfKind.error) return true;
    return peek(this.#vm.words, slot + Lane.generation) === owner.generation();
  }

  #drop(owner: ZpciFunction, ring: RingConsumer, slot: number): void {
    if (this.#counts(slot)) owner.count(FunctionBlock.superseded);
    const generation = peek(this.#vm.words, slot + Lane.generation);
    const correlation = peek(this.#vm.words, slot + Lane.correlation);
    const pec = this.pec(slot);
    owner.trace.write(
      TraceKind.notDelivered,
      owner.index,
      generation,
      correlation,
      pec,
      SUPERSEDED,
      0,
      0,
    );
    ring.release();
    owner.ringWorker(WORK_CREDIT);
  }

  #hasSecond(index: number): boolean {
    const ring = this.#rings[index] as RingConsumer;
    ring.skip();
    const found = ring.front() >= 0;
    ring.resync();
    return found;
  }

  /** Repeats of an event and availability events are in no book of errors. */
  #counts(slot: number): boolean {
    const kind = peek(this.#vm.words, slot + Lane.kind);
    return (kind & 0xff) === CcdfKind.error && ((kind >>> 8) & CcdfFlag.repeat) === 0;
  }

  pec(slot: number): number {
    return this.#vm.view.getUint16((slot + Lane.body) * 4 + pecOffset);
  }

  /** Content code of the record: `CcdfKind`. */
  contentCode(slot: number): number {
    return peek(this.#vm.words, slot + Lane.kind) & 0xff;
  }

  /**
   * Copies the CCDF to `target[at…]`, with FH and FID as the guest knows them now. An availability event keeps those
   * it was posted with if the slot is another function's meanwhile, and has none if it speaks of several functions.
   */
  copyCcdf(slot: number, target: Uint8Array, view: DataView, at: number): void {
    const body = (slot + Lane.body) * 4;
    for (let n = 0; n < CcdfErr.size; n++) target[at + n] = this.#vm.bytes[body + n] as number;
    const owner = this.#functions.all[this.#chosen];
    if (owner === undefined) return;
    const fid = owner.get(FunctionBlock.fid);
    if (this.contentCode(slot) === CcdfKind.availability) {
      if (this.pec(slot) === AvailabilityPec.MANY_CHANGED) return;
      if (view.getInt32(at + CcdfErr.fields.fid.offset) !== fid) return;
    }
    view.setUint32(at + CcdfErr.fields.fh.offset, owner.handle());
    view.setUint32(at + CcdfErr.fields.fid.offset, fid);
  }

  /** The guest has the chosen record: the slot goes back to the worker, who learns of the fetch. */
  fetched(slot: number): void {
    const owner = this.#functions.all[this.#chosen];
    const ring = this.#rings[this.#chosen];
    if (owner === undefined || ring === undefined) return;
    const pec = this.pec(slot);
    const correlation = peek(this.#vm.words, slot + Lane.correlation);
    if (this.#counts(slot)) owner.count(FunctionBlock.fetchedByGuest);
    // Before the worker hears of it, so that the timeline shows the cause before its effect.
    const shown = owner.handle();
    owner.trace.write(
      TraceKind.guestFetched,
      owner.index,
      owner.generation(),
      correlation,
      pec,
      shown,
      0,
      0,
    );
    ring.release();
    if (!owner.post(RequestKind.guestFetched, pec, correlation, WORK_CREDIT)) {
      owner.count(FunctionBlock.requestsLost);
    }
    if (this.more) this.#report.keepPending();
    this.#settle(this.#chosen);
  }

  /** Leaves the summary bit of a ring as the ring is. */
  #settle(index: number): void {
    this.#report.clearSummary(index);
    if ((this.#rings[index] as RingConsumer).front() >= 0) this.#report.setSummary(index);
  }

  /** Machine reset: events nobody fetched are gone, counted. Generations must have been ended before. */
  clear(): void {
    for (const owner of this.#functions.all) {
      const ring = this.#rings[owner.index];
      if (ring === undefined) continue;
      this.#report.clearSummary(owner.index);
      if (this.#shared) ring.resync();
      for (let n = 0; n < CCDF_RING_SLOTS; n++) {
        const slot = ring.front();
        if (slot < 0) break;
        this.#drop(owner, ring, slot);
      }
      this.#settle(owner.index);
    }
  }
}
