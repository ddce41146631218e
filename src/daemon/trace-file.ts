/**
 * `demo --trace FILE`: the ledger's entries in MessagePack, one record after the other, in the order of the
 * timeline; msgpackr's `unpackMultiple` reads them.
 */
import { closeSync, openSync, writeFileSync } from "node:fs";
import { pack } from "msgpackr";
import { ZmendError } from "../base/errors.ts";
import type { LedgerEntry } from "../machine/ledger-entry.ts";

export class TraceFile {
  readonly #file: string;
  readonly #descriptor: number;

  /** @throws ZmendError USAGE when the file cannot be created */
  constructor(file: string) {
    this.#file = file;
    try {
      this.#descriptor = openSync(file, "w", 0o600);
    } catch (error) {
      throw new ZmendError(
        "USAGE",
        `Trace file ${file} cannot be created; name a file in a folder that exists and is writable.`,
        { file },
        { cause: error },
      );
    }
  }

  /** @throws ZmendError ENVIRONMENT when the file takes no more */
  write(entry: LedgerEntry): void {
    try {
      writeFileSync(this.#descriptor, pack(entry));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new ZmendError(
        "ENVIRONMENT",
        `Trace file ${this.#file} cannot be written (${code}); make room or name another file.`,
        { file: this.#file },
        { cause: error },
      );
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
