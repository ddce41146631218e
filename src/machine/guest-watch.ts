/**
 * Sees how a guest ends and when its watchdog fires, and does what follows from it. Main thread, at each interval. Sources:
 * QEMU target/s390x/helper.c (disabled waits), softmmu/watchdog.c (the watchdog's actions).
 */
import { Watchdog, type WatchdogAction } from "../shm/watchdog.ts";
import type { ControllerParts } from "./controller-parts.ts";
import { frozenUs } from "./hold.ts";
import {
  VCPU_CHECK_STOP,
  VCPU_DISABLED_WAIT,
  VCPU_POLICY_STOP,
  VCPU_POWER_OFF,
  VCPU_RESET,
  VCPU_RUNNING,
} from "./loops.ts";
import type { RunControl } from "./run-control.ts";
import type { RunState } from "./vm-control.ts";

/**
 * A disabled wait at this address is an orderly end: Linux after a shutdown signal (drivers/s390/char/sclp_quiesce.c),
 * and QEMU takes it so (target/s390x/helper.c, s390_handle_wait).
 */
const QUIESCED_PSW_ADDRESS = 0xfffn;

/** Run state and reason for each way in which a guest's CPU ends. */
const endings: Readonly<Record<number, readonly [RunState, string]>> = {
  [VCPU_POWER_OFF]: ["shutdown", "guest-shutdown"],
  [VCPU_DISABLED_WAIT]: ["guest-panicked", "disabled-wait"],
  [VCPU_CHECK_STOP]: ["guest-panicked", "check-stop"],
  [VCPU_POLICY_STOP]: ["io-error", "policy"],
};

export interface GuestWatchOptions {
  /** What a re-IPL by the guest does. */
  readonly onGuestReset: "reset" | "shutdown";
  readonly watchdogAction: WatchdogAction;
}

export class GuestWatch {
  readonly #parts: ControllerParts;
  readonly #run: RunControl;
  readonly #onGuestReset: "reset" | "shutdown";
  readonly #watchdog: Watchdog;
  watchdogAction: WatchdogAction;
  #resetting = false;

  constructor(parts: ControllerParts, run: RunControl, options: GuestWatchOptions) {
    this.#parts = parts;
    this.#run = run;
    this.#onGuestReset = options.onGuestReset;
    this.watchdogAction = options.watchdogAction;
    const { vm, clock } = parts.machine;
    this.#watchdog = new Watchdog(vm, { nowUs: () => clock.nowUs() - frozenUs(vm) });
  }

  /** While the VM runs. */
  look(): void {
    const { machine, states } = this.#parts;
    if (this.#watchdog.takeExpiry()) this.#watchdogFired();
    const stopped = machine.stopped();
    if (stopped === VCPU_RUNNING) return;
    if (stopped === VCPU_RESET) {
      this.#guestReset();
      return;
    }
    const quiesced =
      stopped === VCPU_DISABLED_WAIT && machine.pswAddress() === QUIESCED_PSW_ADDRESS;
    const ended = quiesced ? VCPU_POWER_OFF : stopped;
    const [state, reason] = endings[ended] ?? ["shutdown", "operator"];
    states.enter(state, reason);
  }

  #guestReset(): void {
    const { states } = this.#parts;
    if (this.#onGuestReset === "shutdown") {
      states.enter("shutdown", "guest-reset");
      return;
    }
    // Once: the state word says "reset" until the reset is done.
    if (this.#resetting) return;
    this.#resetting = true;
    this.#run
      .reset(true)
      .catch((error) => states.fail(error))
      .finally(() => {
        this.#resetting = false;
      });
  }

  #watchdogFired(): void {
    const action = this.watchdogAction;
    const run = this.#run;
    this.#parts.listeners.emit({ type: "watchdog", action });
    const stands = action === "reset" && this.#onGuestReset === "shutdown";
    if (stands) run.standFor("shutdown", "guest-reset");
    else if (action === "reset") this.#guestReset();
    else if (action === "shutdown") run.powerdown();
    else if (action === "inject-nmi") run.nmi();
    else if (action === "pause") run.standFor("watchdog", "watchdog");
    else if (action === "poweroff") run.standFor("shutdown", "watchdog");
  }
}
