/** SIC: set interruption controls, modes 0 and 1. Source: zpci-guest.md 1.8, 6. */
import type { GuestCpu, InterceptHandler } from "../../ports/guest-cpu.ts";
import { compareExchange, load } from "../../shm/atomics.ts";
import { VmBlock } from "../../shm/blocks.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import { r1Rxy, r3Rsy } from "../operands.ts";
import { conclude, OPERAND, PRIVILEGED_OPERATION, UNCHANGED } from "../outcome.ts";

const ALL_INTERRUPTIONS = 0;
const SINGLE_INTERRUPTION = 1;

export class SetInterruptionControls implements InterceptHandler {
  readonly #words: Int32Array;
  readonly #suppression: number;

  constructor(vm: VmMemory) {
    this.#words = vm.words;
    this.#suppression = vm.map.vmBlock / 4 + VmBlock.suppression;
  }

  execute(cpu: GuestCpu, high: number): void {
    conclude(cpu, r1Rxy(high), this.#run(cpu, high));
  }

  #run(cpu: GuestCpu, high: number): number {
    if (cpu.problemState()) return PRIVILEGED_OPERATION;
    const mode = cpu.grLow(r1Rxy(high)) & 0xffff;
    const isc = (cpu.grLow(r3Rsy(high)) >>> 27) & 7;
    if (mode !== ALL_INTERRUPTIONS && mode !== SINGLE_INTERRUPTION) return OPERAND;
    const single = 1 << isc;
    const none = 0x100 << isc;
    // Contended only by MSI delivery, which changes one bit and is done.
    for (;;) {
      const seen = load(this.#words, this.#suppression);
      const next = (seen & ~(single | none)) | (mode === SINGLE_INTERRUPTION ? single : 0);
      if (compareExchange(this.#words, this.#suppression, seen, next) === seen) return UNCHANGED;
    }
  }
}
