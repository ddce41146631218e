/**
 * The simulated host's memory of one function: kernel state, error queue, registers, configuration space,
 * MSI-X table and scratch RAM, all in the VM's shared memory, so that any thread (and a successor
 * of a dead one) works on the same state. Objects elsewhere are views without truth of their own.
 * State per function: vfio-uapi.md 3.1.
 */
import { CcdfErr } from "../../abi/ccdf.ts";
import { TestFunction } from "../../abi/test-function.ts";
import { alignUp } from "../../base/bits.ts";
import { HOST_PENDING_POSTED_MAX } from "../../base/limits.ts";
import { add, exchange, load, peek, poke, store } from "../../shm/atomics.ts";
import type { Doorbell } from "../../shm/doorbell.ts";
import { platformBell } from "../../shm/platform-bell.ts";
import { recoveryBell } from "../../shm/recovery-bell.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import { wordBlock } from "../../shm/word-block.ts";
import type { SimFunctionConfig } from "./config.ts";
import { fillConfigSpace } from "./config-space.ts";
import { DeviceKind } from "./device.ts";
import { NvmeBlock } from "./nvme/block.ts";
import { fillNvmeConfigSpace } from "./nvme/config-space.ts";
import { msixVectors } from "./profiles.ts";

/** Who writes: P platform, W recovery worker, V vCPU, M machine at build. */
export const HostBlock = wordBlock([
  "magic", //            M: HOST_MAGIC once the area is prepared
  "deviceKind", //       M: DeviceKind
  // Error queue, lock-free: P writes slots and tail, W (GET) writes head
  "!queueTail",
  "storing", //          P: 1 while it decides and stores; close waits for 0
  "!queueHead",
  "!queueSlots:128", //  16 CCDFs of 32 bytes; how many count is the dialect's
  // Journal of the GET in flight (error-queue.ts). W, and the supervisor after W's death
  "!getInFlight",
  "getSlot",
  "getIndex",
  "getsLost", //         events that a bad buffer address lost (2.1 row 10)
  // Dialect (dialect-reader.ts). W
  "dialect", //          1 + index in errorDialects once the function is open
  "readerWoken", //      1 = signalled since the queue was last known to be empty
  "readerCredit", //     signals taken minus records read (signed)
  "readerCreditBefore", // as it was when the GET in flight began
  "readerLeft", //       events that the last record said are left
  "readerHeld", //       1 = the buffer holds a record that detection took
  "!readerBuffer:64", // where the host's answers arrive before they are a CCDF
  "peFrozen", //         P (and the container's thaw): 1 = the event of this freeze is stored (EEH)
  "peReset", //          P: 1 = its PE was reset by another function since it froze: the next reset is done already
  "!eehInject", //       1 = the container asked for an injected error; P takes it
  "onesBell", //         1 = a load that finds all ones wakes the worker (EEH)
  "garbage", //          state of what an uninitialised answer contains
  "!regionRecord:2", //  last record of the device region of v1
  // Mediation and interrupt arming. W
  "!mediated",
  "opener", //           who has the function open, 0 = nobody
  "errArmed",
  "reqArmed",
  "reqSignals", //       count of the REQ eventfd: P adds, W takes
  "irqType", //          IRQ index enabled by SET_IRQS plus 1; 0 = none
  "irqVectors",
  "discarded", //        events thrown away by close
  // Hardware and host kernel state. P; V may move hardware from NORMAL or BLOCKED to ERROR
  "!hardware",
  "handle", //           what CLP list would show now; bit 31 = enabled; 0 = not there
  "errorState", //       ErrorState
  "hostBusy", //         1 while the host recovers the function by itself: open answers -EAGAIN
  "deviceLockUntilLow", // times in microseconds of the VM's clock; 0 = not held / not running
  "deviceLockUntilHigh",
  "stateLockUntilLow",
  "stateLockUntilHigh",
  "resetEndLow",
  "resetEndHigh",
  "hostRecoveryLow",
  "hostRecoveryHigh",
  "resetFailuresUsed",
  // Presence (presence.ts). P
  "leaving", //          1 = the host wants the function back, user space has it open
  "reqAgainLow",
  "reqAgainHigh",
  "returnAs", //         command for the worker when the function is there again; 0 = none
  "lastHandle", //       before it went away
  // Requests: W counts up `asked` (low byte: operation), P answers with result, then `answered`
  "!resetAsked",
  "!resetAnswered",
  "resetResult",
  "!clearAsked",
  "!clearAnswered",
  "clearResult",
  // Fault script at the BAR. V counts, P arms
  "!accesses",
  "!accessTrigger", //   0 = none
  "triggerBreaks", //    1 = that access puts the hardware into error
  "watchFrom", //        offsets of BAR 0 whose accesses are counted; watchTo + 1, 0 = none
  "watchEnd",
  "watchBreaks",
  "watchHits", //        V counts, P exchanges to 0
  // Impairment (impairment.ts). P; V takes lost stores
  "impaired", //         Impaired
  "impairedUntil:6",
  "!lostStores", //      how many of the next BAR stores are lost
  "lostInterrupts",
  "lostSignals",
  // Function's registers in the order of TestRegister. V; P status and counters
  "!registers:12",
  "dmaPending", //       V sets, P takes
  "dmaCommand", //       latched by V with the command
  "dmaAddressLow",
  "dmaAddressHigh",
  "dmaOffset",
  "dmaLength",
  "dmaSabotage", //      P: how many of the next DMAs go astray, one after the other
  "!msixPending:4", //   PBA, 128 vectors
]);

export const HOST_MAGIC = 0x7a686f73;
export const CCDF_BYTES = CcdfErr.size;
/** Longest answer that the reader takes from a host. */
export const READER_BUFFER_BYTES = 256;
export const CONFIG_BYTES = 256;
export const MSIX_VECTORS_MAX = 128;
const MSIX_TABLE_BYTES = MSIX_VECTORS_MAX * 16;
const CONFIG_OFFSET = HostBlock.sizeBytes;
const MSIX_OFFSET = CONFIG_OFFSET + CONFIG_BYTES;
const SCRATCH_OFFSET = MSIX_OFFSET + MSIX_TABLE_BYTES;

/** Bytes of shared memory per function that the simulated host needs (`MemoryPlan.hostBytes`). */
export const HOST_AREA_BYTES = alignUp(SCRATCH_OFFSET + TestFunction.scratchBytes, 128);

/** Names and places of a host area's words, for whoever keeps one (snapshots). */
export const HOST_LAYOUT: object = { HostBlock, NvmeBlock };

/** `hardware`: what the platform lets pass (vfio-uapi.md 3.9). */
export const Hardware = {
  NORMAL: 0,
  /** Load/store, DMA and MSI blocked. */
  ERROR: 1,
  /** Loads and stores work, DMA and MSI stay blocked (after MPCIFC 9). */
  BLOCKED: 2,
  /** As ERROR; only a deconfigure would leave it. */
  PERMANENT: 3,
  /** A reset runs: the function is disabled. */
  RESETTING: 4,
  /** No such function: as ERROR, until it is plugged. */
  ABSENT: 5,
} as const;

/** Bits of `impaired`. */
export const Impaired = {
  /** Loads give ones, stores go nowhere. */
  ONES: 1,
  /** DMA and MSI do not pass. */
  DMA: 2,
  /** No reset succeeds: the function is out of reach. */
  LINK: 4,
} as const;

/** `errorState`: the kernel's pci_channel_state. */
export const ErrorState = { normal: 0, frozen: 1, permFailure: 2 } as const;

/** Bits of the platform's summary word. The platform looks at everything, whichever is set. */
export const PLATFORM_REQUEST = 1;
export const PLATFORM_DMA = 2;
export const PLATFORM_ACCESS = 4;
export const PLATFORM_MSI = 8;

/**
 * Views and word indices of one function's host area. By `hostArea`, once per thread: there may be a thousand functions, and
 * a view costs as much as a small record.
 */
export class HostArea {
  readonly #vm: VmMemory;
  readonly #base: number;
  #configSpace: Uint8Array | undefined;
  #msixTable: Uint8Array | undefined;
  #scratch: Uint8Array | undefined;
  #workerBell: Doorbell | undefined;
  #platformBell: Doorbell | undefined;
  readonly index: number;
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  /** Word index of the HostBlock, of the FunctionBlock. */
  readonly host: number;
  readonly block: number;
  /** Byte offset of the queue's slot 0. */
  readonly queueBytes: number;
  /** Byte offset of the reader's buffer. */
  readonly readerBytes: number;
  /** Word index of the NVMe controller's state, which stands where the test function has its scratch RAM. */
  readonly device: number;

  constructor(vm: VmMemory, index: number) {
    const base = vm.map.hostAreas[index] as number;
    this.#vm = vm;
    this.#base = base;
    this.index = index;
    this.words = vm.words;
    this.bytes = vm.bytes;
    this.host = base / 4;
    this.block = (vm.map.functionBlocks[index] as number) / 4;
    this.queueBytes = base + HostBlock.queueSlots * 4;
    this.readerBytes = base + HostBlock.readerBuffer * 4;
    this.device = (base + SCRATCH_OFFSET) / 4;
  }

  get configSpace(): Uint8Array {
    this.#configSpace ??= this.#view(CONFIG_OFFSET, CONFIG_BYTES);
    return this.#configSpace;
  }

  get msixTable(): Uint8Array {
    this.#msixTable ??= this.#view(MSIX_OFFSET, MSIX_TABLE_BYTES);
    return this.#msixTable;
  }

  /** The test function's scratch RAM. */
  get scratch(): Uint8Array {
    this.#scratch ??= this.#view(SCRATCH_OFFSET, TestFunction.scratchBytes);
    return this.#scratch;
  }

  #view(offset: number, bytes: number): Uint8Array {
    return new Uint8Array(this.#vm.buffer, this.#base + offset, bytes);
  }

  get workerBell(): Doorbell {
    this.#workerBell ??= recoveryBell(this.#vm, this.index);
    return this.#workerBell;
  }

  get platformBell(): Doorbell {
    this.#platformBell ??= platformBell(this.#vm);
    return this.#platformBell;
  }

  get(word: number): number {
    return load(this.words, this.host + word);
  }

  set(word: number, value: number): void {
    store(this.words, this.host + word, value);
  }

  exchange(word: number, value: number): number {
    return exchange(this.words, this.host + word, value);
  }

  add(word: number, amount: number): void {
    add(this.words, this.host + word, amount);
  }

  /** Adds to a counter of the function's books. */
  count(word: number): void {
    add(this.words, this.block + word, 1);
  }

  /** A time kept in two words, low first. */
  time(low: number): number {
    return (this.get(low + 1) >>> 0) * 0x1_0000_0000 + (this.get(low) >>> 0);
  }

  setTime(low: number, us: number): void {
    const whole = Math.ceil(us);
    this.set(low, whole >>> 0);
    this.set(low + 1, Math.floor(whole / 0x1_0000_0000));
  }

  /** Byte offset in shared memory of the queue slot for a counter value. */
  queueSlot(counter: number): number {
    return this.queueBytes + (counter & (HOST_PENDING_POSTED_MAX - 1)) * CCDF_BYTES;
  }
}

const areas = new WeakMap<VmMemory, HostArea[]>();

/** The calling thread's views of a function's host area. They hold whatever function stands in that place. */
export function hostArea(vm: VmMemory, index: number): HostArea {
  let known = areas.get(vm);
  if (known === undefined) {
    known = [];
    areas.set(vm, known);
  }
  known[index] ??= new HostArea(vm, index);
  return known[index];
}

/**
 * Writes the power-on state of a function into its area, whatever was there. Machine, at build or when it plugs a
 * function: before any thread knows of it.
 */
export function prepareHostArea(vm: VmMemory, index: number, config: SimFunctionConfig): void {
  const area = hostArea(vm, index);
  clearWords(vm.words, area.host, vm.map.hostBytes / 4);
  area.set(config.present ? HostBlock.handle : HostBlock.lastHandle, config.hostHandle);
  if (!config.present) area.set(HostBlock.hardware, Hardware.ABSENT);
  powerOn(area, config);
  area.set(HostBlock.magic, HOST_MAGIC);
}

/** Stores only where something stands: storage that nobody has touched costs the host no page. */
function clearWords(words: Int32Array, first: number, count: number): void {
  for (let word = first; word < first + count; word++) {
    if (peek(words, word) !== 0) poke(words, word, 0);
  }
}

/** Registers, configuration space and MSI-X table of a function that has just got power. */
export function powerOn(area: HostArea, config: SimFunctionConfig): void {
  area.configSpace.fill(0);
  if (config.device === "nvme") {
    area.set(HostBlock.deviceKind, DeviceKind.nvme);
    fillNvmeConfigSpace(area.configSpace);
  } else {
    area.set(HostBlock.registers, TEST_FUNCTION_ID);
    area.set(HostBlock.registers + 1, 1);
    fillConfigSpace(area.configSpace, msixVectors(config));
  }
  area.msixTable.fill(0);
  for (let vector = 0; vector < MSIX_VECTORS_MAX; vector++) area.msixTable[vector * 16 + 12] = 1;
  for (let word = 0; word < MSIX_VECTORS_MAX / 32; word++) {
    area.set(HostBlock.msixPending + word, 0);
  }
}

/** "ZMND" in memory order (TestRegister.id). */
const TEST_FUNCTION_ID = 0x444e4d5a;
