/**
 * Shared words of one NVMe controller, in the function's host area: what the vCPU's register stores and the
 * platform's work have in common, and all state that must outlive either. All zero is the state at
 * power-on. Writers: V the vCPU, P the platform.
 */
import { NVME_IO_QUEUES_MAX } from "../../../abi/nvme.ts";
import { wordBlock } from "../../../shm/word-block.ts";

/** Admin queue and I/O queues. */
export const QUEUES = 1 + NVME_IO_QUEUES_MAX;
export const DOORBELLS = 2 * QUEUES;
export const DIRTY_WORDS = Math.ceil(DOORBELLS / 32);
export const DEFERRED_MAX = 64;
export const EVENT_REQUESTS_MAX = 4;
export const ERROR_ENTRIES = 4;
/** Namespaces of a controller: one bit each in a word. */
export const NAMESPACES_MAX = 32;

/** Words of one submission queue. */
export const Sq = {
  size: 0, // entries; 0 = the queue does not exist
  baseLow: 1,
  baseHigh: 2,
  head: 3,
  tail: 4,
  cqid: 5,
} as const;

/** Words of one completion queue. */
export const Cq = {
  size: 0, // entries; 0 = the queue does not exist
  baseLow: 1,
  baseHigh: 2,
  head: 3,
  tail: 4,
  /** Phase tag of the next entry. */
  phase: 5,
  /** Interrupt vector plus 1; 0 = interrupts disabled. */
  interrupt: 6,
  /** 1 = an entry was posted that no interrupt has announced yet. */
  owed: 7,
} as const;

/** Words of a completion that waits for its time, for room in its queue or for the bus. */
export const Deferred = {
  /** 1 + submission queue; 0 = free. */
  queue: 0,
  cid: 1,
  status: 2,
  dw0: 3,
  dueLow: 4,
  dueHigh: 5,
  cqid: 6,
} as const;

export const QUEUE_WORDS = 8;

export const NvmeBlock = wordBlock([
  // Registers. V
  "!cc",
  "aqa",
  "asqLow",
  "asqHigh",
  "acqLow",
  "acqHigh",
  "interruptMask",
  "disables", //          times that EN went from 1 to 0
  "functionResets", //    times that a function-level reset was asked for
  // Doorbells. V stores a value, then sets its dirty bit; P takes the bits
  "!dirty:5",
  "badDoorbell", //       V: 1 = a doorbell beyond the last queue was written; P takes
  "!doorbells:130",
  // State of the controller. P
  "!csts",
  "disablesSeen",
  "functionResetsSeen",
  "pageShift", //         latched from CC.MPS when the controller became ready
  "heldUntilLow", //      CC is not looked at before this time (fault "stuckReady"); 0 = now
  "heldUntilHigh",
  "nextQueue", //         arbitration: I/O queue that is served next
  "submission:520", //    65 x 8, Sq
  "completion:520", //    65 x 8, Cq
  "deferred:512", //      64 x 8, Deferred
  "features:32", //       by feature identifier: current value xor default
  "temperatureOver", //   xor default
  "temperatureUnder",
  "coalescingOff:3", //   feature 09h, one bit per vector
  "eventRequests", //     outstanding Asynchronous Event Requests
  "eventCids:4",
  "events:3", //          by type: pending event as its completion's dword 0, with bit 31 set
  "eventsMasked", //      types reported and not cleared by reading their log page
  "changedNamespaces", // bit nsid - 1
  // Kept over a controller reset and over a reset of the function. P
  "!errorCountLow",
  "errorCountHigh",
  "errorLog:64", //       4 entries of 64 bytes
  "blocksReadLow", //     in units of 512 bytes
  "blocksReadHigh",
  "blocksWrittenLow",
  "blocksWrittenHigh",
  "readsLow",
  "readsHigh",
  "writesLow",
  "writesHigh",
  "mediaErrorsLow",
  "mediaErrorsHigh",
  "powerCycles",
  "unsafeShutdowns",
]);

/** First word that a function reset keeps. */
export const KEPT_FROM = NvmeBlock.errorCountLow;
