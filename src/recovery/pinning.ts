/**
 * Carries out what instructions ask of a host that maps each page (src/devices/zpci/mapping-work.ts): one batch of at
 * most MAP_BATCH_MAX entries per pass, each entry of which can be done twice, so that a successor repeats the batch its
 * predecessor died in. Mappings of a function that is not registered any more are dropped. Thread: recovery worker.
 */
import type { HostFunction } from "../ports/host-function.ts";
import {
  FIB_IOAT,
  FunctionBlock,
  generationOf,
  MAP_NOTHING,
  MAP_REGISTER,
  MapEntry,
  PHASE_DONE,
  PHASE_FAILED,
  PHASE_IDLE,
  PHASE_REQUESTED,
  PHASE_RUNNING,
} from "../shm/blocks.ts";
import { type FunctionWords, Scratch } from "./words.ts";

const PAGE = 4096;

export class Pinning {
  readonly #words: FunctionWords;
  readonly #host: HostFunction;

  constructor(words: FunctionWords, host: HostFunction) {
    this.#words = words;
    this.#host = host;
  }

  step(): void {
    if (this.#host.pinning === undefined) return;
    const words = this.#words;
    const phase = words.load(FunctionBlock.mapPhase);
    if (phase === PHASE_REQUESTED || phase === PHASE_RUNNING) {
      words.store(FunctionBlock.mapPhase, PHASE_RUNNING);
      words.store(FunctionBlock.mapPhase, this.#carryOut() ? PHASE_DONE : PHASE_FAILED);
    } else if (words.get(Scratch.pinned) === 1 && !this.#wanted(phase)) {
      this.drop();
    }
  }

  /** Nothing of the guest's storage stays within the device's reach. */
  drop(): void {
    const { pinning, facts } = this.#host;
    if (pinning === undefined) return;
    pinning.unmap(facts.startDma, BigInt(facts.dmaAvail ?? 0) * BigInt(PAGE));
    this.#words.set(Scratch.pinned, 0);
  }

  /** Registered, or a registration of this generation is under way between two of its batches. */
  #wanted(phase: number): boolean {
    const words = this.#words;
    if ((words.load(FunctionBlock.fibFlags) & FIB_IOAT) !== 0) return true;
    return (
      phase !== PHASE_IDLE &&
      words.load(FunctionBlock.mapKind) === MAP_REGISTER &&
      words.load(FunctionBlock.mapGeneration) === generationOf(words.load(FunctionBlock.stateWord))
    );
  }

  /** False at the first page that the host refuses; what was mapped before it stays. */
  #carryOut(): boolean {
    const { pinning, facts } = this.#host;
    if (pinning === undefined) return false;
    const words = this.#words;
    words.set(Scratch.pinned, 1);
    const count = words.load(FunctionBlock.mapCount);
    for (let n = 0; n < count; n++) {
      const at = FunctionBlock.mapEntries + n * MapEntry.words;
      const pages = words.load(at + MapEntry.pages);
      const frame = words.load(at + MapEntry.frame);
      const iova = facts.startDma + BigInt(words.load(at + MapEntry.page)) * BigInt(PAGE);
      pinning.unmap(iova, BigInt(pages) * BigInt(PAGE));
      if (frame === MAP_NOTHING) continue;
      const address = Math.floor(frame / 2) * PAGE;
      if (pinning.map(iova, address, (frame & 1) === 0) !== 0) return false;
    }
    return true;
  }
}
