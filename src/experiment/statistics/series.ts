/**
 * One metric of one policy over the repetitions of an experiment, in bounded memory. The repetition is the unit of
 * all statistics: its value is the mean over the scenarios and guests that were tried in it, so units are
 * independent and alike whatever the design.
 * Beyond `seriesLimit` repetitions, neighbours are merged into batches of 2, 4, 8 …, whose means are resampled in
 * their place: the mean stays exact, pairs stay pairs, and the interval stays that of the mean. Source: the method
 * of batch means, Law, "Simulation Modeling and Analysis", 9.5.3; here batches are of independent repetitions, so
 * no correlation is lost.
 */
import { bootstrapMean } from "./bootstrap.ts";
import { clopperPearson } from "./exact.ts";
import { momentsOf } from "./interval.ts";

export const seriesLimit = 1024;

export interface MetricEstimate {
  readonly mean: number;
  /** Limits of the 95 % interval; null where one repetition allows none. */
  readonly low: number | null;
  readonly high: number | null;
  /** Repetitions with a value. */
  readonly n: number;
  /** `exact`: yes/no outcomes, Clopper-Pearson; `constant`: all values equal, so nothing was seen to vary. */
  readonly method: "bootstrap" | "exact" | "constant" | "single";
}

export class RepetitionSeries {
  #sums = new Float64Array(16);
  #counts = new Float64Array(16);
  /** Repetitions in a batch, a power of two. */
  #size = 1;
  /** Batches touched. */
  #used = 0;
  /** Repetitions with a value; they come in order. */
  #repetitions = 0;
  #last = -1;
  #binary = true;

  /** Repetitions come in ascending order, several values of one next to each other. */
  push(repetition: number, value: number): void {
    if (repetition !== this.#last) this.#repetitions += 1;
    this.#last = repetition;
    if (value !== 0 && value !== 1) this.#binary = false;
    let batch = Math.floor(repetition / this.#size);
    while (batch >= seriesLimit) {
      this.#coarsen();
      batch = Math.floor(repetition / this.#size);
    }
    if (batch >= this.#sums.length) {
      this.#sums = grown(this.#sums, batch);
      this.#counts = grown(this.#counts, batch);
    }
    this.#sums[batch] = (this.#sums[batch] ?? 0) + value;
    this.#counts[batch] = (this.#counts[batch] ?? 0) + 1;
    this.#used = Math.max(this.#used, batch + 1);
  }

  #coarsen(): void {
    const half = Math.ceil(this.#used / 2);
    for (let batch = 0; batch < half; batch++) {
      for (const array of [this.#sums, this.#counts]) {
        array[batch] = (array[2 * batch] ?? 0) + (array[2 * batch + 1] ?? 0);
      }
    }
    this.#sums.fill(0, half);
    this.#counts.fill(0, half);
    this.#used = half;
    this.#size *= 2;
  }

  /** Adds another part of the same design (a further scenario, guest or point) to each repetition. */
  static merged(parts: readonly RepetitionSeries[]): RepetitionSeries {
    const all = new RepetitionSeries();
    all.#size = Math.max(1, ...parts.map((part) => part.#size));
    for (const part of parts) {
      const ratio = all.#size / part.#size;
      for (let batch = 0; batch < part.#used; batch++) {
        const target = Math.floor(batch / ratio);
        if (target >= all.#sums.length) {
          all.#sums = grown(all.#sums, target);
          all.#counts = grown(all.#counts, target);
        }
        all.#sums[target] = (all.#sums[target] ?? 0) + (part.#sums[batch] ?? 0);
        all.#counts[target] = (all.#counts[target] ?? 0) + (part.#counts[batch] ?? 0);
        all.#used = Math.max(all.#used, target + 1);
      }
      all.#repetitions = Math.max(all.#repetitions, part.#repetitions);
      all.#binary &&= part.#binary;
    }
    return all;
  }

  /** Mean of each batch at the given size (this one's own, or a multiple); NaN where a batch is empty. */
  #means(size = this.#size): number[] {
    const ratio = size / this.#size;
    const sums = new Float64Array(Math.ceil(this.#used / ratio));
    const counts = new Float64Array(sums.length);
    for (let batch = 0; batch < this.#used; batch++) {
      const target = Math.floor(batch / ratio);
      sums[target] = (sums[target] ?? 0) + (this.#sums[batch] ?? 0);
      counts[target] = (counts[target] ?? 0) + (this.#counts[batch] ?? 0);
    }
    return Array.from(sums, (sum, batch) => sum / (counts[batch] ?? 0));
  }

  /** Undefined if no repetition had a value. */
  estimate(seed: bigint): MetricEstimate | undefined {
    if (this.#used === 0) return undefined;
    const means = this.#means().filter((value) => !Number.isNaN(value));
    const mean = total(this.#sums) / total(this.#counts);
    const n = this.#repetitions;
    if (means.length < 2) return { mean, low: null, high: null, n, method: "single" };
    const moments = momentsOf(means);
    if (moments.constant) return { mean, low: mean, high: mean, n, method: "constant" };
    if (this.#binary && total(this.#counts) === n) {
      return { mean, ...clopperPearson(total(this.#sums), n), n, method: "exact" };
    }
    const { low, high } = bootstrapMean(means, seed);
    // A last, smaller batch weighs as much as the others in the resampling, but not in the mean.
    const shift = mean - moments.mean;
    return { mean, low: low + shift, high: high + shift, n, method: "bootstrap" };
  }

  /** Values of two policies in the same repetitions, where both have one. */
  static pairs(a: RepetitionSeries, b: RepetitionSeries): [number[], number[]] {
    const size = Math.max(a.#size, b.#size);
    const left = a.#means(size);
    const right = b.#means(size);
    const pairs: [number[], number[]] = [[], []];
    left.forEach((value, batch) => {
      const other = right[batch] ?? Number.NaN;
      if (Number.isNaN(value) || Number.isNaN(other)) return;
      pairs[0].push(value);
      pairs[1].push(other);
    });
    return pairs;
  }
}

function grown(array: Float64Array<ArrayBuffer>, index: number): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(Math.min(seriesLimit, Math.max(2 * array.length, index + 1)));
  larger.set(array);
  return larger;
}

function total(array: Float64Array): number {
  let sum = 0;
  for (const value of array) sum += value;
  return sum;
}
