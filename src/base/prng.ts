/**
 * xoroshiro128+ on 32-bit halves: seedable, the same numbers on every engine and byte order.
 * Source of the algorithm: Blackman and Vigna, "Scrambled linear pseudorandom number generators"
 * (rotations 24, 16, 37). Seeds are spread by splitmix64.
 */
export class Prng {
  #s0: bigint;
  #s1: bigint;

  constructor(seed: number | bigint) {
    let x = BigInt.asUintN(64, BigInt(seed));
    const next = (): bigint => {
      x = BigInt.asUintN(64, x + 0x9e3779b97f4a7c15n);
      let z = x;
      z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
      z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
      return z ^ (z >> 31n);
    };
    this.#s0 = next();
    this.#s1 = next();
  }

  /** 64 uniform bits. */
  u64(): bigint {
    const s0 = this.#s0;
    let s1 = this.#s1;
    const result = BigInt.asUintN(64, s0 + s1);
    s1 ^= s0;
    this.#s0 = rotl(s0, 24n) ^ s1 ^ BigInt.asUintN(64, s1 << 16n);
    this.#s1 = rotl(s1, 37n);
    return result;
  }

  /** 32 uniform bits, 0..0xffffffff. */
  u32(): number {
    return Number(this.u64() >> 32n);
  }

  /** Uniform integer in 0..bound-1; `bound` at most 2^32. */
  below(bound: number): number {
    return Math.floor((this.u32() / 0x1_0000_0000) * bound);
  }

  /** Uniform in [0, 1) with 53 bits. */
  unit(): number {
    return Number(this.u64() >> 11n) / 9007199254740992;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}

function rotl(value: bigint, count: bigint): bigint {
  return BigInt.asUintN(64, (value << count) | (value >> (64n - count)));
}
