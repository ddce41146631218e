/**
 * What a recovery worker asks of the host and the platform carries out: VFIO_DEVICE_RESET (vfio-uapi.md
 * 3.8) and, where the backend allows it, MPCIFC 9 and 7. `HostRequests` runs on the platform's thread;
 * `RequestPort` is the worker's side. A request is one counter: asked != answered means pending, so a
 * worker's successor simply goes on polling.
 */

import { EAGAIN, EBUSY, EINVAL, EIO, HOST_PENDING } from "../../ports/host-function.ts";
import { add, store } from "../../shm/atomics.ts";
import { WORK_HOST } from "../../shm/blocks.ts";
import { otherInstance } from "./ccdf-builder.ts";
import type { SimFunctionConfig } from "./config.ts";
import type { SimDevice } from "./device.ts";
import {
  ErrorState,
  Hardware,
  type HostArea,
  HostBlock,
  Impaired,
  PLATFORM_REQUEST,
} from "./host-area.ts";
import { clearHardware, type HostKernel } from "./host-kernel.ts";

const ENABLE_BIT = 0x80000000;

export class HostRequests {
  readonly #area: HostArea;
  readonly #config: SimFunctionConfig;
  readonly #kernel: HostKernel;
  readonly #device: SimDevice;
  /** The other functions of a shared PE: a thaw or reset of one is one of all. */
  peers: readonly HostRequests[] = [];

  constructor(area: HostArea, config: SimFunctionConfig, kernel: HostKernel, device: SimDevice) {
    this.#area = area;
    this.#config = config;
    this.#kernel = kernel;
    this.#device = device;
  }

  step(nowUs: number): boolean {
    const cleared = this.#clear();
    return this.#reset(nowUs) || cleared;
  }

  nextEventUs(): number {
    return this.#area.time(HostBlock.resetEndLow) || Number.POSITIVE_INFINITY;
  }

  #clear(): boolean {
    const area = this.#area;
    const asked = area.get(HostBlock.clearAsked);
    if (asked === area.get(HostBlock.clearAnswered)) return false;
    area.set(HostBlock.clearResult, this.#thaw(asked & 0xff));
    area.set(HostBlock.clearAnswered, asked);
    area.workerBell.ring(WORK_HOST);
    return true;
  }

  /** Of the whole PE. What another function of it has thawed already is thawed for this one too. */
  #thaw(operation: number): number {
    const area = this.#area;
    area.set(HostBlock.peFrozen, 0);
    const hardware = area.get(HostBlock.hardware);
    const done = hardware === Hardware.NORMAL || (operation === 9 && hardware === Hardware.BLOCKED);
    if (this.peers.length > 0 && done) return 0;
    const result = clearHardware(area, operation);
    if (result !== 0) return result;
    for (const peer of this.peers) {
      peer.#area.set(HostBlock.peFrozen, 0);
      clearHardware(peer.#area, operation);
    }
    return 0;
  }

  #reset(nowUs: number): boolean {
    const area = this.#area;
    if (area.get(HostBlock.resetAsked) === area.get(HostBlock.resetAnswered)) return false;
    const joined = area.exchange(HostBlock.peReset, 0) === 1;
    if (joined && area.get(HostBlock.hardware) === Hardware.NORMAL) {
      this.#answerReset(0);
      return true;
    }
    // Another function of the PE is at it: its end is ours as well.
    if (this.peers.some((peer) => peer.#area.time(HostBlock.resetEndLow) !== 0)) {
      if (joined) area.set(HostBlock.peReset, 1);
      return false;
    }
    const end = area.time(HostBlock.resetEndLow);
    if (end === 0) {
      const refused = this.#refusal(nowUs);
      if (refused !== 0) {
        this.#answerReset(refused);
        return true;
      }
      this.#beginReset(nowUs);
      if (this.#config.timing.resetUs > 0) return true;
    } else if (nowUs < end) return false;
    this.#endReset();
    return true;
  }

  /** Rows 3, 6, 8 and 9 of 3.8 in their order; then the errno values that the script forces. */
  #refusal(nowUs: number): number {
    const area = this.#area;
    if (this.#kernel.deviceLocked(nowUs)) return -EAGAIN;
    if ((area.get(HostBlock.impaired) & Impaired.LINK) !== 0) return -EIO;
    // A function that is being unbound has its state lock held until it is closed (3.11).
    if (this.#kernel.stateLocked(nowUs) || area.get(HostBlock.leaving) === 1) return -EIO;
    const used = area.get(HostBlock.resetFailuresUsed);
    const forced = this.#config.resetFailures[used];
    if (forced !== undefined) {
      area.set(HostBlock.resetFailuresUsed, used + 1);
      return -forced;
    }
    // A function in permanent error leaves it only by a deconfigure: CLP enable answers 0x0106.
    return area.get(HostBlock.hardware) === Hardware.PERMANENT ? -EIO : 0;
  }

  /** CLP disable, or the start of a function-level reset. Nothing passes until the end. */
  #beginReset(nowUs: number): void {
    const area = this.#area;
    if (this.#bySlot()) {
      area.set(HostBlock.handle, area.get(HostBlock.handle) & ~ENABLE_BIT);
    }
    area.set(HostBlock.hardware, Hardware.RESETTING);
    for (const peer of this.peers) peer.#frozenByReset();
    area.setTime(HostBlock.resetEndLow, Math.max(1, nowUs + this.#config.timing.resetUs));
  }

  /** Rows 4 and 5: a function whose configuration space reads as ones can only be reset by its slot. */
  #bySlot(): boolean {
    const area = this.#area;
    const healthy =
      area.get(HostBlock.hardware) === Hardware.NORMAL &&
      area.get(HostBlock.errorState) !== ErrorState.permFailure;
    return !healthy || !this.#config.flr;
  }

  /**
   * The function is back: registers and memory as after power-on, COMMAND, BARs and MSI-X as saved
   * (row 12), queue and `errorState` untouched (3.5, 3.8).
   */
  #endReset(): void {
    const area = this.#area;
    const handle = area.get(HostBlock.handle);
    if ((handle & ENABLE_BIT) === 0) {
      const next = this.#config.changeHandle ? otherInstance(handle >>> 0, 1) : handle;
      area.set(HostBlock.handle, next | ENABLE_BIT);
    }
    for (let word = 0; word < 4; word++) area.set(HostBlock.msixPending + word, 0);
    this.#device.reset();
    area.set(HostBlock.impaired, 0);
    area.setTime(HostBlock.resetEndLow, 0);
    area.set(HostBlock.peFrozen, 0);
    area.set(HostBlock.hardware, Hardware.NORMAL);
    for (const peer of this.peers) peer.#resetByPeer();
    this.#answerReset(0);
  }

  /** The PE is being reset for another function. */
  #frozenByReset(): void {
    const area = this.#area;
    const hardware = area.get(HostBlock.hardware);
    if (hardware === Hardware.ABSENT || hardware === Hardware.PERMANENT) return;
    // Only one that was frozen has a reset coming that this one makes needless.
    if (hardware !== Hardware.NORMAL) area.set(HostBlock.peReset, 1);
    area.set(HostBlock.hardware, Hardware.RESETTING);
  }

  /** The PE was reset for another function: this one begins anew as well, its handle as it was. */
  #resetByPeer(): void {
    const area = this.#area;
    if (area.get(HostBlock.hardware) !== Hardware.RESETTING) return;
    for (let word = 0; word < 4; word++) area.set(HostBlock.msixPending + word, 0);
    this.#device.reset();
    area.set(HostBlock.peFrozen, 0);
    area.set(HostBlock.hardware, Hardware.NORMAL);
  }

  #answerReset(result: number): void {
    const area = this.#area;
    area.set(HostBlock.resetResult, result);
    area.set(HostBlock.resetAnswered, area.get(HostBlock.resetAsked));
    area.workerBell.ring(WORK_HOST);
  }
}

/** Thread: recovery worker only. */
export class RequestPort {
  readonly #area: HostArea;
  readonly #resettable: boolean;

  constructor(area: HostArea, config: SimFunctionConfig) {
    this.#area = area;
    this.#resettable = config.resettable;
  }

  /** A reset that a dead predecessor asked for is joined, not repeated. */
  startReset(): number {
    if (!this.#resettable) return -EINVAL;
    const area = this.#area;
    if (area.get(HostBlock.resetAsked) === area.get(HostBlock.resetAnswered)) {
      add(area.words, area.host + HostBlock.resetAsked, 1);
    }
    area.platformBell.ring(PLATFORM_REQUEST);
    return 0;
  }

  pollReset(): number {
    return this.#poll(HostBlock.resetAsked, HostBlock.resetAnswered, HostBlock.resetResult);
  }

  /** @returns -EBUSY while the other operation is under way */
  startClear(operation: 7 | 9): number {
    const area = this.#area;
    const asked = area.get(HostBlock.clearAsked);
    if (asked === area.get(HostBlock.clearAnswered)) {
      const count = ((asked >>> 8) + 1) & 0xffffff;
      store(area.words, area.host + HostBlock.clearAsked, (count << 8) | operation);
    } else if ((asked & 0xff) !== operation) return -EBUSY;
    area.platformBell.ring(PLATFORM_REQUEST);
    return 0;
  }

  pollClear(): number {
    return this.#poll(HostBlock.clearAsked, HostBlock.clearAnswered, HostBlock.clearResult);
  }

  /** Rings again while pending: the ring itself may have died with a predecessor. */
  #poll(asked: number, answered: number, result: number): number {
    const area = this.#area;
    if (area.get(asked) === area.get(answered)) return area.get(result);
    area.platformBell.ring(PLATFORM_REQUEST);
    return HOST_PENDING;
  }
}
