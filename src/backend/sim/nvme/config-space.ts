/**
 * The NVMe function's PCI configuration space: identity, BAR 0, and the capabilities MSI-X (0x40), PCI Express
 * (0x80) and power management (0x60), with the values that a real guest read in `zpci-6.1-nvme.log.gz`.
 * Layouts: PCI Local Bus 3.0 chapter 6, PCI Express 3.0 section 7.8, PCI Power Management 1.2 chapter 3.
 */
import {
  NVME_BAR_SIZE_LOG2,
  NVME_MSIX_PBA,
  NVME_MSIX_TABLE,
  NVME_MSIX_VECTORS,
} from "../../../abi/nvme.ts";

const MSIX = 0x40;
const POWER = 0x60;
const EXPRESS = 0x80;

/** PCI Express device control, upper byte: bit 7 starts a function-level reset and reads as 0. */
export const DEVICE_CONTROL_HIGH = EXPRESS + 9;
export const INITIATE_FLR = 0x80;

/** Bits that a store changes, by byte. */
export const nvmeWritable = new Uint8Array(256);
nvmeWritable[0x04] = 0x47; //        I/O, memory, bus master, parity
nvmeWritable[0x05] = 0x05; //        SERR, INTx disable
nvmeWritable[0x0c] = 0xff; //        cache line size
nvmeWritable[0x3c] = 0xff; //        interrupt line
nvmeWritable[MSIX + 3] = 0xc0; //    enable, function mask
nvmeWritable[POWER + 4] = 0x03; //   power state
for (let byte = 0; byte < 8; byte++) {
  const first = byte * 8;
  const fixed = Math.min(Math.max(NVME_BAR_SIZE_LOG2 - first, 0), 8);
  nvmeWritable[0x10 + byte] = (0xff << fixed) & 0xff;
}

export function fillNvmeConfigSpace(target: Uint8Array): void {
  const put = (offset: number, length: number, value: number): void => {
    for (let i = 0; i < length; i++) target[offset + i] = (value >>> (8 * i)) & 0xff;
  };
  target.fill(0);
  put(0x00, 2, 0x1b36);
  put(0x02, 2, 0x0010);
  put(0x06, 2, 0x0010); //               capabilities list
  put(0x08, 4, 0x01080202); //           NVM Express, revision 2
  put(0x10, 4, 0x4); //                  64-bit memory
  put(0x2c, 2, 0x1af4);
  put(0x2e, 2, 0x1100);
  put(0x34, 1, MSIX);
  put(0x3d, 1, 1); //                    INTA, never used on s390
  put(MSIX, 2, 0x8011); //               MSI-X, next 0x80
  put(MSIX + 2, 2, NVME_MSIX_VECTORS - 1);
  put(MSIX + 4, 4, NVME_MSIX_TABLE);
  put(MSIX + 8, 4, NVME_MSIX_PBA);
  put(EXPRESS, 2, 0x6010); //            PCI Express, next 0x60
  put(EXPRESS + 2, 2, 0x0002); //        version 2, endpoint
  put(EXPRESS + 4, 4, 0x10008020); //    FLR, role-based errors, extended tags
  put(EXPRESS + 0x0c, 4, 0x00000411); // 2.5 GT/s, x1
  put(EXPRESS + 0x12, 2, 0x0011);
  put(EXPRESS + 0x24, 4, 0x00300000); // end-to-end TLP prefixes
  put(POWER, 2, 0x0001); //              power management, last
  put(POWER + 2, 2, 0x0003);
  put(POWER + 4, 2, 0x0008); //          no soft reset
}
