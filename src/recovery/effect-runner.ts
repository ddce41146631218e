/**
 * Hot file for the first effects of `perform`. Carries out one effect of a step: the shared words through
 * `FunctionEffects`, the host through `HostDriver`. Decides nothing. Thread: recovery worker.
 */
import { AvailabilityPec } from "../abi/ccdf.ts";
import { assert } from "../base/assert.ts";
import { HOST_PENDING_POSTED_MAX } from "../base/limits.ts";
import type { Clock } from "../ports/clock.ts";
import type { HostFunction } from "../ports/host-function.ts";
import {
  FunctionBlock,
  FunctionState,
  PENDING_COMMAND,
  PHASE_DONE,
  PHASE_FAILED,
} from "../shm/blocks.ts";
import type { FloatingInterrupts } from "../shm/floating.ts";
import type { Announcements } from "./announcements.ts";
import {
  type FunctionEffects,
  REASON_FMB,
  REASON_POLICY,
  REASON_STALE,
  REASON_SUPERSEDED,
  REASON_UNVERIFIABLE,
} from "./effects.ts";
import type { HostDriver } from "./host-driver.ts";
import type { Pinning } from "./pinning.ts";
import type { Policy } from "./policy.ts";
import { Effect, State } from "./vocabulary.ts";
import { type FunctionWords, Scratch } from "./words.ts";

/** What effects are carried out with. */
export interface EffectParts {
  readonly effects: FunctionEffects;
  readonly announcements: Announcements;
  readonly driver: HostDriver;
  readonly host: HostFunction;
  readonly policy: Policy;
  readonly floating: FloatingInterrupts;
  readonly clock: Clock;
  readonly pinning: Pinning;
}

export class EffectRunner {
  /** Slot of the CCDF that has been read and not settled, -1 = none. */
  slot = -1;
  readonly #words: FunctionWords;
  readonly #effects: FunctionEffects;
  readonly #announcements: Announcements;
  readonly #driver: HostDriver;
  readonly #host: HostFunction;
  readonly #policy: Policy;
  readonly #floating: FloatingInterrupts;
  readonly #clock: Clock;
  readonly #pinning: Pinning;

  constructor(parts: EffectParts) {
    this.#words = parts.effects.words;
    this.#effects = parts.effects;
    this.#announcements = parts.announcements;
    this.#driver = parts.driver;
    this.#host = parts.host;
    this.#policy = parts.policy;
    this.#floating = parts.floating;
    this.#clock = parts.clock;
    this.#pinning = parts.pinning;
  }

  /** The host's queue is to be read in this pass or, if set later, at once in the next. */
  get poll(): boolean {
    return this.#words.get(Scratch.pollDue) === 1;
  }
  set poll(due: boolean) {
    this.#words.set(Scratch.pollDue, due ? 1 : 0);
  }

  perform(effect: number): void {
    switch (effect) {
      case Effect.deliver:
        if (this.slot >= 0) this.#effects.deliver(this.#takeSlot());
        break;
      case Effect.poll:
        this.poll = true;
        break;
      case Effect.report:
        this.#effects.report();
        break;
      case Effect.dropStale:
        this.#drop(REASON_STALE);
        break;
      case Effect.dropFmb:
        this.#drop(REASON_FMB);
        break;
      case Effect.dropPolicy:
        this.#drop(REASON_POLICY);
        break;
      case Effect.dropSuperseded:
        this.#drop(REASON_SUPERSEDED);
        break;
      case Effect.dropUnverifiable:
        this.#drop(REASON_UNVERIFIABLE);
        break;
      default:
        this.#hostSide(effect);
    }
  }

  /** Resets and clears. */
  #hostSide(effect: number): void {
    const driver = this.#driver;
    switch (effect) {
      case Effect.resetForGuest:
      case Effect.resetBeforeInjection:
      case Effect.resetAndReinject:
      case Effect.resetForRelease:
      case Effect.resetForSystem:
      case Effect.resetOrphan:
        driver.answerClear(PHASE_FAILED);
        driver.beginReset();
        break;
      case Effect.retryReset:
        driver.scheduleReset();
        break;
      case Effect.answerReset:
        driver.answerReset(PHASE_DONE);
        break;
      case Effect.refuseReset:
        driver.answerReset(PHASE_FAILED);
        break;
      case Effect.startClear:
        driver.beginClear(driver.clearRequested());
        break;
      case Effect.answerClear:
        driver.answerClear(PHASE_DONE);
        break;
      case Effect.refuseClear:
        driver.answerClear(PHASE_FAILED);
        break;
      case Effect.noteHandle:
        this.#words.set(Scratch.hostHandle, this.#host.handle());
        break;
      case Effect.closeHost:
        this.#close();
        break;
      default:
        this.#guestSide(effect);
    }
  }

  /** What the guest is told beyond the error itself. */
  #guestSide(effect: number): void {
    const effects = this.#effects;
    const announcements = this.#announcements;
    switch (effect) {
      case Effect.repost:
        effects.repost();
        break;
      case Effect.reinject:
        announcements.reinject();
        break;
      case Effect.injectPermanent:
        announcements.injectPermanent();
        break;
      case Effect.requestUnplug:
        // A function that the guest does not have configured is there for the taking.
        if (effects.guestState() < FunctionState.DISABLED) break;
        announcements.availability(AvailabilityPec.DECONFIGURE_REQUEST);
        break;
      case Effect.forceUnplug:
        effects.moveTo(FunctionState.RESERVED);
        announcements.availability(AvailabilityPec.CONFIGURED_TO_STBRES);
        this.#close();
        break;
      case Effect.readmit:
        this.#readmit();
        break;
      case Effect.announceBack:
        this.#announce(FunctionState.DISABLED, AvailabilityPec.TO_CONFIGURED);
        break;
      case Effect.announceStandby:
        this.#announce(FunctionState.STANDBY, AvailabilityPec.RESERVED_TO_STANDBY);
        break;
      case Effect.announceGone:
        effects.moveTo(FunctionState.RESERVED);
        announcements.availability(AvailabilityPec.STANDBY_TO_RESERVED);
        break;
      default:
        this.#ownSide(effect);
    }
  }

  /**
   * Done again by the successor of a worker that died here, when the guest may have taken the function up already: then
   * it has been told, and its function is left alone.
   */
  #announce(state: FunctionState, pec: number): void {
    const effects = this.#effects;
    const announcements = this.#announcements;
    if (effects.guestState() === FunctionState.RESERVED) {
      this.#words.store(FunctionBlock.permanent, 0);
      announcements.newInstance();
      effects.moveTo(state);
    }
    if (effects.guestState() === state) announcements.availability(pec);
    effects.endEpisode(false);
  }

  /**
   * Linux takes 0x0301 for a function that it has in standby or does not know, and ignores it for one that it has
   * configured, broken or not: so the function is taken away first (zpci-guest.md 7.3).
   */
  #readmit(): void {
    const effects = this.#effects;
    const announcements = this.#announcements;
    const known = effects.guestState() >= FunctionState.DISABLED;
    this.#words.store(FunctionBlock.permanent, 0);
    effects.moveTo(FunctionState.DISABLED);
    if (known) announcements.availability(AvailabilityPec.CONFIGURED_TO_STBRES);
    announcements.availability(AvailabilityPec.TO_CONFIGURED);
    effects.endEpisode(false);
  }

  /** The machine's own words, and the VM. */
  #ownSide(effect: number): void {
    switch (effect) {
      case Effect.rearm:
        this.arm(this.#words.load(FunctionBlock.recoveryState));
        break;
      case Effect.recovered:
        this.#effects.endEpisode(true);
        break;
      case Effect.endEpisode:
        this.#effects.endEpisode(false);
        break;
      case Effect.stopVm:
        this.#effects.stopVm();
        this.#floating.kick(PENDING_COMMAND);
        break;
      case Effect.noteAsked:
        this.arm(State.unplugging);
        break;
      case Effect.insist:
        if (this.#words.get(Scratch.askedFrom) === 0) break;
        this.#words.set(Scratch.askedFrom, 0);
        this.arm(State.unplugging);
        break;
      case Effect.freeze:
        if (!this.#words.hasTime(Scratch.pausedAt)) this.#words.setTimeIn(Scratch.pausedAt, 1);
        break;
      case Effect.thaw:
        this.#thaw();
        break;
      default:
        assert(false, `recovery: effect ${effect} has no meaning`);
    }
  }

  /** Sets the deadline of `state`, if it has one. Who asked a guest waits as long as he likes. */
  arm(state: number): void {
    const asked = state === State.unplugging && this.#words.get(Scratch.askedFrom) !== 0;
    const after = asked ? 0 : (this.#policy.deadlineUs[state] as number);
    if (after > 0) this.#words.setTimeIn(Scratch.deadline, after);
    else this.#words.clearTime(Scratch.deadline);
  }

  /** The slot's record is settled once; a repeated effect finds none. */
  #takeSlot(): number {
    const slot = this.slot;
    this.slot = -1;
    return slot;
  }

  #drop(reason: number): void {
    if (this.slot >= 0) this.#effects.drop(this.#takeSlot(), reason);
  }

  /** Ends mediation; what the host still had is kept from the guest by decision. */
  #close(): void {
    const words = this.#words;
    this.#pinning.drop();
    if (words.get(Scratch.opened) === 0) return;
    // A negative answer or one beyond any queue is no count: the books take what can be true.
    const discarded = Math.min(Math.max(this.#host.close(), 0), HOST_PENDING_POSTED_MAX + 1);
    const dropped = words.load(FunctionBlock.droppedByPolicy);
    words.store(FunctionBlock.droppedByPolicy, (dropped + discarded) | 0);
    words.set(Scratch.opened, 0);
  }

  #thaw(): void {
    const words = this.#words;
    const since = words.time(Scratch.pausedAt);
    if (since === 0) return;
    const stood = Math.max(0, this.#clock.nowUs() - (since - 1));
    const deadline = words.time(Scratch.deadline);
    if (deadline !== 0) words.setTime(Scratch.deadline, deadline + stood);
    this.#driver.shift(stood);
    words.clearTime(Scratch.pausedAt);
  }
}
