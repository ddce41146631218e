/**
 * Hot file from the doorbell to the channel report: no allocation, closures or BigInt there.
 *
 * The recovery of one function: `step()` is one bounded pass that takes the doorbell's bits, reads the host's
 * queue, the guest's requests and what has become due, asks the table, and does the effects. It never waits;
 * `workers/recovery.worker.ts` and the deterministic machine only decide when it is called. All truth is in
 * shared words, so a successor constructed over the same memory continues. Thread: the function's recovery
 * worker. Source: design.md 4, 5, 5.1; vfio-uapi.md 2.5, 3.8.
 */
import { Pec } from "../abi/ccdf.ts";
import { REQUEST_RING_SLOTS } from "../base/limits.ts";
import { EAGAIN, EBUSY, ENODEV } from "../ports/host-function.ts";
import { load, peek } from "../shm/atomics.ts";
import {
  FunctionBlock,
  FunctionState,
  PHASE_FAILED,
  PHASE_REQUESTED,
  RecoveryCommand,
  VmBlock,
  WORK_CREDIT,
  WORK_ERR,
  WORK_HOST,
  WORK_REQ,
} from "../shm/blocks.ts";
import type { Doorbell } from "../shm/doorbell.ts";
import { recoveryBell } from "../shm/recovery-bell.ts";
import { Lane, RECORD_BODY, RingConsumer } from "../shm/ring.ts";
import { Drain, HOST_RETRY_US } from "./drain.ts";
import { Escalation } from "./escalation.ts";
import { guestEvent } from "./guest-event.ts";
import { HostCalls } from "./host-calls.ts";
import { Machine, type RecoveryUnitOptions } from "./machine.ts";
import { OperatorCommands } from "./operator-commands.ts";
import { CHOICES_MAX, choicesOf, Event, State } from "./vocabulary.ts";
import { DrainStep, Scratch } from "./words.ts";

const NEVER = Number.POSITIVE_INFINITY;

const Block = choicesOf("guestResetBlock");
const Clear = choicesOf("guestResetError");
const Disable = choicesOf("guestDisable");
const Enable = choicesOf("guestEnable");
const Back = choicesOf("hostBack");

export class RecoveryUnit {
  readonly index: number;
  readonly #memory: Int32Array;
  readonly #machine: Machine;
  readonly #drain: Drain;
  readonly #calls: HostCalls;
  readonly #operator: OperatorCommands;
  readonly #escalation: Escalation;
  readonly #requests: RingConsumer;
  readonly #bell: Doorbell;
  readonly #commandWord: number;
  #started = false;
  /** A predecessor died with bits of the bell that it had taken: what they stood for is looked at once. */
  #succeeds = false;
  /** The host tells of no errors: what the guest wants of it, resets and mappings, is served all the same. */
  #unsupported = false;

  constructor(options: RecoveryUnitOptions) {
    const { vm, index } = options;
    this.index = index;
    this.#memory = vm.words;
    this.#machine = new Machine(options);
    this.#drain = new Drain(this.#machine);
    this.#calls = new HostCalls(this.#machine, this.#drain);
    this.#operator = new OperatorCommands(vm.words, this.#machine);
    this.#escalation = new Escalation(this.#machine);
    this.#requests = new RingConsumer(
      vm.words,
      vm.map.requestRings[index] as number,
      REQUEST_RING_SLOTS,
    );
    const { words } = this.#machine;
    this.#bell = recoveryBell(vm, index);
    const running = words.get(Scratch.opened) === 1 || this.state === State.detached;
    this.#started = options.continued === true && running;
    this.#commandWord = vm.map.vmBlock / 4 + VmBlock.command;
  }

  /** Number of the state; names in `states`. */
  get state(): number {
    return this.#machine.state;
  }

  /** The function has left the guest, who has been told: the worker's task ends, until the function is back. */
  get ended(): boolean {
    return (
      this.#started &&
      this.#machine.state === State.detached &&
      !this.#machine.announcements.owing()
    );
  }

  /** False when the host lacks the error feature (vfio-uapi.md 2.5): the function runs, and nothing is told of it. */
  get supported(): boolean {
    return !this.#unsupported;
  }

  /** The clock's last reading, microseconds: no more is asked for where that will do. */
  nowUs(): number {
    return this.#machine.clock.nowUs();
  }

  /** VM told to stop, by the machine or by a policy. */
  vmStopping(): boolean {
    return load(this.#memory, this.#commandWord) !== 0;
  }

  /** Whether somebody rang and it has not looked yet. */
  rung(): boolean {
    return this.#bell.rung();
  }

  /** Sleeps until rung or `timeoutMs` passed. Worker threads only. */
  sleep(timeoutMs: number): void {
    this.#bell.sleep(timeoutMs);
  }

  /**
   * One bounded pass.
   * @returns the clock time, microseconds, at which to call again even without a ring; Infinity = never
   */
  step(): number {
    this.#machine.clock.refresh();
    if (this.vmStopping()) return NEVER;
    if (this.#machine.state === State.detached && this.#operator.hostIsBack())
      this.#started = false;
    if (!this.#started && !this.#start()) {
      // Who cannot do anything yet sleeps, whoever rings: the first pass after the start looks at everything.
      this.#bell.take();
      return this.#machine.clock.nowUs() + HOST_RETRY_US;
    }
    const bits = this.#bell.take();
    if (this.ended) {
      this.#operator.step();
      this.#guestRequests();
      return NEVER;
    }
    const slow = this.#drain.due();
    if ((bits & WORK_ERR) !== 0 || slow) this.#drain.takeSignals();
    this.#machine.words.reach(DrainStep.woken);
    if ((bits & WORK_CREDIT) !== 0) this.#drain.creditReturned();
    if (slow) this.#machine.runner.poll = true;
    if (this.#machine.runner.poll) this.#drain.run();
    if (this.#machine.announcements.owing()) this.#machine.announcements.payOwed();
    this.#operator.step();
    if ((bits & WORK_REQ) !== 0 || slow || this.#succeeds) this.#hostRequests();
    this.#succeeds = false;
    // A policy that has just stopped the VM has the last word: what the guest did before changes nothing now.
    if (this.vmStopping()) return NEVER;
    this.#guestRequests();
    this.#phases();
    this.#machine.announcements.ownEvent();
    this.#machine.pinning.step();
    this.#calls.step((bits & WORK_HOST) !== 0);
    this.#unplugProgress();
    this.#reconcile();
    this.#escalation.step();
    return this.#nextWakeUs();
  }

  // Start and restart -----------------------------------------------------------------------------------

  /** False when the host cannot be opened now. */
  #start(): boolean {
    if (this.#machine.state === State.detached && !this.#operator.hostIsBack()) {
      this.#started = true; // the function has gone, and so does this worker
      return true;
    }
    if (this.#machine.words.get(Scratch.opened) === 1) {
      this.#started = true;
      this.#goOn();
      return true;
    }
    const result = this.#machine.host.open();
    // Busy with itself, or with somebody else: the function runs meanwhile, and is asked for again.
    if (result === -EAGAIN || result === -EBUSY) return false;
    this.#started = true;
    if (result !== 0 && result !== -ENODEV) {
      this.#unsupported = true;
      this.#hostBack();
      if (this.#machine.state !== State.operational) this.#goOn(); // a predecessor was at something
    } else if (result === -ENODEV) {
      // Back and gone again before we looked.
      if (this.#operator.hostIsBack()) {
        this.#machine.words.store(FunctionBlock.recoveryCommand, RecoveryCommand.none);
      }
      this.#machine.feed(Event.hostGone, 0);
    } else this.#opened();
    return true;
  }

  /** Where a predecessor died. */
  #goOn(): void {
    this.#succeeds = true;
    this.#resume();
    this.#machine.driver.resumeClear();
    const { words } = this.#machine;
    const stood = words.time(Scratch.deadline);
    this.#machine.feed(Event.workerRestarted, 0);
    // A worker that dies again and again must not put a deadline off for ever.
    if (stood !== 0) words.setTime(Scratch.deadline, stood);
  }

  #opened(): void {
    const words = this.#machine.words;
    words.set(Scratch.opened, 1);
    words.set(Scratch.hostHandle, this.#machine.host.handle());
    words.set(Scratch.lastPec, Pec.SERVAC);
    words.set(Scratch.hostErrorStands, 0);
    this.#hostBack();
    // An event may have been stored between open and arming: storing needs no signal.
    this.#machine.runner.poll = true;
  }

  /** Who had lost the function, or never had it, is told that it is there. */
  #hostBack(): void {
    if (this.#machine.state !== State.detached) return;
    const { words } = this.#machine;
    const command = words.load(FunctionBlock.recoveryCommand);
    words.store(FunctionBlock.recoveryCommand, RecoveryCommand.none);
    const standby = command === RecoveryCommand.hostBackStandby;
    this.#machine.feed(Event.hostBack, standby ? Back.standby : Back.configured);
  }

  /** Ends what a predecessor died in: the drain step by its redo log, then the effects still to do, then
   * a CCDF that it had read and not judged. */
  #resume(): void {
    const words = this.#machine.words;
    const step = words.load(FunctionBlock.drainStep);
    if (step >= DrainStep.logged && step <= DrainStep.counted) {
      this.#machine.effects.redo();
      words.reach(DrainStep.settled);
    }
    this.#machine.runner.slot = this.#machine.effects.leftover();
    this.#machine.resumeEffects();
    if (this.#machine.runner.slot >= 0) this.#drain.ccdf(this.#machine.runner.slot);
  }

  /** Supervisor, while no worker runs: what must not wait for the successor (`repair.ts`). */
  repair(): void {
    this.#machine.clock.refresh();
    const words = this.#machine.words;
    words.killable = false;
    const diedAt = words.load(FunctionBlock.drainStep);
    if (words.get(Scratch.opened) === 1) {
      const slot = this.#machine.effects.ring.reserve();
      if (slot >= 0 && this.#machine.effects.ring.armed()) {
        this.#machine.host.completeInterruptedCall?.(slot * 4 + RECORD_BODY);
      }
      this.#resume();
    }
    words.count(FunctionBlock.workerRestarts);
    this.#machine.effects.traceRestart(diedAt);
  }

  // The guest -------------------------------------------------------------------------------------------

  #guestRequests(): void {
    for (let count = 0; count < REQUEST_RING_SLOTS; count++) {
      const slot = this.#requests.front();
      if (slot < 0) return;
      const kind = peek(this.#memory, slot + Lane.kind);
      const b0 = peek(this.#memory, slot + Lane.body);
      this.#requests.release();
      this.#guestDid(kind, b0);
    }
  }

  #guestDid(kind: number, b0: number): void {
    const guest = guestEvent(
      kind,
      b0,
      this.#machine.effects.guestState(),
      this.#machine.words.get(Scratch.hostErrorStands) === 1,
      this.#machine.policy.verifyResetError,
    );
    if (guest >= 0) this.#machine.feed(Math.floor(guest / CHOICES_MAX), guest % CHOICES_MAX);
  }

  /** Phase words: what a vCPU waits for. They stand until answered, so no record of them can be lost. */
  #phases(): void {
    if (this.#machine.words.load(FunctionBlock.resetPhase) === PHASE_REQUESTED) {
      this.#machine.feed(Event.guestDisable, Disable.requested);
    }
    const operation = this.#machine.driver.clearRequested();
    if (operation === 0) return;
    if (!this.#machine.host.clearError) this.#machine.driver.answerClear(PHASE_FAILED);
    else if (operation === 7 && this.#machine.untold())
      this.#machine.driver.answerClear(PHASE_FAILED);
    else if (operation === 7) this.#machine.feed(Event.guestResetError, Clear.requested);
    else this.#machine.feed(Event.guestResetBlock, Block.requested);
  }

  /**
   * A vCPU that leaves the error state in the very moment of another error (MPCIFC 7 collected while the
   * worker publishes) works with a broken function: it is told again.
   */
  #reconcile(): void {
    if (this.#machine.orphan(true) && this.#requests.front() < 0)
      this.#machine.feed(Event.guestEnable, Enable.orphan);
  }

  /** REQ: the host asks for the device back. One that is gone already has no handle any more. */
  #hostRequests(): void {
    const { host, words } = this.#machine;
    if (words.get(Scratch.opened) === 0 || host.takeRequests() === 0) return;
    this.#machine.feed(host.handle() === 0 ? Event.hostGone : Event.hostRequest, 0);
  }

  #unplugProgress(): void {
    if (this.#machine.state !== State.unplugging) return;
    const state = this.#machine.effects.guestState();
    if (state === FunctionState.STANDBY || state === FunctionState.RESERVED) {
      this.#machine.feed(Event.unplugDone, 0);
    }
  }

  // Time ------------------------------------------------------------------------------------------------

  #nextWakeUs(): number {
    if (this.#machine.runner.poll) return this.#machine.clock.nowUs();
    const slow = this.#drain.nextUs();
    return this.#machine.paused() ? slow : Math.min(slow, this.dueUs());
  }

  /** When something but the slow drain is due, while deadlines run; Infinity = never. */
  dueUs(): number {
    const deadline = this.#machine.words.time(Scratch.deadline);
    return Math.min(deadline === 0 ? NEVER : deadline, this.#machine.driver.nextWakeUs());
  }
}
