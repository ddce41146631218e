/** Splits the guest's console bytes (ASCII, VT220 event) into lines, wherever the writes were cut. */
export class ConsoleLines {
  #rest = "";
  readonly #decoder = new TextDecoder("latin1");
  readonly #sink: (line: string, timeUs: number) => void;
  #timeUs = 0;

  constructor(sink: (line: string, timeUs: number) => void) {
    this.#sink = sink;
  }

  /** @param timeUs when the guest wrote `bytes`; a line has the time of its last piece */
  push(bytes: Uint8Array, timeUs: number): void {
    this.#timeUs = timeUs;
    const text = this.#rest + this.#decoder.decode(bytes).replaceAll("\r", "");
    const lines = text.split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#sink(printable(line), timeUs);
    // A guest that never ends its line must not grow our memory without bound.
    if (this.#rest.length > LINE_MAX) {
      this.#sink(printable(this.#rest), timeUs);
      this.#rest = "";
    }
  }

  /** Hands out an unfinished last line. */
  end(): void {
    if (this.#rest !== "") this.#sink(printable(this.#rest), this.#timeUs);
    this.#rest = "";
  }
}

const LINE_MAX = 4096;

/** Control characters of a hostile guest must not reach the operator's terminal. */
function printable(line: string): string {
  return line.replace(/[^\x20-\x7e]/g, "?");
}
