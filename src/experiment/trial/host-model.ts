/**
 * Hot file: no allocation. The host's side of a function in a trial: the host kernel's queue of four CCDFs, the ERR
 * eventfd's count, VFIO_DEVICE_RESET and clears in place, with the durations and failures that the scenario draws.
 * The same contract as the simulated Linux host (`test/contract/recovery-host.test.ts`), without its memory formats.
 * Source: vfio-uapi.md 2.5, 3.3, 3.8.
 */
import { isFmbCode, isPermanentCode } from "../../abi/ccdf.ts";
import { HostDisposition } from "../../abi/records.ts";
import { swap32 } from "../../base/bits.ts";
import type { Stream } from "../../base/distribution.ts";
import { HOST_PENDING_MAX } from "../../base/limits.ts";
import {
  EAGAIN,
  EINVAL,
  EIO,
  ENODEV,
  ENOMSG,
  HOST_PENDING,
  type HostFacts,
  type HostFunction,
} from "../../ports/host-function.ts";
import { add, exchange, poke } from "../../shm/atomics.ts";
import { FunctionBlock, WORK_ERR, WORK_HOST } from "../../shm/blocks.ts";
import { Doorbell } from "../../shm/doorbell.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import type { HostBehaviour } from "../scenario.ts";

const NEVER = Number.POSITIVE_INFINITY;
const FIRST_HANDLE = 0x0001_0000;
const HANDLE_STEP = 0x0100_0000;
const HANDLE_ENABLED = 0x8000_0000;

/** Health of the hardware behind the function. */
export const Health = { good: 0, failed: 1, gone: 2 } as const;

/** Facts that the model's devices never ask for. */
const facts: HostFacts = {
  startDma: 0n,
  endDma: 0n,
  pchid: 0,
  vfn: 0,
  fmbLength: 0,
  pft: 0,
  gid: 0,
  ccdfErrLength: 32,
  dasm: 0n,
  msiAddress: 0n,
  refresh: false,
  mui: 0,
  noi: 0,
  maxstbl: 0,
  groupVersion: 0,
  pfip: [],
  utilityString: [],
  barSizeLog2: [],
  msixVectors: 0,
};

export class HostModel implements HostFunction {
  readonly facts = facts;
  readonly clearError: boolean;
  health: number = Health.good;
  /** When the worker is to be told that what is under way has ended; Infinity = not again. */
  dueUs = NEVER;
  readonly #vm: VmMemory;
  readonly #block: number;
  readonly #bell: Doorbell;
  readonly #behaviour: HostBehaviour;
  readonly #draws: Stream;
  readonly #now: () => number;
  readonly #handles = new Int32Array(HOST_PENDING_MAX);
  readonly #pecs = new Int32Array(HOST_PENDING_MAX);
  #head = 0;
  #count = 0;
  #handle = FIRST_HANDLE | HANDLE_ENABLED;
  #mediated = false;
  #present = true;
  /** 0 nothing, 1 a reset, 7 or 9 a clear; and when it ends. */
  #running = 0;
  #endsUs = NEVER;

  /** @param draws keyed by whoever raises a failure; draws host behaviour only */
  constructor(
    vm: VmMemory,
    index: number,
    behaviour: HostBehaviour,
    draws: Stream,
    now: () => number,
  ) {
    this.#vm = vm;
    this.#block = (vm.map.functionBlocks[index] as number) / 4;
    this.#bell = new Doorbell(
      vm.words,
      this.#block + FunctionBlock.workerSleeping,
      this.#block + FunctionBlock.workerSummary,
    );
    this.#behaviour = behaviour;
    this.#draws = draws;
    this.#now = now;
    this.clearError = behaviour.clearError;
  }

  // The hardware ----------------------------------------------------------------------------------------

  /** A reset or a clear is under way. */
  get busy(): boolean {
    return this.#running !== 0;
  }

  /** Events are waiting to be read. */
  get pending(): boolean {
    return this.#count > 0;
  }

  /**
   * An event of the function: books, queue, signal.
   * @param stale it carries a handle of before; no error of the function
   * @param signal false = the ERR signal is lost
   * @returns `HostDisposition`
   */
  raise(pec: number, stale: boolean, signal: boolean): number {
    const words = this.#vm.words;
    add(words, this.#block + FunctionBlock.errorsRaised, 1);
    if (isFmbCode(pec)) {
      add(words, this.#block + FunctionBlock.hostFmbCode, 1); // logged by the host, not an error
      return HostDisposition.fmbCode;
    }
    if (!stale) this.#fail(pec);
    if (!this.#mediated) {
      add(words, this.#block + FunctionBlock.droppedByPolicy, 1);
      return HostDisposition.notMediated;
    }
    const full = this.#count === HOST_PENDING_MAX;
    if (full) {
      add(words, this.#block + FunctionBlock.hostDropped, 1);
    } else {
      const at = (this.#head + this.#count) % HOST_PENDING_MAX;
      this.#handles[at] = stale ? (this.#handle - HANDLE_STEP) | 0 : this.#handle;
      this.#pecs[at] = pec;
      this.#count += 1;
    }
    if (signal) {
      add(words, this.#block + FunctionBlock.errSignals, 1);
      this.#bell.ring(WORK_ERR);
    }
    return full ? HostDisposition.queueFull : HostDisposition.stored;
  }

  #fail(pec: number): void {
    if (isPermanentCode(pec)) this.health = Health.gone;
    else if (this.health === Health.good) {
      this.health = this.#draws.chance(this.#behaviour.broken) ? Health.gone : Health.failed;
    }
  }

  /** New hardware behind the same function. */
  repair(): void {
    this.health = Health.good;
    this.#present = true;
    this.#renew();
  }

  #renew(): void {
    const instance = (this.#handle + HANDLE_STEP) & 0x7f00_0000;
    this.#handle = (this.#handle & 0x80ff_ffff) | instance;
  }

  /** What is under way has ended: rings the worker, who asks. */
  due(): void {
    this.dueUs = NEVER;
    this.#bell.ring(WORK_HOST);
  }

  // HostFunction ----------------------------------------------------------------------------------------

  handle(): number {
    return this.#handle >>> 0;
  }

  open(): number {
    if (!this.#present) return -ENODEV;
    this.#mediated = true;
    return 0;
  }

  close(): number {
    const left = this.#count;
    this.#count = 0;
    this.#mediated = false;
    this.#begin(0, NEVER);
    return left;
  }

  getError(slot: number): number {
    if (this.#count === 0) return -ENOMSG;
    const words = this.#vm.words;
    const at = slot / 4;
    poke(words, at + 1, swap32(this.#handles[this.#head] as number));
    poke(words, at + 7, swap32(this.#pecs[this.#head] as number));
    this.#head = (this.#head + 1) % HOST_PENDING_MAX;
    this.#count -= 1;
    return 0;
  }

  takeSignals(): number {
    return exchange(this.#vm.words, this.#block + FunctionBlock.errSignals, 0);
  }

  /** The host never asks for the device back. */
  takeRequests(): number {
    return 0;
  }

  startReset(): number {
    if (this.#draws.chance(this.#behaviour.refused)) return -EAGAIN;
    const hangs = this.#draws.chance(this.#behaviour.hangs);
    const took = Math.round(this.#draws.draw(this.#behaviour.resetUs));
    this.#begin(1, hangs ? NEVER : this.#now() + took);
    return 0;
  }

  #begin(what: number, endsUs: number): void {
    this.#running = what;
    this.#endsUs = endsUs;
    this.dueUs = endsUs;
  }

  pollReset(): number {
    if (this.#running !== 1) return -EINVAL;
    return this.#endsUs > this.#now() ? HOST_PENDING : this.#resetEnds();
  }

  #resetEnds(): number {
    this.#begin(0, NEVER);
    if (this.health === Health.gone || this.#draws.chance(this.#behaviour.failed)) return -EIO;
    this.health = Health.good;
    this.#renew();
    return 0;
  }

  startClear(operation: 7 | 9): number {
    this.#begin(operation, this.#now() + Math.round(this.#draws.draw(this.#behaviour.clearUs)));
    return 0;
  }

  pollClear(): number {
    if (this.#running !== 7 && this.#running !== 9) return -EINVAL;
    if (this.#endsUs > this.#now()) return HOST_PENDING;
    const operation = this.#running;
    this.#begin(0, NEVER);
    if (this.health === Health.gone) return -EIO;
    if (operation === 7) this.health = Health.good;
    return 0;
  }
}
