/**
 * What the machine itself has for the guest: repeats of an error, a function that is given up, events of its own, and
 * availability events with those that are owed until the guest's ring has room. No host's CCDF is behind any of them, so they
 * stand in no book. Thread: recovery worker. Source: zpci-guest.md 7.2, 7.3; vfio-uapi.md 4.5.
 */
import { AvailabilityPec, Pec } from "../abi/ccdf.ts";
import { FH_ENABLE, FH_INSTANCE_MASK, FH_INSTANCE_STEP } from "../abi/pci-insn.ts";
import { CcdfFlag, CcdfKind, TraceKind } from "../abi/records.ts";
import { FunctionBlock, FunctionState } from "../shm/blocks.ts";
import type { RingProducer } from "../shm/ring.ts";
import type { TraceWriter } from "../shm/trace.ts";
import { BODY_FADDR, BODY_FH, BODY_FID, BODY_PEC, type FunctionEffects } from "./effects.ts";
import type { StampClock } from "./stamp-clock.ts";
import { type FunctionWords, OWED_MAX, Scratch } from "./words.ts";

const REPEATED_ERROR = CcdfKind.error | (CcdfFlag.repeat << 8);

export class Announcements {
  readonly #effects: FunctionEffects;
  readonly #words: FunctionWords;
  readonly #ring: RingProducer;
  readonly #bytes: Uint8Array;
  readonly #clock: StampClock;
  readonly #trace: TraceWriter;

  constructor(effects: FunctionEffects, bytes: Uint8Array, clock: StampClock, trace: TraceWriter) {
    this.#effects = effects;
    this.#words = effects.words;
    this.#ring = effects.ring;
    this.#bytes = bytes;
    this.#clock = clock;
    this.#trace = trace;
  }

  // Errors ----------------------------------------------------------------------------------------------

  /** Tells the guest again: a repeat of the last error, unless an untaken record is still waiting. */
  reinject(): void {
    const pec = this.#words.get(Scratch.lastPec) || Pec.SERVAC;
    const generation = this.#effects.markError(pec);
    if (generation >= 0 && !this.#effects.untaken(generation)) this.#repeat(pec, generation);
    this.#effects.post();
  }

  /** The function is given up: state PERMANENT_ERROR until deconfigure, and the guest is told. */
  injectPermanent(): void {
    const generation = this.#effects.markError(Pec.PERMERR);
    if (generation < 0) {
      this.#effects.report(); // the guest has the function disabled: there is no news for it
      return;
    }
    this.#repeat(Pec.PERMERR, generation);
    this.#effects.post();
  }

  #repeat(pec: number, generation: number): void {
    const slot = this.#ring.reserve();
    if (slot < 0) return;
    const words = this.#words;
    this.#begin(slot, REPEATED_ERROR, generation, words.load(FunctionBlock.readByWorker));
    this.#setPec(slot, pec);
    words.set(Scratch.told, generation + 1);
    this.#ring.publish();
    words.count(FunctionBlock.reinjections);
    this.#traceInjected(pec, generation);
  }

  /** A measurement block that could not be written. The host knows nothing of it; the function goes on. */
  ownEvent(): void {
    const words = this.#words;
    const pec = words.load(FunctionBlock.ownPec);
    if (pec === 0) return;
    const enabled = this.#effects.guestEnabled();
    const slot = enabled ? this.#ring.reserve() : -1;
    if (slot < 0 && enabled) return; // when the guest has fetched
    if (slot >= 0) {
      const generation = this.#effects.generation();
      this.#begin(slot, REPEATED_ERROR, generation, 0);
      this.#setPec(slot, pec);
      this.#setU32(slot * 4 + BODY_FADDR, words.load(FunctionBlock.ownFaddrHigh));
      this.#setU32(slot * 4 + BODY_FADDR + 4, words.load(FunctionBlock.ownFaddrLow));
      this.#ring.publish();
      this.#traceInjected(pec, generation);
      this.#effects.post();
    }
    words.store(FunctionBlock.ownPec, 0);
  }

  // Availability ----------------------------------------------------------------------------------------

  /**
   * An availability event (content code 2): now, or when the guest's ring has room again. Carries the FH and FID of
   * this moment, in case the slot is another function's when the guest fetches it.
   */
  availability(pec: number): void {
    if (this.owing() || !this.#publishAvailability(pec)) this.#owe(pec);
    this.#effects.post();
  }

  owing(): boolean {
    return this.#words.get(Scratch.owedCount) > 0;
  }

  /** Publishes what is owed, as far as the guest's ring has room. */
  payOwed(): void {
    const words = this.#words;
    const before = words.get(Scratch.owedCount);
    let count = before;
    while (count > 0 && this.#publishAvailability(words.get(Scratch.owed))) {
      for (let n = 1; n < count; n++) words.set(Scratch.owed + n - 1, words.get(Scratch.owed + n));
      count -= 1;
      words.set(Scratch.owedCount, count);
    }
    if (count !== before) this.#effects.post();
  }

  #owe(pec: number): void {
    const words = this.#words;
    const count = words.get(Scratch.owedCount);
    const full = count >= OWED_MAX;
    words.set(Scratch.owed + (full ? 0 : count), full ? AvailabilityPec.MANY_CHANGED : pec);
    words.set(Scratch.owedCount, full ? 1 : count + 1);
  }

  #publishAvailability(pec: number): boolean {
    const slot = this.#ring.reserve();
    if (slot < 0) return false;
    const generation = this.#effects.generation();
    this.#begin(slot, CcdfKind.availability, generation, 0);
    this.#setPec(slot, pec);
    if (pec !== AvailabilityPec.MANY_CHANGED) {
      this.#setU32(slot * 4 + BODY_FH, this.#guestHandle());
      this.#setU32(slot * 4 + BODY_FID, this.#words.load(FunctionBlock.fid));
    }
    this.#ring.publish();
    this.#traceInjected(pec, generation);
    return true;
  }

  /** The guest's handle; its enable bit follows the state, as `ZpciFunction.handle` says. */
  #guestHandle(): number {
    const handle = this.#words.load(FunctionBlock.guestHandle) & ~FH_ENABLE;
    return this.#effects.guestEnabled() ? handle | FH_ENABLE : handle;
  }

  /** A function that is not the guest's comes back under another handle. */
  newInstance(): void {
    if (this.#effects.guestState() !== FunctionState.RESERVED) return;
    const handle = this.#words.load(FunctionBlock.guestHandle) & ~FH_ENABLE;
    const instance = (handle + FH_INSTANCE_STEP) & FH_INSTANCE_MASK;
    this.#words.store(FunctionBlock.guestHandle, (handle & ~FH_INSTANCE_MASK) | instance);
  }

  // Records ---------------------------------------------------------------------------------------------

  #begin(slot: number, kind: number, generation: number, read: number): void {
    this.#ring.clearBody(slot);
    const nowUs = this.#clock.nowUs();
    this.#ring.fillHeader(slot, kind, this.#effects.index, generation, nowUs, read);
  }

  #setPec(slot: number, pec: number): void {
    this.#bytes[slot * 4 + BODY_PEC] = pec >>> 8;
    this.#bytes[slot * 4 + BODY_PEC + 1] = pec & 0xff;
  }

  #setU32(at: number, value: number): void {
    for (let n = 0; n < 4; n++) this.#bytes[at + n] = (value >>> (24 - 8 * n)) & 0xff;
  }

  #traceInjected(pec: number, generation: number): void {
    const { index } = this.#effects;
    this.#trace.write(TraceKind.injected, index, generation, 0, pec, generation, 1, 0);
  }
}
