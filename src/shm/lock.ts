/**
 * Lock for what several vCPUs share: 0 free, 1 held, 2 held and somebody may sleep. The holder that sees
 * 2 at release wakes one sleeper; a sleeper takes the lock as 2, because others may sleep behind it. The
 * sleep has a time limit, so a thread that died before its notify costs delay only. Holders are vCPUs: one
 * that dies holding the lock has ended its VM anyway.
 */
import { compareExchange, exchange, notify, wait } from "./atomics.ts";

const SPINS = 200;
const SLEEP_MS = 10;

export class Lock {
  readonly #words: Int32Array;
  readonly #word: number;

  constructor(words: Int32Array, word: number) {
    this.#words = words;
    this.#word = word;
  }

  acquire(): void {
    for (let n = 0; n < SPINS; n++) {
      if (compareExchange(this.#words, this.#word, 0, 1) === 0) return;
    }
    while (exchange(this.#words, this.#word, 2) !== 0) {
      wait(this.#words, this.#word, 2, SLEEP_MS);
    }
  }

  release(): void {
    if (exchange(this.#words, this.#word, 0) === 2) notify(this.#words, this.#word);
  }
}
