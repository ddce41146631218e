/** A guest run by a command, with its console as a conversation: wait for text, type, wait for the end. */
import { type ChildProcess, spawn } from "node:child_process";

export class ConsoleGuest {
  readonly #child: ChildProcess;
  readonly #end: Promise<number | null>;
  readonly #timer: NodeJS.Timeout;
  #text = "";
  #from = 0;
  #ended = false;
  #wake: () => void = () => {};

  /** @param limitMs the guest is killed then, so that no test waits for ever */
  constructor(words: readonly string[], limitMs: number, program = process.execPath) {
    this.#child = spawn(program, [...words], { stdio: ["pipe", "pipe", "inherit"] });
    this.#timer = setTimeout(() => this.#child.kill("SIGKILL"), limitMs);
    this.#child.stdout?.setEncoding("latin1").on("data", (text: string) => {
      this.#text += text;
      this.#wake();
    });
    this.#end = new Promise((resolve, reject) => {
      this.#child.on("error", reject).on("close", (status) => {
        clearTimeout(this.#timer);
        this.#ended = true;
        this.#wake();
        resolve(status);
      });
    });
  }

  /** Everything the console has said. */
  get text(): string {
    return this.#text;
  }

  /** Waits for text behind what was waited for before; returns what stands between. */
  async until(expected: string): Promise<string> {
    for (;;) {
      const at = this.#text.indexOf(expected, this.#from);
      if (at >= 0) {
        const between = this.#text.slice(this.#from, at);
        this.#from = at + expected.length;
        return between;
      }
      if (this.#ended) throw new Error(`the guest ended without '${expected}':\n${this.#text}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Ends a guest that a failed test left behind. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** The command's exit status. */
  end(): Promise<number | null> {
    return this.#end;
  }
}
