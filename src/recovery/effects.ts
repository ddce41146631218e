/**
 * Hot file: no allocation, closures, exceptions or BigInt from `deliver` to `report`. Budget: 2 us from the
 * host's CCDF to the pending machine check, watched by `npm run bench -- event`.
 *
 * What the machine's effects do to the shared words. Leaf functions: they compute and store, the table decides.
 *
 * *Exactly once.* The record's fate (published, or counted as not delivered) is settled under a redo log:
 * the ring index, what to do and the counters' values afterwards are written, then `drainStep` = logged, then
 * the step is done, then `drainStep` = settled. Each part can be done twice (`redo`): publishing stores the
 * same sequence word and is skipped once the ring's tail has moved, counters are stored as absolute values. A
 * worker that dies before `logged` leaves the CCDF in the armed slot, which was blank, and its successor
 * judges it anew. Source: design.md 4.
 */
import { isPermanentCode } from "../abi/ccdf.ts";
import { CcdfKind, notDeliveredReasons, TraceKind } from "../abi/records.ts";
import { CCDF_RING_SLOTS } from "../base/limits.ts";
import { compareExchange, peek, poke } from "../shm/atomics.ts";
import {
  FunctionBlock,
  FunctionState,
  generationOf,
  PHASE_DONE,
  PHASE_FAILED,
  stateOf,
  stateWord,
  VmBlock,
} from "../shm/blocks.ts";
import type { ChannelReport } from "../shm/channel-report.ts";
import { waitForDma } from "../shm/dma-activity.ts";
import { Lane, RECORD_BODY, RingProducer } from "../shm/ring.ts";
import type { TraceWriter } from "../shm/trace.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import type { StampClock } from "./stamp-clock.ts";
import { DrainStep, type FunctionWords, Scratch } from "./words.ts";

/** Tries to change the state word while a vCPU changes it too; a guest cannot keep this up (each of its
 * changes is a CLP instruction), and the last answer is the safe one. */
const MARK_TRIES_MAX = 16;

const reasonOf = (name: (typeof notDeliveredReasons)[number]): number =>
  notDeliveredReasons.indexOf(name);
export const REASON_STALE = reasonOf("staleHandle");
export const REASON_FMB = reasonOf("fmbCode");
export const REASON_SUPERSEDED = reasonOf("superseded");
export const REASON_POLICY = reasonOf("policy");
export const REASON_UNVERIFIABLE = reasonOf("unverifiable");

/** The worker's own counter for each reason it can give; 0 for the others. */
const counterOfReason: readonly number[] = notDeliveredReasons.map((reason) => {
  const counters: Partial<Record<typeof reason, number>> = {
    staleHandle: FunctionBlock.staleAtWorker,
    fmbCode: FunctionBlock.fmbAtWorker,
    superseded: FunctionBlock.supersededAtWorker,
    policy: FunctionBlock.droppedByPolicy,
    unverifiable: FunctionBlock.unverifiable,
  };
  return counters[reason] ?? 0;
});

const CCDF_WORDS = 8;
// Offsets within a ring slot.
export const BODY_FH = RECORD_BODY + 4;
export const BODY_FID = RECORD_BODY + 8;
const BODY_WORD_E = RECORD_BODY + 12;
export const BODY_FADDR = RECORD_BODY + 16;
const BODY_RESERVED3 = RECORD_BODY + 24;
export const BODY_PEC = RECORD_BODY + 30;
/** Bits 24-29 of word e (byte 15) are reserved. */
const WORD_E_RESERVED_BYTE = BODY_WORD_E + 3;
const WORD_E_KEEP = 0x03;

export class FunctionEffects {
  readonly index: number;
  readonly words: FunctionWords;
  readonly ring: RingProducer;
  readonly #memory: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #clock: StampClock;
  readonly #trace: TraceWriter;
  readonly #report: ChannelReport;
  readonly #vmWord: number;

  constructor(
    vm: VmMemory,
    index: number,
    words: FunctionWords,
    clock: StampClock,
    trace: TraceWriter,
    report: ChannelReport,
  ) {
    this.index = index;
    this.words = words;
    this.ring = new RingProducer(vm.words, vm.map.ccdfRings[index] as number, CCDF_RING_SLOTS);
    this.#memory = vm.words;
    this.#bytes = vm.bytes;
    this.#clock = clock;
    this.#trace = trace;
    this.#report = report;
    this.#vmWord = vm.map.vmBlock / 4;
  }

  generation(): number {
    return generationOf(this.words.load(FunctionBlock.stateWord));
  }

  guestState(): FunctionState {
    return stateOf(this.words.load(FunctionBlock.stateWord));
  }

  /** The guest can use or recover the function (its handle has the enable bit). */
  guestEnabled(): boolean {
    return this.guestState() >= FunctionState.ENABLED;
  }

  /** Host handle in the CCDF at `slot`. */
  handleAt(slot: number): number {
    return this.#u32(slot * 4 + BODY_FH);
  }

  pecAt(slot: number): number {
    const at = slot * 4 + BODY_PEC;
    return ((this.#bytes[at] as number) << 8) | (this.#bytes[at + 1] as number);
  }

  /** The slot that a dead predecessor's GET filled and nobody settled; -1 when there is none. */
  leftover(): number {
    const slot = this.ring.reserve();
    return slot >= 0 && this.ring.armed() && !this.#blank(slot) ? slot : -1;
  }

  /** As the slot was armed. A record may lack the handle: of a function that has gone, from a host that tells none. */
  #blank(slot: number): boolean {
    for (let n = 0; n < CCDF_WORDS; n++) {
      if (peek(this.#memory, slot + Lane.body + n) !== 0) return false;
    }
    return true;
  }

  #u32(at: number): number {
    const bytes = this.#bytes;
    return (
      (((bytes[at] as number) << 24) |
        ((bytes[at + 1] as number) << 16) |
        ((bytes[at + 2] as number) << 8) |
        (bytes[at + 3] as number)) >>>
      0
    );
  }

  /**
   * (generation, ENABLED or BLOCKED) -> (generation, ERROR or PERMANENT_ERROR); an ERROR that stands is
   * taken as it is, a permanent code raises it. Done before the record can be seen.
   * @returns the generation the error belongs to, or -1 when the guest has the function disabled
   */
  markError(pec: number): number {
    const words = this.words;
    const permanent = isPermanentCode(pec);
    const target = permanent ? FunctionState.PERMANENT_ERROR : FunctionState.ERROR;
    if (permanent) words.store(FunctionBlock.permanent, 1);
    const at = words.base + FunctionBlock.stateWord;
    for (let n = 0; n < MARK_TRIES_MAX; n++) {
      const seen = words.load(FunctionBlock.stateWord);
      const state = stateOf(seen);
      if (state < FunctionState.ENABLED) return -1;
      if (state >= target) return generationOf(seen);
      const next = stateWord(generationOf(seen), target);
      if (compareExchange(this.#memory, at, seen, next) === seen) return generationOf(seen);
    }
    return -1;
  }

  /** Marks the function, then publishes the record at `slot`; a function that the guest has disabled meanwhile
   * makes it superseded. */
  deliver(slot: number): void {
    // errorAt holds the time + 1, because 0 means none.
    const pec = this.pecAt(slot);
    this.#clock.refresh(); // the host may have raised it after this pass began: nothing is read before it is raised
    this.#takeBackClear();
    const generation = this.markError(pec);
    this.words.reach(DrainStep.marked);
    if (generation < 0) {
      this.drop(slot, REASON_SUPERSEDED);
      return;
    }
    const words = this.words;
    const read = (words.load(FunctionBlock.readByWorker) + 1) | 0;
    words.set(Scratch.lastPec, pec);
    words.set(Scratch.told, generation + 1);
    words.set(Scratch.unreported, 1);
    if (!words.hasTime(Scratch.errorAt)) words.setTimeIn(Scratch.errorAt, 1);
    this.ring.stampHeader(slot, CcdfKind.error, this.index, generation, this.#clock.stamp, read);
    this.#traceRead(slot, pec, generation, read);
    this.#log(1, read, FunctionBlock.injected);
    this.redo();
    this.#clock.refresh();
    this.#trace.write(TraceKind.injected, this.index, generation, read, pec, generation, 0, 0);
    words.reach(DrainStep.settled);
  }

  /** A clear that was answered and not collected is not true any more. */
  #takeBackClear(): void {
    const at = this.words.base + FunctionBlock.clearPhase;
    compareExchange(this.#memory, at, PHASE_DONE, PHASE_FAILED);
  }

  /** Counts the CCDF at `slot` as not delivered and empties the slot. */
  drop(slot: number, reason: number): void {
    const words = this.words;
    this.#clock.refresh();
    const pec = this.pecAt(slot);
    const read = (words.load(FunctionBlock.readByWorker) + 1) | 0;
    const generation = this.generation();
    this.#traceRead(slot, pec, generation, read);
    this.#log(0, read, counterOfReason[reason] as number);
    this.redo();
    this.#trace.write(TraceKind.notDelivered, this.index, generation, read, pec, reason, 0, 0);
    words.reach(DrainStep.settled);
  }

  /** An event that the host consumed without handing it out (-EFAULT): raised, never read. */
  lost(): void {
    this.#log(0, this.words.load(FunctionBlock.readByWorker), FunctionBlock.unverifiable);
    this.redo();
    const generation = this.generation();
    this.#trace.write(
      TraceKind.notDelivered,
      this.index,
      generation,
      0,
      0,
      REASON_UNVERIFIABLE,
      0,
      0,
    );
    this.words.reach(DrainStep.settled);
  }

  #log(publish: number, readAfter: number, counter: number): void {
    const words = this.words;
    words.set(Scratch.logIndex, this.ring.tail);
    words.set(Scratch.logPublish, publish);
    words.set(Scratch.logRead, readAfter);
    words.set(Scratch.logCounter, counter);
    words.set(Scratch.logCount, (words.load(counter) + 1) | 0);
    words.reach(DrainStep.logged);
  }

  /** Does what the redo log says; doing it again changes nothing. */
  redo(): void {
    const words = this.words;
    if (words.get(Scratch.logIndex) === this.ring.tail) {
      const slot = this.ring.slotWord(this.ring.tail);
      if (words.get(Scratch.logPublish) === 1) {
        this.#seal(slot);
        this.ring.publish();
      } else {
        this.ring.arm(slot);
      }
    }
    words.reach(DrainStep.published);
    words.store(FunctionBlock.readByWorker, words.get(Scratch.logRead));
    words.store(words.get(Scratch.logCounter), words.get(Scratch.logCount));
    words.reach(DrainStep.counted);
  }

  /** Zeroes reserved fields and the host's FH and FID: CHSC fills in the guest's (vfio-uapi.md 4.5). */
  #seal(slot: number): void {
    const words = this.#memory;
    const lane = slot + Lane.body;
    poke(words, lane, 0);
    poke(words, lane + (BODY_FH - RECORD_BODY) / 4, 0);
    poke(words, lane + (BODY_FID - RECORD_BODY) / 4, 0);
    poke(words, lane + (BODY_RESERVED3 - RECORD_BODY) / 4, 0);
    const bytes = this.#bytes;
    const at = slot * 4;
    bytes[at + WORD_E_RESERVED_BYTE] = (bytes[at + WORD_E_RESERVED_BYTE] as number) & WORD_E_KEEP;
    bytes[at + BODY_PEC - 2] = 0;
    bytes[at + BODY_PEC - 1] = 0;
  }

  #traceRead(slot: number, pec: number, generation: number, read: number): void {
    const at = slot * 4 + RECORD_BODY;
    const high = this.#u32(at + 16);
    const low = this.#u32(at + 20);
    this.#trace.write(
      TraceKind.ccdfRead,
      this.index,
      generation,
      read,
      pec,
      this.handleAt(slot),
      low,
      high,
      this.#u32(at + 12),
    );
  }

  /** Channel report for what was published since the last one; nothing new, no machine check. */
  report(): void {
    if (this.words.get(Scratch.unreported) === 1) this.post();
  }

  /** Channel report for whatever this function's ring holds. */
  post(): void {
    this.#report.post(this.index);
    this.words.set(Scratch.unreported, 0);
    this.words.reach(DrainStep.reported);
  }

  /**
   * A successor does not know how far the report got: always, see `ChannelReport.repost`. `unreported`
   * stands, for the end of the drain still has to say what follows from the records.
   */
  repost(): void {
    this.#report.repost(this.index);
    this.words.reach(DrainStep.reported);
  }

  /** The newest error record in the ring waits for the guest and is of this generation, so it will be handed out. */
  untaken(generation: number): boolean {
    const waiting = CCDF_RING_SLOTS - this.ring.free();
    for (let n = 1; n <= waiting; n++) {
      const slot = this.ring.slotWord((this.ring.tail - n) | 0);
      if ((peek(this.#memory, slot + Lane.kind) & 0xff) !== CcdfKind.error) continue;
      return peek(this.#memory, slot + Lane.generation) === generation;
    }
    return false;
  }

  /**
   * New generation in `state`: the host, not the guest, changed what the function is. Its last access to guest
   * storage has ended when this returns.
   */
  moveTo(state: FunctionState): void {
    this.#changeTo(state);
    waitForDma(this.#memory, this.words.base);
  }

  #changeTo(state: FunctionState): void {
    const at = this.words.base + FunctionBlock.stateWord;
    for (let n = 0; n < MARK_TRIES_MAX; n++) {
      const seen = this.words.load(FunctionBlock.stateWord);
      if (stateOf(seen) === state) return;
      const next = stateWord(generationOf(seen) + 1, state);
      if (compareExchange(this.#memory, at, seen, next) === seen) return;
    }
  }

  /** The running episode ends; a recovery is counted if there was an error to recover from. */
  endEpisode(recovered: boolean): void {
    const words = this.words;
    const since = words.time(Scratch.errorAt);
    if (recovered && since !== 0) {
      words.count(FunctionBlock.recoveries);
      const took = Math.max(0, Math.round(this.#clock.nowUs() - (since - 1)));
      const generation = this.generation();
      this.#trace.write(TraceKind.recovered, this.index, generation, 0, took, 0, 0, 0);
    }
    words.clearTime(Scratch.errorAt);
    words.set(Scratch.rung, 0);
    words.set(Scratch.rungUses, 0);
  }

  /** VmBlock.command := 2, policy stop; the first command stands. */
  stopVm(): void {
    compareExchange(this.#memory, this.#vmWord + VmBlock.command, 0, 2);
  }

  traceState(from: number, to: number, event: number, choice: number): void {
    const generation = this.generation();
    this.#trace.write(TraceKind.stateChanged, this.index, generation, 0, from, to, event, choice);
  }

  traceReset(result: number, attempt: number, handle: number): void {
    const generation = this.generation();
    this.#trace.write(TraceKind.hostReset, this.index, generation, 0, result, attempt, handle, 0);
  }

  tracePolicyStep(step: number): void {
    this.#trace.write(TraceKind.policyStep, this.index, this.generation(), 0, step, 0, 0, 0);
  }

  traceRestart(step: number): void {
    this.#trace.write(TraceKind.workerRestarted, this.index, this.generation(), 0, step, 0, 0, 0);
  }
}
