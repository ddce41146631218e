/**
 * The test function's 256 bytes of PCI configuration space: contents at power-on, which bits software may
 * write, BAR sizing and the MSI-X capability. Bytes stand in PCI order (little-endian registers).
 * COMMAND can be written and read back but gates nothing: like a virtual function, the test function
 * always decodes memory (zpci-guest.md 10). Source of the layout: PCI Local Bus 3.0, chapter 6.
 */
import { TestFunction } from "../../abi/test-function.ts";

const COMMAND = 0x04;
const STATUS = 0x06;
const CLASS = 0x09;
const BAR0 = 0x10;
const SUBSYSTEM = 0x2c;
const CAPABILITIES = 0x34;
const MSIX_CAPABILITY = 0x40;
export const MSIX_CONTROL = MSIX_CAPABILITY + 2;
/** Upper byte of the MSI-X message control word: enable, function mask. */
export const MSIX_ENABLE = 0x80;
export const MSIX_FUNCTION_MASK = 0x40;
const CAP_ID_MSIX = 0x11;
const STATUS_CAPABILITIES = 0x10;
const MEMORY_64BIT = 0x04;

/** First byte behind the six BARs, which VFIO answers from its own copy even in error (3.12). */
export const BARS_END = 0x28;
export const BARS_START = BAR0;

/** Bits that a store changes, by byte; everything not named is read-only. */
export const testWritable = new Uint8Array(256);
testWritable[COMMAND] = 0x46; //      memory, bus master, parity
testWritable[COMMAND + 1] = 0x05; //  SERR, INTx disable
testWritable[0x0c] = 0xff; //         cache line size
testWritable[0x3c] = 0xff; //         interrupt line
testWritable[MSIX_CONTROL + 1] = MSIX_ENABLE | MSIX_FUNCTION_MASK;
for (let byte = 0; byte < 8; byte++) {
  // 64-bit BAR of 2^16 bytes: address bits 16..63 can be set, so all ones read back give the size.
  testWritable[BAR0 + byte] = byte * 8 >= TestFunction.barSizeLog2 ? 0xff : 0;
}

function put(target: Uint8Array, offset: number, length: number, value: number): void {
  for (let i = 0; i < length; i++) target[offset + i] = (value >>> (8 * i)) & 0xff;
}

export function fillConfigSpace(target: Uint8Array, msixVectors: number): void {
  target.fill(0);
  put(target, 0x00, 2, TestFunction.vendorId);
  put(target, 0x02, 2, TestFunction.deviceId);
  put(target, COMMAND, 2, 0x0006);
  put(target, STATUS, 2, STATUS_CAPABILITIES);
  put(target, CLASS, 3, TestFunction.classCode);
  put(target, BAR0, 4, MEMORY_64BIT);
  put(target, SUBSYSTEM, 2, TestFunction.vendorId);
  put(target, SUBSYSTEM + 2, 2, TestFunction.deviceId);
  put(target, CAPABILITIES, 1, MSIX_CAPABILITY);
  put(target, MSIX_CAPABILITY, 2, CAP_ID_MSIX);
  put(target, MSIX_CONTROL, 2, msixVectors - 1);
  put(target, MSIX_CAPABILITY + 4, 4, TestFunction.msixTableOffset); // BAR 0
  put(target, MSIX_CAPABILITY + 8, 4, TestFunction.msixPbaOffset); //   BAR 0
}
