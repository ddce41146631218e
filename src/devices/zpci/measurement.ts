/**
 * The function measurement block: counters of what a guest did with a function, written to the address that it gave
 * with MPCIFC 10, every `mui` milliseconds. Thread: the platform's; everything stands in the function's words, so a
 * snapshot continues. A function that answers MPCIFC 10 with cc 3 measures no more: Linux frees the block then
 * (arch/s390/pci/pci.c, zpci_fmb_disable_device). Source: zpci-guest.md 11, 3.2 (MPCIFC 10), 7.2 (event 0x002a).
 */
import { Pec } from "../../abi/ccdf.ts";
import { FMB_DMA_VALID, FMB_UPDATING, Fmb } from "../../abi/fmb.ts";
import { encode } from "../../abi/layout.ts";
import type { GuestMemory } from "../../ports/guest-memory.ts";
import { compareExchange, load, store } from "../../shm/atomics.ts";
import { FunctionBlock, stateOf } from "../../shm/blocks.ts";
import { beginAccess, endAccess } from "../../shm/dma-activity.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import { GO } from "../outcome.ts";
import type { ZpciFunction } from "./function.ts";
import { cellOf, stateTable } from "./state-table.ts";

/** TOD clock at 1970-01-01, in microseconds since 1900. */
const UNIX_EPOCH_US = 2_208_988_800_000_000n;
/** What the block counts of the guest's instructions, in its order. */
const counters: readonly number[] = [
  FunctionBlock.loads,
  FunctionBlock.stores,
  FunctionBlock.storeBlocks,
  FunctionBlock.rpcits,
];
/** What it starts from, in the order of `fmbBase`. */
const bases: readonly number[] = [
  ...counters,
  FunctionBlock.dmaReadLow,
  FunctionBlock.dmaReadHigh,
  FunctionBlock.dmaWrittenLow,
  FunctionBlock.dmaWrittenHigh,
];

/** MPCIFC 10 switches measurement on: from here on it counts. Thread: the vCPU's. */
export function startMeasurement(target: ZpciFunction): void {
  for (const [n, word] of bases.entries()) {
    target.set(FunctionBlock.fmbBase + n, target.get(word));
  }
  target.count(FunctionBlock.fmbStart);
}
const LAST_UPDATE = Fmb.fields.lastUpdate.offset;

export class Measurement {
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #ram: GuestMemory;
  readonly #epochMs: number;

  /** @param epochMs real time of day at the VM's time 0 */
  constructor(vm: VmMemory, ram: GuestMemory, index: number, epochMs: number) {
    this.#words = vm.words;
    this.#base = (vm.map.functionBlocks[index] as number) / 4;
    this.#ram = ram;
    this.#epochMs = epochMs;
  }

  /** Writes the block if it is due. @returns 0, or the PEC of an event for the guest: updates have stopped then */
  step(nowUs: number): number {
    if (this.#address() === 0) return 0;
    if (this.#word(FunctionBlock.fmbSeen) !== this.#word(FunctionBlock.fmbEpoch))
      this.#begin(nowUs);
    if (nowUs < this.nextEventUs()) return 0;
    this.#setDue(nowUs + this.#intervalUs());
    // Marked as a DMA is: who takes the block or the function away waits until it is over.
    beginAccess(this.#words, this.#base);
    const pec = this.#update(nowUs);
    endAccess(this.#words, this.#base);
    return pec;
  }

  #update(nowUs: number): number {
    const state = stateOf(this.#word(FunctionBlock.stateWord));
    if (cellOf(stateTable.setMeasurement, state) !== GO) return 0;
    const address = this.#address();
    if (address === 0) return 0;
    if (!this.#ram.contains(address, Fmb.size)) {
      this.#switchOff(address);
      return Pec.FMBA;
    }
    this.#write(address, nowUs);
    return 0;
  }

  /** Unless the guest has named another block meanwhile. */
  #switchOff(address: number): void {
    const halves = [
      [FunctionBlock.fmbLow, address | 0],
      [FunctionBlock.fmbHigh, Math.floor(address / 0x1_0000_0000) | 0],
    ] as const;
    for (const [word, half] of halves) {
      if (compareExchange(this.#words, this.#base + word, half, 0) !== half) return;
    }
  }

  nextEventUs(): number {
    if (this.#address() === 0) return Number.POSITIVE_INFINITY;
    if (this.#word(FunctionBlock.fmbSeen) !== this.#word(FunctionBlock.fmbEpoch)) return 0;
    return this.#wide(FunctionBlock.fmbDueLow);
  }

  /** Switched on, or to another address: the first update comes after one interval. */
  #begin(nowUs: number): void {
    store(this.#words, this.#base + FunctionBlock.fmbSeen, this.#word(FunctionBlock.fmbEpoch));
    this.#setDue(nowUs + this.#intervalUs());
    const start = this.#word(FunctionBlock.fmbStart);
    if (this.#word(FunctionBlock.fmbStartSeen) === start) return;
    store(this.#words, this.#base + FunctionBlock.fmbStartSeen, start);
    store(this.#words, this.#base + FunctionBlock.fmbSamples, 0);
  }

  /** U on, contents, U off: a guest that finds U reads again. */
  #write(address: number, nowUs: number): void {
    const samples = (this.#word(FunctionBlock.fmbSamples) + 1) >>> 0;
    store(this.#words, this.#base + FunctionBlock.fmbSamples, samples);
    const [loads, stores, storeBlocks, refreshes] = counters.map((word, n) =>
      BigInt((this.#word(word) - this.#word(FunctionBlock.fmbBase + n)) >>> 0),
    );
    const us = UNIX_EPOCH_US + BigInt(Math.round(this.#epochMs * 1000 + nowUs));
    const lastUpdate = BigInt.asUintN(64, us << 13n);
    const block = encode(Fmb, {
      indicators: FMB_DMA_VALID,
      samples,
      lastUpdate: lastUpdate | FMB_UPDATING,
      loads: loads ?? 0n,
      stores: stores ?? 0n,
      storeBlocks: storeBlocks ?? 0n,
      refreshes: refreshes ?? 0n,
      dmaRead: this.#moved(FunctionBlock.dmaReadLow, 0),
      dmaWritten: this.#moved(FunctionBlock.dmaWrittenLow, 2),
    });
    const flag = address + LAST_UPDATE + 7;
    this.#ram.setU8(flag, this.#ram.u8(flag) | Number(FMB_UPDATING));
    this.#ram.write(address, block);
    this.#ram.setU8(flag, Number(lastUpdate & 0xffn));
  }

  /** Bytes since measurement was switched on. */
  #moved(low: number, base: number): bigint {
    const at = FunctionBlock.fmbBase + counters.length + base;
    return BigInt(this.#wide(low)) - BigInt(this.#wide(at));
  }

  #intervalUs(): number {
    return Math.max(1, this.#word(FunctionBlock.fmbIntervalMs)) * 1000;
  }

  #address(): number {
    return this.#wide(FunctionBlock.fmbLow);
  }

  #setDue(us: number): void {
    const whole = Math.ceil(us);
    store(this.#words, this.#base + FunctionBlock.fmbDueLow, whole >>> 0);
    store(this.#words, this.#base + FunctionBlock.fmbDueHigh, Math.floor(whole / 0x1_0000_0000));
  }

  /** A number in two words, low first. */
  #wide(low: number): number {
    return (this.#word(low + 1) >>> 0) * 0x1_0000_0000 + (this.#word(low) >>> 0);
  }

  #word(word: number): number {
    return load(this.#words, this.#base + word);
  }
}
