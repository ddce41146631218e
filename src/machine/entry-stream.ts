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

  /** To be called every few milliseconds: hands on what is old enough, when it is time or a ring fills. */
  look(nowUs: number): void {
    const early = nowUs - this.#drainedUs < CALM_US && nowUs >= this.#drainedUs;
    if (early && !this.#ledger.crowded()) return;
    this.#drainedUs = nowUs;
    this.pump(nowUs - HOLD_BACK_US);
  }

  /** Takes what stands in the trace rings, and hands on what is not younger than `untilUs`. */
  pump(untilUs: number): void {
    this.#held.push(...this.#ledger.drain());
    if (this.#held.length === 0) return;
    this.#held.sort((a, b) => a.timeUs - b.timeUs || a.seq - b.seq);
    const count = this.#held.findIndex((entry) => entry.timeUs > untilUs);
    const ready = count < 0 ? this.#held : this.#held.slice(0, count);
    this.#held = count < 0 ? [] : this.#held.slice(count);
    for (const entry of ready) this.#sink(entry);
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
