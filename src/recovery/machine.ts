/**
 * Hot file. The core of a recovery unit: feeds an event to the table, keeps the state word, the deadline and the
 * effects still to do in shared memory, and has the effects carried out. Thread: recovery worker, or its
 * supervisor while there is none.
 */
import { assert } from "../base/assert.ts";
import type { Clock } from "../ports/clock.ts";
import type { HostFunction } from "../ports/host-function.ts";
import { FunctionBlock, FunctionState } from "../shm/blocks.ts";
import type { ChannelReport } from "../shm/channel-report.ts";
import type { FloatingInterrupts } from "../shm/floating.ts";
import type { TraceWriter } from "../shm/trace.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { Announcements } from "./announcements.ts";
import { EffectRunner } from "./effect-runner.ts";
import { FunctionEffects } from "./effects.ts";
import { HostDriver, ResetPurpose } from "./host-driver.ts";
import { Pinning } from "./pinning.ts";
import type { Policy } from "./policy.ts";
import { StampClock } from "./stamp-clock.ts";
import { BUG, type CompiledTable, cellIndex, compiledTable, IGNORE, type Step } from "./table.ts";
import { Effect, eventNames, State, states } from "./vocabulary.ts";
import { FunctionWords, Scratch } from "./words.ts";

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

export class Machine {
  readonly words: FunctionWords;
  readonly effects: FunctionEffects;
  readonly announcements: Announcements;
  readonly driver: HostDriver;
  readonly runner: EffectRunner;
  readonly pinning: Pinning;
  readonly host: HostFunction;
  readonly policy: Policy;
  readonly clock: StampClock;
  readonly #cells: CompiledTable;

  constructor(options: RecoveryUnitOptions) {
    const { vm, index, host, policy, trace } = options;
    this.host = host;
    this.policy = policy;
    this.clock = new StampClock(options.clock);
    this.clock.refresh();
    trace.useStamp(this.clock.stamp);
    this.words = new FunctionWords(vm, index, this.clock.stamp, options.killHook);
    this.effects = new FunctionEffects(
      vm,
      index,
      this.words,
      this.clock,
      trace,
      options.channelReport,
    );
    this.announcements = new Announcements(this.effects, vm.bytes, this.clock, trace);
    this.driver = new HostDriver(this.words, host, policy);
    this.pinning = new Pinning(this.words, host);
    const { effects, announcements, driver, clock, pinning } = this;
    const { floating } = options;
    this.runner = new EffectRunner({
      effects,
      announcements,
      driver,
      host,
      policy,
      floating,
      clock,
      pinning,
    });
    this.#cells = options.table ?? compiledTable;
  }

  /** Number of the state; names in `states`. */
  get state(): number {
    return this.words.load(FunctionBlock.recoveryState);
  }

  /** Takes the step that the table has for this event now. */
  feed(event: number, choice: number): void {
    const words = this.words;
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
    if (step.next !== state) this.#enter(state, step.next, event, choice);
    this.runEffects(step, 0);
  }

  /** What a successor has to know before it sees the new state. */
  #prepare(step: Step): void {
    for (let n = 0; n < step.effects.length; n++) {
      const effect = step.effects[n] as number;
      if (effect === Effect.noteAsked) this.words.set(Scratch.askedFrom, this.state + 1);
      const purpose = purposeOfEffect[effect] as number;
      if (purpose < 0) continue;
      this.words.set(Scratch.resetPurpose, purpose);
      this.driver.endReset();
    }
  }

  #enter(from: number, to: number, event: number, choice: number): void {
    this.runner.arm(to);
    // While a reset ran nobody read the queue.
    if (from === State.resetting) this.runner.poll = true;
    this.words.store(FunctionBlock.recoveryState, to);
    if (from === State.resetting) this.driver.endReset();
    if (from === State.unplugging) this.words.set(Scratch.askedFrom, 0);
    this.effects.traceState(from, to, event, choice);
  }

  /** Carries out the effects of `step` from number `from` on. */
  runEffects(step: Step, from: number): void {
    const words = this.words;
    for (let n = from; n < step.effects.length; n++) {
      words.set(Scratch.pendingEffect, n);
      this.runner.perform(step.effects[n] as number);
    }
    words.set(Scratch.pendingCell, 0);
  }

  /** The host function is broken and the guest does not know: it has it disabled, or just enabled. */
  orphan(enabled: boolean): boolean {
    if (this.words.get(Scratch.hostErrorStands) === 0) return false;
    const state = this.effects.guestState();
    return enabled ? state === FunctionState.ENABLED : state < FunctionState.ENABLED;
  }

  /** Another error of this generation waits for the guest: clearing would make it a riddle to the guest. */
  untold(): boolean {
    return this.effects.untaken(this.effects.generation());
  }

  /** Deadlines stand still. */
  paused(): boolean {
    return this.words.hasTime(Scratch.pausedAt);
  }

  /** Effects that a predecessor left undone. */
  resumeEffects(): void {
    const cell = this.words.get(Scratch.pendingCell) - 1;
    if (cell >= 0)
      this.runEffects(this.#cells[cell] as Step, this.words.get(Scratch.pendingEffect));
  }
}
