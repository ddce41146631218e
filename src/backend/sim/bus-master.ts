/**
 * A simulated function as master of its bus: DMA through the guest's own tables (`GuestDma`) and MSI-X
 * signals. A fault on the way is a real error event of the function, with the code and address that the
 * translation found. While the hardware is in error nothing passes (vfio-uapi.md 3.9). Thread: platform only.
 */
import { TraceKind } from "../../abi/records.ts";
import { DMA_REFUSED, type GuestDma } from "../../ports/host-function.ts";
import { and, load, or } from "../../shm/atomics.ts";
import { FunctionBlock } from "../../shm/blocks.ts";
import type { TraceWriter } from "../../shm/trace.ts";
import { buildAccessFault } from "./ccdf-builder.ts";
import type { SimFunctionConfig } from "./config.ts";
import { MSIX_CONTROL, MSIX_ENABLE, MSIX_FUNCTION_MASK } from "./config-space.ts";
import { Hardware, type HostArea, HostBlock, Impaired, MSIX_VECTORS_MAX } from "./host-area.ts";
import type { HostKernel } from "./host-kernel.ts";

const PAGE = 4096n;
/** MSI-X message data bits that carry the vector number on s390 (2048 per function). */
const MSI_VECTOR_MASK = 0x7ff;

export class BusMaster {
  readonly area: HostArea;
  /** Told of each transfer before it begins: the fault script may have something for it. */
  onTransfer: ((address: number, length: number) => void) | undefined;
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
    this.area = area;
    this.#config = config;
    this.#kernel = kernel;
    this.#dma = dma;
    this.#trace = trace;
  }

  /** DMA and MSI are blocked in every state but NORMAL, and while something is in the way. */
  get passes(): boolean {
    const { area } = this;
    return (
      area.get(HostBlock.hardware) === Hardware.NORMAL &&
      (area.get(HostBlock.impaired) & Impaired.DMA) === 0
    );
  }

  /**
   * Copies between guest memory and `window`. A fault puts the function into error and is reported.
   * @returns 0, the PEC of a fault, or DMA_REFUSED when nothing may pass now
   */
  transfer(address: bigint, window: Uint8Array, toGuest: boolean): number {
    const area = this.area;
    if (!this.passes) return DMA_REFUSED;
    this.onTransfer?.(Number(address), window.length);
    // What it met may have put the function into error.
    if (!this.passes) return DMA_REFUSED;
    const sabotage = area.get(HostBlock.dmaSabotage);
    if (sabotage > 0) {
      const fault = this.#stray(window.length);
      if (fault > 0) {
        area.set(HostBlock.dmaSabotage, sabotage - 1);
        this.#fault(fault, toGuest);
      }
      if (fault !== 0) return fault;
    }
    const result = this.#dma.transfer(address, window, toGuest);
    if (result > 0) this.#fault(result, toGuest);
    return result;
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
    const area = this.area;
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
    const { words, block } = this.area;
    const view = (word: number): bigint => BigInt(load(words, block + word) >>> 0);
    return (view(low + 1) << 32n) | view(low);
  }

  // MSI-X (PCI Local Bus 3.0, 6.8.2): a masked vector waits in the pending bit array.

  /** Signals a vector of the table; dropped while MSI-X is off or the hardware is in error. */
  signal(vector: number): void {
    const area = this.area;
    if (!this.passes || !this.#enabled() || vector >= MSIX_VECTORS_MAX) return;
    const lost = area.get(HostBlock.lostInterrupts);
    if (lost > 0) {
      area.set(HostBlock.lostInterrupts, lost - 1);
      return;
    }
    if (this.#masked(vector)) {
      or(area.words, area.host + HostBlock.msixPending + (vector >>> 5), 1 << (vector & 31));
    } else this.#send(vector);
  }

  /** Sends what was unmasked since; true when it sent something. */
  deliverPending(): boolean {
    const area = this.area;
    let worked = false;
    for (let word = 0; word < MSIX_VECTORS_MAX / 32; word++) {
      const index = HostBlock.msixPending + word;
      const pending = area.get(index);
      if (pending === 0 || !this.#enabled()) continue;
      if (!this.passes) return worked;
      for (let bit = 0; bit < 32; bit++) {
        if (((pending >>> bit) & 1) === 0 || this.#masked(word * 32 + bit)) continue;
        and(area.words, area.host + index, ~(1 << bit));
        this.#send(word * 32 + bit);
        worked = true;
      }
    }
    return worked;
  }

  #send(vector: number): void {
    const table = this.area.msixTable;
    const data = (table[vector * 16 + 8] ?? 0) | ((table[vector * 16 + 9] ?? 0) << 8);
    this.#dma.msi(data & MSI_VECTOR_MASK);
  }

  #enabled(): boolean {
    return ((this.area.configSpace[MSIX_CONTROL + 1] ?? 0) & MSIX_ENABLE) !== 0;
  }

  #masked(vector: number): boolean {
    const control = this.area.configSpace[MSIX_CONTROL + 1] ?? 0;
    const entry = this.area.msixTable[vector * 16 + 12] ?? 1;
    return (control & MSIX_FUNCTION_MASK) !== 0 || (entry & 1) !== 0;
  }
}
