/**
 * What operators and the guest's own end do to a VM's threads: pause, resume, reset, the request to shut down and the restart
 * interruption. Each change makes threads stand where nothing is half done (hold.ts). Main thread. A reset is
 * QEMU's: devices and CPUs reset, storage cleared, the image loaded again.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Signals } from "../cpu/index.ts";
import { State } from "../recovery/index.ts";
import { load } from "../shm/atomics.ts";
import { FunctionBlock, RecoveryCommand } from "../shm/blocks.ts";
import { type BootSource, bootAgain } from "./boot.ts";
import type { ControllerParts } from "./controller-parts.ts";
import { HOLD_ALL, HOLD_NOBODY, HOLD_VCPUS, holdOf } from "./hold.ts";
import type { RunState } from "./vm-control.ts";
import { functionIndices } from "./vm-spec.ts";

/** How long a reset waits for recovery workers, which may have to start. */
const RESET_HEARD_MS = 5000;

export class RunControl {
  readonly #parts: ControllerParts;
  readonly #boot: BootSource;
  readonly #look: () => void;

  /** @param look takes note of what threads have done: a guest may have ended */
  constructor(parts: ControllerParts, boot: BootSource, look: () => void) {
    this.#parts = parts;
    this.#boot = boot;
    this.#look = look;
  }

  pause(): Promise<void> {
    const { states } = this.#parts;
    return states.inTurn(async () => {
      if (states.current === "paused" || states.current === "prelaunch") return;
      states.require("pause", "running");
      await this.#stand("paused", "operator");
    });
  }

  /** The CPUs stand because of what the guest or its watchdog did. */
  standFor(as: RunState, reason: string): void {
    const { states } = this.#parts;
    states.inTurn(() => this.#stand(as, reason)).catch((error) => states.fail(error));
  }

  async #stand(as: RunState, reason: string): Promise<void> {
    const { machine, states, commands } = this.#parts;
    if (states.current !== "running") return;
    await machine.hold(HOLD_VCPUS);
    this.#look();
    // The guest may have ended while its CPU was on its way to a stand.
    if (states.current !== "running") {
      machine.release();
      return;
    }
    commands.postAll(RecoveryCommand.pause);
    states.enter(as, reason);
  }

  resume(): Promise<void> {
    const { machine, states, commands } = this.#parts;
    return states.inTurn(() => {
      if (states.current === "running") return;
      states.require("resume", "paused", "prelaunch", "watchdog");
      if (states.current !== "prelaunch") commands.postAll(RecoveryCommand.resume);
      machine.release();
      states.enter("running", "operator");
    });
  }

  powerdown(): void {
    this.#parts.machine.requestQuiesce();
    this.#parts.listeners.emit({ type: "powerdown" });
  }

  nmi(): void {
    const { machine, states } = this.#parts;
    states.require("take a restart interruption", "running", "paused", "prelaunch", "watchdog");
    Signals.restart(machine.vm, 0);
  }

  // Reset -----------------------------------------------------------------------------------------------

  reset(byGuest: boolean): Promise<void> {
    return this.#parts.states.inTurn(() => this.#reset(byGuest));
  }

  /** Every thread stands, then: devices, storage and CPUs as at the start, hosts told by the recovery workers. */
  async #reset(byGuest: boolean): Promise<void> {
    const { machine, states, commands, listeners } = this.#parts;
    if (states.current === "internal-error" || states.ended) {
      throw states.refused("reset", "its threads have ended; start it anew");
    }
    // It is as it would be after a reset.
    if (!states.started) return listeners.emit({ type: "reset", byGuest });
    const paused = states.current === "paused" || states.current === "prelaunch";
    // The watchdog made it stand; it goes on after this.
    const stood = !paused && holdOf(machine.vm) !== HOLD_NOBODY;
    await machine.hold(HOLD_ALL);
    await machine.resetDevices();
    if (states.takeFailure() !== undefined) return;
    bootAgain(machine.vm, this.#boot);
    this.#reviveRecovery();
    if (stood) commands.postAll(RecoveryCommand.resume);
    commands.postAll(RecoveryCommand.systemReset);
    machine.release(HOLD_VCPUS);
    if (!paused) {
      await this.#resetHeard();
      machine.release();
    }
    listeners.emit({ type: "reset", byGuest });
    if (!paused) states.enter("running", byGuest ? "guest-reset" : "operator");
  }

  /** A policy that stopped the VM ended its recovery workers too. */
  #reviveRecovery(): void {
    const { machine } = this.#parts;
    const { words, map } = machine.vm;
    for (const index of functionIndices(machine.spec)) {
      const block = (map.functionBlocks[index] as number) / 4;
      if (load(words, block + FunctionBlock.recoveryState) === State.detached) continue;
      machine.reviveRecovery(index);
    }
  }

  /** What the hosts still had is the old machine's: the new one runs when the recovery workers have done with it. */
  async #resetHeard(): Promise<void> {
    const { machine, states, commands, pumpMs } = this.#parts;
    const latestUs = machine.clock.nowUs() + RESET_HEARD_MS * 1000;
    const heard = (index: number): boolean =>
      !machine.recoveryServes(index) || commands.taken(index);
    while (!functionIndices(machine.spec).every(heard) && machine.clock.nowUs() < latestUs) {
      if (states.failure() !== undefined || states.ended) return;
      await sleep(pumpMs);
    }
  }
}
