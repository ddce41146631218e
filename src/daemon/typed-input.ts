/** Input on its way to the guest: what it has no room for waits here, and no more is read meanwhile. */
import type { Readable } from "node:stream";

const WAITING_MAX = 4096;
/** How often a guest that had no room is asked again. */
const RETRY_MS = 10;

export class TypedInput {
  readonly #stream: Readable;
  readonly #push: (bytes: Uint8Array) => number;
  readonly #waiting: number[] = [];
  #retry: NodeJS.Timeout | undefined;

  /**
   * @param stream paused while too much waits
   * @param push types on the guest's console; says how many bytes it had room for
   */
  constructor(stream: Readable, push: (bytes: Uint8Array) => number) {
    this.#stream = stream;
    this.#push = push;
  }

  hold(bytes: Uint8Array): void {
    for (const byte of bytes) this.#waiting.push(byte);
    if (this.#waiting.length >= WAITING_MAX) this.#stream.pause();
    if (this.#waiting.length > 0 && this.#retry === undefined) this.#deliver();
  }

  close(): void {
    clearTimeout(this.#retry);
  }

  #deliver(): void {
    this.#retry = undefined;
    this.#waiting.splice(0, this.#push(Uint8Array.from(this.#waiting)));
    if (this.#waiting.length < WAITING_MAX) this.#stream.resume();
    if (this.#waiting.length > 0) this.#retry = setTimeout(() => this.#deliver(), RETRY_MS);
  }
}
