/**
 * The terminal as the guest's console, and as its monitor after Ctrl-A c: standard input to the one that has it, with
 * the terminal in raw mode while it runs.
 */
import { ConsoleKeys, keyHelp } from "./console-keys.ts";
import { TypedInput } from "./typed-input.ts";

const CTRL_C = 0x03;

export interface ConsoleOptions {
  /** Ctrl-A is an escape, and Ctrl-C goes to the guest. */
  readonly escapes: boolean;
  /** Ctrl-A x, or Ctrl-C where it does not go to the guest. */
  readonly onExit: () => void;
  /** What that does, for Ctrl-A h. */
  readonly exitHelp?: string;
  /** Types on the guest's console; says how many bytes it had room for. */
  readonly push: (bytes: Uint8Array) => number;
  /** Opens the monitor that Ctrl-A c changes to, and returns where it takes input; called once. */
  readonly monitor?: () => (bytes: Uint8Array) => void;
}

export class GuestConsole {
  readonly #stream: NodeJS.ReadStream;
  readonly #options: ConsoleOptions;
  readonly #keys = new ConsoleKeys();
  readonly #input: TypedInput;
  #monitor: ((bytes: Uint8Array) => void) | undefined;
  #atMonitor = false;
  readonly #listener = (chunk: Uint8Array): void => this.#typed(chunk);

  constructor(stream: NodeJS.ReadStream, options: ConsoleOptions) {
    this.#stream = stream;
    this.#options = options;
    this.#input = new TypedInput(stream, options.push);
    if (stream.isTTY) stream.setRawMode(true);
    // A terminal or pipe that fails is one that says nothing more.
    stream.on("error", () => stream.pause());
    stream.on("data", this.#listener);
  }

  /** Gives the terminal back as it was. */
  close(): void {
    this.#input.close();
    this.#stream.off("data", this.#listener);
    if (this.#stream.isTTY) this.#stream.setRawMode(false);
    // A pipe that nobody closes must not keep the process.
    this.#stream.destroy();
  }

  #typed(chunk: Uint8Array): void {
    if (!this.#options.escapes) {
      if (this.#stream.isTTY && chunk.includes(CTRL_C)) this.#options.onExit();
      this.#input.hold(chunk);
      return;
    }
    for (const piece of this.#keys.feed(chunk)) {
      if ("input" in piece) this.#give(piece.input);
      else if (piece.action === "help") this.#help();
      else if (piece.action === "switch") this.#switch();
      else this.#options.onExit();
    }
  }

  #help(): void {
    const { exitHelp = "end the guest and this program", monitor } = this.#options;
    process.stderr.write(`\r\n${keyHelp(exitHelp, monitor !== undefined)}`);
  }

  #give(bytes: Uint8Array): void {
    if (this.#atMonitor) this.#monitor?.(bytes);
    else this.#input.hold(bytes);
  }

  #switch(): void {
    if (this.#options.monitor === undefined) return;
    this.#monitor ??= this.#options.monitor();
    this.#atMonitor = !this.#atMonitor;
  }
}
