/**
 * xoroshiro128+ on 32-bit halves: seedable, the same numbers on every engine and byte order.
 * Source of the algorithm: Blackman and Vigna, "Scrambled linear pseudorandom number generators"
 * (rotations 24, 16, 37). Seeds are spread by splitmix64.
 * Hot: a draw is some twenty integer operations and allocates nothing; only `u64` makes a BigInt.
 */
export class Prng {
  #s0High: number;
  #s0Low: number;
  #s1High: number;
  #s1Low: number;
  /** The last draw. */
  #high = 0;
  #low = 0;

  constructor(seed: number | bigint) {
    let x = BigInt.asUintN(64, BigInt(seed));
    const next = (): bigint => {
      x = BigInt.asUintN(64, x + 0x9e3779b97f4a7c15n);
      let z = x;
      z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
      z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
      return z ^ (z >> 31n);
    };
    const s0 = next();
    const s1 = next();
    this.#s0High = Number(s0 >> 32n) | 0;
    this.#s0Low = Number(s0 & 0xffff_ffffn) | 0;
    this.#s1High = Number(s1 >> 32n) | 0;
    this.#s1Low = Number(s1 & 0xffff_ffffn) | 0;
  }

  /** Where the generator stands, for `load`. */
  save(): readonly number[] {
    return [this.#s0High, this.#s0Low, this.#s1High, this.#s1Low];
  }

  load([s0High = 0, s0Low = 0, s1High = 0, s1Low = 0]: readonly number[]): void {
    this.#s0High = s0High;
    this.#s0Low = s0Low;
    this.#s1High = s1High;
    this.#s1Low = s1Low;
  }

  #draw(): void {
    const s0High = this.#s0High;
    const s0Low = this.#s0Low;
    const low = (s0Low >>> 0) + (this.#s1Low >>> 0);
    this.#low = low | 0;
    this.#high = (s0High + this.#s1High + (low > 0xffff_ffff ? 1 : 0)) | 0;
    const s1High = this.#s1High ^ s0High;
    const s1Low = this.#s1Low ^ s0Low;
    // s0 = rotl(s0, 24) ^ s1 ^ (s1 << 16); s1 = rotl(s1, 37), which is a swap of the halves and 5 more.
    this.#s0High = ((s0High << 24) | (s0Low >>> 8)) ^ s1High ^ ((s1High << 16) | (s1Low >>> 16));
    this.#s0Low = ((s0Low << 24) | (s0High >>> 8)) ^ s1Low ^ (s1Low << 16);
    this.#s1High = (s1Low << 5) | (s1High >>> 27);
    this.#s1Low = (s1High << 5) | (s1Low >>> 27);
  }

  /** 64 uniform bits. */
  u64(): bigint {
    this.#draw();
    return (BigInt(this.#high >>> 0) << 32n) | BigInt(this.#low >>> 0);
  }

  /** 32 uniform bits, 0..0xffffffff. */
  u32(): number {
    this.#draw();
    return this.#high >>> 0;
  }

  /** Uniform integer in 0..bound-1; `bound` at most 2^32. */
  below(bound: number): number {
    return Math.floor((this.u32() / 0x1_0000_0000) * bound);
  }

  /** Uniform in [0, 1) with 53 bits. */
  unit(): number {
    this.#draw();
    return ((this.#high >>> 0) * 0x20_0000 + (this.#low >>> 11)) / 9007199254740992;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}
