/**
 * A recovery worker's life on a thread of its own: step what was rung for or is due, then sleep until the next bell or
 * deadline. One thread may carry one function or many; the loop is the same. Thread: recovery worker.
 */
import { monotonicNowUs } from "../base/clock.ts";
import type { RecoveryUnit } from "./unit.ts";

/** Longest sleep: a stop without a ring is noticed after this. As long as a policy's slow drain: it costs no wake-ups. */
const SLEEP_MAX_MS = 1000;

export type LoopEnd = "vm-stopped" | "detached";

/** A function that a recovery thread carries. */
export interface Carried {
  /** Whether somebody rang for it since its last pass. */
  rung(): boolean;
  /** One bounded pass. @returns milliseconds until the next one without a ring, or how its life on this thread ended */
  pass(): number | LoopEnd;
}

/** What a thread carries; the owner adds, the loop removes what has ended. */
export class Load<T extends Carried> {
  readonly #carried: T[] = [];
  /** When each is due without a ring, monotonic microseconds. */
  readonly #dueUs: number[] = [];

  get size(): number {
    return this.#carried.length;
  }

  add(carried: T): void {
    this.#carried.push(carried);
    this.#dueUs.push(0);
  }

  remove(carried: T): void {
    const n = this.#carried.indexOf(carried);
    if (n < 0) return;
    this.#carried.splice(n, 1);
    this.#dueUs.splice(n, 1);
  }

  find(wanted: (carried: T) => boolean): T | undefined {
    return this.#carried.find(wanted);
  }

  rung(): boolean {
    for (let n = 0; n < this.#carried.length; n++) if (this.#carried[n]?.rung()) return true;
    return false;
  }

  /** One pass of each that was rung for or is due. @returns milliseconds until the next without a ring */
  pass(ended: (carried: T, end: LoopEnd) => void): number {
    let nowUs = monotonicNowUs();
    const startUs = nowUs;
    let nextUs = startUs + SLEEP_MAX_MS * 1000;
    for (let n = 0; n < this.#carried.length; n++) {
      const carried = this.#carried[n] as T;
      if ((this.#dueUs[n] as number) <= startUs || carried.rung()) {
        const next = carried.pass();
        if (typeof next !== "number") {
          this.remove(carried);
          n -= 1;
          ended(carried, next);
          continue;
        }
        nowUs = monotonicNowUs();
        this.#dueUs[n] = next > 0 ? nowUs + Math.min(next, SLEEP_MAX_MS) * 1000 : 0;
      }
      nextUs = Math.min(nextUs, this.#dueUs[n] as number);
    }
    return (nextUs - nowUs) / 1000;
  }
}

/** One pass of a unit, as its thread wants it. @param comesBack a function that has left is waited for */
export function passOf(unit: RecoveryUnit, comesBack = false): number | LoopEnd {
  const wakeUs = unit.step();
  if (unit.vmStopping()) return "vm-stopped";
  if (unit.ended && !comesBack) return "detached";
  return (wakeUs - unit.nowUs()) / 1000;
}

/** The life of a thread that carries one function and nothing else; returns how it ended. */
export function runRecoveryLoop(unit: RecoveryUnit): LoopEnd {
  const load = new Load<Carried>();
  load.add({ rung: () => unit.rung(), pass: () => passOf(unit) });
  let how: LoopEnd | undefined;
  for (;;) {
    const idleMs = load.pass((_, end) => {
      how = end;
    });
    if (how !== undefined) return how;
    unit.sleep(idleMs);
  }
}
