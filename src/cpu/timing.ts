/**
 * TOD clock, clock comparator and CPU timer of one CPU, over a `Clock`. Bit 51 of the TOD clock is one
 * microsecond, so a unit of bit 63 is 2^-12 us. Nothing here reads real time: under a virtual clock all
 * values are a function of the run. Source: SA22-7832 chapter 4, "Timing".
 *
 * No BigInt: 64-bit values are pairs of 32-bit halves, elapsed time is a double below 2^53 units (69 years
 * of microseconds over 4096 make 25 days of exact units; beyond that the last bits are rounded).
 */
import type { Clock } from "../ports/clock.ts";
import { Cpu, type CpuState } from "./state.ts";

const UNITS_PER_US = 4096;
const TWO_32 = 0x1_0000_0000;

/** TOD value of 1970-01-01 00:00 UTC, bits 0-31; bits 32-63 are 0xCA000000 (Linux asm/timex.h). */
const UNIX_EPOCH_HIGH = 0x7d91048b;
const UNIX_EPOCH_LOW = 0xca000000;

export interface TodValue {
  readonly high: number;
  readonly low: number;
}

/** TOD clock value at `unixMs` milliseconds after 1970; the epoch of a VM is its value at clock time 0. */
export function todOfUnixMs(unixMs: number): TodValue {
  const units = unixMs * 1000 * UNITS_PER_US;
  const low = UNIX_EPOCH_LOW + (units % TWO_32);
  const high = UNIX_EPOCH_HIGH + Math.floor(units / TWO_32) + (low >= TWO_32 ? 1 : 0);
  return { high: high | 0, low: low | 0 };
}

export class Timing {
  /** Result of `readTod` and `readCpuTimer`. */
  high = 0;
  low = 0;

  readonly #state: CpuState;
  readonly #clock: Clock;
  readonly #epoch: TodValue;
  #comparatorDueUs = 0;
  #timerDueUs = 0;

  constructor(state: CpuState, clock: Clock, epoch: TodValue) {
    this.#state = state;
    this.#clock = clock;
    this.#epoch = epoch;
    this.refresh();
  }

  /** Works out both due times anew from the CPU state: after a reset or a restore. */
  refresh(): void {
    this.#comparatorChanged();
    this.#timerChanged();
  }

  /**
   * Reads the TOD clock. With `unique` (STCK, STCKE) each reading exceeds the one before, by the lowest
   * bit if the clock has not moved; STCKF takes it as it is.
   */
  readTod(unique: boolean): void {
    this.#baseHalves();
    this.#addUnits(this.#elapsedUnits());
    if (!unique) return;
    const lastHigh = this.#state.high(Cpu.lastTod);
    const lastLow = this.#state.low(Cpu.lastTod);
    const behind =
      this.high >>> 0 < lastHigh >>> 0 ||
      (this.high === lastHigh && this.low >>> 0 <= lastLow >>> 0);
    if (behind) {
      this.high = lastHigh;
      this.low = lastLow;
      this.#addUnits(1);
    }
    this.#state.setHalves(Cpu.lastTod, this.high, this.low);
  }

  /** The clock that the TOD clock is an offset from, into `high` / `low`. */
  readPhysicalClock(): void {
    this.high = this.#epoch.high;
    this.low = this.#epoch.low;
    this.#addUnits(this.#elapsedUnits());
  }

  /** SET CLOCK. */
  setTod(high: number, low: number): void {
    // offset = value - epoch - elapsed
    this.high = high;
    this.low = low;
    this.#subtract(this.#epoch.high, this.#epoch.low);
    const elapsed = this.#elapsedUnits();
    this.#subtract(Math.floor(elapsed / TWO_32) | 0, elapsed | 0);
    this.#state.setHalves(Cpu.todOffset, this.high, this.low);
    this.#state.setHalves(Cpu.lastTod, high, low);
    this.#comparatorChanged();
  }

  setClockComparator(high: number, low: number): void {
    this.#state.setHalves(Cpu.clockComparator, high, low);
    this.#comparatorChanged();
  }

  /** The CPU timer's value now, into `high` / `low`. */
  readCpuTimer(): void {
    this.high = this.#state.high(Cpu.cpuTimer);
    this.low = this.#state.low(Cpu.cpuTimer);
    const base = this.#timerBaseUnits();
    const run = this.#elapsedUnits() - base;
    this.#subtract(Math.floor(run / TWO_32) | 0, run | 0);
  }

  setCpuTimer(high: number, low: number): void {
    const units = this.#elapsedUnits();
    this.#state.setHalves(Cpu.cpuTimer, high, low);
    this.#state.setHalves(Cpu.cpuTimerBase, Math.floor(units / TWO_32) | 0, units | 0);
    this.#timerChanged();
  }

  /** The TOD clock has passed the clock comparator. */
  comparatorPending(): boolean {
    return this.#clock.nowUs() >= this.#comparatorDueUs;
  }

  /** The CPU timer is negative. */
  cpuTimerPending(): boolean {
    return this.#clock.nowUs() >= this.#timerDueUs;
  }

  /** Clock time at which the first of the wanted timers is due; Infinity if none ever will be. */
  nextDueUs(comparator: boolean, cpuTimer: boolean): number {
    return Math.min(
      comparator ? this.#comparatorDueUs : Infinity,
      cpuTimer ? this.#timerDueUs : Infinity,
    );
  }

  #elapsedUnits(): number {
    return Math.floor(this.#clock.nowUs() * UNITS_PER_US);
  }

  #timerBaseUnits(): number {
    return (
      (this.#state.high(Cpu.cpuTimerBase) >>> 0) * TWO_32 +
      (this.#state.low(Cpu.cpuTimerBase) >>> 0)
    );
  }

  /** TOD clock at clock time 0: epoch + offset, into high / low. */
  #baseHalves(): void {
    const low = (this.#epoch.low >>> 0) + (this.#state.low(Cpu.todOffset) >>> 0);
    this.high = (this.#epoch.high + this.#state.high(Cpu.todOffset) + (low >= TWO_32 ? 1 : 0)) | 0;
    this.low = low | 0;
  }

  #addUnits(units: number): void {
    const low = (this.low >>> 0) + (units >>> 0);
    this.high = (this.high + Math.floor(units / TWO_32) + (low >= TWO_32 ? 1 : 0)) | 0;
    this.low = low | 0;
  }

  #subtract(high: number, low: number): void {
    const borrow = this.low >>> 0 < low >>> 0 ? 1 : 0;
    this.high = (this.high - high - borrow) | 0;
    this.low = (this.low - low) | 0;
  }

  /** Pending when TOD > comparator: elapsed >= comparator - base + 1. All ones never compare low. */
  #comparatorChanged(): void {
    const high = this.#state.high(Cpu.clockComparator);
    const low = this.#state.low(Cpu.clockComparator);
    this.#baseHalves();
    const past = high >>> 0 < this.high >>> 0 || (high === this.high && low >>> 0 < this.low >>> 0);
    if (high === -1 && low === -1) {
      this.#comparatorDueUs = Infinity;
    } else if (past) {
      this.#comparatorDueUs = 0;
    } else {
      const baseHigh = this.high;
      const baseLow = this.low;
      this.high = high;
      this.low = low;
      this.#subtract(baseHigh, baseLow);
      this.#comparatorDueUs = ((this.high >>> 0) * TWO_32 + (this.low >>> 0) + 1) / UNITS_PER_US;
    }
  }

  /** Pending when value - (elapsed - base) < 0: elapsed >= base + value + 1. */
  #timerChanged(): void {
    const value = this.#state.high(Cpu.cpuTimer) * TWO_32 + (this.#state.low(Cpu.cpuTimer) >>> 0);
    this.#timerDueUs = (this.#timerBaseUnits() + value + 1) / UNITS_PER_US;
  }
}
