/**
 * A recovery's turning points, read from a real machine's ledger entries: what the model guest says by `Mark`. That the
 * driver's I/O runs again is seen at the function itself, which works for any guest.
 */
import type { LedgerEntry } from "../../machine/ledger-entry.ts";

export interface RecoveryListener {
  /** The worker has read the error's CCDF. */
  noticed(index: number, atUs: number): void;
  /** CHSC handed an error event out. */
  fetched(index: number, atUs: number): void;
  resetAsked(index: number, atUs: number): void;
  resetGranted(index: number, atUs: number): void;
  /** First good load after that. */
  proved(index: number, atUs: number): void;
  /** The recovery machine is in another state. */
  changed(index: number, state: string, atUs: number): void;
}

const GRANTED = "0x0010";

export class RecoveryWatch {
  readonly #listener: RecoveryListener;
  readonly #index: ReadonlyMap<number, number>;
  readonly #asked: Uint8Array;

  /** @param fids by function index */
  constructor(fids: readonly number[], listener: RecoveryListener) {
    this.#listener = listener;
    this.#index = new Map(fids.map((fid, index) => [fid, index]));
    this.#asked = new Uint8Array(fids.length);
  }

  add({ kind, fid, detail, timeUs }: LedgerEntry): void {
    const index = fid === undefined ? undefined : this.#index.get(fid);
    if (index === undefined) return;
    const listener = this.#listener;
    switch (kind) {
      case "ccdf-read":
        return listener.noticed(index, timeUs);
      case "fetched":
        this.#asked[index] = 0;
        return listener.fetched(index, timeUs);
      case "clp-set":
        if (detail["operation"] !== "disable") return;
        this.#ask(index, timeUs);
        if (detail["response"] === GRANTED) listener.resetGranted(index, timeUs);
        return;
      case "mpcifc":
        if (detail["operation"] === "reset-block") this.#ask(index, timeUs);
        else if (detail["operation"] === "reset-error" && detail["cc"] === 0) {
          listener.resetGranted(index, timeUs);
        }
        return;
      case "first-good-load":
        return listener.proved(index, timeUs);
      case "state":
        return listener.changed(index, String(detail["to"]), timeUs);
      default:
    }
  }

  #ask(index: number, timeUs: number): void {
    if (this.#asked[index] === 1) return;
    this.#asked[index] = 1;
    this.#listener.resetAsked(index, timeUs);
  }
}
