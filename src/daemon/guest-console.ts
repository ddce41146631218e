/**
 * The terminal as the guest's console: standard input to the guest, with the terminal in raw mode while it
 * runs. Input that the guest has no room for waits here, and no more is read meanwhile.
 */
import { ConsoleKeys, KEY_HELP } from "./console-keys.ts";

const CTRL_C = 0x03;
const WAITING_MAX = 4096;
/** How often a guest that had no room is asked again. */
const RETRY_MS = 10;

export interface ConsoleOptions {
  /** Ctrl-A is an escape, and Ctrl-C goes to the guest. */
  readonly escapes: boolean;
  /** Ctrl-A x, or Ctrl-C where it does not go to the guest. */
  readonly onExit: () => void;
  /** Types on the guest's console; says how many bytes it had room for. */
  readonly push: (bytes: Uint8Array) => number;
}

export class GuestConsole {
  readonly #stream: NodeJS.ReadStream;
  readonly #options: ConsoleOptions;
  readonly #keys = new ConsoleKeys();
  readonly #waiting: number[] = [];
  #retry: NodeJS.Timeout | undefined;
  readonly #listener = (chunk: Uint8Array): void => this.#typed(chunk);

  constructor(stream: NodeJS.ReadStream, options: ConsoleOptions) {
    this.#stream = stream;
    this.#options = options;
    if (stream.isTTY) stream.setRawMode(true);
    // A terminal or pipe that fails is one that says nothing more.
    stream.on("error", () => stream.pause());
    stream.on("data", this.#listener);
  }

  /** Hands typed bytes on, as far as the guest has room. */
  #deliver(): void {
    this.#retry = undefined;
    this.#waiting.splice(0, this.#options.push(Uint8Array.from(this.#waiting)));
    if (this.#waiting.length < WAITING_MAX) this.#stream.resume();
    if (this.#waiting.length > 0) this.#retry = setTimeout(() => this.#deliver(), RETRY_MS);
  }

  /** Gives the terminal back as it was. */
  close(): void {
    clearTimeout(this.#retry);
    this.#stream.off("data", this.#listener);
    if (this.#stream.isTTY) this.#stream.setRawMode(false);
    // A pipe that nobody closes must not keep the process.
    this.#stream.destroy();
  }

  #typed(chunk: Uint8Array): void {
    if (!this.#options.escapes) {
      if (this.#stream.isTTY && chunk.includes(CTRL_C)) this.#options.onExit();
      this.#hold(chunk);
      return;
    }
    const { input, actions } = this.#keys.feed(chunk);
    this.#hold(input);
    if (actions.includes("help")) process.stderr.write(`\r\n${KEY_HELP}`);
    if (actions.includes("exit")) this.#options.onExit();
  }

  #hold(bytes: Uint8Array): void {
    for (const byte of bytes) this.#waiting.push(byte);
    if (this.#waiting.length >= WAITING_MAX) this.#stream.pause();
    if (this.#waiting.length > 0 && this.#retry === undefined) this.#deliver();
  }
}
