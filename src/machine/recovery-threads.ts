/**
 * Recovery threads as the main thread holds them: each carries functions, of one VM or of several, and is started again
 * by whoever it carried when it dies. A thread of a function's own ends with it; those that VMs share are found here,
 * one per so many functions, and end when the last VM has given its seats back. Main thread.
 */
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { FUNCTIONS_PER_RECOVERY_THREAD } from "../base/limits.ts";
import type { Policy } from "../recovery/index.ts";
import { add, load, store } from "../shm/atomics.ts";
import { wake } from "../shm/doorbell.ts";
import { RecoveryThreadWords, recoveryThreadWords } from "../shm/recovery-bell.ts";
import { type Actor, startActor } from "./actors.ts";
import type { CarryOrder, PlaceLeft, RecoveryOrder, RecoveryTask } from "./recovery-load.ts";
import type { ActorTask } from "./vm-spec.ts";

/** A VM, as its recovery threads see it. */
export interface Carrying {
  /** The VM in this life of it. */
  readonly life: number;
  readonly task: () => ActorTask;
  /** A function's place was left in order. */
  readonly left: (index: number) => void;
  /**
   * The thread that carried these functions has died; none of them runs anywhere.
   * @param blamed whether it died at this one, or at none
   */
  readonly died: (
    indices: readonly number[],
    error: Error,
    blamed: (index: number) => boolean,
  ) => void;
}

export interface PlaceToCarry {
  readonly index: number;
  readonly policyNumber: number;
  readonly continued: boolean;
}

interface CarriedPlace {
  readonly vm: Carrying;
  readonly index: number;
}

export class RecoveryThread {
  readonly words = recoveryThreadWords();
  readonly #own: boolean;
  readonly #name: string;
  readonly #places = new Map<number, CarriedPlace>();
  #actor: Actor | undefined;
  #port: MessagePort | undefined;
  #lastPlace = 0;
  /** Settles when the thread that ran last has gone. */
  #gone: Promise<void> = Promise.resolve();

  /** @param own it ends with the function that it carries */
  constructor(own: boolean, name: string) {
    this.#own = own;
    this.#name = name;
  }

  /** Carries functions of a VM from now on, on a new thread if none runs. */
  carry(vm: Carrying, places: readonly PlaceToCarry[]): void {
    if (places.length === 0) return;
    const order: CarryOrder = {
      kind: "carry",
      life: vm.life,
      task: vm.task(),
      places: places.map((place) => {
        this.#lastPlace += 1;
        this.#places.set(this.#lastPlace, { vm, index: place.index });
        return { ...place, place: this.#lastPlace };
      }),
    };
    if (this.#actor === undefined) this.#start(order);
    else this.#post(order);
  }

  /** Another policy for a function that it carries, as soon as the thread is rung. */
  setPolicy(vm: Carrying, index: number, number: number, policy: Policy): void {
    for (const [place, carried] of this.#places) {
      if (carried.vm !== vm || carried.index !== index) continue;
      this.#post({ kind: "policy", place, number, policy });
    }
  }

  /** A function is not waited for any longer; `left` tells when its place is free. */
  leave(vm: Carrying, index: number): void {
    for (const [place, carried] of this.#places) {
      if (carried.vm === vm && carried.index === index) this.#post({ kind: "leave", place });
    }
  }

  /** Ends the thread wherever it is; resolves when what follows from its death has been begun. */
  async kill(): Promise<void> {
    await this.#actor?.kill();
  }

  /** Ends a thread that carries nothing any more. */
  end(): Promise<void> {
    if (this.#actor !== undefined) this.#post({ kind: "end" });
    return this.#gone;
  }

  #start(first: CarryOrder): void {
    const { port1, port2 } = new MessageChannel();
    port1.on("message", ({ place }: PlaceLeft) => this.#left(place));
    port1.unref();
    store(this.words, RecoveryThreadWords.orders, 0);
    store(this.words, RecoveryThreadWords.at, 0);
    store(this.words, RecoveryThreadWords.sleeping, 0);
    const task: RecoveryTask & { readonly name: string } = {
      orders: port2,
      words: this.words,
      first,
      own: this.#own,
      name: this.#name,
    };
    const actor = startActor("recovery", task, [port2]);
    this.#actor = actor;
    this.#port = port1;
    const runs = (): boolean => this.#actor === actor;
    const ended = (): void => {
      port1.close();
      if (runs()) this.#retire();
    };
    const before = this.#gone;
    this.#gone = actor.done.then(
      async () => {
        const last = runs();
        ended();
        if (last) for (const place of [...this.#places.keys()]) this.#left(place);
        await Promise.all([before, actor.close()]);
      },
      async (error: Error) => {
        const last = runs();
        ended();
        await Promise.all([before, actor.close()]);
        if (last) this.#died(error);
      },
    );
  }

  /** The thread takes no further orders: the next function to carry gets another. */
  #retire(): void {
    this.#actor = undefined;
    this.#port = undefined;
  }

  #post(order: RecoveryOrder): void {
    this.#port?.postMessage(order);
    add(this.words, RecoveryThreadWords.orders, 1);
    wake(this.words, RecoveryThreadWords.sleeping);
  }

  #left(place: number): void {
    const carried = this.#places.get(place);
    this.#places.delete(place);
    // With the last of its functions a thread of one's own ends, whether or not we have seen it end.
    if (this.#own && this.#places.size === 0) this.#retire();
    carried?.vm.left(carried.index);
  }

  /** Each VM is told once of all its functions: what they share is to be mended before any of them goes on. */
  #died(error: Error): void {
    const carried = [...this.#places.values()];
    const culprit = this.#places.get(load(this.words, RecoveryThreadWords.at));
    this.#places.clear();
    for (const vm of new Set(carried.map((place) => place.vm))) {
      const indices = carried.filter((place) => place.vm === vm).map(({ index }) => index);
      const blamed = (index: number): boolean =>
        culprit === undefined || (culprit.vm === vm && culprit.index === index);
      vm.died(indices, error, blamed);
    }
  }
}

/** Threads that VMs share, and how many functions have seats on each. */
const shared = new Map<RecoveryThread, number>();
let sharedThreads = 0;

/** Seats for all functions of a VM, on one thread. */
export function takeSeats(functions: number): RecoveryThread {
  const full = FUNCTIONS_PER_RECOVERY_THREAD - functions;
  const known = [...shared].find(([, seats]) => seats <= full)?.[0];
  if (known === undefined) sharedThreads += 1;
  const thread = known ?? new RecoveryThread(false, `recovery-${sharedThreads}`);
  shared.set(thread, (shared.get(thread) ?? 0) + functions);
  return thread;
}

/** When none of the VM's functions is carried any more. Resolves when a thread that nobody needs has ended. */
export async function giveSeatsBack(thread: RecoveryThread, functions: number): Promise<void> {
  const seats = (shared.get(thread) ?? 0) - functions;
  if (seats > 0) {
    shared.set(thread, seats);
    return;
  }
  shared.delete(thread);
  await thread.end();
}
