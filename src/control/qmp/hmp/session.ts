/** The human monitor at a terminal or socket: prompt, line editing enough to type by hand. */
import type { Readable, Writable } from "node:stream";
import type { QmpHost } from "../command.ts";
import { protocolVersion } from "../version.ts";

const PROMPT = "(qemu) ";
const LINE_MAX = 4096;
const TYPED_AHEAD_MAX = 4096;
const BACKSPACE = 0x08;
const DELETE = 0x7f;
const CTRL_C = 0x03;
const CTRL_U = 0x15;
const ESCAPE = 0x1b;

export class MonitorSession {
  readonly #host: QmpHost;
  readonly #input: Readable;
  readonly #output: Writable;
  readonly #onEnd: () => void;
  #line = "";
  #escape = "";
  #ended = false;
  /** Typed and not yet looked at: a command's text comes before the echo of what follows it. */
  readonly #typedAhead: number[] = [];
  #busy = false;
  #inputDone = false;
  readonly #data = (chunk: Uint8Array): void => this.feed(chunk);

  constructor(host: QmpHost, input: Readable, output: Writable, onEnd: () => void) {
    this.#host = host;
    this.#input = input;
    this.#output = output;
    this.#onEnd = onEnd;
    input.on("data", this.#data);
    input.on("end", () => {
      this.#inputDone = true;
      if (!this.#busy) this.end();
    });
    for (const stream of new Set<Readable | Writable>([input, output])) {
      stream.on("error", () => this.end());
      stream.on("close", () => this.end());
    }
    const { qemu, package: name } = protocolVersion();
    const version = `${qemu.major}.${qemu.minor}.${qemu.micro} (${name})`;
    this.#write(`QEMU ${version} monitor - type 'help' for more information\r\n${PROMPT}`);
  }

  /** The human monitor shows no events. */
  event(): void {}

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#input.off("data", this.#data);
    if (this.#output !== process.stdout) this.#output.end();
    this.#onEnd();
  }

  feed(chunk: Uint8Array): void {
    for (const byte of chunk) this.#typedAhead.push(byte);
    if (this.#typedAhead.length > TYPED_AHEAD_MAX) this.#input.pause();
    if (!this.#busy) void this.#work();
  }

  async #work(): Promise<void> {
    this.#busy = true;
    let taken = 0;
    for (; taken < this.#typedAhead.length && !this.#ended; taken++) {
      const byte = this.#typedAhead[taken] as number;
      if (this.#escape === "" && (byte === 0x0d || byte === 0x0a)) await this.#enter();
      else this.#typed(byte);
    }
    this.#typedAhead.length = 0;
    this.#busy = false;
    if (this.#inputDone) this.end();
    else if (this.#input.isPaused()) this.#input.resume();
  }

  #write(text: string): void {
    if (!this.#ended) this.#output.write(text);
  }

  #typed(byte: number): void {
    if (this.#escape !== "" || byte === ESCAPE) return this.#escaped(byte);
    if (byte === BACKSPACE || byte === DELETE) {
      if (this.#line === "") return;
      this.#line = this.#line.slice(0, -1);
      return this.#write("\b \b");
    }
    if (byte === CTRL_C || byte === CTRL_U) {
      this.#write("\b \b".repeat(this.#line.length));
      this.#line = "";
      return;
    }
    if (byte < 0x20 || this.#line.length >= LINE_MAX) return;
    this.#line += String.fromCharCode(byte);
    this.#write(String.fromCharCode(byte));
  }

  /** Swallows a terminal's key sequences: ESC [ … letter. */
  #escaped(byte: number): void {
    this.#escape += String.fromCharCode(byte);
    const more = this.#escape.length < 3 || (byte < 0x40 && this.#escape.length < 16);
    const started = this.#escape.length === 2 && byte !== 0x5b && byte !== 0x4f;
    if (!more || started) this.#escape = "";
  }

  async #enter(): Promise<void> {
    const line = this.#line;
    this.#line = "";
    this.#write("\r\n");
    const text = await this.#host.monitor(line, 0).catch((error: Error) => `${error.message}\r\n`);
    this.#write(text + PROMPT);
  }
}
