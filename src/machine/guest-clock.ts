/** Time as the guest sees it: the VM's time without what its CPUs have stood (hold.ts). Thread: one vCPU's. */
import type { Clock } from "../ports/clock.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { frozenUs } from "./hold.ts";

export class GuestClock implements Clock {
  readonly #vm: VmMemory;
  readonly #clock: Clock;
  #frozenUs = 0;

  constructor(vm: VmMemory, clock: Clock) {
    this.#vm = vm;
    this.#clock = clock;
    this.refresh();
  }

  /** After the CPU stood. */
  refresh(): void {
    this.#frozenUs = frozenUs(this.#vm);
  }

  nowUs(): number {
    return this.#clock.nowUs() - this.#frozenUs;
  }
}
