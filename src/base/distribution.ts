/**
 * Random numbers of experiments and of the guest model: distributions as plain data, and the streams they are drawn from.
 *
 * Common random numbers: a stream is keyed by (seed, repetition, guest machine, function, purpose, number of the
 * error), never by the policy, and never goes on from one error to the next. So the n-th error of a function meets
 * the same host and the same driver under every policy, however many resets the policies did before.
 */
import { exp, log, pow } from "./elementary.ts";
import { normalQuantile } from "./normal.ts";

/** Times in microseconds, counts as they are. */
export type Distribution =
  | { readonly kind: "constant"; readonly value: number }
  | { readonly kind: "uniform"; readonly low: number; readonly high: number }
  | { readonly kind: "exponential"; readonly mean: number }
  | { readonly kind: "weibull"; readonly scale: number; readonly shape: number }
  | { readonly kind: "lognormal"; readonly median: number; readonly sigma: number }
  /** Measured values: the inverse of their distribution function, linear between them. */
  | { readonly kind: "measured"; readonly quantiles: readonly number[] };

export const constant = (value: number): Distribution => ({ kind: "constant", value });

/**
 * sfc32 (Chris Doty-Humphrey's small fast counter): 128 bits of state in four 32-bit words, so that keying and drawing
 * are integer operations only. `key` spreads its words with the finaliser of MurmurHash3 (Appleby).
 * Hot: allocates nothing.
 */
export class Stream {
  #a = 0;
  #b = 0;
  #c = 0;
  #counter = 1;

  /** Starts the stream of these four words. */
  key(a: number, b: number, c: number, d: number): this {
    const first = mix(a ^ 0x9e3779b9);
    const second = mix(first ^ b);
    const third = mix(second ^ c);
    this.#a = mix(third ^ d);
    this.#b = mix(this.#a ^ second);
    this.#c = mix(this.#b ^ third ^ first);
    this.#counter = 1;
    for (let n = 0; n < 8; n++) this.u32();
    return this;
  }

  /** 32 uniform bits as a signed integer. */
  u32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11) | 0) + sum) | 0;
    return sum;
  }

  /** Uniform in [0, 1) with 53 bits. */
  unit(): number {
    const high = this.u32() >>> 5;
    return (high * 67108864 + (this.u32() >>> 6)) / 9007199254740992;
  }

  chance(probability: number): boolean {
    return probability > 0 && this.unit() < probability;
  }

  /**
   * Standard normal by inversion: each takes one uniform number, so streams stay in step whatever is drawn from them
   * (Law, "Simulation Modeling and Analysis", 11.2.3).
   */
  normal(): number {
    for (;;) {
      const p = this.unit();
      if (p > 0) return normalQuantile(p);
    }
  }

  draw(from: Distribution): number {
    switch (from.kind) {
      case "constant":
        return from.value;
      case "uniform":
        return from.low + this.unit() * (from.high - from.low);
      case "exponential":
        return -from.mean * log(1 - this.unit());
      case "weibull":
        return from.scale * pow(-log(1 - this.unit()), 1 / from.shape);
      case "lognormal":
        return from.median * exp(from.sigma * this.normal());
      case "measured":
        return quantile(from.quantiles, this.unit());
    }
  }
}

function mix(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}

function quantile(sorted: readonly number[], p: number): number {
  const at = p * (sorted.length - 1);
  const below = Math.floor(at);
  const low = sorted[below] ?? 0;
  return low + (at - below) * ((sorted[below + 1] ?? low) - low);
}
