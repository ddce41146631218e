/**
 * The guest's watchdog (DIAG 0x288): one word with the guest time at which it fires. Set by the vCPU that executes the
 * instruction, taken by whoever looks after the machine; both by compare-and-swap or a single store, so that a guest that
 * renews it in the last moment has renewed it. Guest time stands while the CPUs stand, and so does the watchdog.
 * Source: QEMU hw/watchdog/wdt_diag288.c and target/s390x/diag.c (timer on QEMU_CLOCK_VIRTUAL).
 */
import type { Clock } from "../ports/clock.ts";
import { compareExchange, load, store } from "./atomics.ts";
import { VmBlock } from "./blocks.ts";
import type { VmMemory } from "./vm-memory.ts";

/** What happens when it fires, QEMU's words (`-action watchdog=…`). */
export const watchdogActions = [
  "reset",
  "shutdown",
  "poweroff",
  "pause",
  "debug",
  "none",
  "inject-nmi",
] as const;
export type WatchdogAction = (typeof watchdogActions)[number];

/** Unit of the word: 32 bits of them are 13 years. */
const UNIT_US = 100_000;
const LAST = 0xffff_fffe;

export class Watchdog {
  readonly #words: Int32Array;
  readonly #clock: Clock;
  readonly #present: number;
  readonly #due: number;

  /** @param clock the guest's time */
  constructor(vm: VmMemory, clock: Clock) {
    this.#words = vm.words;
    this.#clock = clock;
    this.#present = vm.map.vmBlock / 4 + VmBlock.watchdogPresent;
    this.#due = vm.map.vmBlock / 4 + VmBlock.watchdogDue;
  }

  /** Machine build: the guest finds one. */
  static install(vm: VmMemory): void {
    store(vm.words, vm.map.vmBlock / 4 + VmBlock.watchdogPresent, 1);
  }

  get present(): boolean {
    return load(this.#words, this.#present) === 1;
  }

  get running(): boolean {
    return load(this.#words, this.#due) !== 0;
  }

  /** Starts it, or puts its end off. */
  start(seconds: number): void {
    const dueUs = this.#clock.nowUs() + seconds * 1e6;
    store(this.#words, this.#due, Math.min(LAST, Math.ceil(dueUs / UNIT_US)) | 0);
  }

  cancel(): void {
    store(this.#words, this.#due, 0);
  }

  /** Whether it has fired; it is off then. */
  takeExpiry(): boolean {
    const due = load(this.#words, this.#due);
    if (due === 0 || this.#clock.nowUs() < (due >>> 0) * UNIT_US) return false;
    return compareExchange(this.#words, this.#due, due, 0) === due;
  }
}
