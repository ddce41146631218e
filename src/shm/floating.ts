/**
 * Hot file: no allocation, closures or exceptions. Floating interruptions as shared words. The poster sets the bit, marks every vCPU's pending word and
 * wakes sleepers; a vCPU whose masks allow claims by compare-and-swap, so exactly one takes it.
 */
import { at } from "../base/bits.ts";
import type { InterruptSink } from "../ports/interrupt-sink.ts";
import { and, compareExchange, exchange, load, notify, or, store } from "./atomics.ts";
import { PENDING_FLOATING, VcpuHeader, VmBlock } from "./blocks.ts";
import type { VmMemory } from "./vm-memory.ts";

export class FloatingInterrupts implements InterruptSink {
  readonly #words: Int32Array;
  readonly #vm: number;
  readonly #vcpus: readonly number[];

  constructor(vm: VmMemory) {
    this.#words = vm.words;
    this.#vm = vm.map.vmBlock / 4;
    this.#vcpus = vm.map.vcpuAreas.map((offset) => offset / 4);
  }

  channelReport(): void {
    store(this.#words, this.#vm + VmBlock.machineCheckPending, 1);
    this.kick(PENDING_FLOATING);
  }

  adapterInterruption(isc: number): void {
    or(this.#words, this.#vm + VmBlock.ioPending, 1 << isc);
    this.kick(PENDING_FLOATING);
  }

  serviceSignal(parameter: number): void {
    or(this.#words, this.#vm + VmBlock.serviceParameter, parameter);
    store(this.#words, this.#vm + VmBlock.servicePending, 1);
    this.kick(PENDING_FLOATING);
  }

  /** Marks every vCPU's pending word and wakes those that sleep in an enabled wait. */
  kick(bits: number): void {
    for (let n = 0; n < this.#vcpus.length; n++) {
      const base = at(this.#vcpus, n);
      or(this.#words, base + VcpuHeader.pending, bits);
      if (exchange(this.#words, base + VcpuHeader.sleeping, 0) === 1) {
        notify(this.#words, base + VcpuHeader.sleeping);
      }
    }
  }

  /** vCPU: takes the channel-report machine check if one is pending. */
  claimMachineCheck(): boolean {
    return compareExchange(this.#words, this.#vm + VmBlock.machineCheckPending, 1, 0) === 1;
  }

  machineCheckPending(): boolean {
    return load(this.#words, this.#vm + VmBlock.machineCheckPending) === 1;
  }

  /** Bits of ISCs with a pending adapter interruption. */
  ioPending(): number {
    return load(this.#words, this.#vm + VmBlock.ioPending);
  }

  /** vCPU: takes ISC `isc`; false if another vCPU was faster. */
  claimIo(isc: number): boolean {
    return (and(this.#words, this.#vm + VmBlock.ioPending, ~(1 << isc)) & (1 << isc)) !== 0;
  }

  servicePending(): boolean {
    return load(this.#words, this.#vm + VmBlock.servicePending) === 1;
  }

  /**
   * vCPU: takes the service signal; returns its parameter, or -1 if there is nothing to take. Parameters of
   * signals that were not taken yet are merged, as in a real machine; a poster that had stored its parameter
   * but not yet the pending word when it was taken leaves a pending word without parameter: nothing to take.
   */
  claimService(): number {
    if (compareExchange(this.#words, this.#vm + VmBlock.servicePending, 1, 0) !== 1) return -1;
    const parameter = exchange(this.#words, this.#vm + VmBlock.serviceParameter, 0) >>> 0;
    return parameter === 0 ? -1 : parameter;
  }

  /** Machine reset: nothing pending. */
  reset(): void {
    store(this.#words, this.#vm + VmBlock.machineCheckPending, 0);
    store(this.#words, this.#vm + VmBlock.ioPending, 0);
    store(this.#words, this.#vm + VmBlock.servicePending, 0);
    store(this.#words, this.#vm + VmBlock.serviceParameter, 0);
  }
}
