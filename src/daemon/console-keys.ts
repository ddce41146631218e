/**
 * Keys that belong to the terminal and not to the guest: Ctrl-A and a letter, as QEMU's multiplexed console has
 * them. Source: QEMU chardev/char-mux.c (behaviour).
 */

const CTRL_A = 0x01;

export type KeyAction = "exit" | "help" | "switch";

const actions: ReadonlyMap<number, KeyAction> = new Map([
  [0x78, "exit"], // x
  [0x68, "help"], // h
  [0x3f, "help"], // ?
  [0x63, "switch"], // c
]);

/**
 * What Ctrl-A h says.
 * @param exit what Ctrl-A x does here
 */
export function keyHelp(exit: string, hasMonitor: boolean): string {
  return [
    "Ctrl-A h    this help",
    `Ctrl-A x    ${exit}`,
    ...(hasMonitor ? ["Ctrl-A c    change between console and monitor"] : []),
    "Ctrl-A Ctrl-A    send Ctrl-A to the guest",
    "",
  ].join("\r\n");
}

/** What was typed, in order: bytes for whoever has the terminal, and actions between them. */
export type KeyPiece = { readonly input: Uint8Array } | { readonly action: KeyAction };

export class ConsoleKeys {
  #escaped = false;

  feed(typed: Uint8Array): KeyPiece[] {
    const pieces: KeyPiece[] = [];
    let input: number[] = [];
    const flush = (): void => {
      if (input.length > 0) pieces.push({ input: Uint8Array.from(input) });
      input = [];
    };
    for (const byte of typed) {
      if (!this.#escaped) {
        if (byte === CTRL_A) this.#escaped = true;
        else input.push(byte);
        continue;
      }
      this.#escaped = false;
      const action = actions.get(byte);
      if (action !== undefined) {
        flush();
        pieces.push({ action });
      } else if (byte === CTRL_A) input.push(CTRL_A);
    }
    flush();
    return pieces;
  }
}
