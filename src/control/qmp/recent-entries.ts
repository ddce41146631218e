/** The last lines of the ledger, for x-zmend-trace: bounded, oldest first, and an honest count of what is gone. */
import type { LedgerEntry } from "../../machine/ledger-entry.ts";

const RECENT_ENTRIES_MAX = 4096;

export class RecentEntries {
  readonly #entries: LedgerEntry[] = [];
  #next = 0;

  add(entry: LedgerEntry): void {
    this.#entries[this.#next % RECENT_ENTRIES_MAX] = entry;
    this.#next += 1;
  }

  /** Number of the next entry: the count of those seen so far. */
  get next(): number {
    return this.#next;
  }

  /** Entries from number `from` on that are still there. */
  since(from: number): LedgerEntry[] {
    const first = Math.max(from, this.#next - RECENT_ENTRIES_MAX, 0);
    const found: LedgerEntry[] = [];
    for (let number = first; number < this.#next; number++) {
      const entry = this.#entries[number % RECENT_ENTRIES_MAX];
      if (entry !== undefined) found.push(entry);
    }
    return found;
  }
}
