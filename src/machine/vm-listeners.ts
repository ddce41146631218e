/**
 * Whoever listens to a VM, and what they are told. A listener may ask for time by returning a promise: console text counts as
 * taken afterwards, and ledger entries wait in their rings meanwhile. Main thread.
 */
import type { LedgerEntry } from "./ledger-entry.ts";
import type { VmEvent, VmListener } from "./vm-control.ts";

export class VmListeners {
  readonly #listeners = new Set<VmListener>();
  readonly #fail: (error: Error) => void;
  /** Entries that listeners have not taken yet. */
  #slow = 0;

  /** @param fail told what a listener's promise was rejected with */
  constructor(fail: (error: Error) => void) {
    this.#fail = fail;
  }

  /** Calls `listener` for each event until the returned function is called. */
  add(listener: VmListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** @returns a promise when a listener asked for time */
  tell(event: VmEvent): Promise<unknown> | undefined {
    let slow: Promise<unknown>[] | undefined;
    for (const listener of this.#listeners) {
      const answer = listener(event);
      if (answer instanceof Promise) slow = [...(slow ?? []), answer];
    }
    return slow === undefined ? undefined : Promise.all(slow);
  }

  emit(event: VmEvent): void {
    this.tell(event)?.catch((error) => this.#fail(error));
  }

  tellEntry(entry: LedgerEntry): void {
    const slow = this.tell({ type: "entry", entry });
    if (slow === undefined) return;
    this.#slow += 1;
    slow
      .catch((error) => this.#fail(error))
      .finally(() => {
        this.#slow -= 1;
      });
  }

  /** While a listener is slow, entries stay in the trace rings: that costs records, which are counted, no memory. */
  get slow(): boolean {
    return this.#slow > 0;
  }
}
