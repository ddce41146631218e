/** What the target kernels do differently in zPCI error recovery. Source: zpci-guest.md 9 and 12. */

export interface KernelFlavour {
  readonly name: KernelName;
  /** An event whose FH is not the one that CLP List PCI reports is ignored; 6.1 adopts the event's FH instead. */
  readonly staleCheck: boolean;
  /** zpci_hot_reset_device registers interrupts (MPCIFC 2) before the IOMMU (MPCIFC 4). */
  readonly interruptsInReset: boolean;
  /** error_detected that answers NONE, and a driver without mmio_enabled, count as recovered. */
  readonly noneIsConsent: boolean;
  /** slot_reset and resume are required as well, or the driver does not support recovery. */
  readonly allCallbacks: boolean;
  /** MPCIFC 4 answered with cc 3 or status 40 counts as success. */
  readonly lateRegistration: boolean;
  /** The outcome is reported with SCLP event type 0x18. */
  readonly report: boolean;
  /** nvme deregisters interrupts (MPCIFC 3) and registers them per allocation: 3, 2, 3, 2. */
  readonly interruptsPerAllocation: boolean;
  /** The message of an MSI-X vector is cleared when its interrupt is freed. Source: recorded, data/sequences. */
  readonly clearsVectors: boolean;
  /** nvme reads CC back after it has written the controller's configuration. Source: recorded, data/sequences. */
  readonly nvmeReadsBack: boolean;
}

export const kernelNames = ["6.1", "6.12", "7.2", "7.3"] as const;
export type KernelName = (typeof kernelNames)[number];

const six = {
  interruptsInReset: false,
  noneIsConsent: false,
  allCallbacks: true,
  lateRegistration: false,
  report: false,
  clearsVectors: false,
  interruptsPerAllocation: true,
} as const;
const seven = {
  staleCheck: true,
  interruptsInReset: true,
  noneIsConsent: true,
  allCallbacks: false,
  lateRegistration: true,
  report: true,
  clearsVectors: true,
  interruptsPerAllocation: false,
} as const;

export const kernels: Readonly<Record<KernelName, KernelFlavour>> = {
  "6.1": { name: "6.1", staleCheck: false, nvmeReadsBack: true, ...six },
  "6.12": { name: "6.12", staleCheck: true, nvmeReadsBack: false, ...six },
  "7.2": { name: "7.2", nvmeReadsBack: false, ...seven },
  "7.3": { name: "7.3", nvmeReadsBack: false, ...seven },
};

/** CLP Set PCI function answered with 0x0108: tried again after this, so often (zpci-guest.md 2.5). */
export const CLP_RETRY_US = 20_000;
export const CLP_TRIES = 100;
/** MPCIFC answered with cc 2: msleep(1) (zpci-guest.md 1.3). */
export const MPCIFC_RETRY_US = 1_000;
