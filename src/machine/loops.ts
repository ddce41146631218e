/**
 * The lives of a VM's threads, as loops over steppable objects. Each ends when the VM is told to stop; the
 * platform and the recovery workers outlive a VM that a policy stopped, so that it can be looked at.
 */
import { CcdfErr, isFmbCode } from "../abi/ccdf.ts";
import { encode } from "../abi/layout.ts";
import type {
  FaultAction,
  PlatformFunctionState,
  SimFunctionConfig,
  SimPlatform,
} from "../backend/sim/index.ts";
import { hexBytes } from "../base/hex.ts";
import type { Measurement } from "../devices/index.ts";
import type { Clock } from "../ports/clock.ts";
import { load } from "../shm/atomics.ts";
import { VmBlock } from "../shm/blocks.ts";
import { GuestErrorMailbox, postOwnEvent } from "../shm/guest-error.ts";
import type { VmMemory } from "../shm/vm-memory.ts";

/** Values of `VmBlock.command`. */
export const COMMAND_RUN = 0;
export const COMMAND_STOP = 1;
export const COMMAND_POLICY_STOP = 2;

/** Values of `VmBlock.vcpuStopped`. */
export const VCPU_RUNNING = 0;
export const VCPU_DISABLED_WAIT = 1;
export const VCPU_COMMAND = 2;
export const VCPU_POLICY_STOP = 3;
export const VCPU_CHECK_STOP = 4;
export const VCPU_POWER_OFF = 5;
/** The guest asked for a re-IPL. */
export const VCPU_RESET = 6;

/** The longest a thread sleeps before it looks at the command word again, in case a wake-up was lost with its sender. */
const SLEEP_MAX_MS = 100;

export function commandOf(vm: VmMemory): number {
  return load(vm.words, vm.map.vmBlock / 4 + VmBlock.command);
}

/** How the guest's CPU stands: a value of `VmBlock.vcpuStopped`. */
export function stoppedOf(vm: VmMemory): number {
  return load(vm.words, vm.map.vmBlock / 4 + VmBlock.vcpuStopped);
}

/** What the main thread asks of the platform's thread, which owns the faults. Plain data. */
export type PlatformOrder =
  | { readonly kind: "raise"; readonly index: number; readonly actions: readonly FaultAction[] }
  /** Answer: `SimPlatform.armedFaults`. */
  | { readonly kind: "armed"; readonly index: number }
  /** Answer: the problems, empty when all rules were armed. */
  | { readonly kind: "arm"; readonly index: number; readonly rules: unknown }
  | { readonly kind: "arm-nvme"; readonly index: number; readonly rules: unknown }
  /** Answer: how many rules fired. */
  | { readonly kind: "fire"; readonly name: string }
  /** The function's host area is prepared. */
  | { readonly kind: "plug"; readonly index: number; readonly config: SimFunctionConfig }
  /** Its recovery worker has ended. */
  | { readonly kind: "unplug"; readonly index: number }
  /** While every thread stands. Answer: `SimPlatform.save`. */
  | { readonly kind: "save" };

/** The platform with the mailboxes of errors that guest instructions found. */
export class PlatformUnit {
  readonly #vm: VmMemory;
  readonly #platform: SimPlatform;
  readonly #mailbox: GuestErrorMailbox;
  readonly #measurements: readonly Measurement[];
  readonly #clock: Clock;

  /** @param measurements by function index */
  constructor(
    vm: VmMemory,
    platform: SimPlatform,
    measurements: readonly Measurement[],
    clock: Clock,
  ) {
    this.#vm = vm;
    this.#platform = platform;
    this.#mailbox = new GuestErrorMailbox(vm);
    this.#measurements = measurements;
    this.#clock = clock;
  }

  step(): boolean {
    const nowUs = this.#clock.nowUs();
    for (let index = 0; index < this.#vm.map.functionCount; index++) {
      const pec = this.#measurements[index]?.step(nowUs) ?? 0;
      if (pec !== 0) postOwnEvent(this.#vm, index, pec, 0n);
      // An error of the function, and a measurement code beside it.
      this.#raiseFor(index);
      this.#raiseFor(index);
    }
    return this.#platform.step();
  }

  #raiseFor(index: number): void {
    const error = this.#mailbox.take(index);
    if (error === undefined) return;
    // Of these a host tells nobody (vfio-uapi.md 3.3); this one comes from the guest's own measurement block.
    if (isFmbCode(error.pec)) return postOwnEvent(this.#vm, index, error.pec, error.faddr);
    const ccdf = encode(CcdfErr, { pec: error.pec, faddr: error.faddr, rw: error.write ? 1 : 0 });
    this.#platform.raise(index, { type: "ccdf", ccdf: hexBytes(ccdf) });
  }

  nextEventUs(): number {
    let next = this.#platform.nextEventUs();
    for (const measurement of this.#measurements) next = Math.min(next, measurement.nextEventUs());
    return next;
  }

  /** The thread's life. @param between called before each step */
  run(vm: VmMemory, between: () => void): void {
    while (commandOf(vm) !== COMMAND_STOP) {
      between();
      this.step();
      const untilMs = (this.nextEventUs() - this.#clock.nowUs()) / 1000;
      if (untilMs > 0) this.#platform.sleep(Math.min(SLEEP_MAX_MS, untilMs));
    }
    this.close();
  }

  save(): readonly (PlatformFunctionState | undefined)[] {
    return this.#platform.save();
  }

  /** @throws ZmendError SNAPSHOT_INVALID when a disk is not what it was */
  load(states: readonly (PlatformFunctionState | undefined)[]): void {
    this.#platform.load(states);
  }

  /** Writes back and closes the disk images; nothing is stepped afterwards. */
  close(): void {
    this.#platform.close();
  }

  /** Carries an order of the main thread out. @returns the answer, where the order wants one */
  carryOut(order: PlatformOrder): unknown {
    switch (order.kind) {
      case "raise":
        for (const action of order.actions) this.#platform.raise(order.index, action);
        return undefined;
      case "armed":
        return this.#platform.armedFaults(order.index);
      case "arm":
        return this.#platform.armFaults(order.index, order.rules);
      case "arm-nvme":
        return this.#platform.armNvmeFaults(order.index, order.rules);
      case "fire":
        return this.#platform.command(order.name);
      case "plug":
        return this.#platform.plug(order.index, order.config);
      case "unplug":
        return this.#platform.unplug(order.index);
      case "save":
        return this.save();
    }
  }
}
