/** `-d` and `-D`: what a run writes to its log. */
import { closeSync, openSync, writeSync } from "node:fs";
import { ZmendError } from "../base/errors.ts";
import { booksBalance } from "../machine/books.ts";
import { ledgerLine } from "../machine/ledger-entry.ts";
import type { VmControl, VmEvent } from "../machine/vm-control.ts";
import type { SystemSettings } from "./qemu-settings.ts";

export class RunLog {
  readonly #items: SystemSettings["log"]["items"];
  readonly #fd: number;

  /** @throws ZmendError ENVIRONMENT when the file cannot be written */
  constructor({ items, file }: SystemSettings["log"]) {
    this.#items = items;
    this.#fd = file === undefined ? 2 : openLog(file);
  }

  event(event: VmEvent): void {
    if (event.type !== "entry") return;
    const { entry } = event;
    if (this.#items.has("events")) this.#write(`${ledgerLine(entry)}\n`);
    if (this.#items.has("unimp") && entry.kind === "not-implemented") {
      const { instruction, address } = entry.detail;
      this.#write(`instruction ${instruction} at ${address} is not implemented\n`);
    }
  }

  /** At the end of the run. */
  end(control: VmControl | undefined): void {
    if (this.#items.has("stats") && control !== undefined) this.#write(statistics(control));
    if (this.#fd !== 2) closeSync(this.#fd);
  }

  #write(text: string): void {
    try {
      writeSync(this.#fd, text);
    } catch {
      // A log that cannot be written any more (disk full, reader gone) does not end the guest.
    }
  }
}

function openLog(file: string): number {
  try {
    return openSync(file, "a", 0o600);
  } catch (error) {
    throw new ZmendError(
      "ENVIRONMENT",
      `Log file ${file} cannot be opened (${(error as NodeJS.ErrnoException).code}); name one that you may write to.`,
      { file },
      { cause: error },
    );
  }
}

function statistics(control: VmControl): string {
  const instructions = control.instructions();
  const seconds = control.timeUs() / 1e6;
  const rate = seconds > 0 ? instructions / seconds / 1e6 : 0;
  const lines = [
    `instructions ${instructions}`,
    `seconds ${seconds.toFixed(3)}`,
    `million instructions per second ${rate.toFixed(1)}`,
    ...control
      .functions()
      .map(
        ({ id, state, books }) =>
          `function ${id} ${state} raised ${books.errorsRaised} recoveries ${books.recoveries} unaccounted ${booksBalance(books)}`,
      ),
  ];
  return `${lines.join("\n")}\n`;
}
