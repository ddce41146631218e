/**
 * The end of a function's DMA: who takes a translation, a registration or the whole function away waits until the
 * platform's thread is not inside an access to guest storage that began with it.
 *
 * One word, `dmaEpoch`, says both that an access is under way (bit 0, platform only) and how often translations became
 * void (the bits above, counted up by whoever takes some away). So one atomic operation of each side decides who came
 * first: an access that begins after the count sees it and forgets what it remembered; one that began before is seen.
 * For what stands in other words (the function's state) both sides follow Dekker: the platform marks the access and then
 * loads the word; the other changes the word and then loads the mark.
 */
import { add, and, load, or, wait } from "./atomics.ts";
import { FunctionBlock } from "./blocks.ts";

const ACTIVE = 1;
const ONE_EPOCH = 2;

/** Looks at the mark before the caller sleeps between looks: longer than a page copy takes. */
const QUIET_LOOKS = 2000;
/** Then it sleeps: the platform's thread lost its processor inside the copy, and a busy host gives it back late. */
const QUIET_SLEEPS_MAX = 1000;
const QUIET_SLEEP_MS = 1;

/** Platform: an access begins. @param base word index of the function's block @returns the epoch it belongs to */
export function beginAccess(words: Int32Array, base: number): number {
  return or(words, base + FunctionBlock.dmaEpoch, ACTIVE) & ~ACTIVE;
}

/** Platform: its access has ended. */
export function endAccess(words: Int32Array, base: number): void {
  and(words, base + FunctionBlock.dmaEpoch, ~ACTIVE);
}

/** The present epoch: equal ones mean that nothing became void in between. */
export function dmaEpoch(words: Int32Array, base: number): number {
  return load(words, base + FunctionBlock.dmaEpoch) & ~ACTIVE;
}

/** Any thread: all remembered translations are void. @returns true if no access that began before is under way */
export function voidTranslations(words: Int32Array, base: number): boolean {
  return (add(words, base + FunctionBlock.dmaEpoch, ONE_EPOCH) & ACTIVE) === 0;
}

/**
 * Any thread but the platform's. At most one page copy long, unless the platform's thread is kept from running.
 * @returns false if the access did not end within the limit of a second
 */
export function waitForDma(words: Int32Array, base: number): boolean {
  const word = base + FunctionBlock.dmaEpoch;
  for (let looks = 0; looks < QUIET_LOOKS; looks++) {
    if ((load(words, word) & ACTIVE) === 0) return true;
  }
  for (let sleeps = 0; sleeps < QUIET_SLEEPS_MAX; sleeps++) {
    const seen = load(words, word);
    if ((seen & ACTIVE) === 0) return true;
    wait(words, word, seen, QUIET_SLEEP_MS);
  }
  return (load(words, word) & ACTIVE) === 0;
}
