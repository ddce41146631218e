/**
 * The words of a VM that more than one thread needs, by owner. 64-bit values take two words, low first
 * (`xLow`, `xHigh`). Who writes what stands beside each group; everybody may read.
 */
import { wordBlock } from "./word-block.ts";

/** One per VM, at offset 0 of the shared memory. */
export const VmBlock = wordBlock([
  "magic",
  "version",
  "functionCount",
  "vcpuCount",
  // Control (main thread): 0 run, 1 stop requested, 2 stopped by a policy (recovery worker). Read by every loop.
  "!command",
  // Start of a threaded VM (start-gate.ts): threads count themselves ready, the main thread opens the gate
  "!actorsReady:3", // a bit per actor (start-gate.ts)
  "gateOpen",
  "gateOriginLow", //  monotonic microseconds that are the VM's time 0
  "gateOriginHigh",
  // Floating interruptions (any poster; a vCPU claims by compare-and-swap). floating.ts
  "!machineCheckPending",
  "ioPending", //           bit n = adapter interruption pending for ISC n
  "servicePending",
  "serviceParameter",
  "suppression", //         SIC: bits 0-7 SIMM, bits 8-15 NIMM, by ISC
  // Channel reports (channel-report.ts)
  "!crwPending",
  "machineCheckEnabled",
  "seiPending",
  // CCDF rings that may hold records, bit = function index (2 words for 64 functions)
  "!ccdfSummary:2",
  // Platform thread's doorbell (doorbell.ts)
  "!platformSleeping",
  "platformSummary",
  // Virtual time of a deterministic run, microseconds (machine only)
  "!vcpuStopped", //        vCPU: 0 running, else how it ended (VCPU_… of src/machine/loops.ts)
  "vcpuStopDetail",
  // SCLP service-call state shared by poster and vCPU
  "quiesceRequested", //    1 = signal quiesce asked for
  "sclpReceiveMask", //     event types the guest wants (vCPU), first word of its CP receive mask
  // Console input (sclp-events.ts): head by the vCPU, tail and bytes by the main thread
  "consoleInputHead",
  "!consoleInputTail",
  "consoleInput:256",
  // Console output (console-output.ts): tail and bytes by the vCPU under the device lock, head by the main thread
  "!consoleOutputTail",
  "!consoleOutputHead",
  "!consoleWriterWaits", // sleeping word of the vCPU that waits for room
  "consoleOutput:4096",
  // Device lock: one vCPU at a time executes zPCI, CHSC and SERVC (lock.ts)
  "!deviceLock",
  "!pairLock", //    1 = a vCPU updates sixteen bytes (interlocked.ts)
  // Threads that shall stand (src/machine/hold.ts). Main thread; each actor its bit of heldActors
  "!hold",
  "resetAsked", //  1 = the first vCPU shall reset the devices; 0 again when it has
  "frozenLow", //   microseconds that the vCPUs have stood: no guest time
  "frozenHigh",
  "!heldActors:3",
  // The guest's watchdog (watchdog.ts): machine at build; vCPU and main thread
  "watchdogPresent",
  "watchdogDue", //     guest time at which it fires, tenths of a second; 0 = off
]);

/** First words of each vCPU area; the rest of the area belongs to `src/cpu`. */
export const VcpuHeader = wordBlock([
  "!pending", //   nonzero makes run() return at the next block boundary; bits below
  "!sleeping", //  doorbell word of an enabled wait
  "!instructionsLow", // instructions executed, updated when run() returns
  "instructionsHigh",
  "exits:26", //     how often the CPU left its generated code, by `exitKinds` (vCPU only)
  // Between CPUs (src/cpu/signals.ts); with them the header is full
  "executing", //  1 = inside guest code. This vCPU
  "halted", //      1 = stopped or in a disabled wait. This vCPU; 0 also by who starts it
  "sigpLock", //    1 = an order is being carried out. Any vCPU, compare-and-swap
  "purgeAsked", //  counted up by other vCPUs
  "purgeDone", //   how far this vCPU has followed
]);

/**
 * Why a vCPU leaves its generated code: first the ends of `run()` in the order of `VcpuExit`, then instructions carried
 * out elsewhere. The index is the word in `VcpuHeader.exits`.
 */
export const exitKinds = [
  "budget",
  "wait",
  "disabled-wait",
  "check-stop",
  "power-off",
  "reset",
  "command",
  "stopped",
  "clp",
  "pcilg",
  "pcistg",
  "pcistb",
  "rpcit",
  "mpcifc",
  "stpcifc",
  "sic",
  "servc",
  "chsc",
  "stcrw",
  "subchannel", // the other instructions of the channel subsystem
  "control", //    system instructions: control registers, timers, translation
  "slow", //       decimal and binary floating point, long operands
] as const;
export type ExitKind = (typeof exitKinds)[number];

export const PENDING_FLOATING = 1;
export const PENDING_COMMAND = 2;
export const PENDING_SIGNAL = 8;

/** One per passed-through function: the guest's view, recovery's words and the counters of the books. */
export const FunctionBlock = wordBlock([
  // Identity (machine, at build; handle words by the vCPU on CLP enable/disable)
  "fid",
  "uid",
  "index",
  "guestHandle", //   0 = nothing was ever plugged into this slot. Worker: instance, when a function comes back
  // First 64 bytes of config space as last read from a healthy function, in PCI byte order (machine at
  // plug, then the vCPU): what CLP shows while the function reads as all ones
  "configHeader:16",
  // {generation << 8 | state}: vCPU and recovery worker, compare-and-swap only
  "!stateWord",
  // FIB as registered (vCPU)
  "!fibFlags", //  FIB_INTERRUPTS | FIB_IOAT
  "pbaLow",
  "pbaHigh",
  "palLow",
  "palHigh",
  "iotaLow",
  "iotaHigh",
  "interruptControl", // the FIB's word at 40: ISC, noi, aibvo, sum, aisbo
  "aibvLow",
  "aibvHigh",
  "aisbLow",
  "aisbHigh",
  "fmbLow",
  "fmbHigh",
  // Guest requests that the host has to carry out (who writes: see request phases below)
  "!resetPhase",
  "clearPhase",
  "permanent", //     1 = permanent error stands until deconfigure
  "proofPending", //  vCPU: 1 after register-IOAT, cleared by the first good PCILG
  "resetGeneration", // vCPU: generation for which resetPhase was requested
  "clearOperation", //  vCPU: {generation << 8 | MPCIFC operation} for which clearPhase was requested
  // {epoch << 1 | 1 while the platform touches guest storage for this function} (dma-activity.ts). The epoch is counted
  // up by RPCIT and (de)registration: DMA caches compare it
  "!dmaEpoch",
  // ERR eventfd of the function: counter, added to by the host, exchanged to 0 by the worker
  "!errSignals",
  // Recovery worker's doorbell
  "!workerSleeping",
  "workerSummary", // WORK_* bits
  "!recoveryState", // index into the recovery table's states, written by the worker
  "drainStep", //    numbered step of the drain, for exactly-once tests and crash repair
  "workerRestarts",
  "killAtStep", //   test hook: the worker dies when it reaches this step (0 = never)
  "recoveryScratch:80", // the machine's own words that must outlive a worker
  "recoveryCommand", // control: RECOVERY_COMMAND_*; worker: exchanged to 0. Doorbell bit WORK_COMMAND
  "policyAsked", //     control: number of the policy that shall be in force, counted up with each change
  "policyTaken", //     worker: number of the policy in force
  // The books. errorsRaised = fetched + sum(notDelivered…), design.md 4
  "!errorsRaised", //  platform
  "hostDropped", //    platform: queue full
  "hostStale", //      platform: stale handle, filtered by the host
  "hostFmbCode", //    platform: FMB codes, never queued
  "hostHandled", //    platform: nobody mediated, the host recovered by itself; not in errorsRaised
  "readByWorker", //   worker
  "injected", //       worker
  "fetchedByGuest", // vCPU
  "superseded", //     worker and vCPU
  "droppedByPolicy", //worker
  "unverifiable", //   worker
  "vmStoppedLost", //  machine, at the end
  "recoveries", //     worker
  "hostResets", //     worker
  "staleAtWorker", //  worker: host handle of the CCDF was not current
  "supersededAtWorker", // worker: the guest had given the generation up before the record was published
  "fmbAtWorker", //    worker: an FMB code came through the error feature
  "reinjections", //   worker: records that repeat or replace an event (CcdfFlag.repeat), in no other book
  "hostMoves", //      platform: times that the function came or was asked back or went away by plan
  // An error the guest's own instruction found, on its way to the platform (guest-error.ts)
  "!guestErrorState",
  "guestErrorPec",
  "guestErrorFaddrLow",
  "guestErrorFaddrHigh",
  "guestErrorWrite",
  "guestErrorFmb", //    vCPU: code of a measurement error; platform: exchanged to 0
  // Mappings that the host has to make, where it must (vCPU: idle and done -> requested; worker: the others). What
  // for, for which pages and generation, how far it got, and the batch that is asked for
  "!mapPhase",
  "mapKind",
  "mapGeneration",
  "mapFirstLow",
  "mapFirstHigh",
  "mapEndLow",
  "mapEndHigh",
  "mapCursorLow",
  "mapCursorHigh",
  "mapIotaLow",
  "mapIotaHigh",
  "mapCount",
  "mapEntries:192",
  // An event of the machine's own for this function (platform writes, worker takes): an FMB that cannot be written.
  // 0 = none; else the PEC, after the address
  "!ownPec",
  "ownFaddrLow",
  "ownFaddrHigh",
  // Guest activity (vCPU)
  "!loads",
  "stores",
  "storeBlocks",
  "rpcits",
  // Function measurement block (measurement.ts). vCPU: interval, a count per MPCIFC 10 that names an address, a count
  // per one that switched it on, and the counters then; platform: the rest
  "fmbIntervalMs",
  "fmbEpoch",
  "fmbStart",
  "fmbBase:8",
  "!fmbSeen",
  "fmbStartSeen",
  "fmbDueLow",
  "fmbDueHigh",
  "fmbSamples",
  // Bytes of DMA (platform)
  "dmaReadLow",
  "dmaReadHigh",
  "dmaWrittenLow",
  "dmaWrittenHigh",
  "interruptionsDropped", // platform and vCPU: MSI without a place to go
  "requestsLost", //         vCPU: guestFetched records that found the request ring full
]);

/** A batch of `mapEntries`: pages from the first of the DMA range on, and what they are mapped to. */
export const MapEntry = {
  page: 0,
  pages: 1, // more than one only with MAP_NOTHING
  frame: 2, // frame number of guest storage * 2 + 1 if read-only
  words: 3,
} as const;
export const MAP_NOTHING = -1;
export const MAP_BATCH_MAX = 64;
/** `mapKind`: what the mappings are made for. */
export const MAP_REGISTER = 1; // MPCIFC 4 and 6
export const MAP_DROP = 2; //     MPCIFC 5
export const MAP_REFRESH = 3; //  RPCIT

export const FIB_INTERRUPTS = 1;
export const FIB_IOAT = 2;

/**
 * `resetPhase` and `clearPhase`. vCPU: idle -> requested, done/failed -> idle (compare-and-swap). Worker:
 * the others, among them idle -> running -> idle for a reset of its own; CLP enable and disable answer
 * 0x0108 while the phase is running. `clearPhase` carries the MPCIFC operation (7 or 9) in bits 8-15 of a
 * request: `PHASE_REQUESTED | operation << 8`; the worker answers with the bare phase.
 */
export const PHASE_IDLE = 0;
export const PHASE_REQUESTED = 1;
export const PHASE_RUNNING = 2;
export const PHASE_DONE = 3;
export const PHASE_FAILED = 4;

/** Bits of a recovery worker's summary word. */
export const WORK_ERR = 1;
export const WORK_REQUEST = 2;
export const WORK_CREDIT = 4;
export const WORK_HOST = 8;
export const WORK_COMMAND = 16;
/** The host asks for the device back (VFIO's REQ eventfd). */
export const WORK_REQ = 32;
export const WORK_MAP = 64;
export const WORK_OWN = 128;

/** Values of `recoveryCommand`. */
export const RecoveryCommand = {
  none: 0,
  reset: 1,
  quarantine: 2,
  release: 3,
  unplug: 4,
  stopVm: 5,
  pause: 6,
  resume: 7,
  systemReset: 8,
  /** As if the host had asked for the device back (VFIO's REQ interrupt). */
  hostRequest: 9,
  /** A function is there (again): the guest is told of it as configured, or as standby. Waits for `detached`. */
  hostBack: 10,
  hostBackStandby: 11,
  /** The guest is asked to give the function up; it may keep it. */
  ask: 12,
  /** The function is taken from the guest. */
  take: 13,
  /** Whoever asked for the function waits no longer: it stays. */
  keep: 14,
} as const;

/** Function states, QEMU's names and numbers (zpci-guest.md 4.2). */
export const FunctionState = {
  RESERVED: 0,
  STANDBY: 1,
  DISABLED: 2,
  ENABLED: 3,
  BLOCKED: 4,
  ERROR: 5,
  PERMANENT_ERROR: 6,
} as const;
export type FunctionState = (typeof FunctionState)[keyof typeof FunctionState];

export function stateWord(generation: number, state: FunctionState): number {
  return ((generation & 0x7fffff) << 8) | state;
}

export function stateOf(word: number): FunctionState {
  return (word & 0xff) as FunctionState;
}

export function generationOf(word: number): number {
  return (word >>> 8) & 0x7fffff;
}
