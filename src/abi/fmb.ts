import { bits, layout, u8, u32, u64 } from "./layout.ts";

/** Function measurement block, format 0: what MPCIFC 10 has the machine write from time to time. */
export const Fmb = layout(
  "zpci_fmb",
  64,
  "big",
  "zpci-guest.md 11; Linux 7.3 arch/s390/include/asm/pci.h, struct zpci_fmb",
  {
    format: u8(0),
    indicators: bits(0, 8, 31), // FMB_DMA_VALID
    samples: u32(4),
    lastUpdate: u64(8), //         TOD * 2; FMB_UPDATING while the block is not consistent
    loads: u64(16), //             PCILG
    stores: u64(24), //            PCISTG
    storeBlocks: u64(32), //       PCISTB
    refreshes: u64(40), //         RPCIT
    dmaRead: u64(48), //           bytes that the device read from guest storage
    dmaWritten: u64(56),
  },
);

export const FMB_DMA_VALID = 0x80_0000;
export const FMB_UPDATING = 1n;
