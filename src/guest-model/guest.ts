/**
 * Hot file. Linux's zPCI error handling as a state machine in virtual time: the one kernel thread (kmcheck) that
 * takes channel reports, reads events and recovers one function after the other, with a driver's callbacks in
 * between. Issues the kernel's zPCI instructions in the kernel's order; what only the driver cares about (register
 * accesses) is a block of data that costs time and is printed when somebody records.
 * Source: zpci-guest.md 9, 12; Linux arch/s390/pci/pci_event.c (6.1 to 7.3).
 */
import { isFmbCode, isPermanentCode } from "../abi/ccdf.ts";
import { ClpResponse } from "../abi/clp.ts";
import { ModifyOperation, ModifyStatus } from "../abi/pci-insn.ts";
import { type DriverVariant, type ProgramStep, Stage } from "./drivers.ts";
import type { Instruction } from "./instructions.ts";
import { CLP_RETRY_US, CLP_TRIES, type KernelFlavour, MPCIFC_RETRY_US } from "./kernels.ts";
import { type Answer, type GuestPort, type GuestTimes, type GuestWatcher, Mark } from "./port.ts";

const NEVER = Number.POSITIVE_INFINITY;

/** Where the kernel thread stands: what it does when its time has come. */
const At = {
  asleep: 0,
  stcrw: 1,
  chsc: 2,
  handle: 3,
  detected: 4, //   error_detected has returned
  unblock: 5, //    MPCIFC 9
  examined: 6, //   mmio_enabled has returned; MPCIFC 7
  disable: 7,
  enable: 8,
  register: 9, //   MPCIFC 2, 4
  firstLoad: 10,
  restored: 11, //  slot_reset has returned
  restarted: 12, // resume has returned
  gaveUp: 13, //    the driver's own timeout has ended
  removed: 14,
  probed: 15,
  hung: 16,
} as const;

/** Where the guest is told "busy" and asks again. */
const waits = new Uint8Array(17);
for (const at of [At.unblock, At.examined, At.disable, At.enable, At.register, At.removed]) {
  waits[at] = 1;
}

/** What a function is to the guest. */
const Driver = {
  running: 0,
  /** error_state is permanent failure: the device stays, unusable. */
  permanent: 1,
  /** The driver has let go of the device. */
  unbound: 2,
  /** Deconfigured: no device. */
  gone: 3,
} as const;

const ok = ClpResponse.ok;
const AVAILABLE = 0x0301;
const DECONFIGURE = 0x0303;
const DECONFIGURED = 0x0304;

export class GuestModel {
  readonly kernel: KernelFlavour;
  readonly driver: DriverVariant;
  /** When `step` has to be called next; Infinity = nothing to do until a machine check. */
  nextUs = NEVER;
  readonly #port: GuestPort;
  readonly #times: GuestTimes;
  readonly #watcher: GuestWatcher;
  readonly #record: ((instruction: Instruction) => void) | undefined;
  readonly #states: Uint8Array;
  readonly #supported: boolean;
  readonly #programs: readonly [
    quiesce: readonly ProgramStep[],
    restore: readonly ProgramStep[],
    restart: readonly ProgramStep[],
  ];
  #at: number = At.asleep;
  #index = 0;
  /** How often CLP has said "busy". */
  #tries = 0;
  /** The kernel's name for the outcome: MPCIFC 7 cleared the error, no reset was needed. */
  #cleared = false;
  #asked = false;
  /** A probe by hotplug or by an administrator is no recovery: nothing is reported. */
  #probing = false;
  /** The event thread came here by an event, not by an administrator. */
  #reading = false;
  /** The last time that CLP said "busy", and how often it had by then; 0 = nobody waits for it. */
  #busyUs = 0;
  #busyTries = 0;

  constructor(
    kernel: KernelFlavour,
    driver: DriverVariant,
    functions: number,
    port: GuestPort,
    times: GuestTimes,
    watcher: GuestWatcher,
    record?: (instruction: Instruction) => void,
  ) {
    this.kernel = kernel;
    this.driver = driver;
    this.#port = port;
    this.#times = times;
    this.#watcher = watcher;
    this.#record = record;
    this.#states = new Uint8Array(functions);
    const handlers = driver.errorDetected !== undefined;
    this.#supported = handlers && (!kernel.allCallbacks || (driver.slotReset && driver.resume));
    this.#programs = [driver.quiesce(kernel), driver.restore(kernel), driver.restart(kernel)];
  }

  /** The event thread is held for ever. */
  get hung(): boolean {
    return this.#at === At.hung;
  }

  /** Nothing under way: an administrator's command would start at once. */
  get idle(): boolean {
    return this.#at === At.asleep;
  }

  /** Boot: the function is enabled and registered, its driver runs. False if the machine refuses. */
  boot(index: number): boolean {
    const port = this.#port;
    if (port.enable(index) !== ok) return false;
    if ((port.modify(index, ModifyOperation.registerIoat) & 0xff) !== 0) return false;
    port.modify(index, ModifyOperation.registerInterrupts);
    this.#states[index] = Driver.running;
    return port.alive(index);
  }

  /** Channel-report machine check taken. A thread that is at work looks for more before it sleeps. */
  machineCheck(): void {
    if (this.#at !== At.asleep) return;
    this.#go(At.stcrw, this.#times.delayUs(0, Stage.machineCheck));
  }

  /** sysfs `recover`: the device is removed, disabled, enabled and scanned again. Only while idle. */
  administrate(index: number): void {
    this.#index = index;
    this.#probing = true;
    this.#reading = false;
    this.#tries = 0;
    const enabled = (this.#port.accessAnswer(index) & 0xff) !== 3;
    this.#go(enabled ? At.disable : At.enable, this.#times.delayUs(index, Stage.remove));
  }

  /** Does what is due at `nextUs`, the time that it now is: it stands in the stamp. */
  step(): void {
    switch (this.#at) {
      case At.stcrw:
        return this.#stcrw();
      case At.chsc:
        return this.#chsc();
      case At.handle:
        return this.#handle();
      case At.detected:
        return this.#detected();
      case At.unblock:
        return this.#unblock();
      case At.examined:
        return this.#clear();
      case At.disable:
        return this.#disable();
      case At.enable:
        return this.#enable();
      case At.register:
        return this.#register();
      default:
        return this.#driverStep();
    }
  }

  #driverStep(): void {
    switch (this.#at) {
      case At.firstLoad:
        return this.#firstLoad();
      case At.restored:
        return this.#restored();
      case At.restarted:
        return this.#restarted();
      case At.gaveUp:
        this.#states[this.#index] = Driver.unbound;
        this.#watcher.mark(this.#index, Mark.lost);
        return this.#finish(true);
      case At.removed:
        return this.#removed();
      case At.probed:
        return this.#probed();
      default:
        this.nextUs = NEVER;
    }
  }

  /** @param afterUs from now: small whole numbers pass without being put on the heap, times of day do not */
  #go(at: number, afterUs: number): void {
    this.#at = at;
    this.#busyTries = 0;
    this.nextUs = (this.#times.stamp[0] as number) + afterUs;
  }

  #after(stage: number, at: number): void {
    this.#go(at, this.#times.delayUs(this.#index, stage));
  }

  // Events ----------------------------------------------------------------------------------------------

  #stcrw(): void {
    const taken = this.#port.stcrw();
    this.#record?.({ name: "STCRW", cc: taken ? 0 : 1 });
    if (taken) this.#go(At.chsc, this.#times.delayUs(0, Stage.fetch));
    else this.#go(At.asleep, NEVER);
  }

  #chsc(): void {
    if (!this.#port.chsc()) {
      this.#record?.({ name: "CHSC", response: 0x0005 });
      return this.#go(At.stcrw, 0);
    }
    const { event } = this.#port;
    this.#index = event.index;
    this.#probing = false;
    this.#reading = true;
    this.#record?.({ name: "CHSC", response: 0x0001, pec: event.pec });
    if (event.contentCode === 1) this.#watcher.mark(event.index, Mark.fetched);
    this.#after(Stage.decide, At.handle);
  }

  /** zpci_event_error and zpci_event_availability. */
  #handle(): void {
    const { event } = this.#port;
    if (event.contentCode !== 1) return this.#availability(event.pec);
    if (this.#states[this.#index] === Driver.gone || this.#stale(event.handle)) {
      return this.#next();
    }
    if (isFmbCode(event.pec)) return this.#next();
    if (isPermanentCode(event.pec)) return this.#ioFailure();
    if (this.#states[this.#index] === Driver.permanent) return this.#fail();
    if (this.#states[this.#index] === Driver.unbound || !this.#supported) return this.#fail();
    if (this.driver.errorDetected === "hangs") {
      this.#run(this.#programs[0]);
      this.#watcher.mark(this.#index, Mark.stuck);
      return this.#go(At.hung, NEVER);
    }
    this.#cleared = false;
    this.#asked = false;
    this.#run(this.#programs[0]);
    this.#after(Stage.teardown, At.detected);
  }

  #stale(handle: number): boolean {
    if (!this.kernel.staleCheck) return false;
    const listed = this.#port.listed(this.#index);
    this.#record?.({ name: "CLP", operation: "list", response: ok });
    return listed === 0 || listed !== handle;
  }

  #availability(pec: number): void {
    const state = this.#states[this.#index];
    if (pec === DECONFIGURE && state !== Driver.gone) {
      return this.#after(Stage.remove, At.removed);
    }
    if (pec === DECONFIGURED && state !== Driver.gone) {
      this.#states[this.#index] = Driver.gone;
      this.#watcher.mark(this.#index, Mark.lost);
      return this.#next();
    }
    // A function that is configured already: the kernel takes the event for an old one.
    if (pec === AVAILABLE && state === Driver.gone) {
      this.#probing = true;
      this.#tries = 0;
      return this.#after(Stage.enable, At.enable);
    }
    this.#next();
  }

  /** zpci_deconfigure_device. */
  #removed(): void {
    const response = this.#port.disable(this.#index);
    this.#clp("disable", response);
    if (response === ClpResponse.busy && this.#again(At.removed)) return;
    this.#port.deconfigure(this.#index);
    this.#record?.({ name: "SERVC", operation: "deconfigure" });
    this.#states[this.#index] = Driver.gone;
    this.#watcher.mark(this.#index, Mark.lost);
    this.#next();
  }

  // Recovery --------------------------------------------------------------------------------------------

  /** zpci_event_notify_error_detected has an answer. */
  #detected(): void {
    switch (this.driver.errorDetected) {
      case "need-reset":
        return this.#reset();
      case "can-recover":
        return this.#unblock();
      case "none":
        return this.kernel.noneIsConsent ? this.#unblock() : this.#fail();
      default:
        return this.#fail();
    }
  }

  #ask(): void {
    if (this.#asked) return;
    this.#asked = true;
    this.#watcher.mark(this.#index, Mark.resetAsked);
  }

  #unblock(): void {
    this.#ask();
    const answer = this.#modify(ModifyOperation.resetBlock);
    if ((answer & 0xff) === 2) return this.#go(At.unblock, this.#pause(MPCIFC_RETRY_US));
    if (answer !== 0) return this.#reset();
    this.#after(Stage.examine, At.examined);
  }

  /** mmio_enabled has an answer. */
  #clear(): void {
    const { driver, kernel } = this;
    if (driver.mmioEnabled === "need-reset") return this.#reset();
    const answer = this.#modify(ModifyOperation.resetError);
    if ((answer & 0xff) === 2) return this.#go(At.examined, this.#pause(MPCIFC_RETRY_US));
    if (answer !== 0) return this.#reset();
    this.#cleared = true;
    this.#watcher.mark(this.#index, Mark.resetGranted);
    if (driver.mmioEnabled === undefined && !kernel.noneIsConsent) return this.#fail();
    this.#go(At.firstLoad, 0);
  }

  /** zpci_hot_reset_device. */
  #reset(): void {
    this.#tries = 0;
    this.#disable();
  }

  #disable(): void {
    if (!this.#probing) this.#ask();
    const response = this.#port.disable(this.#index);
    this.#clp("disable", response);
    if (response === ClpResponse.busy && this.#again(At.disable)) return;
    const done = response === ok || response === ClpResponse.alreadyInState;
    if (!done && response !== ClpResponse.handleNotValidForOperation) return this.#fail();
    if (!this.#probing) this.#watcher.mark(this.#index, Mark.resetGranted);
    this.#tries = 0;
    this.#after(Stage.enable, At.enable);
  }

  #enable(): void {
    const response = this.#port.enable(this.#index);
    this.#clp("enable", response);
    if (response === ClpResponse.busy && this.#again(At.enable)) return;
    if (response !== ok) return this.#fail();
    this.#register();
  }

  #register(): void {
    if (this.kernel.interruptsInReset && this.driver.vectors !== false) {
      this.#modify(ModifyOperation.registerInterrupts);
    }
    const answer = this.#modify(ModifyOperation.registerIoat);
    if ((answer & 0xff) === 2) return this.#go(At.register, this.#pause(MPCIFC_RETRY_US));
    const late = (answer & 0xff) === 3 || answer >>> 8 === ModifyStatus.errorRecovery;
    if (answer !== 0 && !(late && this.kernel.lateRegistration)) {
      this.#clp("disable", this.#port.disable(this.#index));
      return this.#fail();
    }
    this.#after(Stage.register, At.firstLoad);
  }

  /** slot_reset begins, or, where the error was cleared in place, resume. */
  #firstLoad(): void {
    if (this.#probing) return this.#after(Stage.probe, At.probed);
    // Without a callback nobody loads anything.
    const loads = this.#cleared || this.driver.slotReset;
    if (loads && this.#port.alive(this.#index)) this.#watcher.mark(this.#index, Mark.proved);
    if (this.#cleared) return this.#after(Stage.restart, At.restarted);
    this.#run(this.#programs[1]);
    this.#after(Stage.restore, At.restored);
  }

  #restored(): void {
    this.#run(this.#programs[2]);
    this.#after(Stage.restart, At.restarted);
  }

  /** The driver has waited for its device; one that does not answer is waited for a while and then let go. */
  #restarted(): void {
    const { resume } = this.driver;
    if (resume && !this.#port.alive(this.#index)) return this.#after(Stage.giveUp, At.gaveUp);
    // Nobody looks: the function is back unless another error has met it already.
    const back = resume || this.#port.accessAnswer(this.#index) === 0;
    if (back) this.#watcher.mark(this.#index, Mark.resumed);
    this.#finish(true);
  }

  #probed(): void {
    if (this.#port.alive(this.#index)) {
      this.#states[this.#index] = Driver.running;
      this.#watcher.mark(this.#index, Mark.resumed);
    } else {
      this.#states[this.#index] = Driver.unbound;
      this.#watcher.mark(this.#index, Mark.lost);
    }
    this.#next();
  }

  /** 0x0108 is tried again for two seconds; false when that is over. */
  #again(at: number): boolean {
    this.#tries += 1;
    const { ideal } = this.driver;
    if (this.#tries >= CLP_TRIES && ideal !== true) return false;
    this.#go(at, this.#pause(CLP_RETRY_US));
    if (ideal === true || this.#record !== undefined) return true;
    this.#busyUs = this.#times.stamp[0] as number;
    this.#busyTries = this.#tries;
    this.#retryAfter(CLP_TRIES - this.#tries);
    return true;
  }

  /**
   * The answer is another one only when the recovery machine has stepped, which `answered` says: the tries until then, all
   * of them answered "busy", are counted and not made. Where somebody writes the instructions down they are.
   */
  #retryAfter(tries: number): void {
    this.#tries = this.#busyTries + tries - 1;
    this.nextUs = this.#busyUs + tries * CLP_RETRY_US;
  }

  /** The ideal driver looks again when the recovery machine has answered, which `answered` says. */
  #pause(us: number): number {
    return this.driver.ideal === true ? NEVER : us;
  }

  /** The recovery machine has stepped: what the guest waits for may have an answer. An ideal driver looks at once. */
  answered(): void {
    if (waits[this.#at] !== 1) return;
    const nowUs = this.#times.stamp[0] as number;
    if (this.driver.ideal === true) {
      if (this.nextUs === NEVER) this.nextUs = nowUs;
    } else if (this.#busyTries > 0) {
      const tries = Math.ceil((nowUs - this.#busyUs) / CLP_RETRY_US);
      this.#retryAfter(Math.min(Math.max(tries, 1), CLP_TRIES - this.#busyTries));
    }
  }

  // Ends ------------------------------------------------------------------------------------------------

  #fail(): void {
    if (this.#probing) {
      this.#states[this.#index] = Driver.unbound;
      this.#watcher.mark(this.#index, Mark.lost);
      return this.#next();
    }
    if (this.kernel.report) this.#report(false);
    this.#ioFailure();
  }

  /** zpci_event_io_failure: no instruction follows; the driver gives its device up. */
  #ioFailure(): void {
    this.#states[this.#index] = Driver.permanent;
    this.#watcher.mark(this.#index, Mark.lost);
    this.#next();
  }

  #finish(success: boolean): void {
    if (this.kernel.report) this.#report(success);
    this.#next();
  }

  #report(success: boolean): void {
    this.#port.report(this.#index, success);
    this.#record?.({ name: "SERVC", operation: success ? "report: success" : "report: failed" });
  }

  /** P flag: the next event at once; else back to STCRW. */
  #next(): void {
    if (this.#reading && this.#port.event.more) {
      return this.#go(At.chsc, this.#times.delayUs(0, Stage.fetch));
    }
    this.#go(At.stcrw, 0);
  }

  // Instructions ----------------------------------------------------------------------------------------

  #modify(operation: number): Answer {
    const answer = this.#port.modify(this.#index, operation);
    this.#record?.({ name: "MPCIFC", operation, cc: answer & 0xff, status: answer >>> 8 });
    return answer;
  }

  #clp(operation: string, response: number): void {
    this.#record?.({ name: "CLP", operation, response });
  }

  /** A driver's program: MPCIFCs are issued; blocks change nothing and are only written down. */
  #run(program: readonly ProgramStep[]): void {
    for (let n = 0; n < program.length; n++) {
      const step = program[n] as ProgramStep;
      if ("modify" in step) this.#modify(step.modify);
      else if (this.#record !== undefined) this.#block(step);
    }
  }

  #block(block: Exclude<ProgramStep, { readonly modify: number }>): void {
    for (const row of block) {
      const answer = row.name === "SIC" ? 0 : this.#port.accessAnswer(this.#index);
      this.#record?.({ ...row, cc: answer & 0xff, status: answer >>> 8 });
    }
  }
}
