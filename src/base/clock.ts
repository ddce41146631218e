/**
 * The only place under `src/` that reads time. All threads of a process share one monotonic origin,
 * because `performance.now()` counts from a different moment in every worker.
 */
import type { Clock } from "../ports/clock.ts";

/**
 * Microseconds on the system-wide monotonic clock that equal `performance.now() === 0` here. Of several
 * bracketed readings the tightest counts, because the thread may lose its core between two readings.
 */
function threadOriginUs(): number {
  let origin = 0;
  let tightest = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 8; round++) {
    const before = performance.now();
    const [seconds, nanoseconds] = process.hrtime();
    const after = performance.now();
    if (after - before < tightest) {
      tightest = after - before;
      origin = seconds * 1e6 + nanoseconds / 1e3 - (before + after) * 500;
    }
  }
  return origin;
}

/** Microseconds for measuring how long something takes on this thread. */
export function threadNowUs(): number {
  return performance.now() * 1e3;
}

/** Monotonic microseconds since the machine booted: the value to share as `originUs` of a run. */
export function monotonicNowUs(): number {
  return threadOriginUs() + performance.now() * 1e3;
}

/**
 * Real time in whole microseconds since an origin; 0 until it is started. Whole, because V8 passes integers
 * below 2^31 (the first 35 minutes) without putting them on the heap, and a recovery reads the clock often.
 */
export class HostClock implements Clock {
  #offsetUs = 0;
  #running = false;

  /** @param originUs the time 0, as `monotonicNowUs` gave it on any thread */
  start(originUs: number): this {
    this.#offsetUs = threadOriginUs() - originUs;
    this.#running = true;
    return this;
  }

  nowUs(): number {
    return this.#running ? Math.floor(performance.now() * 1e3 + this.#offsetUs) : 0;
  }
}

/** A clock that moves only when told to: deterministic runs, experiments and tests. */
export class VirtualClock implements Clock {
  #nowUs = 0;

  nowUs(): number {
    return this.#nowUs;
  }

  advanceTo(timeUs: number): void {
    if (timeUs > this.#nowUs) this.#nowUs = timeUs;
  }

  /** Time 0 of another run; whoever remembers a time of before must be told. */
  restart(): void {
    this.#nowUs = 0;
  }
}

/** Wall-clock milliseconds since 1970, for the guest's TOD clock and log records only. */
export function wallClockMs(): number {
  return Date.now();
}

/** UTC time of day with milliseconds, "12:34:56.789", of wall-clock milliseconds since 1970. */
export function timeOfDay(wallMs: number): string {
  return new Date(wallMs).toISOString().slice(11, 23);
}

/** How much this machine's local time is ahead of UTC at a moment, milliseconds. */
export function localOffsetMs(atMs: number): number {
  return -new Date(atMs).getTimezoneOffset() * 60_000;
}

/** ISO 8601 in UTC with milliseconds; for a number that is no time, its text. */
export function isoTime(ms: number): string {
  const time = new Date(ms);
  return Number.isNaN(time.getTime()) ? String(ms) : time.toISOString();
}
