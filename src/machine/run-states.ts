/**
 * The run state of a VM, why it failed if it did, and turns: one change of the state after the other. Decides which state
 * allows what; it stops and starts nothing itself. Main thread. States and what is refused in which follow QEMU (qmp.md;
 * QEMU docs, "QMP reference", RunState).
 */
import { ZmendError } from "../base/errors.ts";
import type { ThreadedVm } from "./threaded-vm.ts";
import type { RunState, VmEvent } from "./vm-control.ts";

export class RunStates {
  readonly #machine: ThreadedVm;
  readonly #emit: (event: VmEvent) => void;
  #current: RunState = "prelaunch";
  #failure: Error | undefined;
  #life: "built" | "started" | "ended" = "built";
  #last: Promise<void> = Promise.resolve();

  constructor(machine: ThreadedVm, emit: (event: VmEvent) => void) {
    this.#machine = machine;
    this.#emit = emit;
  }

  get current(): RunState {
    return this.#current;
  }

  /** Its threads have been started, once. */
  get started(): boolean {
    return this.#life !== "built";
  }

  /** An operator has ended the VM: there are no turns any more, and what dies now is no failure. */
  get ended(): boolean {
    return this.#life === "ended";
  }

  start(): void {
    this.#life = "started";
  }

  end(): void {
    this.#life = "ended";
  }

  enter(to: RunState, reason: string): void {
    if (this.#current === to) return;
    const from = this.#current;
    this.#current = to;
    this.#emit({ type: "run-state", from, to, reason });
  }

  /** @throws ZmendError STATE_REFUSED with the remedy, unless the VM is in one of these states */
  require(what: string, ...allowed: readonly RunState[]): void {
    const state = this.#current;
    if (allowed.includes(state)) return;
    const remedy =
      state === "io-error" || state === "guest-panicked" || state === "shutdown"
        ? "reset it first"
        : "start it anew";
    throw this.refused(what, `it is in state ${state}; ${remedy}`);
  }

  /** @throws ZmendError STATE_REFUSED for a VM that nobody has started: it has no threads yet */
  requireStarted(what: string): void {
    if (!this.started) throw this.refused(what, "it has not been started; start it first");
  }

  refused(what: string, why: string): ZmendError {
    const vm = this.#machine.spec.name;
    return new ZmendError("STATE_REFUSED", `VM ${vm} cannot ${what}: ${why}.`);
  }

  /** One change of the run state after the other. */
  inTurn(change: () => Promise<void> | void): Promise<void> {
    const turn = this.#last.then(() => {
      if (this.ended) throw this.refused("change", "it has been stopped; start it anew");
      return change();
    });
    this.#last = turn.catch(() => {});
    return turn;
  }

  // Failures --------------------------------------------------------------------------------------------

  failure(): Error | undefined {
    return this.#failure ?? this.#machine.failure;
  }

  /** Takes note of a thread that has died. @returns why the VM failed, if it did */
  takeFailure(): Error | undefined {
    if (this.#machine.failure !== undefined) this.fail(this.#machine.failure);
    return this.#failure;
  }

  /** The first reason counts. */
  fail(error: Error): void {
    if (this.#failure !== undefined || this.ended) return;
    this.#failure = error;
    this.enter("internal-error", error.message);
  }
}
