/**
 * A function with its recovery unit, an in-memory host and a small guest, all over one VM memory: what unit
 * tests drive by hand and the explorer drives exhaustively. The host and the guest keep every bit of their
 * state in the function's host area, so a copy of the memory is a copy of the world.
 */
import { AvailabilityPec, isFmbCode, isPermanentCode, Pec } from "../../src/abi/ccdf.ts";
import { CcdfFlag, CcdfKind, RequestKind } from "../../src/abi/records.ts";
import { CCDF_RING_SLOTS, HOST_PENDING_MAX, REQUEST_RING_SLOTS } from "../../src/base/limits.ts";
import type { Clock } from "../../src/ports/clock.ts";
import {
  EAGAIN,
  EIO,
  ENODEV,
  ENOMSG,
  HOST_PENDING,
  type HostFacts,
  type HostFunction,
} from "../../src/ports/host-function.ts";
import type { RecoveryUnitOptions } from "../../src/recovery/machine.ts";
import type { Policy } from "../../src/recovery/policy.ts";
import { compilePolicy, policySchema } from "../../src/recovery/policy-file.ts";
import type { CompiledTable } from "../../src/recovery/table.ts";
import { RecoveryUnit } from "../../src/recovery/unit.ts";
import { type StateName, states } from "../../src/recovery/vocabulary.ts";
import { add, compareExchange, exchange, load, peek, poke, store } from "../../src/shm/atomics.ts";
import {
  FunctionBlock,
  FunctionState,
  generationOf,
  PHASE_DONE,
  PHASE_FAILED,
  PHASE_IDLE,
  PHASE_REQUESTED,
  PHASE_RUNNING,
  RecoveryCommand,
  stateOf,
  stateWord,
  VmBlock,
  WORK_COMMAND,
  WORK_CREDIT,
  WORK_ERR,
  WORK_HOST,
  WORK_REQ,
  WORK_REQUEST,
} from "../../src/shm/blocks.ts";
import { ChannelReport } from "../../src/shm/channel-report.ts";
import { Doorbell } from "../../src/shm/doorbell.ts";
import { FloatingInterrupts } from "../../src/shm/floating.ts";
import { planMemory, recoveryTraceRing } from "../../src/shm/memory-map.ts";
import { Lane, RingConsumer, RingProducer } from "../../src/shm/ring.ts";
import { TraceWriter } from "../../src/shm/trace.ts";
import { createVmMemory, type VmMemory } from "../../src/shm/vm-memory.ts";

export const RIG_FID = 0x123;
const FIRST_HANDLE = 0x80010000;

/** Words of the rig's world in the function's host area. */
const Word = {
  handle: 0,
  head: 1,
  tail: 2,
  broken: 3, //        0 healthy, 1 in error, 2 for good
  resetRunning: 4, //  1 = asked for and not ended
  resetRefusals: 5, // startReset answers -EAGAIN this many times
  resetFailures: 6, // pollReset answers -EIO this many times
  mediated: 7,
  resetHangs: 8, //    1 = never ends
  keepHandle: 9, //    1 = a reset leaves the handle as it is
  clearError: 10,
  clearRunning: 11, // operation, 0 = none
  nextId: 12, //       of the next error
  resets: 13,
  requests: 14, //     REQ signals
  // The guest
  guest: 16, //        GuestStep
  fetching: 17, //     0 no, 1 STCRW is next, 2 CHSC is next
  fetchedIds: 18, //   bit per error
  doubled: 19,
  patience: 20, //     0 = the guest never reads events
  heeds: 21, //        1 = it follows availability events
  // The host, once more
  leaving: 22, //      1 = it has asked for the function and waits for the close
  lastHandle: 23, //   of a function that has gone
  slots: 32, //        4 CCDFs of 8 words
} as const;
export const WORLD_WORDS = 64;

export const GuestStep = {
  idle: 0,
  disable: 2,
  enable: 3,
  ioat: 4,
  proof: 5,
  gaveUp: 9,
  unblock: 10, // MPCIFC 9, then 7, where the host can clear the error in place
  clear: 11,
  surrender: 12, // CLP disable, then SCLP deconfigure
  gone: 13, //      it has no such function, or has it in standby
} as const;

export class ManualClock implements Clock {
  us = 0;
  nowUs(): number {
    return this.us;
  }
}

const noFacts = {} as HostFacts;

export class RigHost implements HostFunction {
  readonly facts = noFacts;
  readonly #rig: RecoveryRig;

  constructor(rig: RecoveryRig) {
    this.#rig = rig;
  }

  get clearError(): boolean {
    return this.#rig.world(Word.clearError) === 1;
  }
  handle(): number {
    return this.#rig.world(Word.handle) >>> 0;
  }
  open(): number {
    if (this.handle() === 0) return -ENODEV;
    this.#rig.setWorld(Word.mediated, 1);
    return 0;
  }
  close(): number {
    const rig = this.#rig;
    const left = rig.world(Word.tail) - rig.world(Word.head);
    rig.setWorld(Word.head, rig.world(Word.tail));
    rig.setWorld(Word.mediated, 0);
    rig.setWorld(Word.requests, 0);
    if (rig.world(Word.leaving) === 1) rig.vanish();
    return left;
  }
  getError(slot: number): number {
    const rig = this.#rig;
    const head = rig.world(Word.head);
    if (head === rig.world(Word.tail)) return -ENOMSG;
    rig.copyOut(head, slot);
    rig.setWorld(Word.head, head + 1);
    return 0;
  }
  takeSignals(): number {
    return exchange(this.#rig.vm.words, this.#rig.block + FunctionBlock.errSignals, 0);
  }
  takeRequests(): number {
    const rig = this.#rig;
    const count = rig.world(Word.requests);
    rig.setWorld(Word.requests, 0);
    return count;
  }
  startReset(): number {
    const rig = this.#rig;
    if (rig.world(Word.leaving) === 1) return -EIO;
    const refusals = rig.world(Word.resetRefusals);
    if (refusals > 0) {
      rig.setWorld(Word.resetRefusals, refusals - 1);
      return -EAGAIN;
    }
    rig.setWorld(Word.resetRunning, 1);
    return 0;
  }
  pollReset(): number {
    const rig = this.#rig;
    if (rig.world(Word.resetHangs) === 1) return HOST_PENDING;
    if (rig.world(Word.resetRunning) === 1) return HOST_PENDING;
    const failures = rig.world(Word.resetFailures);
    if (failures > 0) {
      rig.setWorld(Word.resetFailures, failures - 1);
      return -EIO;
    }
    return rig.world(Word.broken) === 2 ? -EIO : 0;
  }
  startClear(operation: 7 | 9): number {
    this.#rig.setWorld(Word.clearRunning, operation);
    return 0;
  }
  pollClear(): number {
    const rig = this.#rig;
    const operation = rig.world(Word.clearRunning);
    if (operation === 7 && rig.world(Word.broken) === 1) rig.setWorld(Word.broken, 0);
    rig.setWorld(Word.clearRunning, 0);
    return rig.world(Word.broken) === 2 ? -EIO : 0;
  }
}

export const rigPolicyFile = policySchema.parse({
  version: 1,
  name: "rig",
  summary: "for tests",
  onError: "inject",
  deadlineMs: {
    "awaiting-guest": 100,
    "guest-recovering": 200,
    unblocked: 300,
    verifying: 400,
    unplugging: 500,
  },
  reset: { budgetMs: 50, backoffMs: [1, 2, 5] },
  escalation: [{ step: "reinject" }, { step: "reset-and-reinject" }],
});
export const rigPolicy: Policy = compilePolicy(rigPolicyFile);

/** Another host in the place of the rig's own. */
export interface ForeignHost {
  readonly vm: VmMemory;
  readonly host: HostFunction;
  readonly clock: ManualClock;
  /** Whether a PCI load of the function finds it alive. */
  readonly answers: () => boolean;
}

export class RecoveryRig {
  readonly vm: VmMemory;
  readonly clock: ManualClock;
  readonly report: ChannelReport;
  readonly floating: FloatingInterrupts;
  readonly host: HostFunction;
  readonly block: number;
  readonly #world: number;
  readonly #vmBlock: number;
  readonly #bell: Doorbell;
  readonly #trace: TraceWriter;

  readonly #answers: () => boolean;

  constructor(foreign?: ForeignHost) {
    const plan = {
      vcpuCount: 1,
      functionCount: 1,
      ramBytes: 65536,
      vcpuBytes: 4096,
      hostBytes: 4096,
    };
    this.vm = foreign?.vm ?? createVmMemory(planMemory(plan));
    this.clock = foreign?.clock ?? new ManualClock();
    this.#answers = foreign?.answers ?? (() => this.hostBroken === 0);
    const map = this.vm.map;
    this.block = (map.functionBlocks[0] as number) / 4;
    // A foreign host has the host area for itself; the guest's words then stand in its storage.
    this.#world = (foreign === undefined ? (map.hostAreas[0] as number) : map.ramOffset) / 4;
    this.#vmBlock = map.vmBlock / 4;
    this.floating = new FloatingInterrupts(this.vm);
    this.report = new ChannelReport(this.vm, this.floating);
    this.report.reset();
    this.host = foreign?.host ?? new RigHost(this);
    this.#trace = new TraceWriter(this.vm, recoveryTraceRing(map, 0), this.clock);
    this.#bell = new Doorbell(
      this.vm.words,
      this.block + FunctionBlock.workerSleeping,
      this.block + FunctionBlock.workerSummary,
    );
    this.setWorld(Word.handle, FIRST_HANDLE);
    this.setWorld(Word.patience, 1);
    this.set(FunctionBlock.stateWord, stateWord(1, FunctionState.ENABLED));
  }

  unit(extra: Partial<RecoveryUnitOptions> = {}): RecoveryUnit {
    return new RecoveryUnit(this.options(extra));
  }

  options(extra: Partial<RecoveryUnitOptions> = {}): RecoveryUnitOptions {
    return {
      vm: this.vm,
      index: 0,
      host: this.host,
      policy: rigPolicy,
      clock: this.clock,
      trace: this.#trace,
      channelReport: this.report,
      floating: this.floating,
      ...extra,
    };
  }

  // Words -----------------------------------------------------------------------------------------------

  get(word: number): number {
    return load(this.vm.words, this.block + word);
  }
  set(word: number, value: number): void {
    store(this.vm.words, this.block + word, value);
  }
  vmWord(word: number): number {
    return load(this.vm.words, this.#vmBlock + word);
  }
  world(word: number): number {
    return peek(this.vm.words, this.#world + word);
  }
  setWorld(word: number, value: number): void {
    poke(this.vm.words, this.#world + word, value);
  }
  get stateName(): StateName {
    return states[this.get(FunctionBlock.recoveryState)] as StateName;
  }
  get guestState(): FunctionState {
    return stateOf(this.get(FunctionBlock.stateWord));
  }
  get generation(): number {
    return generationOf(this.get(FunctionBlock.stateWord));
  }
  get hostBroken(): number {
    return this.world(Word.broken);
  }
  get hostPending(): number {
    return this.world(Word.tail) - this.world(Word.head);
  }
  get fetchedIds(): number {
    return this.world(Word.fetchedIds);
  }
  get doubled(): number {
    return this.world(Word.doubled);
  }
  get guestStep(): number {
    return this.world(Word.guest);
  }
  get hostResets(): number {
    return this.world(Word.resets);
  }
  /** The guest's ring has room for another record. */
  get ringRoom(): boolean {
    const at = this.vm.map.ccdfRings[0] as number;
    return new RingProducer(this.vm.words, at, CCDF_RING_SLOTS).reserve() >= 0;
  }
  get resetRunning(): boolean {
    return this.world(Word.resetRunning) === 1;
  }
  /** First words of the world, for the explorer's copies. */
  get worldBase(): number {
    return this.#world;
  }

  ring(bits: number): void {
    this.#bell.ring(bits);
  }

  // The host --------------------------------------------------------------------------------------------

  behave(how: {
    resetRefusals?: number;
    resetFailures?: number;
    resetHangs?: boolean;
    keepHandle?: boolean;
    clearError?: boolean;
    guestReads?: boolean;
    guestHeeds?: boolean;
  }): void {
    this.setWorld(Word.resetRefusals, how.resetRefusals ?? 0);
    this.setWorld(Word.resetFailures, how.resetFailures ?? 0);
    this.setWorld(Word.resetHangs, how.resetHangs === true ? 1 : 0);
    this.setWorld(Word.keepHandle, how.keepHandle === true ? 1 : 0);
    this.setWorld(Word.clearError, how.clearError === true ? 1 : 0);
    this.setWorld(Word.patience, how.guestReads === false ? 0 : 1);
    this.setWorld(Word.heeds, how.guestHeeds === true ? 1 : 0);
  }

  /** An error of the function: queue, books and doorbell as Linux does it. Returns its id. */
  raise(pec: number = Pec.SERVAC, handle = this.world(Word.handle)): number {
    const id = this.world(Word.nextId);
    if (this.world(Word.mediated) === 0 && this.stateName === "detached") return -1; // the host's own
    if (handle === 0) return -1; // it has gone
    this.setWorld(Word.nextId, id + 1);
    add(this.vm.words, this.block + FunctionBlock.errorsRaised, 1);
    const current = handle === this.world(Word.handle);
    if (current && !isFmbCode(pec)) {
      this.setWorld(Word.broken, isPermanentCode(pec) ? 2 : Math.max(1, this.world(Word.broken)));
    }
    const tail = this.world(Word.tail);
    if (tail - this.world(Word.head) >= HOST_PENDING_MAX) {
      add(this.vm.words, this.block + FunctionBlock.hostDropped, 1);
    } else {
      const at = (this.#world + Word.slots + (tail % HOST_PENDING_MAX) * 8) * 4;
      this.vm.bytes.fill(0xff, at, at + 4); // reserved1: the guest must not see it
      this.vm.view.setUint32(at + 4, handle >>> 0);
      this.vm.view.setUint32(at + 8, RIG_FID);
      this.vm.view.setUint32(at + 12, 0x300102ff);
      this.vm.view.setUint32(at + 16, 0);
      this.vm.view.setUint32(at + 20, id);
      this.vm.view.setUint32(at + 24, 0xeeeeeeee);
      this.vm.view.setUint16(at + 28, 0xeeee);
      this.vm.view.setUint16(at + 30, pec);
      this.setWorld(Word.tail, tail + 1);
    }
    add(this.vm.words, this.block + FunctionBlock.errSignals, 1);
    this.ring(WORK_ERR);
    return id;
  }

  /** The host asks for the device back; with `gone` it has taken it already. */
  requestBack(gone = false): void {
    this.setWorld(Word.requests, this.world(Word.requests) + 1);
    this.setWorld(Word.leaving, 1);
    if (gone) this.vanish();
    this.ring(WORK_REQ);
  }

  /** Loads give ones, and a reset that runs ends with nobody. */
  vanish(): void {
    this.setWorld(Word.leaving, 0);
    if (this.world(Word.handle) === 0) return;
    this.setWorld(Word.lastHandle, this.world(Word.handle));
    this.setWorld(Word.handle, 0);
    this.setWorld(Word.resetRunning, 0);
    this.setWorld(Word.clearRunning, 0);
  }

  /** The function is there again, once it is closed and no order stands in the worker's word; false before that. */
  comeBack(): boolean {
    const free = this.get(FunctionBlock.recoveryCommand) === RecoveryCommand.none;
    if (this.world(Word.handle) !== 0 || this.world(Word.mediated) !== 0 || !free) return false;
    this.appear();
    this.set(FunctionBlock.recoveryCommand, RecoveryCommand.hostBack);
    this.ring(WORK_COMMAND);
    return true;
  }

  /** It is there, healthy and under a new handle. */
  appear(): void {
    this.setWorld(Word.leaving, 0);
    this.setWorld(Word.handle, (this.world(Word.lastHandle) || FIRST_HANDLE) + 0x01000000);
    this.setWorld(Word.broken, 0);
  }

  copyOut(counter: number, slot: number): void {
    const at = (this.#world + Word.slots + (counter % HOST_PENDING_MAX) * 8) * 4;
    this.vm.bytes.copyWithin(slot, at, at + 32);
  }

  /** The host ends the reset that runs. */
  endReset(): boolean {
    if (this.world(Word.resetRunning) !== 1) return false;
    this.setWorld(Word.resetRunning, 0);
    if (this.world(Word.broken) === 1) this.setWorld(Word.broken, 0);
    if (this.world(Word.keepHandle) === 0) {
      this.setWorld(Word.handle, this.world(Word.handle) + 0x01000000);
    }
    this.setWorld(Word.resets, this.world(Word.resets) + 1);
    this.ring(WORK_HOST);
    return true;
  }

  // The guest -------------------------------------------------------------------------------------------

  post(kind: number, b0 = 0, work = 0): void {
    const ring = new RingProducer(
      this.vm.words,
      this.vm.map.requestRings[0] as number,
      REQUEST_RING_SLOTS,
    );
    const slot = ring.reserve();
    if (slot >= 0) {
      ring.clearBody(slot);
      ring.fillHeader(slot, kind, 0, this.generation, this.clock.us, 0);
      poke(this.vm.words, slot + Lane.body, b0);
      ring.publish();
    }
    this.ring(WORK_REQUEST | work);
  }

  /** CHSC store event information: the next record for the guest, or undefined. */
  fetch(): FetchedRecord | undefined {
    this.report.beginScan();
    this.report.clearSummary(0);
    const ring = new RingConsumer(
      this.vm.words,
      this.vm.map.ccdfRings[0] as number,
      CCDF_RING_SLOTS,
    );
    for (let slot = ring.front(); slot >= 0; slot = ring.front()) {
      const record = this.#record(slot);
      ring.release();
      if (record.generation === this.generation || record.kind === CcdfKind.availability) {
        if (!record.repeat) add(this.vm.words, this.block + FunctionBlock.fetchedByGuest, 1);
        if (ring.front() >= 0) {
          this.report.setSummary(0);
          this.report.keepPending();
        }
        this.post(RequestKind.guestFetched, record.pec, WORK_CREDIT);
        return record;
      }
      if (!record.repeat) add(this.vm.words, this.block + FunctionBlock.superseded, 1);
      this.ring(WORK_CREDIT);
    }
    return undefined;
  }

  #record(slot: number): FetchedRecord {
    const words = this.vm.words;
    const kind = peek(words, slot + Lane.kind);
    const body = this.vm.bytes.slice((slot + Lane.body) * 4, (slot + Lane.body) * 4 + 32);
    const view = new DataView(body.buffer);
    return {
      kind: kind & 0xff,
      repeat: kind >>> 8 === CcdfFlag.repeat || (kind & 0xff) === CcdfKind.availability,
      generation: peek(words, slot + Lane.generation),
      correlation: peek(words, slot + Lane.correlation),
      pec: view.getUint16(30),
      id: view.getUint32(20),
      body,
    };
  }

  #swapState(to: FunctionState, generationUp: number): boolean {
    const seen = this.get(FunctionBlock.stateWord);
    const next = stateWord(generationOf(seen) + generationUp, to);
    return (
      compareExchange(this.vm.words, this.block + FunctionBlock.stateWord, seen, next) === seen
    );
  }

  /** CLP disable; returns the response code. */
  clpDisable(): number {
    const state = this.guestState;
    if (state < FunctionState.ENABLED) return 0x0102;
    const phase = this.get(FunctionBlock.resetPhase);
    if (phase === PHASE_REQUESTED || phase === PHASE_RUNNING) return 0x0108;
    const ended = phase === PHASE_DONE || phase === PHASE_FAILED;
    const mine = ended && this.get(FunctionBlock.resetGeneration) === this.generation;
    if (ended) this.set(FunctionBlock.resetPhase, PHASE_IDLE);
    if (!mine && (state === FunctionState.ERROR || state === FunctionState.BLOCKED)) {
      this.set(FunctionBlock.resetGeneration, this.generation);
      this.set(FunctionBlock.resetPhase, PHASE_REQUESTED);
      this.post(RequestKind.guestDisable, state);
      return 0x0108;
    }
    if (!this.#swapState(FunctionState.DISABLED, 1)) return 0x0108;
    if (phase === PHASE_FAILED || state === FunctionState.PERMANENT_ERROR) {
      this.set(FunctionBlock.permanent, 1);
    }
    if (!mine) this.post(RequestKind.guestDisable, state);
    return 0x0010;
  }

  clpEnable(): number {
    if (this.guestState !== FunctionState.DISABLED) return 0x0102;
    if (this.get(FunctionBlock.permanent) !== 0) return 0x0106;
    const phase = this.get(FunctionBlock.resetPhase);
    if (phase === PHASE_REQUESTED || phase === PHASE_RUNNING) return 0x0108;
    this.#swapState(FunctionState.ENABLED, 0);
    this.post(RequestKind.guestEnable);
    return 0x0010;
  }

  registerIoat(): boolean {
    if (this.guestState !== FunctionState.ENABLED) return false;
    this.set(FunctionBlock.proofPending, 1);
    this.post(RequestKind.guestRegisterIoat);
    return true;
  }

  /** PCILG; true when the function answers. */
  pciLoad(): boolean {
    if (this.guestState !== FunctionState.ENABLED || !this.#answers()) return false;
    if (this.get(FunctionBlock.proofPending) === 1) {
      this.set(FunctionBlock.proofPending, 0);
      this.post(RequestKind.guestProof);
    }
    return true;
  }

  /** SCLP deconfigure. */
  deconfigure(): void {
    this.#swapState(FunctionState.STANDBY, 1);
    this.set(FunctionBlock.permanent, 0);
    this.post(RequestKind.guestDeconfigure);
  }

  /** MPCIFC 9 or 7: asks the host; 0, 1 (refused) or 2 (busy). */
  mpcifc(operation: 7 | 9): number {
    const state = this.guestState;
    if (state !== FunctionState.ERROR && state !== FunctionState.BLOCKED) return 1;
    if (operation === 9 && state === FunctionState.BLOCKED) return 1;
    if (!this.host.clearError || this.get(FunctionBlock.resetPhase) !== PHASE_IDLE) return 1;
    const phase = this.get(FunctionBlock.clearPhase) & 0xff;
    if (phase === PHASE_REQUESTED || phase === PHASE_RUNNING) return 2;
    if (phase === PHASE_IDLE) {
      this.set(FunctionBlock.clearPhase, PHASE_REQUESTED | (operation << 8));
      this.post(operation === 7 ? RequestKind.guestResetError : RequestKind.guestResetBlock);
      return 2;
    }
    this.set(FunctionBlock.clearPhase, PHASE_IDLE);
    if (phase === PHASE_FAILED) return 1;
    this.#swapState(operation === 7 ? FunctionState.ENABLED : FunctionState.BLOCKED, 0);
    return 0;
  }

  /** One step of a guest that recovers as Linux does; false when it has nothing to do. */
  guestAct(): boolean {
    if (this.world(Word.patience) === 0) return false;
    if (this.world(Word.fetching) === 0 && this.floating.claimMachineCheck()) {
      this.setWorld(Word.fetching, 1);
    }
    if (this.world(Word.fetching) === 1) {
      this.setWorld(Word.fetching, this.report.takeCrw() ? 2 : 0);
      return true;
    }
    if (this.world(Word.fetching) === 2) {
      this.#readEvent();
      return true;
    }
    return this.#recover();
  }

  #readEvent(): void {
    const record = this.fetch();
    if (this.vmWord(VmBlock.seiPending) === 0) this.setWorld(Word.fetching, 1);
    if (record === undefined) return;
    if (record.kind === CcdfKind.availability && this.world(Word.heeds) === 1) {
      this.#heed(record.pec);
    }
    if (record.kind !== CcdfKind.error) return;
    if (!record.repeat) {
      const bit = 1 << record.id;
      if ((this.fetchedIds & bit) !== 0) this.setWorld(Word.doubled, this.doubled + 1);
      this.setWorld(Word.fetchedIds, this.fetchedIds | bit);
    }
    const step = this.world(Word.guest);
    if (step === GuestStep.gaveUp || step === GuestStep.gone || step === GuestStep.surrender)
      return;
    const first = this.host.clearError ? GuestStep.unblock : GuestStep.disable;
    this.setWorld(Word.guest, isPermanentCode(record.pec) ? GuestStep.gaveUp : first);
  }

  /** Linux's ways with availability events (zpci-guest.md 7.3). */
  #heed(pec: number): void {
    const gone = this.world(Word.guest) === GuestStep.gone;
    const now = this.guestState;
    const many = pec === AvailabilityPec.MANY_CHANGED;
    if (pec === AvailabilityPec.DECONFIGURE_REQUEST) {
      if (!gone) this.setWorld(Word.guest, GuestStep.surrender);
    } else if (pec === AvailabilityPec.TO_CONFIGURED || (many && now === FunctionState.DISABLED)) {
      if (gone) this.setWorld(Word.guest, GuestStep.enable);
    } else if (!many || now < FunctionState.DISABLED) this.setWorld(Word.guest, GuestStep.gone);
  }

  /** CLP disable until it is not busy, then SCLP deconfigure. */
  #surrender(): boolean {
    if (this.guestState > FunctionState.DISABLED) {
      const phase = this.get(FunctionBlock.resetPhase);
      const code = this.clpDisable();
      return code !== 0x0108 || this.get(FunctionBlock.resetPhase) !== phase;
    }
    if (this.guestState === FunctionState.DISABLED) this.deconfigure();
    this.setWorld(Word.guest, GuestStep.gone);
    return true;
  }

  /** MPCIFC 9 or 7, asked again until it is not busy; refused means the full reset. */
  #clearInPlace(operation: 7 | 9, next: number): boolean {
    const phase = this.get(FunctionBlock.clearPhase);
    const answer = this.mpcifc(operation);
    if (answer === 2) return this.get(FunctionBlock.clearPhase) !== phase;
    this.setWorld(Word.guest, answer === 0 ? next : GuestStep.disable);
    return true;
  }

  #recover(): boolean {
    switch (this.world(Word.guest)) {
      case GuestStep.surrender:
        return this.#surrender();
      case GuestStep.unblock:
        return this.#clearInPlace(9, GuestStep.clear);
      case GuestStep.clear:
        return this.#clearInPlace(7, GuestStep.idle);
      case GuestStep.disable: {
        const phase = this.get(FunctionBlock.resetPhase);
        const code = this.clpDisable();
        if (code === 0x0108) return this.get(FunctionBlock.resetPhase) !== phase;
        this.setWorld(Word.guest, GuestStep.enable);
        return true;
      }
      case GuestStep.enable: {
        const code = this.clpEnable();
        if (code === 0x0108) return false;
        this.setWorld(Word.guest, code === 0x0106 ? GuestStep.gaveUp : GuestStep.ioat);
        return true;
      }
      case GuestStep.ioat:
        this.registerIoat();
        this.setWorld(Word.guest, GuestStep.proof);
        return true;
      case GuestStep.proof:
        if (!this.pciLoad()) return false;
        this.setWorld(Word.guest, GuestStep.idle);
        return true;
      default:
        return false;
    }
  }
}

export interface FetchedRecord {
  readonly kind: number;
  readonly repeat: boolean;
  readonly generation: number;
  readonly correlation: number;
  readonly pec: number;
  readonly id: number;
  readonly body: Uint8Array;
}

export type { CompiledTable };
