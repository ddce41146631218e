/**
 * Hot file: no allocation. The host kernel's queue of pending error CCDFs (vfio-uapi.md 3.6), without a lock.
 *
 * *Single writers.* Only the platform writes slots and the tail, only GET (one consumer, 3.6) the head; both run
 * freely over 32 bits, pending = tail - head, at most 4 (16 in the postings v1 to v3). *Publish.* The platform copies into slots with
 * plain stores, then stores the tail atomically; GET loads the tail before it copies out. *Reuse.* GET
 * stores the head after its copy; the platform takes the room from the head before it fills a slot, so a
 * slot is never written while it is read. The room is taken once for events "under one queue lock":
 * what GET frees meanwhile does not count, as if it had waited for the lock.
 *
 * *Mediation* is decided once, at store time (review concern 21 of vfio-uapi.md 7): the platform stores
 * storing = 1, then loads mediated; close stores mediated = 0, then waits until storing is 0. One of
 * them sees the other, so nothing is stored behind close's back.
 *
 * *GET that dies.* Steps: 1 pending seen, 2 journal written, 3 journal valid, 4 half copied, 5 copied,
 * 6 head committed, 7 journal closed. Dead at step 1 or 2: the journal is not valid, nothing has happened
 * yet. Dead at 3, 4 or 5: `completeInterruptedGet` copies again (the slot cannot have been refilled, the head did
 * not move) and commits. Dead at 6: head = journal + 1 says that all is done.
 */
import { EFAULT, EINVAL, ENOMSG } from "../../ports/host-function.ts";
import { load, notify, store, wait } from "../../shm/atomics.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import { CCDF_BYTES, type HostArea, HostBlock, hostArea } from "./host-area.ts";

/** Steps of GET at which a test may let the worker die. */
export const GET_STEPS = 7;

/** Called at each numbered step of GET; a test throws from it. */
export type StepHook = (step: number) => void;

/** Events waiting. Any thread; a hint unless called by GET or the platform. */
export function pendingErrors(area: HostArea): number {
  return (area.get(HostBlock.queueTail) - area.get(HostBlock.queueHead)) | 0;
}

/** The storing side. Thread: platform only. */
export class ErrorQueueWriter {
  readonly #area: HostArea;
  readonly #slots: number;
  #tail = 0;
  #room = 0;

  constructor(area: HostArea, slots: number) {
    this.#area = area;
    this.#slots = slots;
  }

  /**
   * Takes the "queue lock". Returns whether user space mediates; then `room` holds for this batch.
   * @param taken slots that are not free although nothing is pending in them
   */
  begin(taken = 0): boolean {
    const area = this.#area;
    area.set(HostBlock.storing, 1);
    this.#tail = area.get(HostBlock.queueTail);
    this.#room = this.#slots - pendingErrors(area) - taken;
    return area.get(HostBlock.mediated) === 1;
  }

  /** Ordinal of the event that the next `put` stores, or 0 when the queue is full. */
  nextOrdinal(): number {
    return this.#room > 0 ? (this.#tail + 1) | 0 : 0;
  }

  /** Copies a CCDF in; invisible until `publish`. Nothing happens when the queue is full. */
  put(ccdf: Uint8Array): void {
    if (this.#room <= 0) return;
    this.#area.bytes.set(ccdf, this.#area.queueSlot(this.#tail));
    this.#tail = (this.#tail + 1) | 0;
    this.#room -= 1;
  }

  publish(): void {
    const { words, host } = this.#area;
    this.#area.set(HostBlock.queueTail, this.#tail);
    this.#area.set(HostBlock.storing, 0);
    notify(words, host + HostBlock.storing);
  }
}

/** The reading side. One thread at a time: the recovery worker or its successor. */
export class ErrorQueueReader {
  readonly #area: HostArea;
  readonly #hook: StepHook | undefined;

  constructor(area: HostArea, hook?: StepHook) {
    this.#area = area;
    this.#hook = hook;
  }

  /**
   * Error feature GET: the oldest event to byte offset `slot` of the VM's shared memory.
   * @returns 0, -EINVAL for address 0, -ENOMSG when empty, -EFAULT for a range outside the memory: the
   * event is lost then, as with the genuine kernel (vfio-uapi.md 2.1, rows 8 to 11)
   */
  get(slot: number): number {
    if (slot === 0) return -EINVAL;
    const area = this.#area;
    const { words, host } = area;
    const head = load(words, host + HostBlock.queueHead);
    if (load(words, host + HostBlock.queueTail) === head) return -ENOMSG;
    if (!inMemory(area, slot)) {
      store(words, host + HostBlock.getsLost, load(words, host + HostBlock.getsLost) + 1);
      store(words, host + HostBlock.queueHead, (head + 1) | 0);
      return -EFAULT;
    }
    const hook = this.#hook;
    hook?.(1);
    store(words, host + HostBlock.getSlot, slot);
    store(words, host + HostBlock.getIndex, head);
    hook?.(2);
    store(words, host + HostBlock.getInFlight, 1);
    hook?.(3);
    const from = area.queueSlot(head);
    copyBytes(area.bytes, from, slot, CCDF_BYTES / 2);
    hook?.(4);
    copyBytes(area.bytes, from + CCDF_BYTES / 2, slot + CCDF_BYTES / 2, CCDF_BYTES / 2);
    hook?.(5);
    store(words, host + HostBlock.queueHead, (head + 1) | 0);
    hook?.(6);
    store(words, host + HostBlock.getInFlight, 0);
    hook?.(7);
    return 0;
  }

  /**
   * GET by value: `copyOut` gets the byte offset of the oldest event and the number left after it.
   * @returns 0, or -ENOMSG when empty
   */
  take(copyOut: (from: number, left: number) => void): number {
    const area = this.#area;
    const head = area.get(HostBlock.queueHead);
    const tail = area.get(HostBlock.queueTail);
    if (tail === head) return -ENOMSG;
    this.#hook?.(1);
    copyOut(area.queueSlot(head), (tail - head - 1) | 0);
    this.#hook?.(4);
    area.set(HostBlock.queueHead, (head + 1) | 0);
    this.#hook?.(6);
    return 0;
  }

  /** Starts mediation. */
  start(): void {
    this.#area.set(HostBlock.mediated, 1);
  }

  /** Ends mediation and empties the queue; returns how many events were thrown away. */
  stop(): number {
    const area = this.#area;
    area.set(HostBlock.mediated, 0);
    // The platform stores a few hundred bytes at most; the bound is for a platform that died.
    for (let tries = 0; tries < 100 && area.get(HostBlock.storing) === 1; tries++) {
      wait(area.words, area.host + HostBlock.storing, 1, 10);
    }
    const count = pendingErrors(area);
    area.set(HostBlock.discarded, area.get(HostBlock.discarded) + count);
    area.set(HostBlock.queueHead, area.get(HostBlock.queueTail));
    return count;
  }
}

/**
 * Finishes the GET that a dead worker left behind. Thread: the supervisor, while no worker runs.
 * @returns the byte offset that now holds a whole CCDF, or 0 when no call was in flight: it had
 * returned or had not begun
 */
export function completeInterruptedGet(vm: VmMemory, functionIndex: number): number {
  const area = hostArea(vm, functionIndex);
  if (area.get(HostBlock.getInFlight) !== 1) return 0;
  const slot = area.get(HostBlock.getSlot) >>> 0;
  const index = area.get(HostBlock.getIndex);
  if (area.get(HostBlock.queueHead) === index) {
    copyBytes(area.bytes, area.queueSlot(index), slot, CCDF_BYTES);
    area.set(HostBlock.queueHead, (index + 1) | 0);
  }
  area.set(HostBlock.getInFlight, 0);
  return slot;
}

function inMemory(area: HostArea, slot: number): boolean {
  return Number.isInteger(slot) && slot > 0 && slot + CCDF_BYTES <= area.bytes.length;
}

function copyBytes(bytes: Uint8Array, from: number, to: number, length: number): void {
  for (let i = 0; i < length; i++) bytes[to + i] = bytes[from + i] as number;
}
