/**
 * The test function's DMA engine and its MSI-X signals. A command that the vCPU latched is carried out here,
 * through the guest's own tables (`GuestDma`); a fault on the way is a real error event of the
 * function, with the code and address that the translation found. Thread: platform only.
 */

import { TraceKind } from "../../abi/records.ts";
import {
  CONTROL_ENABLE,
  CONTROL_INTERRUPT,
  DMA_FROM_GUEST,
  DMA_TO_GUEST,
  STATUS_DONE,
  STATUS_ERROR,
  TestFunction,
  TestRegister,
} from "../../abi/test-function.ts";
import type { GuestDma } from "../../ports/host-function.ts";
import { and, exchange, load, or } from "../../shm/atomics.ts";
import { FunctionBlock } from "../../shm/blocks.ts";
import type { TraceWriter } from "../../shm/trace.ts";
import { buildAccessFault } from "./ccdf-builder.ts";
import type { SimFunctionConfig } from "./config.ts";
import { MSIX_CONTROL, MSIX_ENABLE, MSIX_FUNCTION_MASK } from "./config-space.ts";
import { Hardware, type HostArea, HostBlock } from "./host-area.ts";
import type { HostKernel } from "./host-kernel.ts";

const PAGE = 4096n;
/** MSI-X message data bits that carry the vector number on s390 (2048 per function). */
const MSI_VECTOR_MASK = 0x7ff;

export class DmaEngine {
  readonly #area: HostArea;
  readonly #config: SimFunctionConfig;
  readonly #kernel: HostKernel;
  readonly #dma: GuestDma;
  readonly #trace: TraceWriter;
  readonly #probe = new Uint8Array(1);

  constructor(
    area: HostArea,
    config: SimFunctionConfig,
    kernel: HostKernel,
    dma: GuestDma,
    trace: TraceWriter,
  ) {
    this.#area = area;
    this.#config = config;
    this.#kernel = kernel;
    this.#dma = dma;
    this.#trace = trace;
  }

  step(): boolean {
    const transferred = this.#transfer();
    return this.#deliverPending() || transferred;
  }

  #transfer(): boolean {
    const area = this.#area;
    if (exchange(area.words, area.host + HostBlock.dmaPending, 0) !== 1) return false;
    const command = area.get(HostBlock.dmaCommand);
    const offset = area.get(HostBlock.dmaOffset) >>> 0;
    const length = area.get(HostBlock.dmaLength) >>> 0;
    const valid =
      (command === DMA_FROM_GUEST || command === DMA_TO_GUEST) &&
      length >= 1 &&
      length <= TestFunction.dmaBytesMax &&
      offset + length <= TestFunction.scratchBytes;
    // Reset or switched off since the command was latched: nothing to finish.
    if ((this.#register(TestRegister.control) & CONTROL_ENABLE) === 0) {
      this.#setRegister(TestRegister.status, 0);
      return true;
    }
    // DMA and MSI are blocked in every state but NORMAL (vfio-uapi.md 3.9).
    const normal = area.get(HostBlock.hardware) === Hardware.NORMAL;
    const ok = valid && normal && this.#move(command === DMA_TO_GUEST, offset, length);
    const counter = ok ? TestRegister.dmaCount : TestRegister.errorCount;
    this.#setRegister(counter, this.#register(counter) + 1);
    this.#setRegister(TestRegister.status, ok ? STATUS_DONE : STATUS_ERROR);
    if ((this.#register(TestRegister.control) & CONTROL_INTERRUPT) !== 0) this.#signal(0);
    return true;
  }

  /** Copies; a fault puts the function into error and is reported. */
  #move(toGuest: boolean, offset: number, length: number): boolean {
    const area = this.#area;
    const low = BigInt(area.get(HostBlock.dmaAddressLow) >>> 0);
    const address = (BigInt(area.get(HostBlock.dmaAddressHigh) >>> 0) << 32n) | low;
    const sabotage = area.get(HostBlock.dmaSabotage);
    if (sabotage > 0) {
      const fault = this.#stray(length);
      if (fault > 0) {
        area.set(HostBlock.dmaSabotage, sabotage - 1);
        this.#fault(fault, toGuest);
      }
      if (fault !== 0) return false;
    }
    const window = area.scratch.subarray(offset, offset + length);
    const result = this.#dma.transfer(address, window, toGuest);
    if (result > 0) this.#fault(result, toGuest);
    return result === 0;
  }

  /**
   * An access that went astray: tries addresses of the DMA aperture that a guest hardly maps, reading one
   * byte, until one faults. Returns the code, 0 when the guest has mapped them all, or negative when the
   * access was refused.
   */
  #stray(length: number): number {
    const pba = this.#address(FunctionBlock.pbaLow);
    const pal = this.#address(FunctionBlock.palLow);
    const last = (pal + 1n - BigInt(length)) / PAGE;
    for (const page of [last, (pba + pal) / 2n / PAGE, pal / PAGE + 1n]) {
      const result = this.#dma.transfer(page * PAGE, this.#probe, false);
      if (result !== 0) return result;
    }
    return 0;
  }

  #fault(code: number, write: boolean): void {
    const area = this.#area;
    const address = this.#dma.faultAddress;
    this.#trace.write(
      TraceKind.dmaFault,
      area.index,
      0,
      0,
      code,
      write ? 1 : 0,
      Number(address & 0xffffffffn) | 0,
      Number((address >> 32n) & 0xffffffffn) | 0,
    );
    const fault = { pec: code, faddr: address, write, level: this.#dma.faultLevel ?? 0 };
    const handle = area.get(HostBlock.handle) >>> 0;
    this.#kernel.report([buildAccessFault(fault, handle, this.#config.fid)]);
  }

  #address(low: number): bigint {
    const { words, block } = this.#area;
    const view = (word: number): bigint => BigInt(load(words, block + word) >>> 0);
    return (view(low + 1) << 32n) | view(low);
  }

  #register(offset: number): number {
    return this.#area.get(HostBlock.registers + offset / 4);
  }

  #setRegister(offset: number, value: number): void {
    this.#area.set(HostBlock.registers + offset / 4, value);
  }

  // MSI-X (PCI Local Bus 3.0, 6.8.2): a masked vector waits in the pending bit array.

  #signal(vector: number): void {
    const area = this.#area;
    if (area.get(HostBlock.hardware) !== Hardware.NORMAL || !this.#enabled()) return;
    if (this.#masked(vector)) {
      or(area.words, area.host + HostBlock.msixPending + (vector >>> 5), 1 << (vector & 31));
    } else this.#send(vector);
  }

  #send(vector: number): void {
    const table = this.#area.msixTable;
    const data = (table[vector * 16 + 8] ?? 0) | ((table[vector * 16 + 9] ?? 0) << 8);
    this.#dma.msi(data & MSI_VECTOR_MASK);
  }

  #enabled(): boolean {
    return ((this.#area.configSpace[MSIX_CONTROL + 1] ?? 0) & MSIX_ENABLE) !== 0;
  }

  #masked(vector: number): boolean {
    const control = this.#area.configSpace[MSIX_CONTROL + 1] ?? 0;
    const entry = this.#area.msixTable[vector * 16 + 12] ?? 1;
    return (control & MSIX_FUNCTION_MASK) !== 0 || (entry & 1) !== 0;
  }

  #deliverPending(): boolean {
    const area = this.#area;
    let worked = false;
    for (let word = 0; word < 4; word++) {
      const index = HostBlock.msixPending + word;
      const pending = area.get(index);
      if (pending === 0 || !this.#enabled()) continue;
      if (area.get(HostBlock.hardware) !== Hardware.NORMAL) return worked;
      for (let bit = 0; bit < 32; bit++) {
        if (((pending >>> bit) & 1) === 0 || this.#masked(word * 32 + bit)) continue;
        and(area.words, area.host + index, ~(1 << bit));
        this.#send(word * 32 + bit);
        worked = true;
      }
    }
    return worked;
  }
}
