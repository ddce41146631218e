/**
 * The only place under `src/` that reads time. All threads of a process share one monotonic clock: that of
 * `process.hrtime()`, because `performance.now()` counts from a different moment in every worker, and Node 20 puts
 * each of its readings on the heap (16 bytes).
 */
import type { Clock } from "../ports/clock.ts";

const { hrtime } = process;
/** The last reading of this thread, microseconds. */
const reading = new Float64Array(1);
const once = new Uint8Array(1);

/** Taken apart, not read by index: then V8 finds that it needs no array at all. */
function read(): void {
  const [seconds, nanoseconds] = hrtime();
  reading[0] = seconds * 1e6 + nanoseconds / 1e3;
}

/**
 * Monotonic microseconds since the machine booted, the same in every thread: what to share as `originUs` of a run.
 *
 * Through a built-in that V8 does not inline. `read` compiled by itself never makes the array that hrtime returns; in a
 * large function, where V8 inlines the one and not the other, each reading would put 64 bytes on the heap. 43 ns.
 */
export function monotonicNowUs(): number {
  once.forEach(read);
  return reading[0] as number;
}

/** Readings after which V8 has optimised `read`, Node 20; about a millisecond. */
const READINGS = 6000;

/**
 * Lets V8 optimise the reading of the clock: before that each puts 320 bytes on the heap, and a thread that wakes a few
 * times a second would collect garbage every minute, for a millisecond, in the midst of an error.
 */
export function warmUpClock(): void {
  for (let count = 0; count < READINGS; count++) monotonicNowUs();
}

/**
 * Real time in whole microseconds since an origin; 0 until it is started. Whole, because V8 passes integers
 * below 2^31 (the first 35 minutes) without putting them on the heap, and a recovery reads the clock often.
 */
export class HostClock implements Clock {
  #originUs = 0;
  #running = false;

  /** @param originUs the time 0, as `monotonicNowUs` gave it on any thread */
  start(originUs: number): this {
    this.#originUs = originUs;
    this.#running = true;
    return this;
  }

  nowUs(): number {
    return this.#running ? Math.floor(monotonicNowUs() - this.#originUs) : 0;
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
