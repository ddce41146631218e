/**
 * An estimate with its confidence interval, and the settings that every interval of a report shares.
 * Owns no method: the neighbours do.
 */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

export interface Estimate extends Interval {
  readonly mean: number;
  /** Trials behind the number. */
  readonly n: number;
}

/** 95 % everywhere: the verdict, the tables and the plots speak of the same intervals. */
export const confidence = 0.95;

/** Running mean and variance. Source: Welford 1962, "Note on a method for calculating corrected sums of squares". */
export class Moments {
  n = 0;
  mean = 0;
  low = Number.POSITIVE_INFINITY;
  high = Number.NEGATIVE_INFINITY;
  #squares = 0;

  push(value: number): void {
    this.n += 1;
    const before = value - this.mean;
    this.mean += before / this.n;
    this.#squares += before * (value - this.mean);
    if (value < this.low) this.low = value;
    if (value > this.high) this.high = value;
  }

  /** Of the population, estimated with n - 1; 0 for fewer than two values. */
  get variance(): number {
    return this.n < 2 ? 0 : this.#squares / (this.n - 1);
  }

  get deviation(): number {
    return Math.sqrt(this.variance);
  }

  /** All values so far the same. */
  get constant(): boolean {
    return this.low === this.high;
  }
}

export function momentsOf(values: Iterable<number>): Moments {
  const moments = new Moments();
  for (const value of values) moments.push(value);
  return moments;
}
