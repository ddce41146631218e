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
import { assert } from "../base/assert.ts";
import { CCDF_RING_SLOTS, DRAIN_BATCH_MAX, REQUEST_RING_SLOTS } from "../base/limits.ts";
import type { Clock } from "../ports/clock.ts";
import {
  EAGAIN,
  EFAULT,
  ENODEV,
  ENOMSG,
  ENOTTY,
  type HostFunction,
} from "../ports/host-function.ts";
import { exchange, load, peek } from "../shm/atomics.ts";
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
} from "../shm/blocks.ts";
import type { ChannelReport } from "../shm/channel-report.ts";
import { Doorbell } from "../shm/doorbell.ts";
import type { FloatingInterrupts } from "../shm/floating.ts";
import { Lane, RECORD_BODY, RingConsumer } from "../shm/ring.ts";
import type { TraceWriter } from "../shm/trace.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { EffectRunner } from "./effect-runner.ts";
import { FunctionEffects } from "./effects.ts";
import { guestEvent } from "./guest-event.ts";
import {
  CALL_BUSY,
  CALL_DONE,
  CALL_GONE,
  CALL_WAITING,
  HostDriver,
  ResetPurpose,
} from "./host-driver.ts";
import { judge } from "./judge.ts";
import { OnError, type Policy, policyStepOf } from "./policy.ts";
import { StampClock } from "./stamp-clock.ts";
import { BUG, type CompiledTable, cellIndex, compiledTable, IGNORE, type Step } from "./table.ts";
import {
  CHOICES_MAX,
  choicesOf,
  Effect,
  Event,
  eventNames,
  PolicyStep,
  State,
  states,
} from "./vocabulary.ts";
import { DrainStep, FunctionWords, Scratch } from "./words.ts";

export interface RecoveryUnitOptions {
  readonly vm: VmMemory;
  readonly index: number;
  readonly host: HostFunction;
  readonly policy: Policy;
  readonly clock: Clock;
  readonly trace: TraceWriter;
  readonly channelReport: ChannelReport;
  readonly floating: FloatingInterrupts;
  /** Tests: called at each numbered drain step; may throw to let the worker die there. */
  readonly killHook?: (step: number) => void;
  /** The unit goes on where a snapshot was taken: its worker did not die, so nothing is repeated. */
  readonly continued?: boolean;
  /** Tests: another table. */
  readonly table?: CompiledTable;
}

/** A host that answers an open or a drain with "not now" or an unexpected errno is asked again after this. */
const HOST_RETRY_US = 1000;
const NEVER = Number.POSITIVE_INFINITY;

const QueueEmpty = choicesOf("queueEmpty");
const Signalled = choicesOf("errorSignalled");
const Block = choicesOf("guestResetBlock");
const Clear = choicesOf("guestResetError");
const Disable = choicesOf("guestDisable");
const Enable = choicesOf("guestEnable");
const ResetDone = choicesOf("hostResetDone");
const ResetFailed = choicesOf("hostResetFailed");
const Deadline = choicesOf("deadline");
const Operator = choicesOf("operatorCommand");

/** Purpose by reset effect, -1 for other effects. */
const purposeOfEffect: readonly number[] = (() => {
  const list = new Array<number>(Object.keys(Effect).length).fill(-1);
  list[Effect.resetForGuest] = ResetPurpose.guest;
  list[Effect.resetBeforeInjection] = ResetPurpose.beforeInjection;
  list[Effect.resetAndReinject] = ResetPurpose.reinject;
  list[Effect.resetForRelease] = ResetPurpose.release;
  list[Effect.resetForSystem] = ResetPurpose.system;
  list[Effect.resetOrphan] = ResetPurpose.orphan;
  return list;
})();

/** Policy step to the choice of `hostResetFailed`. */
function resetFailedChoice(step: number): number {
  if (step === PolicyStep.quarantine) return ResetFailed.quarantine;
  if (step === PolicyStep.unplug) return ResetFailed.unplug;
  return step === PolicyStep["stop-vm"] ? ResetFailed["stop-vm"] : ResetFailed.fail;
}

export class RecoveryUnit {
  readonly index: number;
  readonly #memory: Int32Array;
  readonly #words: FunctionWords;
  readonly #effects: FunctionEffects;
  readonly #driver: HostDriver;
  readonly #runner: EffectRunner;
  readonly #host: HostFunction;
  readonly #policy: Policy;
  readonly #clock: StampClock;
  readonly #requests: RingConsumer;
  readonly #bell: Doorbell;
  readonly #cells: CompiledTable;
  readonly #commandWord: number;
  #started = false;
  /** The host has no error feature: the function runs, unrecoverable. */
  #unsupported = false;

  constructor(options: RecoveryUnitOptions) {
    const { vm, index } = options;
    this.index = index;
    this.#memory = vm.words;
    this.#clock = new StampClock(options.clock);
    this.#clock.refresh();
    options.trace.useStamp(this.#clock.stamp);
    this.#words = new FunctionWords(vm, index, this.#clock.stamp, options.killHook);
    this.#effects = new FunctionEffects(
      vm,
      index,
      this.#words,
      this.#clock,
      options.trace,
      options.channelReport,
    );
    this.#driver = new HostDriver(this.#words, options.host, options.policy);
    this.#runner = new EffectRunner(
      this.#effects,
      this.#driver,
      options.host,
      options.policy,
      options.floating,
      this.#clock,
    );
    this.#host = options.host;
    this.#policy = options.policy;
    this.#requests = new RingConsumer(
      vm.words,
      vm.map.requestRings[index] as number,
      REQUEST_RING_SLOTS,
    );
    const base = this.#words.base;
    this.#bell = new Doorbell(
      vm.words,
      base + FunctionBlock.workerSleeping,
      base + FunctionBlock.workerSummary,
    );
    this.#cells = options.table ?? compiledTable;
    const running = this.#words.get(Scratch.opened) === 1 || this.state === State.detached;
    this.#started = options.continued === true && running;
    this.#commandWord = vm.map.vmBlock / 4 + VmBlock.command;
  }

  /** Number of the state; names in `states`. */
  get state(): number {
    return this.#words.load(FunctionBlock.recoveryState);
  }

  /** The function has left the guest for good: the worker's task ends. */
  get ended(): boolean {
    return this.#started && this.state === State.detached;
  }

  /** False when the host lacks the error feature (vfio-uapi.md 2.5): warn once, run without recovery. */
  get supported(): boolean {
    return !this.#unsupported;
  }

  /** VM told to stop, by the machine or by a policy. */
  vmStopping(): boolean {
    return load(this.#memory, this.#commandWord) !== 0;
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
    this.#clock.refresh();
    if (this.vmStopping()) return NEVER;
    if (!this.#started && !this.#start()) {
      return this.#unsupported ? NEVER : this.#clock.nowUs() + HOST_RETRY_US;
    }
    if (this.ended) return NEVER;
    const bits = this.#bell.take();
    const slow = this.#slowDrainDue();
    if ((bits & WORK_ERR) !== 0 || slow) this.#takeSignals();
    this.#words.reach(DrainStep.woken);
    if ((bits & WORK_CREDIT) !== 0) this.#creditReturned();
    if (slow) this.#runner.poll = true;
    if (this.#runner.poll) this.#drain();
    this.#commands();
    // A policy that has just stopped the VM has the last word: what the guest did before changes nothing now.
    if (this.vmStopping()) return NEVER;
    this.#guestRequests();
    this.#phases();
    this.#hostCalls((bits & WORK_HOST) !== 0);
    this.#unplugProgress();
    this.#reconcile();
    this.#deadline();
    return this.#nextWakeUs();
  }

  // Start and restart -----------------------------------------------------------------------------------

  /** False when the host cannot be opened: not now, or not at all. */
  #start(): boolean {
    if (this.#unsupported) return false;
    if (this.state === State.detached && !this.#hostIsBack()) {
      this.#started = true; // the function has gone, and so does this worker
      return true;
    }
    if (this.#words.get(Scratch.opened) === 1) {
      this.#started = true;
      this.#resume();
      this.#driver.resumeClear();
      this.#feed(Event.workerRestarted, 0);
      return true;
    }
    const result = this.#host.open();
    if (result === -EAGAIN) return false;
    if (result !== 0 && result !== -ENODEV) {
      this.#unsupported = true;
      return false;
    }
    this.#started = true;
    if (result === -ENODEV) this.#feed(Event.hostGone, 0);
    else this.#opened();
    return true;
  }

  #hostIsBack(): boolean {
    return this.#words.load(FunctionBlock.recoveryCommand) === RecoveryCommand.hostBack;
  }

  #opened(): void {
    const words = this.#words;
    words.set(Scratch.opened, 1);
    words.set(Scratch.hostHandle, this.#host.handle());
    words.set(Scratch.lastPec, Pec.SERVAC);
    words.set(Scratch.hostErrorStands, 0);
    if (this.state === State.detached) {
      words.store(FunctionBlock.recoveryCommand, RecoveryCommand.none);
      this.#feed(Event.hostBack, 0);
    }
    // An event may have been stored between open and arming: storing needs no signal.
    this.#runner.poll = true;
  }

  /** Ends what a predecessor died in: the drain step by its redo log, then the effects still to do, then
   * a CCDF that it had read and not judged. */
  #resume(): void {
    const words = this.#words;
    const step = words.load(FunctionBlock.drainStep);
    if (step >= DrainStep.logged && step <= DrainStep.counted) {
      this.#effects.redo();
      words.reach(DrainStep.settled);
    }
    this.#runner.slot = this.#effects.leftover();
    const cell = words.get(Scratch.pendingCell) - 1;
    if (cell >= 0) this.#runEffects(this.#cells[cell] as Step, words.get(Scratch.pendingEffect));
    if (this.#runner.slot >= 0) this.#ccdf(this.#runner.slot);
  }

  /** Supervisor, while no worker runs: what must not wait for the successor (`repair.ts`). */
  repair(): void {
    this.#clock.refresh();
    const words = this.#words;
    words.killable = false;
    const diedAt = words.load(FunctionBlock.drainStep);
    if (words.get(Scratch.opened) === 1) {
      const slot = this.#effects.ring.reserve();
      if (slot >= 0 && this.#effects.ring.armed()) {
        this.#host.completeInterruptedCall?.(slot * 4 + RECORD_BODY);
      }
      this.#resume();
    }
    words.count(FunctionBlock.workerRestarts);
    this.#effects.traceRestart(diedAt);
  }

  // Events ----------------------------------------------------------------------------------------------

  #feed(event: number, choice: number): void {
    const words = this.#words;
    const state = this.state;
    const cell = cellIndex(state, event, choice);
    const step = this.#cells[cell] as Step;
    if (step.kind === IGNORE) return;
    if (step.kind === BUG) {
      assert(false, `recovery: ${eventNames[event]} (${choice}) in state ${states[state]}`);
    }
    words.set(Scratch.pendingEffect, 0);
    this.#prepare(step);
    words.set(Scratch.pendingCell, cell + 1);
    if (step.next !== state) this.#enter(state, step.next, event);
    this.#runEffects(step, 0);
  }

  /** What a successor has to know before it sees the new state. */
  #prepare(step: Step): void {
    for (let n = 0; n < step.effects.length; n++) {
      const purpose = purposeOfEffect[step.effects[n] as number] as number;
      if (purpose < 0) continue;
      this.#words.set(Scratch.resetPurpose, purpose);
      this.#driver.endReset();
    }
  }

  #enter(from: number, to: number, event: number): void {
    this.#runner.arm(to);
    // While a reset ran nobody read the queue.
    if (from === State.resetting) this.#runner.poll = true;
    this.#words.store(FunctionBlock.recoveryState, to);
    if (from === State.resetting) this.#driver.endReset();
    this.#effects.traceState(from, to, event);
  }

  #runEffects(step: Step, from: number): void {
    const words = this.#words;
    for (let n = from; n < step.effects.length; n++) {
      words.set(Scratch.pendingEffect, n);
      this.#runner.perform(step.effects[n] as number);
    }
    words.set(Scratch.pendingCell, 0);
  }

  // Draining --------------------------------------------------------------------------------------------

  #takeSignals(): void {
    if (this.#host.takeSignals() === 0) return;
    this.#feed(
      Event.errorSignalled,
      this.#policy.onError === OnError.stopVm ? Signalled["stop-vm"] : Signalled.read,
    );
  }

  #creditReturned(): void {
    if (this.#words.get(Scratch.starved) === 0) return;
    this.#feed(Event.creditReturned, 0);
  }

  /** A lost signal costs delay, never an event. */
  #slowDrainDue(): boolean {
    return this.#policy.slowDrainUs > 0 && this.#words.due(Scratch.drainAt);
  }

  /** Reads the host's queue to its end, the batch limit, or the end of the guest's ring. */
  #drain(): void {
    this.#runner.poll = false;
    const words = this.#words;
    words.setTimeIn(Scratch.drainAt, this.#policy.slowDrainUs);
    if (words.get(Scratch.opened) === 0 || this.#driver.resetRunning()) return;
    if (this.#policy.onError === OnError.stopVm) return; // nobody asks for the events any more
    words.set(Scratch.starved, 0);
    const ring = this.#effects.ring;
    for (let count = 0; count < DRAIN_BATCH_MAX; count++) {
      const slot = ring.reserve();
      if (slot < 0) {
        words.set(Scratch.starved, 1);
        break;
      }
      ring.arm(slot);
      words.reach(DrainStep.reserved);
      const result = this.#host.getError(slot * 4 + RECORD_BODY);
      if (result === 0) {
        words.reach(DrainStep.read);
        this.#ccdf(slot);
      } else if (result === -EFAULT) {
        this.#effects.lost();
      } else {
        if (result === -ENODEV || result === -ENOTTY) {
          this.#feed(Event.hostGone, 0);
          return;
        }
        if (result !== -ENOMSG) words.setTimeIn(Scratch.drainAt, HOST_RETRY_US);
        break;
      }
      if (count === DRAIN_BATCH_MAX - 1) this.#runner.poll = true; // the rest in the next pass
    }
    this.#feed(Event.queueEmpty, this.#drainOutcome());
  }

  #ccdf(slot: number): void {
    this.#runner.slot = slot;
    const verdict = judge(this.#effects, slot, this.#host.handle(), this.#policy, this.#clock);
    this.#feed(Event.ccdfRead, verdict);
    this.#runner.slot = -1;
  }

  #drainOutcome(): number {
    const words = this.#words;
    if (words.get(Scratch.unreported) === 0) {
      if (words.get(Scratch.starved) === 1) return QueueEmpty.starved;
      return this.#orphan(false) ? QueueEmpty.orphan : QueueEmpty.nothing;
    }
    if (this.#effects.guestState() === FunctionState.PERMANENT_ERROR) return QueueEmpty.permanent;
    if (this.#policy.onError === OnError.quarantine) return QueueEmpty.quarantine;
    if (this.#policy.onError === OnError.unplug) return QueueEmpty.unplug;
    if (words.get(Scratch.starved) === 1) return QueueEmpty.starved;
    if (this.#effects.ring.free() === CCDF_RING_SLOTS) return QueueEmpty.fetched;
    return this.#policy.onError === OnError.reset ? QueueEmpty.reset : QueueEmpty.injected;
  }

  /** The host function is broken and the guest does not know: it has it disabled, or just enabled. */
  #orphan(enabled: boolean): boolean {
    if (this.#words.get(Scratch.hostErrorStands) === 0) return false;
    const state = this.#effects.guestState();
    return enabled ? state === FunctionState.ENABLED : state < FunctionState.ENABLED;
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
      this.#effects.guestState(),
      this.#words.get(Scratch.hostErrorStands) === 1,
      this.#policy.verifyResetError,
    );
    if (guest >= 0) this.#feed(Math.floor(guest / CHOICES_MAX), guest % CHOICES_MAX);
  }

  #cleared(): number {
    return this.#policy.verifyResetError ? Clear.verify : Clear.accepted;
  }

  /** Phase words: what a vCPU waits for. They stand until answered, so no record of them can be lost. */
  #phases(): void {
    if (this.#words.load(FunctionBlock.resetPhase) === PHASE_REQUESTED) {
      this.#feed(Event.guestDisable, Disable.requested);
    }
    const operation = this.#driver.clearRequested();
    if (operation === 0) return;
    if (!this.#host.clearError) this.#driver.answerClear(PHASE_FAILED);
    else if (operation === 7 && this.#untold()) this.#driver.answerClear(PHASE_FAILED);
    else if (operation === 7) this.#feed(Event.guestResetError, Clear.requested);
    else this.#feed(Event.guestResetBlock, Block.requested);
  }

  /**
   * A vCPU that leaves the error state in the very moment of another error (MPCIFC 7 collected while the
   * worker publishes) works with a broken function: it is told again.
   */
  #reconcile(): void {
    if (this.#orphan(true) && this.#requests.front() < 0)
      this.#feed(Event.guestEnable, Enable.orphan);
  }

  /** Another error of this generation waits for the guest: clearing would make it a riddle to the guest. */
  #untold(): boolean {
    return this.#effects.untaken(this.#effects.generation());
  }

  // The host --------------------------------------------------------------------------------------------

  #hostCalls(answered: boolean): void {
    if (this.#paused()) return;
    if (this.state === State.resetting) {
      if (this.#driver.resetDue() || (answered && this.#driver.resetRunning())) {
        this.#driveReset();
      }
    }
    if (this.#driver.clearDue() || (answered && this.#driver.clearRunning())) {
      this.#driveClear();
    }
  }

  #driveReset(): void {
    // What is pending was raised before the reset and ends with it, whether or not the handle changes.
    if (!this.#driver.resetRunning()) this.#drain();
    if (this.state !== State.resetting) return;
    const outcome = this.#driver.driveReset();
    if (outcome === CALL_WAITING) return;
    const words = this.#words;
    const attempt = words.get(Scratch.resetAttempt);
    this.#driver.pauseReset();
    if (outcome === CALL_DONE) words.set(Scratch.hostErrorStands, 0);
    this.#effects.traceReset(this.#driver.result, attempt, this.#host.handle());
    if (outcome === CALL_BUSY) {
      this.#feed(Event.hostResetBusy, 0);
      return;
    }
    if (outcome === CALL_GONE) {
      this.#feed(Event.hostGone, 0);
      return;
    }
    if (outcome !== CALL_DONE) {
      this.#feed(Event.hostResetFailed, resetFailedChoice(this.#policy.onResetFailure));
      return;
    }
    words.count(FunctionBlock.hostResets);
    if (this.#host.handle() !== words.get(Scratch.hostHandle)) this.#feed(Event.handleChanged, 0);
    this.#drain();
    if (this.state !== State.resetting) return;
    if (words.get(Scratch.hostErrorStands) === 1) {
      this.#feed(Event.hostResetBusy, 0);
      return;
    }
    this.#feed(Event.hostResetDone, this.#resetDoneChoice());
  }

  #resetDoneChoice(): number {
    const waiting = this.#effects.ring.free() !== CCDF_RING_SLOTS;
    switch (this.#words.get(Scratch.resetPurpose)) {
      case ResetPurpose.beforeInjection:
        return waiting ? ResetDone["before-injection"] : ResetDone.guest;
      case ResetPurpose.reinject:
        return ResetDone.reinject;
      case ResetPurpose.release:
        return ResetDone.release;
      case ResetPurpose.system:
        return ResetDone.system;
      case ResetPurpose.orphan:
        return this.#effects.guestEnabled() ? ResetDone.enabled : ResetDone.orphan;
      default:
        return ResetDone.guest;
    }
  }

  #driveClear(): void {
    const outcome = this.#driver.driveClear();
    if (outcome === CALL_WAITING) return;
    if (outcome === CALL_GONE) {
      this.#feed(Event.hostGone, 0);
      return;
    }
    this.#driver.endClear();
    const words = this.#words;
    const clearsError = words.get(Scratch.clearOperation) === 7;
    if (outcome === CALL_DONE) {
      if (clearsError) words.set(Scratch.hostErrorStands, 0);
      this.#drain();
    }
    const failedAgain =
      words.get(Scratch.errorDuringClear) === 1 || (clearsError && this.#untold());
    const refused = outcome !== CALL_DONE || failedAgain;
    if (clearsError) {
      this.#feed(Event.guestResetError, refused ? Clear.refused : this.#cleared());
    } else this.#feed(Event.guestResetBlock, refused ? Block.refused : Block.accepted);
  }

  #unplugProgress(): void {
    if (this.state !== State.unplugging) return;
    const state = this.#effects.guestState();
    if (state === FunctionState.STANDBY || state === FunctionState.RESERVED) {
      this.#feed(Event.unplugDone, 0);
    }
  }

  // Time ------------------------------------------------------------------------------------------------

  #paused(): boolean {
    return this.#words.hasTime(Scratch.pausedAt);
  }

  #deadline(): void {
    const words = this.#words;
    if (!words.hasTime(Scratch.deadline) || !words.due(Scratch.deadline) || this.#paused()) return;
    words.clearTime(Scratch.deadline);
    if (this.state === State.resetting) {
      this.#feed(Event.hostResetFailed, resetFailedChoice(this.#policy.onResetFailure));
      return;
    }
    if (this.#effects.guestState() <= FunctionState.DISABLED && !this.#orphan(false)) {
      this.#feed(Event.deadline, Deadline.idle);
      return;
    }
    const step = this.#nextRung();
    this.#effects.tracePolicyStep(step);
    this.#feed(Event.deadline, step);
  }

  /** The next step of the policy within this episode; each is used as often as it says, then comes `fail`. */
  #nextRung(): number {
    const words = this.#words;
    const policy = this.#policy;
    let rung = words.get(Scratch.rung);
    if (words.get(Scratch.rungUses) >= (policy.escalationTimes[rung] ?? 0)) {
      if (words.get(Scratch.rungUses) > 0 && rung < policy.escalationStep.length) {
        rung += 1;
        words.set(Scratch.rung, rung);
      }
      words.set(Scratch.rungUses, 0);
    }
    words.set(Scratch.rungUses, words.get(Scratch.rungUses) + 1);
    return policyStepOf(policy, rung);
  }

  #nextWakeUs(): number {
    if (this.#runner.poll) return this.#clock.nowUs();
    const words = this.#words;
    const slow = this.#policy.slowDrainUs > 0 ? words.time(Scratch.drainAt) : NEVER;
    if (this.#paused()) return slow;
    const deadline = words.time(Scratch.deadline);
    return Math.min(slow, deadline === 0 ? NEVER : deadline, this.#driver.nextWakeUs());
  }

  // The operator ----------------------------------------------------------------------------------------

  #commands(): void {
    const at = this.#words.base + FunctionBlock.recoveryCommand;
    if (peek(this.#memory, at) === RecoveryCommand.none) return;
    switch (exchange(this.#memory, at, RecoveryCommand.none)) {
      case RecoveryCommand.reset:
        this.#feed(Event.operatorCommand, Operator.reset);
        return;
      case RecoveryCommand.quarantine:
        this.#feed(Event.operatorCommand, Operator.quarantine);
        return;
      case RecoveryCommand.release:
        this.#feed(Event.operatorCommand, Operator.release);
        return;
      case RecoveryCommand.unplug:
        this.#feed(Event.operatorCommand, Operator.unplug);
        return;
      case RecoveryCommand.stopVm:
        this.#feed(Event.operatorCommand, Operator["stop-vm"]);
        return;
      case RecoveryCommand.pause:
        this.#feed(Event.vmPaused, 0);
        return;
      case RecoveryCommand.resume:
        this.#feed(Event.vmResumed, 0);
        return;
      case RecoveryCommand.systemReset:
        this.#feed(Event.systemReset, 0);
        return;
      case RecoveryCommand.hostRequest:
        this.#feed(Event.hostRequest, 0);
        return;
    }
  }
}
