/** Bounds of queues, loops and sizes, each with its reason. Relations are checked by limits.test.ts. */

/** CCDFs one function may have pending in the host kernel. Source: Linux 7.3 ZPCI_ERR_PENDING_MAX. */
export const HOST_PENDING_MAX = 4;

/** The same in the kernels of postings v1 to v3; slots of the simulated host's queue. Power of two. */
export const HOST_PENDING_POSTED_MAX = 16;

/** Slots of a guest CCDF ring: several full host queues, so credits rarely run out. Power of two. */
export const CCDF_RING_SLOTS = 64;

/** Slots of a function's request ring (guest actions waiting for the recovery worker). */
export const REQUEST_RING_SLOTS = 64;

/** Slots of each thread's trace ring; a full trace ring loses trace records (counted), never events. */
export const TRACE_RING_SLOTS = 4096;
/** Slots of the trace ring of a recovery worker that serves one function: there may be many, and all that is written to once stays. */
export const FUNCTION_TRACE_RING_SLOTS = 1024;

/** Feature GETs per wake-up before the drain loop yields to requests and deadlines. */
export const DRAIN_BATCH_MAX = 16;

/** Functions of one VM: CONFIG_PCI_NR_FUNCTIONS of Debian's kernels. */
export const FUNCTIONS_MAX = 64;

/**
 * Functions that one shared recovery thread carries: of 1,024 on one thread, an empty thread's 8.5 MiB are 9 KiB each; a
 * look at all of their bells takes some ten microseconds.
 */
export const FUNCTIONS_PER_RECOVERY_THREAD = 1024;

/** vCPUs of one VM. */
export const VCPUS_MAX = 8;

/** Guest RAM: a 32-bit wasm memory holds 4 GiB, of which the control area keeps a part. */
export const GUEST_RAM_MAX_BYTES = 3.5 * 1024 ** 3;
export const GUEST_RAM_MIN_BYTES = 1024 ** 2;

/** Instructions one `run()` of the vCPU may take: V8 swaps in optimised code only between calls. */
export const VCPU_SLICE_INSTRUCTIONS = 100_000;

/**
 * Restarts of one recovery worker within the window before its VM is stopped: one that always dies helps nobody,
 * one that dies now and then for a year does no harm. A thread takes some 0.1 s to come up, several on a busy host.
 */
export const WORKER_RESTARTS_MAX = 30;
export const WORKER_RESTARTS_WINDOW_MS = 60_000;
