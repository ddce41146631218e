/**
 * The end of a function's DMA: who takes a translation, a registration or the whole function away waits until the
 * platform's thread is not inside an access to guest storage that began with it. Both sides follow Dekker: the
 * platform stores `dmaActive` and then loads what the access needs; the other stores what it takes away and then
 * loads `dmaActive`. Any thread but the platform's.
 */
import { load, wait } from "./atomics.ts";
import { FunctionBlock } from "./blocks.ts";

/** Looks at `dmaActive` before the caller sleeps between looks: longer than a page copy takes. */
const QUIET_LOOKS = 2000;
/** Then it sleeps: the platform's thread lost its processor inside the copy, and a busy host gives it back late. */
const QUIET_SLEEPS_MAX = 1000;
const QUIET_SLEEP_MS = 1;

/**
 * At most one page copy long, unless the platform's thread is kept from running.
 * @param base word index of the function's block
 * @returns false if the access did not end within the limit of a second
 */
export function waitForDma(words: Int32Array, base: number): boolean {
  for (let looks = 0; looks < QUIET_LOOKS; looks++) {
    if (load(words, base + FunctionBlock.dmaActive) === 0) return true;
  }
  for (let sleeps = 0; sleeps < QUIET_SLEEPS_MAX; sleeps++) {
    wait(words, base + FunctionBlock.dmaActive, 1, QUIET_SLEEP_MS);
    if (load(words, base + FunctionBlock.dmaActive) === 0) return true;
  }
  return false;
}
