/**
 * Hot file: no allocation. Reads the host's queue into the guest's ring until -ENOMSG, and says what that came
 * to. A CCDF is read straight into the ring's next slot, because the host's GET takes it out of the host for
 * good (design.md 4). Thread: recovery worker. Source: vfio-uapi.md 2.5.
 */
import { CCDF_RING_SLOTS, DRAIN_BATCH_MAX } from "../base/limits.ts";
import { EFAULT, ENODEV, ENOMSG, ENOTTY } from "../ports/host-function.ts";
import { FunctionState } from "../shm/blocks.ts";
import { RECORD_BODY } from "../shm/ring.ts";
import { judge } from "./judge.ts";
import type { Machine } from "./machine.ts";
import { OnError } from "./policy.ts";
import { choicesOf, Event } from "./vocabulary.ts";
import { DrainStep, Scratch } from "./words.ts";

/** A host that answers an open or a drain with "not now" or an unexpected errno is asked again after this. */
export const HOST_RETRY_US = 1000;

const QueueEmpty = choicesOf("queueEmpty");
const Signalled = choicesOf("errorSignalled");

export class Drain {
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Takes the ERR eventfd's count. */
  takeSignals(): void {
    const { host, policy, words } = this.#machine;
    // A host that was not opened has nothing that can be read.
    if (words.get(Scratch.opened) === 0 || host.takeSignals() === 0) return;
    const stop = policy.onError === OnError.stopVm;
    this.#machine.feed(Event.errorSignalled, stop ? Signalled["stop-vm"] : Signalled.read);
  }

  /** The guest has fetched: a drain that its full ring had stopped goes on. */
  creditReturned(): void {
    if (this.#machine.words.get(Scratch.starved) === 0) return;
    this.#machine.feed(Event.creditReturned, 0);
  }

  /** The slow interval: a lost signal costs delay, never an event. */
  due(): boolean {
    return this.#machine.words.due(Scratch.drainAt) && this.nextUs() !== Number.POSITIVE_INFINITY;
  }

  /** When the slow interval ends; Infinity where there is none. */
  nextUs(): number {
    const { policy, words } = this.#machine;
    const reads = policy.slowDrainUs > 0 && words.get(Scratch.opened) === 1;
    return reads ? words.time(Scratch.drainAt) : Number.POSITIVE_INFINITY;
  }

  /** Reads the host's queue to its end, the batch limit, or the end of the guest's ring. */
  run(): void {
    const { words, runner, driver, policy } = this.#machine;
    runner.poll = false;
    words.setTimeIn(Scratch.drainAt, policy.slowDrainUs);
    if (words.get(Scratch.opened) === 0 || driver.resetRunning()) return;
    // Nobody asks for the events of a VM that is stopped, but one that begins anew has done with them.
    if (policy.onError === OnError.stopVm && this.#machine.effects.guestEnabled()) return;
    words.set(Scratch.starved, 0);
    for (let count = 0; count < DRAIN_BATCH_MAX; count++) {
      const result = this.#readOne();
      if (result === -ENODEV || result === -ENOTTY) {
        this.#machine.feed(Event.hostGone, 0);
        return;
      }
      if (result !== 0) break;
      if (count === DRAIN_BATCH_MAX - 1) runner.poll = true; // the rest in the next pass
    }
    this.#machine.feed(Event.queueEmpty, this.#outcome());
  }

  /** @returns 0 when there may be more, else the host's answer; -ENOMSG too when the guest's ring is full */
  #readOne(): number {
    const { words, effects, host } = this.#machine;
    const slot = effects.ring.reserve();
    if (slot < 0) {
      words.set(Scratch.starved, 1);
      return -ENOMSG;
    }
    effects.ring.arm(slot);
    words.reach(DrainStep.reserved);
    const result = host.getError(slot * 4 + RECORD_BODY);
    if (result === 0) {
      words.reach(DrainStep.read);
      this.ccdf(slot);
      return 0;
    }
    if (result === -EFAULT) {
      effects.lost();
      return 0;
    }
    if (result !== -ENOMSG) words.setTimeIn(Scratch.drainAt, HOST_RETRY_US);
    return result;
  }

  /** Judges the CCDF at `slot` and has it settled. */
  ccdf(slot: number): void {
    const { runner, effects, host, policy, clock } = this.#machine;
    runner.slot = slot;
    const verdict = judge(effects, slot, host.handle(), policy, clock);
    this.#machine.feed(Event.ccdfRead, verdict);
    runner.slot = -1;
  }

  #outcome(): number {
    const { words, effects, policy } = this.#machine;
    const starved = words.get(Scratch.starved) === 1;
    if (words.get(Scratch.unreported) === 0) {
      if (starved) return QueueEmpty.starved;
      return this.#machine.orphan(false) ? QueueEmpty.orphan : QueueEmpty.nothing;
    }
    if (policy.onError === OnError.unplug) return QueueEmpty.unplug;
    if (effects.guestState() === FunctionState.PERMANENT_ERROR) return QueueEmpty.permanent;
    if (policy.onError === OnError.quarantine) return QueueEmpty.quarantine;
    if (starved) return QueueEmpty.starved;
    if (effects.ring.free() === CCDF_RING_SLOTS) return QueueEmpty.fetched;
    return policy.onError === OnError.reset ? QueueEmpty.reset : QueueEmpty.injected;
  }
}
