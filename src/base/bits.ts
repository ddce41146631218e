/** Rounds `value` up to a multiple of `unit`, a power of two. Both stay below 2^53. */
export function alignUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

export function isPowerOfTwo(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0 && value === 2 ** Math.round(Math.log2(value));
}

/** Array element that is known to exist: for hot reads where a bound was checked before. */
export function at(array: ArrayLike<number>, index: number): number {
  return array[index] as number;
}

/** True on hosts whose typed arrays read multi-byte numbers most significant byte first. */
export const hostIsBigEndian = new Uint8Array(new Uint32Array([1]).buffer)[3] === 1;

/** Reverses the four bytes of `word`; the result is a signed 32-bit number, like all lane values. */
export function swap32(word: number): number {
  // Two rotations, which the engine recognises: half the instructions of moving four bytes.
  return (
    (((word << 8) | (word >>> 24)) & 0x00ff00ff) | (((word << 24) | (word >>> 8)) & 0xff00ff00)
  );
}
