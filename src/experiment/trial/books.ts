/** The books of a trial's functions, summed over guests and over the lives of a VM that was started again. */
import { type Books as FunctionBooks, readBooks } from "../../machine/books.ts";
import { load } from "../../shm/atomics.ts";
import { FunctionBlock } from "../../shm/blocks.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";

export class Books {
  raised = 0;
  fetched = 0;
  hostQueueFull = 0;
  stale = 0;
  superseded = 0;
  policy = 0;
  unverifiable = 0;
  vmStopped = 0;
  hostResets = 0;
  reinjections = 0;

  /** @param stopped the VM was stopped: what nobody has accounted for is lost with it */
  add(vm: VmMemory, stopped = false): void {
    for (let index = 0; index < vm.map.functionCount; index++) {
      const books = readBooks(vm, index);
      const { notDelivered } = books;
      this.raised += books.errorsRaised;
      this.fetched += books.fetchedByGuest;
      this.hostQueueFull += notDelivered.hostQueueFull;
      this.stale += notDelivered.staleHandle;
      this.superseded += notDelivered.superseded;
      this.policy += notDelivered.policy;
      this.unverifiable += notDelivered.unverifiable;
      if (stopped) this.vmStopped += left(books);
      this.hostResets += books.hostResets;
      const block = (vm.map.functionBlocks[index] as number) / 4;
      this.reinjections += load(vm.words, block + FunctionBlock.reinjections);
    }
  }
}

function left(books: FunctionBooks): number {
  const gone = Object.values(books.notDelivered).reduce((sum, count) => sum + count, 0);
  return books.errorsRaised - books.fetchedByGuest - gone;
}
