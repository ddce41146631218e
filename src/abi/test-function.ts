/**
 * Registers of zmend's small test function, BAR 0 (64 KiB, 64-bit, little-endian as PCI registers are).
 * The guest fixtures use the same numbers (`guest-fixtures/include/test-function.h`).
 */
export const TestFunction = {
  vendorId: 0x1234, // no real vendor; QEMU's teaching devices use it too
  deviceId: 0x5a4d,
  classCode: 0xff0000,
  barSizeLog2: 16,
  scratchOffset: 0x8000,
  scratchBytes: 0x8000,
  msixTableOffset: 0x1000,
  msixPbaOffset: 0x1800,
  /** Longest single transfer. */
  dmaBytesMax: 0x8000,
} as const;

/** Register offsets in BAR 0. */
export const TestRegister = {
  id: 0x00, //         u32 ro: 0x444e4d5a ("ZMND" in memory order)
  version: 0x04, //    u32 ro: 1
  control: 0x08, //    u32 rw: CONTROL_*
  status: 0x0c, //     u32 ro: STATUS_*
  dmaAddress: 0x10, // u64 rw: IOVA
  dmaOffset: 0x18, //  u32 rw: offset in the scratch RAM
  dmaLength: 0x1c, //  u32 rw: bytes, 1..dmaBytesMax
  dmaCommand: 0x20, // u32 wo: DMA_* starts a transfer (ignored while busy or not enabled)
  dmaCount: 0x24, //   u32 ro: transfers completed since reset
  errorCount: 0x28, // u32 ro: transfers refused or failed since reset
  scratchpad: 0x2c, // u32 rw: no meaning
} as const;

export const CONTROL_ENABLE = 1; //     accepts transfers
export const CONTROL_INTERRUPT = 2; //  signals MSI-X vector 0 at the end of a transfer
export const STATUS_BUSY = 1;
export const STATUS_DONE = 2; //        last transfer ended well; cleared by the next command
export const STATUS_ERROR = 4; //       last transfer failed; cleared by the next command
export const DMA_FROM_GUEST = 1; //     guest memory -> scratch RAM
export const DMA_TO_GUEST = 2; //       scratch RAM -> guest memory
