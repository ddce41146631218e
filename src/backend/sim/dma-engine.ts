/**
 * The test function's DMA engine: a command that the vCPU latched is carried out here. Thread: platform only.
 */
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
import { exchange } from "../../shm/atomics.ts";
import type { BusMaster } from "./bus-master.ts";
import type { SimDevice } from "./device.ts";
import { type HostArea, HostBlock } from "./host-area.ts";

const REGISTER_WORDS = 12;
const FIRST_WRITABLE_REGISTER = 2;

export class DmaEngine implements SimDevice {
  readonly #area: HostArea;
  readonly #bus: BusMaster;

  constructor(bus: BusMaster) {
    this.#area = bus.area;
    this.#bus = bus;
  }

  step(): boolean {
    const transferred = this.#transfer();
    return this.#bus.deliverPending() || transferred;
  }

  nextEventUs(): number {
    return Number.POSITIVE_INFINITY;
  }

  reset(): void {
    const area = this.#area;
    for (let word = FIRST_WRITABLE_REGISTER; word < REGISTER_WORDS; word++) {
      area.set(HostBlock.registers + word, 0);
    }
    area.set(HostBlock.dmaPending, 0);
    area.scratch.fill(0);
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
    const ok = valid && this.#move(command === DMA_TO_GUEST, offset, length);
    const counter = ok ? TestRegister.dmaCount : TestRegister.errorCount;
    this.#setRegister(counter, this.#register(counter) + 1);
    this.#setRegister(TestRegister.status, ok ? STATUS_DONE : STATUS_ERROR);
    if ((this.#register(TestRegister.control) & CONTROL_INTERRUPT) !== 0) this.#bus.signal(0);
    return true;
  }

  #move(toGuest: boolean, offset: number, length: number): boolean {
    const area = this.#area;
    const low = BigInt(area.get(HostBlock.dmaAddressLow) >>> 0);
    const address = (BigInt(area.get(HostBlock.dmaAddressHigh) >>> 0) << 32n) | low;
    const window = area.scratch.subarray(offset, offset + length);
    return this.#bus.transfer(address, window, toGuest) === 0;
  }

  #register(offset: number): number {
    return this.#area.get(HostBlock.registers + offset / 4);
  }

  #setRegister(offset: number, value: number): void {
    this.#area.set(HostBlock.registers + offset / 4, value);
  }
}
