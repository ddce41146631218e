/**
 * The guest's view of one function over its shared words (`FunctionBlock`): handle, state, registrations,
 * and the way requests reach the recovery worker. Truth is in the words; objects of several vCPU threads
 * may look at the same function. Thread: the vCPU that executes the instruction, under the device lock.
 */

import { FH_ENABLE, FH_INDEX_MASK } from "../../abi/pci-insn.ts";
import { REQUEST_RING_SLOTS } from "../../base/limits.ts";
import type { Clock } from "../../ports/clock.ts";
import { EINVAL, type HostFacts, type HostRegions } from "../../ports/host-function.ts";
import { add, compareExchange, load, peek, poke, store } from "../../shm/atomics.ts";
import {
  type FIB_INTERRUPTS,
  type FIB_IOAT,
  FunctionBlock,
  FunctionState,
  generationOf,
  PHASE_REQUESTED,
  PHASE_RUNNING,
  stateOf,
  stateWord,
  VmBlock,
  WORK_REQUEST,
} from "../../shm/blocks.ts";
import { voidTranslations, waitForDma } from "../../shm/dma-activity.ts";
import { Doorbell } from "../../shm/doorbell.ts";
import { recoveryBell } from "../../shm/recovery-bell.ts";
import { Lane, RingProducer } from "../../shm/ring.ts";
import type { TraceWriter } from "../../shm/trace.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";

// What every instruction reads, as constants of this module: the engine folds those into the code, while it reads an
// imported binding anew at each use.
const Word = FunctionBlock;
const { ENABLED } = FunctionState;
const ENABLE_BIT = FH_ENABLE | 0;
const HANDLE_BITS = ~FH_ENABLE;
const INDEX_MASK = FH_INDEX_MASK;

/** What instructions reach of the host's function. */
export interface HostParts {
  readonly regions: HostRegions;
  readonly facts: HostFacts;
  /** The host can clear the error state in place (MPCIFC 9 and 7). */
  readonly clearError: boolean;
}

/** A slot without a function: RESERVED, so nothing but its absence is ever asked for. */
const nothing: HostParts = {
  regions: { valueHigh: 0, valueLow: 0, load: () => -EINVAL, store: () => -EINVAL },
  facts: {
    startDma: 0n,
    endDma: 0n,
    pchid: 0,
    vfn: 0,
    fmbLength: 0,
    pft: 0,
    gid: 0,
    ccdfErrLength: 0,
    dasm: 0n,
    msiAddress: 0n,
    refresh: true,
    mui: 0,
    noi: 0,
    maxstbl: 0,
    groupVersion: 0,
    pfip: [],
    utilityString: [],
    barSizeLog2: [],
    msixVectors: 0,
  },
  clearError: false,
};

/** What an instruction needs besides the function's own words. */
export interface FunctionParts {
  /** Undefined = nothing is plugged into the slot. */
  readonly host: HostParts | undefined;
  readonly trace: TraceWriter;
  readonly clock: Clock;
}

export class ZpciFunction {
  readonly index: number;
  readonly trace: TraceWriter;
  #host: HostParts;
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #clock: Clock;
  readonly #requests: RingProducer;
  readonly #doorbell: Doorbell;
  readonly #platform: Doorbell;
  readonly #shared: boolean;

  constructor(vm: VmMemory, index: number, parts: FunctionParts) {
    this.index = index;
    this.#host = parts.host ?? nothing;
    this.trace = parts.trace;
    this.#words = vm.words;
    this.#base = (vm.map.functionBlocks[index] as number) / 4;
    this.#clock = parts.clock;
    this.#requests = new RingProducer(
      vm.words,
      vm.map.requestRings[index] as number,
      REQUEST_RING_SLOTS,
    );
    this.#doorbell = recoveryBell(vm, index);
    const vmBlock = vm.map.vmBlock / 4;
    this.#platform = new Doorbell(
      vm.words,
      vmBlock + VmBlock.platformSleeping,
      vmBlock + VmBlock.platformSummary,
    );
    this.#shared = vm.map.vcpuCount > 1;
  }

  get regions(): HostRegions {
    return this.#host.regions;
  }
  get facts(): HostFacts {
    return this.#host.facts;
  }
  get clearError(): boolean {
    return this.#host.clearError;
  }

  /** Another function stands in this slot, or none any more. Thread: the vCPU's, between instructions. */
  plug(host: HostParts | undefined): void {
    this.#host = host ?? nothing;
  }

  /** Something is or was plugged into this slot. */
  known(): boolean {
    return this.get(FunctionBlock.guestHandle) !== 0;
  }

  /** A word of the function's block, e.g. `get(FunctionBlock.fid)`; signed. */
  get(word: number): number {
    return load(this.#words, this.#base + word);
  }

  /**
   * A word that only vCPUs write, or a snapshot of one that others write too: an instruction that reads the state
   * a moment before an error changes it came before the error.
   */
  own(word: number): number {
    return peek(this.#words, this.#base + word);
  }

  set(word: number, value: number): void {
    store(this.#words, this.#base + word, value);
  }

  /** One more in a counter that only vCPUs write: they take turns. */
  tally(word: number): void {
    poke(this.#words, this.#base + word, (peek(this.#words, this.#base + word) + 1) | 0);
  }

  count(word: number): void {
    add(this.#words, this.#base + word, 1);
  }

  swap(word: number, expected: number, next: number): boolean {
    return compareExchange(this.#words, this.#base + word, expected, next) === expected;
  }

  /**
   * Current function handle, unsigned. Its enable bit follows the state, which the recovery worker may
   * change as well (a forced unplug), so no handle says "enabled" for a function that is not.
   */
  handle(): number {
    return this.#signedHandle() >>> 0;
  }

  /** Whether this is the function's complete handle, signed or not. */
  isNamed(fh: number): boolean {
    return this.#signedHandle() === (fh | 0);
  }

  /** As registers have it: whole numbers that fit 31 bits are compared fastest. */
  #signedHandle(): number {
    const handle = this.own(Word.guestHandle) & HANDLE_BITS;
    return this.state() >= ENABLED ? handle | ENABLE_BIT : handle;
  }

  stateWord(): number {
    return this.get(FunctionBlock.stateWord);
  }

  state(): FunctionState {
    return stateOf(this.own(Word.stateWord));
  }

  generation(): number {
    return generationOf(this.stateWord());
  }

  /** (generation, from) -> (generation, to); false if the word is not `seen` any more. */
  changeState(seen: number, to: FunctionState): boolean {
    return this.swap(FunctionBlock.stateWord, seen, stateWord(generationOf(seen), to));
  }

  /**
   * The end of a generation: (generation, state) -> (generation + 1, `to`), then registrations and the
   * handle's enable bit go. Events of the old generation are superseded from here on.
   * @returns false, nothing changed, if the state word is not `seen` any more
   */
  endGeneration(seen: number, to: FunctionState): boolean {
    if (!this.swap(FunctionBlock.stateWord, seen, stateWord(generationOf(seen) + 1, to)))
      return false;
    this.dropRegistrations();
    this.set(FunctionBlock.guestHandle, this.handle() & ~FH_ENABLE);
    this.dmaQuiet();
    return true;
  }

  /** Interrupts, IOAT and FMB off. Flags first: who sees a flag may trust the words behind it. */
  dropRegistrations(): void {
    this.set(FunctionBlock.fibFlags, 0);
    this.bumpEpoch();
    for (const word of registrationWords) this.set(word, 0);
    this.set(FunctionBlock.proofPending, 0);
  }

  registered(flag: typeof FIB_IOAT | typeof FIB_INTERRUPTS): boolean {
    return (this.own(FunctionBlock.fibFlags) & flag) !== 0;
  }

  /** After the words of a registration were written. */
  setRegistered(flag: number): void {
    this.set(FunctionBlock.fibFlags, this.get(FunctionBlock.fibFlags) | flag);
    this.bumpEpoch();
  }

  /** Before the words of a registration change. */
  clearRegistered(flag: number): void {
    this.set(FunctionBlock.fibFlags, this.get(FunctionBlock.fibFlags) & ~flag);
    this.bumpEpoch();
  }

  /** Everything the platform remembers about this function's tables is void. False = an access that began before goes on. */
  bumpEpoch(): boolean {
    return voidTranslations(this.#words, this.#base);
  }

  /** Waits for the end of an access that began with what was just taken away; false = it did not end. */
  dmaQuiet(): boolean {
    return waitForDma(this.#words, this.#base);
  }

  /** A host operation that CLP or MPCIFC waits for is not finished. */
  phaseBusy(word: number): boolean {
    const phase = this.get(word) & 0xff;
    return phase === PHASE_REQUESTED || phase === PHASE_RUNNING;
  }

  /** Whether `post` has room now. A full ring means a worker that is far behind: answer "busy". */
  canPost(): boolean {
    if (this.#shared) this.#requests.resync();
    return this.#requests.reserve() >= 0;
  }

  /** Sends a `RequestKind` record to the recovery worker and rings it, with further work bits. */
  post(kind: number, b0: number, b1 = 0, work = 0): boolean {
    if (this.#shared) this.#requests.resync();
    const slot = this.#requests.reserve();
    if (slot >= 0) {
      const now = this.#clock.nowUs();
      this.#requests.fillHeader(slot, kind, this.index, this.generation(), now, 0);
      this.#requests.clearBody(slot);
      poke(this.#words, slot + Lane.body, b0);
      poke(this.#words, slot + Lane.body + 1, b1);
      this.#requests.publish();
    }
    this.#doorbell.ring(WORK_REQUEST | work);
    return slot >= 0;
  }

  /** Wakes the platform's thread, which writes the measurement block. */
  measurementChanged(): void {
    this.#platform.ring(1 << (this.index & 31));
  }

  /** Wakes the recovery worker with work bits, e.g. a returned credit. */
  ringWorker(work: number): void {
    this.#doorbell.ring(work);
  }

  /** Table error found by an instruction: ENABLED or BLOCKED -> ERROR, if it is still that. */
  enterError(): void {
    for (let attempt = 0; attempt < 4; attempt++) {
      const seen = this.stateWord();
      const state = stateOf(seen);
      if (state !== FunctionState.ENABLED && state !== FunctionState.BLOCKED) return;
      if (this.changeState(seen, FunctionState.ERROR)) return;
    }
  }
}

const registrationWords: readonly number[] = [
  FunctionBlock.pbaLow,
  FunctionBlock.pbaHigh,
  FunctionBlock.palLow,
  FunctionBlock.palHigh,
  FunctionBlock.iotaLow,
  FunctionBlock.iotaHigh,
  FunctionBlock.interruptControl,
  FunctionBlock.aibvLow,
  FunctionBlock.aibvHigh,
  FunctionBlock.aisbLow,
  FunctionBlock.aisbHigh,
  FunctionBlock.fmbLow,
  FunctionBlock.fmbHigh,
];

/** All functions of a VM, by handle, index and FID. */
export class FunctionTable {
  readonly all: readonly ZpciFunction[];
  /** The guest may take a UID for a function's name: they are unique (CLP List PCI says so). */
  readonly uidChecking: boolean;

  constructor(all: readonly ZpciFunction[], uidChecking: boolean) {
    this.all = all;
    this.uidChecking = uidChecking;
  }

  /** The function whose complete handle this is, signed or not; undefined for a stale or foreign one. */
  byHandle(fh: number): ZpciFunction | undefined {
    const found = this.all[fh & INDEX_MASK];
    // The handle of an empty slot is 0, which names no function.
    return fh !== 0 && found !== undefined && found.isNamed(fh) ? found : undefined;
  }

  byFid(fid: number): ZpciFunction | undefined {
    for (const candidate of this.all) {
      if (candidate.known() && candidate.get(FunctionBlock.fid) === (fid | 0)) return candidate;
    }
    return undefined;
  }
}
