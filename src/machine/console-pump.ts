/**
 * The main thread's end of the guest's console (console-output.ts): hands text on as long as whoever takes it keeps up.
 * A terminal that does not makes the guest wait; vCPUs that shall stand or end, and those that have, wait for nobody.
 */
import { ConsoleOutput } from "../shm/console-output.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { HOLD_NOBODY, holdOf } from "./hold.ts";
import { COMMAND_RUN, commandOf, stoppedOf, VCPU_RUNNING } from "./loops.ts";

/** Takes console text; while a promise that it returns is open, it is handed no more. */
export type ConsoleSink = (bytes: Uint8Array, timeUs: number) => unknown;

export class ConsolePump {
  readonly #vm: VmMemory;
  readonly #output: ConsoleOutput;
  readonly #sink: ConsoleSink;
  /** Promises of the sink that are open. */
  #open = 0;

  constructor(vm: VmMemory, sink: ConsoleSink) {
    this.#vm = vm;
    this.#output = new ConsoleOutput(vm);
    this.#sink = sink;
  }

  look(): void {
    while (this.#open === 0 || !this.#guestMayWait()) {
      const piece = this.#output.take();
      if (piece === undefined) return;
      this.#tell(this.#sink(piece.bytes, piece.timeUs));
    }
  }

  #guestMayWait(): boolean {
    const vm = this.#vm;
    if (stoppedOf(vm) !== VCPU_RUNNING) return false;
    return commandOf(vm) === COMMAND_RUN && holdOf(vm) === HOLD_NOBODY;
  }

  #tell(taken: unknown): void {
    if (!(taken instanceof Promise)) return;
    this.#open += 1;
    void taken.finally(() => {
      this.#open -= 1;
      this.look();
    });
  }
}
