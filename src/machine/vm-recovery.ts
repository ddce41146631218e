/**
 * The recovery workers of one VM: which thread carries which function, what happens when a thread dies, orders to
 * single functions. A thread per function, or one for all of them, which other VMs share: `VmSpec.recoveryWorkers`
 * decides, nothing else differs. Main thread.
 */
import { WORKER_RESTARTS_MAX, WORKER_RESTARTS_WINDOW_MS } from "../base/limits.ts";
import type { Clock } from "../ports/clock.ts";
import { type Policy, repairAfterDeath } from "../recovery/index.ts";
import { load, store } from "../shm/atomics.ts";
import { FunctionBlock, WORK_COMMAND } from "../shm/blocks.ts";
import { recoveryBell } from "../shm/recovery-bell.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { forgetActor } from "./hold.ts";
import { COMMAND_RUN, commandOf } from "./loops.ts";
import { recoveryOptions } from "./recovery-parts.ts";
import { type Carrying, giveSeatsBack, RecoveryThread, takeSeats } from "./recovery-threads.ts";
import { isReady, recoveryActor } from "./start-gate.ts";
import type { ActorTask, VmSpec } from "./vm-spec.ts";

/** Deaths of a worker before it was ever ready: what killed it would kill the next too. */
const STARTS_MAX = 4;

/** A recovery worker's thread has died. */
export interface WorkerDeath {
  readonly index: number;
  readonly cause: string;
  /** Deaths within the window (limits.ts), this one included. */
  readonly deaths: number;
  /** False when it was one too many: the VM is stopped. */
  readonly restarts: boolean;
}

/** What the VM around it provides. */
export interface VmRecoverySurroundings {
  readonly vm: VmMemory;
  readonly clock: Clock;
  /** With the policies that are in force now. */
  readonly spec: () => VmSpec;
  readonly task: () => ActorTask;
  readonly fail: (name: string, error: Error) => void;
  readonly onWorkerDeath: ((death: WorkerDeath) => void) | undefined;
  readonly restartsMax: number | undefined;
}

let lives = 0;

export class VmRecovery {
  readonly #around: VmRecoverySurroundings;
  readonly #vm: VmMemory;
  readonly #carrying: Carrying;
  #shared: RecoveryThread | undefined;
  /** By function; with threads that are shared each stands for all. */
  readonly #threads = new Map<number, RecoveryThread>();
  /** Functions that a thread carries, their end and who tells it. */
  readonly #carried = new Map<number, { readonly end: Promise<void>; readonly tell: () => void }>();
  readonly #ends = new Set<Promise<void>>();
  /** Functions whose worker has ended in order. */
  readonly #left = new Set<number>();
  readonly #deathsUs: number[][] = [];

  constructor(around: VmRecoverySurroundings) {
    this.#around = around;
    this.#vm = around.vm;
    lives += 1;
    this.#carrying = {
      life: lives,
      task: around.task,
      left: (index) => {
        this.#left.add(index);
        this.#ended(index);
      },
      died: (indices, error, blamed) => this.#died(indices, error, blamed),
    };
  }

  /** Before any thread of the VM starts: all of them have to know a thread that is shared. */
  open(): void {
    if (this.#around.spec().recoveryWorkers !== "shared") return;
    this.#shared = takeSeats(this.#vm.map.functionCount);
    this.#vm.recoveryWords = this.#shared.words;
  }

  /** @param continued they go on where a snapshot was taken */
  start(indices: readonly number[], continued = false): void {
    const places = new Map<RecoveryThread, number[]>();
    for (const index of indices) {
      const last = this.#carried.get(index);
      if (last !== undefined) {
        // A function has one worker: the next begins when the last one has left.
        void last.end.then(() => {
          if (commandOf(this.#vm) === COMMAND_RUN) this.start([index], continued);
        });
        continue;
      }
      const thread = this.#threadOf(index);
      places.set(thread, [...(places.get(thread) ?? []), index]);
      this.#left.delete(index);
      let tell = (): void => {};
      const end = new Promise<void>((resolve) => {
        tell = resolve;
      });
      this.#carried.set(index, { end, tell });
      this.#ends.add(end);
    }
    for (const [thread, carried] of places) {
      thread.carry(
        this.#carrying,
        carried.map((index) => ({ index, continued, policyNumber: this.#policyNumber(index) })),
      );
    }
  }

  #threadOf(index: number): RecoveryThread {
    const name = `rec-${index} ${this.#around.spec().name}`;
    const thread = this.#shared ?? this.#threads.get(index) ?? new RecoveryThread(true, name);
    this.#threads.set(index, thread);
    return thread;
  }

  /** Functions that a thread carries. */
  carried(): Iterable<number> {
    return this.#carried.keys();
  }

  /** Whether function `index` has a recovery worker: not after it left, nor after a policy stopped the VM. */
  serves(index: number): boolean {
    return !this.#left.has(index);
  }

  /** Nobody waits for function `index` any longer. */
  leave(index: number): void {
    if (this.#carried.has(index)) this.#threads.get(index)?.leave(this.#carrying, index);
  }

  ring(index: number): void {
    recoveryBell(this.#vm, index).ring(WORK_COMMAND);
  }

  ringAll(): void {
    for (const index of this.#carried.keys()) this.ring(index);
  }

  /** Asks for another policy; `policyTaken` says when it is in force. */
  askPolicy(index: number, policy: Policy): () => boolean {
    const block = (this.#vm.map.functionBlocks[index] as number) / 4;
    const number = this.#policyNumber(index) + 1;
    this.#threads.get(index)?.setPolicy(this.#carrying, index, number, policy);
    store(this.#vm.words, block + FunctionBlock.policyAsked, number);
    this.ring(index);
    return () => load(this.#vm.words, block + FunctionBlock.policyTaken) >= number;
  }

  #policyNumber(index: number): number {
    const block = (this.#vm.map.functionBlocks[index] as number) / 4;
    return load(this.#vm.words, block + FunctionBlock.policyAsked);
  }

  /** Ends the thread that carries function `index` wherever it is (tests and fault experiments). */
  async kill(index: number): Promise<void> {
    await this.#threads.get(index)?.kill();
  }

  /** After the VM was told to stop: resolves when no thread carries a function of it. */
  async ended(): Promise<void> {
    while (this.#ends.size > 0) {
      const all = [...this.#ends];
      await Promise.all(all);
      for (const one of all) this.#ends.delete(one);
    }
    const shared = this.#shared;
    this.#shared = undefined;
    if (shared !== undefined) await giveSeatsBack(shared, this.#vm.map.functionCount);
    else await Promise.all([...this.#threads.values()].map((thread) => thread.end()));
  }

  /** Ends all threads of its own; one that is shared is left in peace unless `evenShared`. */
  async killAll(evenShared: boolean): Promise<void> {
    if (this.#shared !== undefined && !evenShared) return;
    await Promise.all([...new Set(this.#threads.values())].map((thread) => thread.kill()));
  }

  #ended(index: number): void {
    const carried = this.#carried.get(index);
    this.#carried.delete(index);
    carried?.tell();
  }

  /** Everything is mended before any of it goes on: functions of a shared thread share its trace ring. */
  #died(indices: readonly number[], error: Error, blamed: (index: number) => boolean): void {
    const ends = indices.map((index) => this.#carried.get(index));
    for (const index of indices) {
      this.#carried.delete(index);
      forgetActor(this.#vm, recoveryActor(this.#vm, index));
    }
    const runs = (): boolean => commandOf(this.#vm) === COMMAND_RUN;
    const mended = indices.filter((index) => runs() && this.#mended(index, error, blamed(index)));
    if (runs()) this.start(mended);
    for (const end of ends) end?.tell();
  }

  /** @param blamed it died at this one: others that it carried do not count the death */
  #mended(index: number, error: Error, blamed: boolean): boolean {
    const deaths = blamed ? this.#countDeath(index) : 0;
    const { restartsMax } = this.#around;
    const wasReady = isReady(this.#vm, recoveryActor(this.#vm, index));
    const most = restartsMax ?? WORKER_RESTARTS_MAX;
    const limit = wasReady ? most : Math.min(most, STARTS_MAX - 1);
    const restarts = deaths <= limit;
    this.#around.onWorkerDeath?.({ index, cause: error.message, deaths, restarts });
    const name = `recovery-${index}`;
    if (!restarts) {
      this.#around.fail(name, error);
      return false;
    }
    try {
      const { vm, spec, clock } = this.#around;
      repairAfterDeath(recoveryOptions(vm, spec(), index, clock));
      return true;
    } catch (repairError) {
      this.#around.fail(name, repairError as Error);
      return false;
    }
  }

  /** @returns deaths of this worker within the window, this one included */
  #countDeath(index: number): number {
    const nowUs = this.#around.clock.nowUs();
    const first = nowUs - WORKER_RESTARTS_WINDOW_MS * 1000;
    const recent = (this.#deathsUs[index] ?? []).filter((timeUs) => timeUs >= first);
    recent.push(nowUs);
    this.#deathsUs[index] = recent;
    return recent.length;
  }
}
