/** What the data pages of a slot hold before its sequence runs. */
import type { Prng } from "../../src/base/prng.ts";
import { PAGE } from "./layout.ts";

/** Two pages of content: stretches of noise, of zeros, of ones, of numbers near the limits, of digits. */
export function randomData(rng: Prng): Uint8Array {
  const data = new Uint8Array(2 * PAGE);
  const words = new Uint32Array(data.buffer);
  let state = rng.u32() | 1;
  for (let block = 0; block < words.length; block += 16) {
    state = xorshift(state);
    const kind = state & 7;
    for (let n = 0; n < 16; n++) {
      state = xorshift(state);
      words[block + n] = dataWord(kind, state);
    }
  }
  return data;
}

function dataWord(kind: number, random: number): number {
  if (kind < 4) return random;
  if (kind === 4) return 0;
  if (kind === 5) return random & 0x80 ? 0xffffffff : 0;
  // Little-endian here: 0x80 as the first byte in storage makes the largest negative number.
  if (kind === 6) return random & 0x100 ? 0x00000080 : 0xffffff7f;
  return (random & 0x07070707) + 0x00010001;
}

function xorshift(state: number): number {
  let x = state;
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  return x >>> 0;
}
