/**
 * The ledger's entries as a stream in order of time: what threads trace and what the main thread notes, held back for a
 * while, so that a slower thread's earlier entry still finds its place.
 */
import type { VmMemory } from "../shm/vm-memory.ts";
import { Ledger } from "./ledger.ts";
import type { Actor, LedgerEntry } from "./ledger-entry.ts";
import type { RecentRecords } from "./recent-records.ts";

/** Entries are told this late. */
const HOLD_BACK_US = 40_000;
/** In quiet times rings are not drained sooner than this again: many records at once cost less than each by itself. */
const CALM_US = 35_000;

export class EntryStream {
  readonly #ledger: Ledger;
  readonly #sink: (entry: LedgerEntry) => void;
  #held: LedgerEntry[] = [];
  /** Of `#held`, those before `#told` have been told; those before `#ready` are in order and old enough. */
  #told = 0;
  #ready = 0;
  #drainedUs = 0;

  /** @param recent what is to keep the last entries; those that are held back are among them */
  constructor(vm: VmMemory, sink: (entry: LedgerEntry) => void, recent?: RecentRecords) {
    this.#ledger = new Ledger(vm, recent);
    this.#sink = sink;
  }

  /** An entry that comes from the main thread itself, e.g. a console line. */
  note(timeUs: number, actor: Actor, kind: string, detail: LedgerEntry["detail"]): void {
    this.#held.push(this.#ledger.note(timeUs, actor, kind, detail));
  }

  /**
   * To be called every few milliseconds: takes what stands in the rings, when it is time or one fills, and hands on what is old
   * enough while `hasTime` says so.
   *
   * @returns false when some of it is left: to be called again soon, and takes nothing new until that is told
   */
  look(nowUs: number, hasTime: () => boolean = () => true): boolean {
    if (this.#told === this.#ready) {
      const early = nowUs - this.#drainedUs < CALM_US && nowUs >= this.#drainedUs;
      if (early && !this.#ledger.crowded()) return true;
      this.#drainedUs = nowUs;
      this.#take(nowUs - HOLD_BACK_US);
    }
    return this.#tell(hasTime);
  }

  /** Takes what stands in the trace rings, and hands on what is not younger than `untilUs`. */
  pump(untilUs: number): void {
    this.#take(untilUs);
    this.#tell(() => true);
  }

  #take(untilUs: number): void {
    const held = [...this.#held.slice(this.#told), ...this.#ledger.drain()];
    held.sort((a, b) => a.timeUs - b.timeUs || a.seq - b.seq);
    const count = held.findIndex((entry) => entry.timeUs > untilUs);
    this.#held = held;
    this.#told = 0;
    this.#ready = count < 0 ? held.length : count;
  }

  /** @returns false when the time was up before everything that is ready was told */
  #tell(hasTime: () => boolean): boolean {
    while (this.#told < this.#ready) {
      const entry = this.#held[this.#told] as LedgerEntry;
      this.#told += 1;
      this.#sink(entry);
      if (!hasTime()) break;
    }
    return this.#told === this.#ready;
  }

  /** The rings are those of a restored machine now: what comes from them is told from here on. */
  resync(): void {
    this.#ledger.resync();
  }

  /** Trace records that threads had to give up because their ring was full. */
  lost(): number {
    return this.#ledger.lost();
  }
}
