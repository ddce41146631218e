/**
 * Newline-delimited JSON with bounds: what the daemon and its clients say to each other. A peer that sends a line
 * too long, too deep or not UTF-8 is told so and left; it costs no more memory than one line.
 */
import { ZmendError } from "../../base/errors.ts";

/** A request is a command and a few words; answers may be long (a status of many functions). */
export const REQUEST_MAX_BYTES = 64 * 1024;
export const ANSWER_MAX_BYTES = 16 * 1024 * 1024;
/** Deeper nesting than any message of ours. */
export const DEPTH_MAX = 16;

const NEWLINE = 0x0a;

/** Cuts a byte stream into lines of JSON. */
export class JsonLines {
  readonly #maxBytes: number;
  readonly #onValue: (value: unknown) => void;
  #parts: Uint8Array[] = [];
  #bytes = 0;

  constructor(maxBytes: number, onValue: (value: unknown) => void) {
    this.#maxBytes = maxBytes;
    this.#onValue = onValue;
  }

  /** @throws ZmendError USAGE: the stream cannot go on after that */
  push(chunk: Uint8Array): void {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, start);
      const part = chunk.subarray(start, end < 0 ? chunk.length : end);
      this.#bytes += part.length;
      if (this.#bytes > this.#maxBytes) {
        throw new ZmendError(
          "USAGE",
          `A line may have ${this.#maxBytes} bytes; this one is longer.`,
        );
      }
      if (part.length > 0) this.#parts.push(part);
      if (end < 0) return;
      start = end + 1;
      const line = this.#parts.length === 1 ? part : Buffer.concat(this.#parts);
      this.#parts = [];
      this.#bytes = 0;
      const text = decodeLine(line);
      if (text.trim() !== "") this.#onValue(parseLine(text));
    }
  }
}

function decodeLine(line: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(line);
  } catch (error) {
    throw new ZmendError(
      "USAGE",
      "The line is not UTF-8; send JSON in UTF-8.",
      {},
      { cause: error },
    );
  }
}

/** @throws ZmendError USAGE for text that is no JSON or nested too deep */
export function parseLine(text: string): unknown {
  let depth = 0;
  let quoted = false;
  for (let index = 0; index < text.length; index++) {
    const letter = text[index];
    if (quoted) {
      if (letter === "\\") index++;
      else if (letter === '"') quoted = false;
    } else if (letter === '"') quoted = true;
    else if (letter === "{" || letter === "[") {
      if (++depth > DEPTH_MAX) {
        throw new ZmendError("USAGE", `The line nests deeper than ${DEPTH_MAX} levels.`);
      }
    } else if (letter === "}" || letter === "]") depth--;
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ZmendError(
      "USAGE",
      "The line is no JSON; send one object per line.",
      {},
      {
        cause: error,
      },
    );
  }
}
