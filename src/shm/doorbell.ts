/**
 * Hot file: no allocation in `ring` and `take`.
 *
 * A doorbell wakes one sleeping thread and tells it what to look at: a summary word of work bits and a
 * `sleeping` word. The consumer stores sleeping = 1, looks at everything again, then waits on `sleeping`
 * with the value 1. The producer publishes its work, sets its summary bit, then exchanges `sleeping`
 * with 0 and notifies if it was 1. Either the consumer's second look sees the work, or the producer's
 * exchange sees 1: no wake-up is lost (SPIN: test/model). The consumer exchanges the summary to 0
 * *before* it drains, so work that arrives meanwhile sets the bit again.
 *
 * What the work bits announce must have been published by an atomic store or read-modify-write: `ring`
 * may find its bits still set and then leaves the summary alone. A wait that ends early (a notify meant for
 * an earlier sleep, a timeout) is harmless: the owner looks and sleeps again. An owner that dies takes
 * along the bits it had taken: its successor treats all work as possible once. A ringer that dies between
 * the exchange and the notify costs the owner the rest of its timeout, so sleeps of an owner whose ringers can
 * die have one. A thread that answers several bells (recovery workers that are shared) has one sleeping word for all,
 * and looks at every summary after it has stored 1 there: the argument is the same for each of them. A vCPU's enabled
 * wait is a Doorbell over `VcpuHeader.sleeping` and `VcpuHeader.pending`.
 */
import { exchange, load, notify, or, store, wait } from "./atomics.ts";

export class Doorbell {
  readonly #words: Int32Array;
  readonly #sleepers: Int32Array;
  readonly #sleeping: number;
  readonly #summary: number;

  /**
   * @param sleeping @param summary word indices
   * @param sleepers where the sleeping word stands: elsewhere when one thread answers several bells
   */
  constructor(words: Int32Array, sleeping: number, summary: number, sleepers = words) {
    this.#words = words;
    this.#sleepers = sleepers;
    this.#sleeping = sleeping;
    this.#summary = summary;
  }

  /** Any thread, after publishing: sets the work bits and wakes the owner if it sleeps. */
  ring(bits: number): void {
    if ((load(this.#words, this.#summary) & bits) !== bits) or(this.#words, this.#summary, bits);
    wake(this.#sleepers, this.#sleeping);
  }

  /** Owner: takes all work bits. */
  take(): number {
    return exchange(this.#words, this.#summary, 0);
  }

  /** Owner: whether there are work bits to take. */
  rung(): boolean {
    return load(this.#words, this.#summary) !== 0;
  }

  /**
   * Owner: sleeps until rung or `timeoutMs` passed; returns at once when work bits are set or `timeoutMs` is
   * no positive number. Credits owed to a producer must be flushed first.
   */
  sleep(timeoutMs: number): void {
    sleepUnless(this, this.#sleepers, this.#sleeping, timeoutMs);
  }
}

/** Any thread, after publishing: wakes the thread that sleeps by this word. */
export function wake(sleepers: Int32Array, sleeping: number): void {
  if (exchange(sleepers, sleeping, 0) === 1) notify(sleepers, sleeping);
}

/**
 * Owner of several bells with one sleeping word: sleeps until one is rung or `timeoutMs` passed.
 * @param work whether there is any at one of them; asked after the sleeping word was stored
 */
export function sleepUnless(
  work: { rung(): boolean },
  sleepers: Int32Array,
  sleeping: number,
  timeoutMs: number,
): void {
  if (!(timeoutMs > 0)) return;
  store(sleepers, sleeping, 1);
  if (!work.rung()) wait(sleepers, sleeping, 1, timeoutMs);
  store(sleepers, sleeping, 0);
}
