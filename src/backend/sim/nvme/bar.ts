/**
 * Hot file: no allocation, closures, exceptions or BigInt. Registers and doorbells of the NVMe controller as the
 * guest's PCI loads and stores reach them; what follows from a store is the platform's work. Thread: the
 * vCPU that issues them. Source: NVMe 1.4, section 3.1.
 *
 * A store of EN = 0 counts up `disables`, so that the platform resets the controller even when EN is 1 again
 * before it looks. Doorbells are dropped while the controller is not ready.
 */
import {
  AQA_WRITABLE,
  CC_EN,
  CC_WRITABLE,
  CSTS_RDY,
  NVME_CAP_HIGH,
  NVME_CAP_LOW,
  NVME_VERSION,
  NvmeRegister,
} from "../../../abi/nvme.ts";
import { add, load, or, store } from "../../../shm/atomics.ts";
import { type HostArea, PLATFORM_DMA } from "../host-area.ts";
import { DOORBELLS, NvmeBlock } from "./block.ts";
import { DEVICE_CONTROL_HIGH, INITIATE_FLR } from "./config-space.ts";

/** First byte behind registers and doorbells: the MSI-X table. */
export const REGISTERS_END = 0x2000;

export class NvmeBar {
  readonly #area: HostArea;
  readonly #words: Int32Array;
  readonly #base: number;

  constructor(area: HostArea) {
    this.#area = area;
    this.#words = area.words;
    this.#base = area.device;
  }

  /** The 32-bit register at `offset`, a multiple of 4 below REGISTERS_END. */
  word(offset: number): number {
    const words = this.#words;
    const base = this.#base;
    switch (offset) {
      case NvmeRegister.cap:
        return NVME_CAP_LOW;
      case NvmeRegister.cap + 4:
        return NVME_CAP_HIGH;
      case NvmeRegister.vs:
        return NVME_VERSION;
      case NvmeRegister.intms:
      case NvmeRegister.intmc:
        return load(words, base + NvmeBlock.interruptMask);
      case NvmeRegister.cc:
        return load(words, base + NvmeBlock.cc);
      case NvmeRegister.csts:
        return load(words, base + NvmeBlock.csts);
      case NvmeRegister.aqa:
        return load(words, base + NvmeBlock.aqa);
      case NvmeRegister.asq:
        return load(words, base + NvmeBlock.asqLow);
      case NvmeRegister.asq + 4:
        return load(words, base + NvmeBlock.asqHigh);
      case NvmeRegister.acq:
        return load(words, base + NvmeBlock.acqLow);
      case NvmeRegister.acq + 4:
        return load(words, base + NvmeBlock.acqHigh);
      default:
        return 0; // reserved, not supported, or a doorbell: those read as 0
    }
  }

  /** Stores the bits of `mask` of the register at `offset`, a multiple of 4 below REGISTERS_END. */
  storeWord(offset: number, value: number, mask: number): void {
    const words = this.#words;
    const base = this.#base;
    if (offset >= NvmeRegister.doorbells) {
      if (mask === -1) this.#doorbell((offset - NvmeRegister.doorbells) >>> 2, value);
      return;
    }
    switch (offset) {
      case NvmeRegister.intms:
        or(words, base + NvmeBlock.interruptMask, value & mask);
        return;
      case NvmeRegister.intmc:
        this.#merge(NvmeBlock.interruptMask, 0, value & mask);
        return;
      case NvmeRegister.cc:
        this.#storeCc(value, mask & CC_WRITABLE);
        return;
      case NvmeRegister.aqa:
        this.#merge(NvmeBlock.aqa, value, mask & AQA_WRITABLE);
        return;
      case NvmeRegister.asq:
        this.#merge(NvmeBlock.asqLow, value, mask & ~0xfff);
        return;
      case NvmeRegister.asq + 4:
        this.#merge(NvmeBlock.asqHigh, value, mask);
        return;
      case NvmeRegister.acq:
        this.#merge(NvmeBlock.acqLow, value, mask & ~0xfff);
        return;
      case NvmeRegister.acq + 4:
        this.#merge(NvmeBlock.acqHigh, value, mask);
        return;
      default:
        return;
    }
  }

  /** Bytes of configuration space were stored, as `HostRegions.store` has them: one asks for a function-level reset. */
  configStored(offset: number, length: number, value: number): void {
    const behind = offset + length - 1 - DEVICE_CONTROL_HIGH;
    if (behind < 0 || behind >= length) return;
    if (((value >>> (8 * behind)) & INITIATE_FLR) === 0) return;
    add(this.#words, this.#base + NvmeBlock.functionResets, 1);
    this.#area.platformBell.ring(PLATFORM_DMA);
  }

  #merge(word: number, value: number, mask: number): void {
    const index = this.#base + word;
    store(this.#words, index, (load(this.#words, index) & ~mask) | (value & mask));
  }

  #storeCc(value: number, mask: number): void {
    const words = this.#words;
    const index = this.#base + NvmeBlock.cc;
    const old = load(words, index);
    const next = (old & ~mask) | (value & mask);
    if ((old & ~next & CC_EN) !== 0) add(words, this.#base + NvmeBlock.disables, 1);
    store(words, index, next);
    this.#area.platformBell.ring(PLATFORM_DMA);
  }

  #doorbell(number: number, value: number): void {
    const words = this.#words;
    const base = this.#base;
    if ((load(words, base + NvmeBlock.csts) & CSTS_RDY) === 0) return;
    if (number >= DOORBELLS) store(words, base + NvmeBlock.badDoorbell, 1);
    else {
      store(words, base + NvmeBlock.doorbells + number, value);
      or(words, base + NvmeBlock.dirty + (number >>> 5), 1 << (number & 31));
    }
    this.#area.platformBell.ring(PLATFORM_DMA);
  }
}
