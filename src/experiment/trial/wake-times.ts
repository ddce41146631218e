/**
 * Hot file. When each recovery machine of a trial is stepped next. One is not woken for its slow drain while nothing is in
 * the host's queue: that drain reads nothing. Its phase is kept, so that an event whose signal was lost is found when it
 * would have been. Times are whole microseconds.
 */
import type { Policy } from "../../recovery/policy.ts";
// Not through its index: a worker would load the parsers of policy files too.
import type { RecoveryUnit } from "../../recovery/unit.ts";
import { State } from "../../recovery/vocabulary.ts";
import { deadlineOf, setSlowDrain } from "../../recovery/words.ts";
import type { HostModel } from "./host-model.ts";

const NEVER = Number.POSITIVE_INFINITY;

/** States in which a machine waits for nobody: only an event, a command or the guest brings it on. */
const quiet = new Uint8Array(16);
for (const state of [State.operational, State.quarantined, State.failed, State.detached]) {
  quiet[state] = 1;
}

export class WakeTimes {
  /** By function: the machine's next step; Infinity: when it is rung for. */
  readonly due: Float64Array;
  /** Next slow drain of a machine that was left to sleep. */
  readonly #slow: Float64Array;
  /** 1 = it waits for the guest, and slow drains are left out until something else happens. */
  readonly #waits: Uint8Array;
  readonly #words: Int32Array;
  readonly #blocks: readonly number[];
  readonly #policy: Policy;

  /** @param blocks word index of each function's block */
  constructor(words: Int32Array, blocks: readonly number[], policy: Policy) {
    this.due = new Float64Array(blocks.length);
    this.#slow = new Float64Array(blocks.length);
    this.#waits = new Uint8Array(blocks.length);
    this.#words = words;
    this.#blocks = blocks;
    this.#policy = policy;
  }

  /** The machines are new. */
  clear(): void {
    this.due.fill(NEVER);
    this.#slow.fill(NEVER);
    this.#waits.fill(0);
  }

  /** Before a step: slow drains that were left out have gone by, and the next one comes when it would have come. */
  before(index: number, nowUs: number): void {
    if (this.#waits[index] === 0) return;
    setSlowDrain(this.#words, this.#blocks[index] as number, this.#slowDrainFrom(index, nowUs));
  }

  /** After a step that wants to be called again at `wake`. */
  after(index: number, unit: RecoveryUnit, host: HostModel, wake: number, nowUs: number): void {
    this.#slow[index] = wake;
    this.#waits[index] = 0;
    if (host.busy) this.due[index] = this.deadlineUs(index);
    else if (host.pending) this.due[index] = wake;
    else if (quiet[unit.state] === 1) this.due[index] = NEVER;
    else this.#wait(index, unit, wake, nowUs);
  }

  /** Nothing is in the host's queue: up to what else is due, slow drains read nothing. */
  #wait(index: number, unit: RecoveryUnit, wake: number, nowUs: number): void {
    const due = unit.dueUs();
    this.due[index] = due;
    if (wake < due && wake > nowUs) this.#waits[index] = 1;
    else this.due[index] = wake;
  }

  /** An event is in the queue and its ERR signal was lost: the slow drain finds it at its next time. */
  unsignalled(index: number, nowUs: number): void {
    if (this.#slow[index] === NEVER) return;
    if (this.due[index] !== NEVER && this.#waits[index] === 0) return;
    this.due[index] = Math.min(this.due[index] as number, this.#slowDrainFrom(index, nowUs));
  }

  /** The first slow drain at `nowUs` or later of a machine that was left to sleep. */
  #slowDrainFrom(index: number, nowUs: number): number {
    const first = this.#slow[index] as number;
    const every = this.#policy.slowDrainUs;
    return first + (first > nowUs ? 0 : Math.ceil((nowUs - first) / every)) * every;
  }

  /**
   * The state's deadline. A machine whose host is at work asks it every `pollMs`; the answer is "not yet" until the host
   * rings, so only the deadline can come first.
   */
  deadlineUs(index: number): number {
    return deadlineOf(this.#words, this.#blocks[index] as number);
  }
}
