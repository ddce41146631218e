/**
 * How much time a guest on threads has had, which is less than has passed where others use the machine too: each
 * 100 instructions count as a microsecond, as in a deterministic run, and of the time in which no CPU has
 * anything to do all. What a guest may take is measured with it: a machine under load makes no guest late.
 */
import { INSTRUCTIONS_PER_US } from "../machine/deterministic-vm.ts";
import { load } from "../shm/atomics.ts";
import { VcpuHeader } from "../shm/blocks.ts";
import type { VmMemory } from "../shm/vm-memory.ts";

export class GuestTime {
  readonly #vm: VmMemory;
  #lastUs = 0;
  #lastInstructions = 0;
  #guestUs = 0;

  constructor(vm: VmMemory) {
    this.#vm = vm;
  }

  /**
   * Called every few milliseconds. @returns microseconds so far
   * @param nowUs the VM's time
   * @param instructions that the guest has executed by now, on all CPUs
   */
  advance(nowUs: number, instructions: number): number {
    const passedUs = Math.max(0, nowUs - this.#lastUs);
    const workedUs = (instructions - this.#lastInstructions) / INSTRUCTIONS_PER_US;
    this.#lastUs = nowUs;
    this.#lastInstructions = instructions;
    this.#guestUs += this.#waits() ? passedUs : Math.min(passedUs, Math.max(0, workedUs));
    return this.#guestUs;
  }

  #waits(): boolean {
    const { words, map } = this.#vm;
    return map.vcpuAreas.every((area) => load(words, area / 4 + VcpuHeader.sleeping) === 1);
  }
}
