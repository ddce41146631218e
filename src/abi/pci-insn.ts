/**
 * Numbers of the zPCI instructions: opcodes, fields of the request register, status codes, handles.
 * Source: zpci-guest.md 1, 3.2, 4.1 (QEMU 10.2.2 s390-pci-inst.h, Linux 7.3 pci_insn.h).
 */

/** Keys of the intercept table (`src/ports/guest-cpu.ts`). */
export const PciOpcode = {
  CLP: 0xb9a0,
  PCISTG: 0xb9d0,
  PCILG: 0xb9d2,
  RPCIT: 0xb9d3,
  MPCIFC: 0xe3d0,
  STPCIFC: 0xe3d4,
  PCISTB: 0xebd0,
  SIC: 0xebd1,
} as const;

/** Status codes of PCILG, PCISTG, PCISTB (zpci-guest.md 1.4). */
export const LoadStoreStatus = {
  notEnabled: 4,
  functionInError: 8,
  blocked: 12,
  insufficientResources: 16,
  invalidSpace: 20,
} as const;

/** Status codes of MPCIFC, RPCIT and STPCIFC (zpci-guest.md 1.4). */
export const ModifyStatus = {
  resourceNotAvailable: 4,
  permanentError: 8, //        STPCIFC; RPCIT answers the same number after a bad table
  insufficientResources: 16,
  sequence: 24,
  dmaSpaceInvalid: 28,
  frameInvalid: 32,
  errorRecovery: 40,
} as const;

/** Operation codes of MPCIFC (zpci-guest.md 3.2). 8 is unused. */
export const ModifyOperation = {
  registerInterrupts: 2,
  deregisterInterrupts: 3,
  registerIoat: 4,
  deregisterIoat: 5,
  reregisterIoat: 6,
  resetError: 7,
  resetBlock: 9,
  setMeasurement: 10,
} as const;

/** Function handle (zpci-guest.md 4.1). */
export const FH_ENABLE = 0x80000000;
export const FH_INSTANCE_MASK = 0x7f000000;
export const FH_INSTANCE_STEP = 0x01000000;
/** Kind of function: passed through, every instruction intercepted. */
export const FH_SHM_VFIO = 0x00010000;
export const FH_INDEX_MASK = 0x0000ffff;

/** PCI address space of configuration space; 0-5 are the BARs, everything else is invalid. */
export const PCIAS_CONFIG = 15;
export const PCIAS_BAR_MAX = 5;
