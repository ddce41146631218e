/**
 * Whether a function is there at all: the host asks user space for it (REQ), takes it, or has it again. Thread:
 * platform only. Source: vfio-uapi.md 3.11 (availability events as the host sees them): 0x0303 lets the user go
 * first, 0x0304 does not; either way the unbind holds the state lock until the device is closed, and REQ is signalled
 * again and again until then.
 */
import { add, compareExchange } from "../../shm/atomics.ts";
import { FunctionBlock, RecoveryCommand, WORK_COMMAND, WORK_REQ } from "../../shm/blocks.ts";
import { otherInstance } from "./ccdf-builder.ts";
import type { SimFunctionConfig } from "./config.ts";
import type { SimDevice } from "./device.ts";
import type { PlugForm, UnplugForm } from "./fault-plan.ts";
import { ErrorState, Hardware, type HostArea, HostBlock, powerOn } from "./host-area.ts";

/** Linux's vfio_unregister_group_dev asks again after this. */
const REQUEST_AGAIN_US = 10_000_000;
/** An operator's command that the worker has not taken yet is looked for again after this. */
const COMMAND_AGAIN_US = 1000;

const returnAs: Readonly<Record<PlugForm, number>> = {
  configured: RecoveryCommand.hostBack,
  standby: RecoveryCommand.hostBackStandby,
};

export class Presence {
  readonly #area: HostArea;
  readonly #config: SimFunctionConfig;
  readonly #device: SimDevice;

  constructor(area: HostArea, config: SimFunctionConfig, device: SimDevice) {
    this.#area = area;
    this.#config = config;
    this.#device = device;
  }

  /** The host's platform asks for the function, or has just taken it. */
  leave(how: UnplugForm, nowUs: number): void {
    const area = this.#area;
    area.count(FunctionBlock.hostMoves);
    if (area.get(HostBlock.hardware) === Hardware.ABSENT) return;
    if (how === "surprise") {
      area.set(HostBlock.errorState, ErrorState.permFailure);
      this.#vanish();
    }
    area.set(HostBlock.leaving, 1);
    this.#request(nowUs);
  }

  /** The function is there again, as soon as user space has let go of what it was. */
  comeBack(as: PlugForm): void {
    const area = this.#area;
    const there =
      area.get(HostBlock.hardware) !== Hardware.ABSENT && area.get(HostBlock.leaving) === 0;
    if (there || area.get(HostBlock.returnAs) !== 0) area.count(FunctionBlock.hostMoves);
    else area.set(HostBlock.returnAs, returnAs[as]);
  }

  step(nowUs: number): boolean {
    const area = this.#area;
    if (area.get(HostBlock.leaving) === 1) {
      if (area.get(HostBlock.mediated) === 0) {
        this.#vanish();
        area.set(HostBlock.leaving, 0);
        area.setTime(HostBlock.reqAgainLow, 0);
        return true;
      }
      if (nowUs < area.time(HostBlock.reqAgainLow)) return false;
      this.#request(nowUs);
      return true;
    }
    if (area.get(HostBlock.returnAs) === 0 || area.get(HostBlock.hardware) !== Hardware.ABSENT) {
      return false;
    }
    if (nowUs < area.time(HostBlock.reqAgainLow)) return false;
    this.#appear();
    if (!this.#announce()) {
      this.#vanish();
      area.setTime(HostBlock.reqAgainLow, nowUs + COMMAND_AGAIN_US);
      return false;
    }
    area.setTime(HostBlock.reqAgainLow, 0);
    return true;
  }

  nextEventUs(): number {
    return this.#area.time(HostBlock.reqAgainLow) || Number.POSITIVE_INFINITY;
  }

  #request(nowUs: number): void {
    const area = this.#area;
    area.setTime(HostBlock.reqAgainLow, nowUs + REQUEST_AGAIN_US);
    if (area.get(HostBlock.reqArmed) !== 1) return;
    add(area.words, area.host + HostBlock.reqSignals, 1);
    area.workerBell.ring(WORK_REQ);
  }

  /** Loads give ones, stores go nowhere, DMA and MSI do not pass. */
  #vanish(): void {
    const area = this.#area;
    if (area.get(HostBlock.hardware) === Hardware.ABSENT) return;
    area.set(HostBlock.lastHandle, area.get(HostBlock.handle));
    area.set(HostBlock.hardware, Hardware.ABSENT);
    area.set(HostBlock.handle, 0);
  }

  /** Another slot, or the same: a fresh PCI function under a new handle. */
  #appear(): void {
    const area = this.#area;
    area.set(HostBlock.handle, otherInstance(area.get(HostBlock.lastHandle) >>> 0, 1));
    area.set(HostBlock.errorState, ErrorState.normal);
    area.set(HostBlock.peFrozen, 0);
    area.set(HostBlock.hostBusy, 0);
    area.setTime(HostBlock.hostRecoveryLow, 0);
    powerOn(area, this.#config);
    this.#device.reset();
    area.set(HostBlock.hardware, Hardware.NORMAL);
  }

  /** The worker is told; false while an order that it has not taken yet stands in the word. */
  #announce(): boolean {
    const area = this.#area;
    const word = area.block + FunctionBlock.recoveryCommand;
    const command = area.get(HostBlock.returnAs);
    const { none } = RecoveryCommand;
    if (compareExchange(area.words, word, none, command) !== none) return false;
    area.set(HostBlock.returnAs, 0);
    area.count(FunctionBlock.hostMoves);
    area.workerBell.ring(WORK_COMMAND);
    return true;
  }
}
