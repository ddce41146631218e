/**
 * What a recovery thread does (`workers/recovery.worker.ts`): it carries functions of one VM or of several, takes the
 * main thread's orders between two passes, and never waits for one of its VMs while another has work. Each place
 * goes through the same life: open the host function, wait at the gate of its VM, step; stand when its VM stands.
 */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { HostClock } from "../base/clock.ts";
import type { Policy } from "../recovery/index.ts";
import { type Carried, Load, type LoopEnd, passOf } from "../recovery/loop.ts";
import type { RecoveryUnit } from "../recovery/unit.ts";
import { load, poke, store } from "../shm/atomics.ts";
import { FunctionBlock } from "../shm/blocks.ts";
import { sleepUnless } from "../shm/doorbell.ts";
import { platformBell } from "../shm/platform-bell.ts";
import { RecoveryThreadWords, recoverySleepWord } from "../shm/recovery-bell.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { holdCount, standOrGo } from "./hold.ts";
import { collectLoadGarbage } from "./load-garbage.ts";
import { COMMAND_STOP, commandOf } from "./loops.ts";
import { buildRecovery, comesBack, RecoveryTraces } from "./recovery-parts.ts";
import { declareReady, isReady, joinTime, recoveryActor } from "./start-gate.ts";
import { type ActorTask, attachTo, policyOf, type VmSpec, withPolicy } from "./vm-spec.ts";
import { WarmUp } from "./warm-up.ts";

/** How long a place that stands sleeps before it looks again. */
const LOOK_MS = 100;

/** Exit status of a worker that a test's kill hook ended. */
const KILLED_BY_HOOK = 70;

export interface PlaceOrder {
  /** The thread's number for this place. */
  readonly place: number;
  readonly index: number;
  /** Number of the policy in the order's spec. */
  readonly policyNumber: number;
  /** It goes on where a snapshot was taken. */
  readonly continued: boolean;
}

/** Functions of one VM to carry from now on. */
export interface CarryOrder {
  readonly kind: "carry";
  /** The VM, in one of its lives. */
  readonly life: number;
  readonly task: ActorTask;
  readonly places: readonly PlaceOrder[];
}

/** What the main thread tells a recovery thread. */
export type RecoveryOrder =
  | CarryOrder
  | {
      readonly kind: "policy";
      readonly place: number;
      readonly number: number;
      readonly policy: Policy;
    }
  /** Nobody waits for this function any longer: its place is somebody else's. */
  | { readonly kind: "leave"; readonly place: number }
  | { readonly kind: "end" };

/** A place that its thread has left in order. */
export interface PlaceLeft {
  readonly place: number;
}

export interface RecoveryTask {
  readonly orders: MessagePort;
  readonly words: Int32Array;
  readonly first: CarryOrder;
  /** The thread ends with the last function that it carries, else by order. */
  readonly own: boolean;
}

/** A VM as this thread sees it, for all places of it. */
class Seat {
  readonly vm: VmMemory;
  readonly clock = new HostClock();
  readonly traces: RecoveryTraces;
  spec: VmSpec;

  constructor(task: ActorTask) {
    this.vm = attachTo(task);
    this.spec = task.spec;
    this.traces = new RecoveryTraces(this.vm);
    joinTime(this.vm, this.clock);
  }
}

// In a worker, process.exit ends this thread only, at once.
const onKill = (): never => process.exit(KILLED_BY_HOOK);

/** A function in its place on this thread. */
class Place implements Carried {
  readonly number: number;
  readonly seat: Seat;
  readonly #index: number;
  readonly #words: Int32Array;
  readonly #block: number;
  readonly #actor: number;
  readonly #comesBack: boolean;
  #continued: boolean;
  #unit: RecoveryUnit | undefined;
  /** Number of the last hold order that was looked at, while this place stands; else -1. */
  #stoodAt = -1;
  #ready: boolean;

  constructor(seat: Seat, order: PlaceOrder, words: Int32Array) {
    const { vm, spec } = seat;
    this.number = order.place;
    this.seat = seat;
    this.#index = order.index;
    this.#words = words;
    this.#block = (vm.map.functionBlocks[order.index] as number) / 4;
    this.#actor = recoveryActor(vm, order.index);
    this.#ready = isReady(vm, this.#actor);
    this.#comesBack = comesBack(spec, order.index);
    this.#continued = order.continued;
    store(vm.words, this.#block + FunctionBlock.policyTaken, order.policyNumber);
  }

  rung(): boolean {
    const { vm } = this.seat;
    if (this.#stoodAt >= 0) {
      return holdCount(vm) !== this.#stoodAt || commandOf(vm) === COMMAND_STOP;
    }
    return this.#unit?.rung() ?? true;
  }

  pass(): number | LoopEnd {
    poke(this.#words, RecoveryThreadWords.at, this.number);
    const result = this.#pass();
    poke(this.#words, RecoveryThreadWords.at, 0);
    return result;
  }

  #pass(): number | LoopEnd {
    const { vm } = this.seat;
    if (commandOf(vm) === COMMAND_STOP) return "vm-stopped";
    const stands = holdCount(vm);
    if (standOrGo(vm, this.#actor)) {
      this.#stoodAt = stands;
      return LOOK_MS;
    }
    this.#stoodAt = -1;
    this.#unit ??= this.#build();
    const next = passOf(this.#unit, this.#comesBack);
    if (!this.#ready) this.#declareReady();
    return next;
  }

  /** The first pass has opened the host function and armed its error signal. */
  #declareReady(): void {
    this.#ready = true;
    declareReady(this.seat.vm, this.#actor);
    platformBell(this.seat.vm).ring(1);
  }

  #build(): RecoveryUnit {
    const { vm, spec, clock, traces } = this.seat;
    return buildRecovery(vm, spec, this.#index, clock, onKill, this.#continued, traces);
  }

  /** Between two passes: the unit goes on under another policy. */
  setPolicy(number: number, policy: Policy): void {
    this.seat.spec = withPolicy(this.seat.spec, this.#index, policy);
    if (this.#unit !== undefined) {
      this.#continued = true;
      this.#unit = this.#build();
    }
    store(this.seat.vm.words, this.#block + FunctionBlock.policyTaken, number);
  }
}

/** No worker has carried the function before, so nobody waits for this one. */
function isNew(vm: VmMemory, { index }: PlaceOrder): boolean {
  return !isReady(vm, recoveryActor(vm, index));
}

export class RecoveryLoad {
  readonly #task: RecoveryTask;
  readonly #load = new Load<Place>();
  readonly #seats = new Map<number, Seat>();
  readonly #sleepWord: ReturnType<typeof recoverySleepWord>;
  /** The policy to warm the event path up with, when there is nothing else to do. */
  #warmUpFor: Policy | undefined;
  #warmUp: WarmUp | undefined;
  #taken = 0;
  #ended = false;

  constructor(task: RecoveryTask) {
    this.#task = task;
    const { first } = task;
    const vm = attachTo(first.task);
    const [place] = first.places;
    // A successor is waited for: it neither collects nor compiles first.
    if (place !== undefined && isNew(vm, place)) {
      collectLoadGarbage();
      this.#warmUpFor = policyOf(first.task.spec, place.index);
    }
    // A shared thread's is the same for all that it carries.
    this.#sleepWord = recoverySleepWord(vm, place?.index ?? 0);
    this.#carryOut(first);
  }

  /** The thread's life. */
  run(): void {
    const { own } = this.#task;
    const [sleepers, sleeping] = this.#sleepWord;
    const work = { rung: () => this.#ordered() || this.#load.rung() };
    for (;;) {
      this.#takeOrders();
      const idleMs = this.#load.pass((place) => this.#left(place.number));
      if (this.#ended || (own && this.#load.size === 0)) return;
      if (!this.#warmsUp()) sleepUnless(work, sleepers, sleeping, idleMs);
    }
  }

  /** Between two passes. @returns whether it did something */
  #warmsUp(): boolean {
    if (this.#warmUpFor === undefined) return false;
    this.#warmUp ??= new WarmUp(this.#warmUpFor);
    if (this.#warmUp.step()) return true;
    this.#warmUp = undefined;
    this.#warmUpFor = undefined;
    return true;
  }

  #left(place: number): void {
    this.#task.orders.postMessage({ place } satisfies PlaceLeft);
  }

  #ordered(): boolean {
    return load(this.#task.words, RecoveryThreadWords.orders) !== this.#taken;
  }

  #takeOrders(): void {
    const orders = load(this.#task.words, RecoveryThreadWords.orders);
    for (; this.#taken !== orders; this.#taken = (this.#taken + 1) | 0) {
      const received = receiveMessageOnPort(this.#task.orders);
      // The count is told after the message was posted, which may still be on its way.
      if (received === undefined) return;
      this.#carryOut(received.message as RecoveryOrder);
    }
  }

  #carryOut(order: RecoveryOrder): void {
    switch (order.kind) {
      case "carry": {
        const seat = this.#seatOf(order.life, order.task);
        // As much as the VM before has left again as it keeps: the heap would grow past all of it.
        const [place] = order.places;
        if (this.#load.size > 0 && place !== undefined && isNew(seat.vm, place)) {
          collectLoadGarbage();
        }
        for (const place of order.places) {
          this.#load.add(new Place(seat, place, this.#task.words));
        }
        return;
      }
      case "policy":
        this.#load
          .find(({ number }) => number === order.place)
          ?.setPolicy(order.number, order.policy);
        return;
      case "leave": {
        const place = this.#load.find(({ number }) => number === order.place);
        if (place === undefined) return; // it has left by itself
        this.#load.remove(place);
        this.#left(place.number);
        return;
      }
      case "end":
        this.#ended = true;
        return;
    }
  }

  /** VMs whose functions have all left are forgotten here: their memory is to be freed. */
  #seatOf(life: number, task: ActorTask): Seat {
    for (const [known, seat] of this.#seats) {
      const carried = this.#load.find((place) => place.seat === seat) !== undefined;
      if (!carried && known !== life) this.#seats.delete(known);
    }
    const known = this.#seats.get(life);
    if (known === undefined) {
      const seat = new Seat(task);
      this.#seats.set(life, seat);
      return seat;
    }
    known.spec = task.spec;
    return known;
  }
}
