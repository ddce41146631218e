/**
 * The books of one function, read from its shared counters. Law (design.md 4): errorsRaised = fetchedByGuest + the
 * sum of notDelivered.
 */
import { type NotDeliveredReason, notDeliveredReasons } from "../abi/records.ts";
import { load } from "../shm/atomics.ts";
import { FunctionBlock } from "../shm/blocks.ts";
import type { VmMemory } from "../shm/vm-memory.ts";

export interface Books {
  readonly errorsRaised: number;
  readonly droppedByHost: number;
  readonly staleIgnored: number;
  readonly read: number;
  readonly injected: number;
  readonly fetchedByGuest: number;
  readonly notDelivered: Readonly<Record<NotDeliveredReason, number>>;
  readonly recoveries: number;
  readonly hostResets: number;
  readonly workerRestarts: number;
}

export function readBooks(vm: VmMemory, functionIndex: number): Books {
  const base = (vm.map.functionBlocks[functionIndex] as number) / 4;
  const word = (index: number): number => load(vm.words, base + index) >>> 0;
  const droppedByHost = word(FunctionBlock.hostDropped);
  const stale = word(FunctionBlock.hostStale) + word(FunctionBlock.staleAtWorker);
  return {
    errorsRaised: word(FunctionBlock.errorsRaised),
    droppedByHost,
    staleIgnored: stale,
    read: word(FunctionBlock.readByWorker),
    injected: word(FunctionBlock.injected),
    fetchedByGuest: word(FunctionBlock.fetchedByGuest),
    notDelivered: {
      hostQueueFull: droppedByHost,
      staleHandle: stale,
      fmbCode: word(FunctionBlock.hostFmbCode) + word(FunctionBlock.fmbAtWorker),
      superseded: word(FunctionBlock.superseded) + word(FunctionBlock.supersededAtWorker),
      policy: word(FunctionBlock.droppedByPolicy),
      unverifiable: word(FunctionBlock.unverifiable),
      vmStopped: word(FunctionBlock.vmStoppedLost),
    },
    recoveries: word(FunctionBlock.recoveries),
    hostResets: word(FunctionBlock.hostResets),
    workerRestarts: word(FunctionBlock.workerRestarts),
  };
}

/** errorsRaised minus everything accounted for: 0 when the books close. */
export function booksBalance(books: Books): number {
  const lost = notDeliveredReasons.reduce((sum, reason) => sum + books.notDelivered[reason], 0);
  return books.errorsRaised - books.fetchedByGuest - lost;
}
