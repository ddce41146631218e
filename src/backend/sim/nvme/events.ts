/**
 * Asynchronous events: outstanding requests, one pending event per type, and the rule that a type which was
 * reported stays silent until its log page has been read (NVMe 1.4, section 5.2). Thread: platform only.
 */
import { NvmeFeature, NvmeStatus, STATUS_DNR } from "../../../abi/nvme.ts";
import { EVENT_REQUESTS_MAX, NvmeBlock } from "./block.ts";
import type { Completions } from "./completions.ts";
import type { NvmeState } from "./state.ts";

const TYPES = 3;
const PENDING = 0x80000000;

export class AsyncEvents {
  readonly #state: NvmeState;
  readonly #completions: Completions;

  constructor(state: NvmeState, completions: Completions) {
    this.#state = state;
    this.#completions = completions;
  }

  /** Takes an Asynchronous Event Request. Returns 0 or a status; its completion comes with an event. */
  request(cid: number): number {
    const count = this.#state.get(NvmeBlock.eventRequests);
    if (count >= EVENT_REQUESTS_MAX) return NvmeStatus.asyncEventLimit | STATUS_DNR;
    this.#state.set(NvmeBlock.eventCids + count, cid);
    this.#state.set(NvmeBlock.eventRequests, count + 1);
    return 0;
  }

  /** Withdraws a request; true when there was one with this CID. */
  withdraw(cid: number): boolean {
    const state = this.#state;
    const count = state.get(NvmeBlock.eventRequests);
    for (let i = 0; i < count; i++) {
      if (state.get(NvmeBlock.eventCids + i) !== cid) continue;
      this.#remove(i, count);
      return true;
    }
    return false;
  }

  /** An event happened. Of one type only the first that was not reported yet is kept. */
  raise(type: number, information: number, logPage: number): void {
    const state = this.#state;
    if ((state.get(NvmeBlock.eventsMasked) & (1 << type)) !== 0) return;
    if (state.get(NvmeBlock.events + type) !== 0) return;
    state.set(NvmeBlock.events + type, PENDING | (logPage << 16) | (information << 8) | type);
  }

  /** Whether a bit of feature 0Bh asks for an event. */
  wanted(bit: number): boolean {
    return ((this.#state.get(NvmeBlock.features + NvmeFeature.asyncEvents) >>> bit) & 1) === 1;
  }

  /** The log page of a type was read: its events may be reported again. */
  cleared(type: number): void {
    const masked = this.#state.get(NvmeBlock.eventsMasked);
    this.#state.set(NvmeBlock.eventsMasked, masked & ~(1 << type));
  }

  /** Completes requests while there are events and room. Returns whether one was completed. */
  flush(): boolean {
    const state = this.#state;
    let worked = false;
    for (let type = 0; type < TYPES; type++) {
      const event = state.get(NvmeBlock.events + type);
      const count = state.get(NvmeBlock.eventRequests);
      if (event === 0 || count === 0 || !this.#completions.canTake(0)) continue;
      const cid = state.get(NvmeBlock.eventCids);
      this.#remove(0, count);
      state.set(NvmeBlock.events + type, 0);
      state.set(NvmeBlock.eventsMasked, state.get(NvmeBlock.eventsMasked) | (1 << type));
      this.#completions.complete(0, cid, NvmeStatus.success, event & ~PENDING);
      worked = true;
    }
    return worked;
  }

  #remove(index: number, count: number): void {
    const state = this.#state;
    for (let i = index; i < count - 1; i++) {
      state.set(NvmeBlock.eventCids + i, state.get(NvmeBlock.eventCids + i + 1));
    }
    state.set(NvmeBlock.eventRequests, count - 1);
  }
}
