/**
 * The channel report as shared words: queue of one CRW, enablement of its machine check, and the
 * store-event-information (SEI) flag. What QEMU keeps under a big lock (zpci-guest.md 7.4) is done here
 * by exchanges, so a poster on a recovery thread and STCRW / CHSC on a vCPU cannot miss each other:
 *
 *  post:   publish the record; if exchange(seiPending, 1) was 0, push the CRW
 *  push:   crwPending := 1; if exchange(machineCheckEnabled, 0) was 1, raise the machine check
 *  STCRW:  exchange(crwPending, 0) was 1 -> CRW, cc 0. Else enable the machine check, *look again*: if
 *          crwPending is 1 and exchange(machineCheckEnabled, 0) was 1, raise it; cc 1
 *  SEI:    seiPending := 0 *before* the look at the rings, a ring's summary bit := 0 *before* the look at
 *          that ring; records left -> its bit := 1, seiPending := 1 and P flag
 *
 * Either the poster's exchange sees the enablement, or STCRW's second look sees the CRW. A poster that dies
 * between two of these steps leaves the words half way (say seiPending 1 and no CRW, so that no later post
 * would push one): its successor calls `repost`, which ends in a raised machine check whatever it finds. A
 * guest answers one too many with STCRW cc 1. Model: test/model.
 */
import { at } from "../base/bits.ts";
import type { InterruptSink } from "../ports/interrupt-sink.ts";
import { and, exchange, load, notify, or, store } from "./atomics.ts";
import { VcpuHeader, VmBlock } from "./blocks.ts";
import type { VmMemory } from "./vm-memory.ts";

export class ChannelReport {
  readonly #words: Int32Array;
  readonly #crw: number;
  readonly #enabled: number;
  readonly #sei: number;
  readonly #summary: number;
  readonly #vcpus: readonly number[];
  readonly #sink: InterruptSink;

  constructor(vm: VmMemory, sink: InterruptSink) {
    const base = vm.map.vmBlock / 4;
    this.#words = vm.words;
    this.#crw = base + VmBlock.crwPending;
    this.#enabled = base + VmBlock.machineCheckEnabled;
    this.#sei = base + VmBlock.seiPending;
    this.#summary = base + VmBlock.ccdfSummary;
    this.#vcpus = vm.map.vcpuAreas;
    this.#sink = sink;
  }

  /**
   * Machine reset: nothing pending, machine check enabled. Posters need not stop: an event that is in a ring
   * after this is announced anew.
   */
  reset(): void {
    store(this.#words, this.#crw, 0);
    store(this.#words, this.#sei, 0);
    store(this.#words, this.#enabled, 1);
    if ((this.summary(0) | this.summary(1)) !== 0) {
      store(this.#words, this.#sei, 1);
      this.#push();
    }
  }

  /** Poster, after publishing records in the CCDF ring of `functionIndex`. */
  post(functionIndex: number): void {
    this.setSummary(functionIndex);
    if (exchange(this.#words, this.#sei, 1) === 0) this.#push();
  }

  /**
   * Successor of a poster that died, always: announces the records of `functionIndex` whether or not the
   * predecessor got to it. An empty ring is no reason to leave it out (the predecessor may have set
   * seiPending and died before the CRW while the guest, scanning anyway, took the record); nor is a sleeping
   * word of 0 a reason not to notify.
   */
  repost(functionIndex: number): void {
    this.setSummary(functionIndex);
    store(this.#words, this.#sei, 1);
    store(this.#words, this.#crw, 1);
    store(this.#words, this.#enabled, 0);
    this.#sink.channelReport();
    for (let n = 0; n < this.#vcpus.length; n++) {
      const sleeping = at(this.#vcpus, n) / 4 + VcpuHeader.sleeping;
      store(this.#words, sleeping, 0);
      notify(this.#words, sleeping);
    }
  }

  #push(): void {
    store(this.#words, this.#crw, 1);
    if (exchange(this.#words, this.#enabled, 0) === 1) this.#sink.channelReport();
  }

  /** STCRW. Returns true when a CRW was taken (cc 0), false when there is none (cc 1). */
  takeCrw(): boolean {
    if (exchange(this.#words, this.#crw, 0) === 1) return true;
    store(this.#words, this.#enabled, 1);
    if (load(this.#words, this.#crw) === 1 && exchange(this.#words, this.#enabled, 0) === 1) {
      this.#sink.channelReport();
    }
    return false;
  }

  /** Puts back a CRW whose store by STCRW met an access exception. */
  returnCrw(): void {
    store(this.#words, this.#crw, 1);
  }

  /** SEI, step 1: forget the flag; every record published before this is seen by the scan after it. */
  beginScan(): void {
    store(this.#words, this.#sei, 0);
  }

  /** Summary word `half` (functions 32*half …): bits of rings that may hold records. */
  summary(half: number): number {
    return load(this.#words, this.#summary + half);
  }

  /** Clears a ring's bit; the caller must look at the ring once more afterwards. */
  clearSummary(functionIndex: number): void {
    const word = this.#summary + (functionIndex >>> 5);
    const mask = 1 << (functionIndex & 31);
    and(this.#words, word, ~mask);
  }

  setSummary(functionIndex: number): void {
    or(this.#words, this.#summary + (functionIndex >>> 5), 1 << (functionIndex & 31));
  }

  /** SEI, last step: records are left, so the flag stands without a new CRW (the guest loops on P). */
  keepPending(): void {
    store(this.#words, this.#sei, 1);
  }
}
