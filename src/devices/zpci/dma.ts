/**
 * Hot file: no allocation but the byte views of a transfer. A function's way into guest storage: DMA
 * through the guest's tables and MSI as adapter interruptions. Thread: the platform's; everything comes
 * from the function's shared words. Source: zpci-guest.md 5 and 6.
 *
 * Consistency: a reader notes the epoch, reads flags and words, and reads the epoch again; equal means that no
 * registration changed in between. An access to guest storage is marked (dma-activity.ts), so that a vCPU that took
 * something away can wait for the last one (ZpciFunction.dmaQuiet).
 */
import { Pec } from "../../abi/ccdf.ts";
import { IOTA_PROTECT } from "../../abi/fib.ts";
import type { GuestMemory } from "../../ports/guest-memory.ts";
import { DMA_REFUSED, type GuestDma, type HostTranslation } from "../../ports/host-function.ts";
import type { InterruptSink } from "../../ports/interrupt-sink.ts";
import { add, compareExchange, load, store } from "../../shm/atomics.ts";
import { FIB_INTERRUPTS, FIB_IOAT, FunctionBlock, stateOf, VmBlock } from "../../shm/blocks.ts";
import { beginAccess, dmaEpoch, endAccess } from "../../shm/dma-activity.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import { GO } from "../outcome.ts";
import { cellOf, stateTable } from "./state-table.ts";
import type { DmaTlb } from "./tlb.ts";
import { WALK_INVALID } from "./walk.ts";

const PAGE = 4096;
/** A guest that changes its registration faster than it can be read is answered as not registered. */
const SNAPSHOT_TRIES = 8;
/** IOVAs are handled as page numbers: 52 bits, exact in a double. */
const PAGES_PER_HIGH = 0x10_0000;

export class ZpciDma implements GuestDma {
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #suppression: number;
  readonly #ram: GuestMemory;
  readonly #sink: InterruptSink;
  readonly #tlb: DmaTlb;
  readonly #host: HostTranslation | undefined;
  // Snapshot of the registration under #epoch
  #epoch = 0;
  #context = 0;
  #valid = false;
  #registered = false;
  #firstPage = 0;
  #lastPage = -1;
  #iotaHigh = 0;
  #iotaLow = 0;
  #frame = 0;
  faultAddress = 0n;
  /** Level of the table walk that failed, for the CCDF's ett; 0 when no table was read. */
  faultLevel = 0;

  /**
   * @param tlb that of the VM's functions
   * @param host what the host has mapped, where the device reaches nothing else
   */
  constructor(
    vm: VmMemory,
    ram: GuestMemory,
    tlb: DmaTlb,
    index: number,
    sink: InterruptSink,
    host?: HostTranslation,
  ) {
    this.#words = vm.words;
    this.#base = (vm.map.functionBlocks[index] as number) / 4;
    this.#suppression = vm.map.vmBlock / 4 + VmBlock.suppression;
    this.#ram = ram;
    this.#sink = sink;
    this.#tlb = tlb;
    this.#host = host;
  }

  transfer(iova: bigint, target: Uint8Array, write: boolean): number {
    let page = Number(BigInt.asUintN(64, iova) >> 12n);
    let offset = Number(iova & 0xfffn);
    for (let done = 0; done < target.length; ) {
      const length = Math.min(PAGE - offset, target.length - done);
      const result = this.#chunk(page, offset, target.subarray(done, done + length), write);
      if (result !== 0) {
        if (result !== DMA_REFUSED) this.faultAddress = BigInt(page) * 4096n + BigInt(offset);
        return result;
      }
      this.#countBytes(write ? FunctionBlock.dmaWrittenLow : FunctionBlock.dmaReadLow, length);
      done += length;
      offset = 0;
      page += 1;
    }
    return 0;
  }

  /** A counter of two words, low first, that only this thread writes. */
  #countBytes(low: number, bytes: number): void {
    const sum = (this.#word(low) >>> 0) + bytes;
    store(this.#words, this.#base + low, sum | 0);
    if (sum > 0xffff_ffff) add(this.#words, this.#base + low + 1, 1);
  }

  #chunk(page: number, offset: number, part: Uint8Array, write: boolean): number {
    const epoch = beginAccess(this.#words, this.#base);
    const result = this.#translate(page, write, epoch);
    if (result === 0) {
      if (write) this.#ram.write(this.#frame + offset, part);
      else this.#ram.read(this.#frame + offset, part);
    }
    endAccess(this.#words, this.#base);
    return result;
  }

  /** 0 with #frame set, DMA_REFUSED, or the PEC; order of zpci-guest.md 5.3. */
  #translate(page: number, write: boolean, epoch: number): number {
    this.faultLevel = 0;
    if (cellOf(stateTable.dma, stateOf(this.#word(FunctionBlock.stateWord))) !== GO) {
      return DMA_REFUSED;
    }
    if (!(this.#valid && epoch === this.#epoch) && !this.#snapshot()) return DMA_REFUSED;
    if (!this.#registered) return Pec.INVALAS;
    if (page < this.#firstPage || page > this.#lastPage) return Pec.OORANGE;
    if (write && (this.#iotaLow & IOTA_PROTECT) !== 0) return Pec.TPROTE;
    if (this.#host !== undefined) return this.#translateByHost(this.#host, page, write);
    const tlb = this.#tlb;
    const result = tlb.translate(this.#context, this.#iotaHigh, this.#iotaLow, page);
    if (result !== 0) {
      this.faultLevel = tlb.level;
      return result === WALK_INVALID ? Pec.INVALTE : result;
    }
    if (write && tlb.isProtected) return Pec.APROTE;
    this.#frame = tlb.frame;
    return 0;
  }

  #translateByHost(host: HostTranslation, page: number, write: boolean): number {
    const value = host.lookup(page);
    if (value < 0) return Pec.INVALTE;
    if (write && (value & 1) === 1) return Pec.APROTE;
    this.#frame = Math.floor(value / 2) * PAGE;
    return this.#ram.contains(this.#frame, PAGE) ? 0 : Pec.SERR;
  }

  #snapshot(): boolean {
    this.#context = this.#tlb.newContext();
    for (let attempt = 0; attempt < SNAPSHOT_TRIES; attempt++) {
      const epoch = this.#dmaEpoch();
      this.#registered = (this.#word(FunctionBlock.fibFlags) & FIB_IOAT) !== 0;
      this.#firstPage = this.#page(FunctionBlock.pbaHigh, FunctionBlock.pbaLow);
      this.#lastPage = this.#page(FunctionBlock.palHigh, FunctionBlock.palLow);
      this.#iotaHigh = this.#word(FunctionBlock.iotaHigh);
      this.#iotaLow = this.#word(FunctionBlock.iotaLow);
      this.#valid = this.#dmaEpoch() === epoch;
      this.#epoch = epoch;
      if (this.#valid) return true;
    }
    return false;
  }

  /** Data of the device's store to the MSI address; bits 0-10 are the vector (zpci-guest.md 6). */
  msi(vector: number): void {
    beginAccess(this.#words, this.#base);
    if (!this.#deliver(vector & 0x7ff)) {
      add(this.#words, this.#base + FunctionBlock.interruptionsDropped, 1);
    }
    endAccess(this.#words, this.#base);
  }

  #deliver(vector: number): boolean {
    if (cellOf(stateTable.msi, stateOf(this.#word(FunctionBlock.stateWord))) !== GO) return false;
    const epoch = this.#dmaEpoch();
    if ((this.#word(FunctionBlock.fibFlags) & FIB_INTERRUPTS) === 0) return false;
    const control = this.#word(FunctionBlock.interruptControl);
    const aibv = this.#address(FunctionBlock.aibvHigh, FunctionBlock.aibvLow);
    const aisb = this.#address(FunctionBlock.aisbHigh, FunctionBlock.aisbLow);
    if (this.#dmaEpoch() !== epoch) return false;
    if (vector >= ((control >>> 16) & 0xfff)) return false;
    const bit = ((control >>> 8) & 0x3f) + vector;
    const aisbo = control & 0x3f;
    const vectorByte = aibv + (bit >>> 3);
    const summaryByte = aisb + (aisbo >>> 3);
    const wantsSummary = (control & 0x80) !== 0;
    if (!this.#ram.contains(vectorByte, 1)) return false;
    if (wantsSummary && !this.#ram.contains(summaryByte, 1)) return false;
    // The vector bit first: whoever sees the summary bit must find it.
    this.#ram.orByte(vectorByte, 0x80 >>> (bit & 7));
    if (wantsSummary) {
      const mask = 0x80 >>> (aisbo & 7);
      if ((this.#ram.orByte(summaryByte, mask) & mask) !== 0) return true;
    }
    this.#interrupt((control >>> 28) & 7);
    return true;
  }

  /** Adapter interruption under SIC's suppression: NIMM drops it, SIMM turns NIMM on after this one. */
  #interrupt(isc: number): void {
    const single = 1 << isc;
    const none = 0x100 << isc;
    for (;;) {
      const seen = load(this.#words, this.#suppression);
      if ((seen & none) !== 0) return;
      if ((seen & single) === 0) break;
      if (compareExchange(this.#words, this.#suppression, seen, seen | none) === seen) break;
    }
    this.#sink.adapterInterruption(isc);
  }

  #word(word: number): number {
    return load(this.#words, this.#base + word);
  }

  #dmaEpoch(): number {
    return dmaEpoch(this.#words, this.#base);
  }

  #page(highWord: number, lowWord: number): number {
    return (this.#word(highWord) >>> 0) * PAGES_PER_HIGH + (this.#word(lowWord) >>> 12);
  }

  #address(highWord: number, lowWord: number): number {
    return (this.#word(highWord) >>> 0) * 0x1_0000_0000 + (this.#word(lowWord) >>> 0);
  }
}
