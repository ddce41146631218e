/**
 * The folder that a run writes: one run at a time, no file of another run written over. `run.lock` holds the process
 * that writes; a dead one's lock is taken over.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ZmendError } from "../../base/errors.ts";
import { makeFolders } from "../../base/make-folder.ts";

export const LEDGER_FILE = "ledger.jsonl";
export const PARQUET_FILE = "results.parquet";
export const SUMMARY_FILE = "summary.json";
export const HTML_FILE = "report.html";
export const MARKDOWN_FILE = "report.md";
const LOCK_FILE = "run.lock";

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

export class OutputFolder {
  readonly path: string;
  readonly #lock: string;

  private constructor(path: string) {
    this.path = path;
    this.#lock = join(path, LOCK_FILE);
  }

  /**
   * @param resume go on with a ledger that is there; where none is yet, a run that is tried again begins
   * @throws ZmendError USAGE: another run is writing here, or has written and is not to be resumed
   */
  static take(path: string, resume: boolean): OutputFolder {
    const folder = new OutputFolder(path);
    try {
      makeFolders(path);
    } catch (error) {
      throw new ZmendError(
        "ENVIRONMENT",
        `Folder ${path} cannot be made; name a place you can write to with --out.`,
        { path },
        { cause: error },
      );
    }
    folder.#acquire();
    if (folder.hasLedger && !resume) {
      folder.release();
      throw new ZmendError(
        "USAGE",
        `${path} has a ledger already; go on with it with --resume, or choose another --out.`,
        { path },
      );
    }
    return folder;
  }

  #acquire(): void {
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        writeFileSync(this.#lock, `${process.pid}\n`, { flag: "wx" });
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const owner = Number(readFileSync(this.#lock, "utf8"));
      if (owner > 0 && alive(owner)) {
        throw new ZmendError(
          "USAGE",
          `${this.path} is being written by process ${owner}; wait for it, or choose another --out.`,
          { path: this.path, owner },
        );
      }
      rmSync(this.#lock, { force: true });
    }
  }

  get hasLedger(): boolean {
    return existsSync(this.file(LEDGER_FILE));
  }

  file(name: string): string {
    return join(this.path, name);
  }

  release(): void {
    rmSync(this.#lock, { force: true });
  }
}
