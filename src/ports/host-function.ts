/** The host's side of one passed-through function, as the recovery machine and the zPCI device use it. */

/** Results are 0, a positive pending mark, or a negative errno with Linux's numbers (s390x = x86-64). */
export const ENOENT = 2;
export const EIO = 5;
export const EAGAIN = 11;
export const EFAULT = 14;
export const EBUSY = 16;
export const ENODEV = 19;
export const EINVAL = 22;
export const ENOTTY = 25;
export const ENOSPC = 28;
export const ENOMSG = 42;

/** `poll*` result: the host has not answered yet. */
export const HOST_PENDING = 1;

/** Facts of the function read once at open (VFIO_DEVICE_GET_INFO capabilities). */
export interface HostFacts {
  readonly startDma: bigint;
  readonly endDma: bigint;
  readonly pchid: number;
  readonly vfn: number;
  readonly fmbLength: number;
  readonly pft: number;
  readonly gid: number;
  readonly ccdfErrLength: number;
  readonly dasm: bigint;
  readonly msiAddress: bigint;
  readonly refresh: boolean;
  readonly mui: number;
  readonly noi: number;
  readonly maxstbl: number;
  readonly groupVersion: number;
  /** Path segments, 4 bytes; empty when the capability is absent. */
  readonly pfip: readonly number[];
  /** EBCDIC utility string, empty when absent. */
  readonly utilityString: readonly number[];
  /** log2 of each BAR's size, 0 = absent. */
  readonly barSizeLog2: readonly number[];
  readonly msixVectors: number;
  /**
   * MAP calls that the function's container allows, where its device reaches only what the host has mapped for it;
   * absent where the host walks the guest's tables itself.
   */
  readonly dmaAvail?: number;
}

/** Mappings that the host makes for a device (VFIO_IOMMU_MAP_DMA, UNMAP_DMA). Thread: recovery worker. */
export interface HostPinning {
  /** @param iova page aligned @param address guest absolute, page aligned. One page. Returns 0 or -errno */
  map(iova: bigint, address: number, writable: boolean): number;
  /** Whatever is mapped in the range; nothing is no error. */
  unmap(iova: bigint, length: bigint): number;
}

/** How a device's addresses are translated where the host has mapped them. Thread: the platform's. */
export interface HostTranslation {
  /** @param page of the DMA address. Frame number of guest storage * 2 + 1 if read-only, -1 = not mapped */
  lookup(page: number): number;
}

/** Recovery's border. Thread: the function's recovery worker only. */
export interface HostFunction {
  readonly facts: HostFacts;
  /** Whether the host can clear the error state in place (MPCIFC 9 and 7); design.md 5.1. */
  readonly clearError: boolean;
  /** Present where the device reaches only what is mapped for it. */
  readonly pinning?: HostPinning;
  /** Current host handle (re-reads ZPCI_BASE); 0 = the function is not there any more. */
  handle(): number;
  /** Starts mediation and arms the ERR doorbell. Returns 0 or -errno. */
  open(): number;
  /** Ends mediation: the host discards what is pending. Returns the number discarded. */
  close(): number;
  /**
   * Error feature GET: one CCDF, 32 bytes, written at byte offset `slot` of the VM's shared memory.
   * Returns 0, -ENOMSG (nothing pending) or another -errno. Destructive: see design.md 4.
   */
  getError(slot: number): number;
  /**
   * Supervisor, after the worker died inside a call: ends that call as the host would have, so that an
   * event is either in `slot` (whole) or still pending, never both and never neither.
   */
  completeInterruptedCall?(slot: number): void;
  /** Consumes the ERR eventfd's count; returns it (0 = not signalled). */
  takeSignals(): number;
  /** Consumes the REQ eventfd's count: how often the host has asked for the device back since. */
  takeRequests(): number;
  /** VFIO_DEVICE_RESET. 0 = started or done (ask `pollReset`), else -errno at once. */
  startReset(): number;
  /** HOST_PENDING, 0 = done, -EAGAIN / -EIO / … as VFIO_DEVICE_RESET answers. */
  pollReset(): number;
  /** Unblock load/store (9) or clear the error (7), only where `clearError`. As startReset/pollReset. */
  startClear(operation: 7 | 9): number;
  pollClear(): number;
}

/** The vCPU's border to the same function: PCI loads and stores. Thread: the vCPU that issues them. */
export interface HostRegions {
  /**
   * Loads `length` bytes (1, 2, 4, 8) from a BAR (`space` 0-5) or config space (15). The value's bytes in
   * ascending PCI address order form the big-endian image in valueHigh/valueLow (right-aligned).
   * @returns 0, or -EINVAL when the range is outside the region or the region is absent
   */
  load(space: number, offset: number, length: number): number;
  valueHigh: number;
  valueLow: number;
  /** Stores the right-aligned big-endian image high/low. Returns as `load`. */
  store(space: number, offset: number, length: number, high: number, low: number): number;
}

/** How a host-side device reaches the guest: DMA through the guest's tables and MSI. */
export interface GuestDma {
  /**
   * Copies guest memory at `iova` into `target` (write = false) or `target` into guest memory
   * (write = true). Returns 0 or the PEC of the fault, with `faultHigh/Low` the failing IOVA.
   * A refused access (function not ENABLED) returns DMA_REFUSED and is no fault.
   */
  transfer(iova: bigint, target: Uint8Array, write: boolean): number;
  readonly faultAddress: bigint;
  /** Level of the table walk that failed, for the CCDF's ett; 0 or absent when no table was read. */
  readonly faultLevel?: number;
  /** Signals MSI-X vector `vector`; dropped unless the function is ENABLED with interrupts registered. */
  msi(vector: number): void;
}

export const DMA_REFUSED = -1;
