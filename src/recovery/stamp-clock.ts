/**
 * Hot file. A clock that is read now and then and remembers: a reading of the host's clock costs 40 ns, and one
 * pass of a recovery unit stamps up to ten records. Kept in a typed array,
 * because a number that leaves a function by return or property may be boxed.
 */
import type { Clock } from "../ports/clock.ts";

export class StampClock implements Clock {
  readonly #clock: Clock;
  /** The last reading, microseconds. */
  readonly stamp = new Float64Array(1);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Reads the clock behind. */
  refresh(): void {
    this.stamp[0] = this.#clock.nowUs();
  }

  /** The last reading. */
  nowUs(): number {
    return this.stamp[0] as number;
  }
}
