/**
 * One line of a run's ledger: what happened, when, to which function, who acted. Plain data with a fixed
 * key order; the same entries feed the timeline, `--trace` and the digest of deterministic runs.
 */
import { createHash } from "node:crypto";

export const actors = ["platform", "host", "recovery", "guest", "machine"] as const;
export type Actor = (typeof actors)[number];

export interface LedgerEntry {
  readonly seq: number;
  /** Microseconds since the VM was created. */
  readonly timeUs: number;
  readonly actor: Actor;
  /** Kebab-case name, e.g. `error-raised`; the list is in `src/machine/ledger.ts`. */
  readonly kind: string;
  /** The guest's function ID; absent for entries of the whole VM. */
  readonly fid?: number;
  /** Per-function number of the event that this entry belongs to. */
  readonly correlation?: number;
  /** Facts of the entry in a fixed order: numbers stay numbers. */
  readonly detail: Readonly<Record<string, number | string>>;
  /**
   * Instructions that the first vCPU had executed, as it last said (on threads: at most a slice ago). Not part of
   * the canonical line.
   */
  readonly instructions?: number;
  /** Of `ccdf-read`: the CCDF's 32 bytes in hex, as the host handed it out. Not part of the canonical line. */
  readonly ccdf?: string;
  /** Of `state`: which kind of its event it was, where there are several. Not part of the canonical line. */
  readonly choice?: string;
}

/** Canonical JSON of an entry: one line, keys in declaration order, times with three decimals at most. */
export function ledgerLine(entry: LedgerEntry): string {
  return JSON.stringify({
    seq: entry.seq,
    timeUs: Math.round(entry.timeUs * 1000) / 1000,
    actor: entry.actor,
    kind: entry.kind,
    ...(entry.fid === undefined ? {} : { fid: entry.fid }),
    ...(entry.correlation === undefined ? {} : { correlation: entry.correlation }),
    detail: entry.detail,
  });
}

/** SHA-256 over the canonical lines, each ended by a newline. */
export class LedgerDigest {
  readonly #hash = createHash("sha256");

  add(line: string): void {
    this.#hash.update(line);
    this.#hash.update("\n");
  }

  hex(): string {
    return this.#hash.copy().digest("hex");
  }
}
