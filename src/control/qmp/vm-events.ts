/** What a VM tells, as QMP's events. Order and data: qmp.md 4. */
import { Cpu, CpuState } from "../../cpu/index.ts";
import type { VmControl, VmEvent } from "../../machine/vm-control.ts";
import type { DeviceCatalogue } from "./device-catalogue.ts";
import type { Devices } from "./devices.ts";
import type { EventName, ShutdownReason } from "./event-table.ts";
import { RecoveryWatch } from "./recovery-watch.ts";

/** What the program does when the guest ends by itself. */
export interface EndRules {
  /** After a disabled wait or check stop: the machine stands, or the program ends. */
  readonly panic: "pause" | "poweroff";
  /** After a power-off: the program stays (QEMU's -no-shutdown), or ends. */
  readonly staysAfterShutdown: boolean;
}

export interface EventTarget {
  /** @param data a function is called only when somebody listens */
  readonly emit: (name: EventName, data?: object | (() => object)) => void;
  readonly shutdown: (reason: ShutdownReason) => void;
}

export class VmEvents {
  readonly #control: VmControl;
  readonly #devices: Devices;
  readonly #catalogue: DeviceCatalogue;
  readonly #target: EventTarget;
  readonly #rules: EndRules;
  readonly #watch: RecoveryWatch;

  constructor(
    control: VmControl,
    devices: Devices,
    catalogue: DeviceCatalogue,
    target: EventTarget,
    rules: EndRules,
  ) {
    this.#control = control;
    this.#devices = devices;
    this.#catalogue = catalogue;
    this.#target = target;
    this.#rules = rules;
    this.#watch = new RecoveryWatch((fid) => devices.idOf(fid));
  }

  take(event: VmEvent): void {
    switch (event.type) {
      case "run-state":
        return this.#runState(event.from, event.to, event.reason);
      case "reset": {
        const reason = event.byGuest ? "guest-reset" : "host-qmp-system-reset";
        return this.#target.emit("RESET", { guest: event.byGuest, reason });
      }
      case "entry": {
        const news = this.#watch.news(event.entry);
        if (news !== undefined) this.#target.emit(news.name, news.data);
        return;
      }
      case "watchdog":
        return this.#target.emit("WATCHDOG", { action: event.action });
      case "powerdown":
        return this.#target.emit("POWERDOWN");
      case "device-deleted":
        this.#catalogue.released?.(event.id);
        return this.#deleted(event.id, event.fid);
      case "unplug-failed":
        this.#devices.kept(event.id);
        return this.#target.emit("DEVICE_UNPLUG_GUEST_ERROR", this.#place(event.id));
      default:
    }
  }

  #place(id: string): { readonly device: string; readonly path: string } {
    return { device: id, path: `/machine/peripheral/${id}` };
  }

  /** The function, then the zpci device that gave it its identifiers. */
  #deleted(id: string, fid: number): void {
    const zpci = this.#devices.zpci().find(({ target }) => target === id);
    const path = zpci === undefined ? undefined : this.#devices.path(zpci);
    this.#devices.left(id, fid);
    this.#target.emit("DEVICE_DELETED", this.#place(id));
    if (zpci === undefined) return;
    this.#target.emit("DEVICE_DELETED", {
      ...(zpci.id === undefined ? {} : { device: zpci.id }),
      path,
    });
  }

  #runState(from: string, to: string, reason: string): void {
    const { emit, shutdown } = this.#target;
    if (to === "running") return emit("RESUME");
    if (to === "shutdown") {
      if (reason === "guest-shutdown" || reason === "guest-reset") shutdown(reason);
      else if (reason === "watchdog") shutdown("host-error");
      else return shutdown("host-ui");
      if (this.#rules.staysAfterShutdown) emit("STOP");
      return;
    }
    if (to === "guest-panicked") emit("GUEST_PANICKED", this.#panic(reason));
    if (from === "running") emit("STOP");
    if (to === "guest-panicked" && this.#rules.panic === "poweroff") shutdown("guest-panic");
  }

  #panic(reason: string): object {
    const state = new CpuState(this.#control.vm, 0);
    return {
      action: this.#rules.panic,
      info: {
        type: "s390",
        core: 0,
        "psw-mask": state.u64(Cpu.pswMask),
        "psw-addr": state.u64(Cpu.pswAddress),
        reason: reason === "disabled-wait" ? "disabled-wait" : "unknown",
      },
    };
  }
}
