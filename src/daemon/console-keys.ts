/**
 * Keys that belong to the terminal and not to the guest: Ctrl-A and a letter, as QEMU's multiplexed console has
 * them. Source: QEMU chardev/char-mux.c (behaviour); Ctrl-A c needs a monitor, which there is none.
 */

const CTRL_A = 0x01;

export type KeyAction = "exit" | "help";

const actions: ReadonlyMap<number, KeyAction> = new Map([
  [0x78, "exit"], // x
  [0x68, "help"], // h
  [0x3f, "help"], // ?
]);

export const KEY_HELP = [
  "Ctrl-A h    this help",
  "Ctrl-A x    end the guest and this program",
  "Ctrl-A Ctrl-A    send Ctrl-A to the guest",
  "",
].join("\r\n");

export interface KeyResult {
  /** What the guest gets. */
  readonly input: Uint8Array;
  readonly actions: readonly KeyAction[];
}

export class ConsoleKeys {
  #escaped = false;

  feed(typed: Uint8Array): KeyResult {
    const input: number[] = [];
    const found: KeyAction[] = [];
    for (const byte of typed) {
      if (!this.#escaped) {
        if (byte === CTRL_A) this.#escaped = true;
        else input.push(byte);
        continue;
      }
      this.#escaped = false;
      const action = actions.get(byte);
      if (action !== undefined) found.push(action);
      else if (byte === CTRL_A) input.push(CTRL_A);
    }
    return { input: Uint8Array.from(input), actions: found };
  }
}
