/**
 * Hot file: no allocation, closures, exceptions or BigInt. PCI loads and stores of the guest at the
 * simulated function: BAR 0 (registers of `src/abi/test-function.ts` or of the NVMe controller, MSI-X table and
 * PBA, scratch RAM) and configuration space. While the hardware is in error, loads give ones and stores are dropped
 * (vfio-uapi.md 3.12). Thread: the vCPU that issues them, under the devices' per-function lock.
 *
 * BAR accesses are counted for the fault script. The access that completes the count itself puts the
 * hardware into error, so "after N accesses" is exact although the platform runs on another thread.
 */
import {
  CONTROL_ENABLE,
  STATUS_BUSY,
  TestFunction,
  TestRegister,
} from "../../abi/test-function.ts";
import { swap32 } from "../../base/bits.ts";
import { EINVAL, type HostRegions } from "../../ports/host-function.ts";
import { add, compareExchange, load, peek, poke, store } from "../../shm/atomics.ts";
import { FunctionBlock, WORK_ERR } from "../../shm/blocks.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import { BARS_END, BARS_START, MSIX_CONTROL, testWritable } from "./config-space.ts";
import { DeviceKind, shapeOfKind } from "./device.ts";
import {
  CONFIG_BYTES,
  Hardware,
  type HostArea,
  HostBlock,
  hostArea,
  Impaired,
  MSIX_VECTORS_MAX,
  PLATFORM_ACCESS,
  PLATFORM_DMA,
  PLATFORM_MSI,
} from "./host-area.ts";
import { NvmeBar, REGISTERS_END } from "./nvme/bar.ts";
import { nvmeWritable } from "./nvme/config-space.ts";

/** Space numbers of PCILG and PCISTG (zpci-guest.md 10). */
const CONFIG_SPACE = 15;
/** Offsets that PCIAS 15 knows; beyond the function's 256 bytes loads give ones. */
const CONFIG_SPACE_BYTES = 4096;
const TEST_REGISTER_BYTES = TestRegister.scratchpad + 4;

export class SimHostRegions implements HostRegions {
  readonly #area: HostArea;
  readonly #words: Int32Array;
  readonly #config: DataView;
  readonly #host: number;
  /** The NVMe controller's registers; undefined for the test function. */
  readonly #nvme: NvmeBar | undefined;
  readonly #barBytes: number;
  /** Registers are the words below; behind them follow table, PBA and scratch RAM as bytes. */
  readonly #registerBytes: number;
  readonly #msixTable: number;
  readonly #msixEnd: number;
  readonly #pba: number;
  readonly #scratch: number;
  /** Bits of the configuration space that software may write. */
  readonly #writable: DataView;
  valueHigh = 0;
  valueLow = 0;

  constructor(vm: VmMemory, functionIndex: number) {
    this.#area = hostArea(vm, functionIndex);
    this.#words = vm.words;
    this.#host = this.#area.host;
    const space = this.#area.configSpace;
    this.#config = new DataView(space.buffer, space.byteOffset, space.length);
    const vectors = (((space[MSIX_CONTROL + 1] ?? 0) & 7) << 8) + (space[MSIX_CONTROL] ?? 0) + 1;
    const kind = this.#area.get(HostBlock.deviceKind);
    const shape = shapeOfKind(kind);
    const nvme = kind === DeviceKind.nvme;
    this.#nvme = nvme ? new NvmeBar(this.#area) : undefined;
    this.#barBytes = 2 ** shape.barSizeLog2;
    this.#registerBytes = nvme ? REGISTERS_END : TEST_REGISTER_BYTES;
    this.#msixTable = shape.msixTableOffset;
    this.#msixEnd = this.#msixTable + Math.min(vectors, MSIX_VECTORS_MAX) * 16;
    this.#pba = shape.msixPbaOffset;
    this.#scratch = nvme ? this.#barBytes : TestFunction.scratchOffset;
    this.#writable = new DataView((nvme ? nvmeWritable : testWritable).buffer);
  }

  load(space: number, offset: number, length: number): number {
    this.valueHigh = 0;
    this.valueLow = 0;
    if (!validRange(offset, length)) return -EINVAL;
    if (space === CONFIG_SPACE) return this.#loadConfig(offset, length);
    if (space !== 0 || offset + length > this.#barBytes) return -EINVAL;
    if (!this.#passes()) this.#ones(length);
    else if (length === 4 && (offset & 3) === 0 && offset < this.#registerBytes) {
      this.valueLow = swap32(this.#register(offset));
    } else {
      for (let i = 0; i < length; i++) this.#shiftIn(this.#byteAt(offset + i));
    }
    this.#countAccess(offset, length);
    return 0;
  }

  store(space: number, offset: number, length: number, high: number, low: number): number {
    if (!validRange(offset, length)) return -EINVAL;
    if (space === CONFIG_SPACE) return this.#storeConfig(offset, length, high, low);
    if (space !== 0 || offset + length > this.#barBytes) return -EINVAL;
    if (this.#passes() && !this.#storeLost()) {
      if (offset < this.#registerBytes) this.#storeRegisters(offset, length, high, low);
      else this.#storeBytes(offset, length, high, low);
    }
    this.#countAccess(offset, length);
    return 0;
  }

  /** Whether the hardware answers loads and stores. */
  #passes(): boolean {
    // A snapshot: an access that reads it a moment before the hardware breaks came before that.
    const hardware = peek(this.#words, this.#host + HostBlock.hardware);
    if (hardware !== Hardware.NORMAL && hardware !== Hardware.BLOCKED) return false;
    return (peek(this.#words, this.#host + HostBlock.impaired) & Impaired.ONES) === 0;
  }

  /** One of the stores that a fault plan lets get lost. */
  #storeLost(): boolean {
    const at = this.#host + HostBlock.lostStores;
    const lost = peek(this.#words, at);
    return lost > 0 && compareExchange(this.#words, at, lost, lost - 1) === lost;
  }

  #ones(length: number): void {
    this.valueLow = length >= 4 ? -1 : (1 << (8 * length)) - 1;
    this.valueHigh = length === 8 ? -1 : 0;
    if (load(this.#words, this.#host + HostBlock.onesBell) === 1) this.#noticeFreeze();
  }

  /** A frozen EEH PE tells of itself by all ones only: the worker is to look at its state. */
  #noticeFreeze(): void {
    const signals = this.#area.block + FunctionBlock.errSignals;
    if (compareExchange(this.#words, signals, 0, 1) === 0) this.#area.workerBell.ring(WORK_ERR);
  }

  #shiftIn(byte: number): void {
    this.valueHigh = (this.valueHigh << 8) | (this.valueLow >>> 24);
    this.valueLow = (this.valueLow << 8) | byte;
  }

  #countAccess(offset: number, length: number): void {
    const words = this.#words;
    const host = this.#host;
    const accesses = host + HostBlock.accesses;
    const end = peek(words, host + HostBlock.watchEnd);
    if (peek(words, host + HostBlock.accessTrigger) === 0 && end === 0) {
      // Nobody waits for a count: vCPUs, which take turns, are its only writers.
      poke(words, accesses, (peek(words, accesses) + 1) | 0);
      return;
    }
    const count = (add(words, accesses, 1) + 1) | 0;
    const trigger = load(words, host + HostBlock.accessTrigger);
    if (trigger !== 0 && count === trigger) this.#fault(HostBlock.triggerBreaks);
    if (offset >= end || offset + length <= peek(words, host + HostBlock.watchFrom)) return;
    add(words, host + HostBlock.watchHits, 1);
    this.#fault(HostBlock.watchBreaks);
  }

  /** An access that a rule waits for; `breaks`: the word that says whether it puts the hardware into error. */
  #fault(breaks: number): void {
    const words = this.#words;
    if (load(words, this.#host + breaks) === 1) {
      const hardware = this.#host + HostBlock.hardware;
      if (compareExchange(words, hardware, Hardware.NORMAL, Hardware.ERROR) === Hardware.BLOCKED) {
        compareExchange(words, hardware, Hardware.BLOCKED, Hardware.ERROR);
      }
    }
    this.#area.platformBell.ring(PLATFORM_ACCESS);
  }

  // BAR 0

  #register(offset: number): number {
    const nvme = this.#nvme;
    if (nvme !== undefined) return nvme.word(offset);
    return load(this.#words, this.#host + HostBlock.registers + (offset >>> 2));
  }

  #byteAt(offset: number): number {
    if (offset >= this.#scratch) return this.#area.scratch[offset - this.#scratch] as number;
    if (offset < this.#registerBytes) {
      return (this.#register(offset & ~3) >>> (8 * (offset & 3))) & 0xff;
    }
    if (offset >= this.#msixTable && offset < this.#msixEnd) {
      return this.#area.msixTable[offset - this.#msixTable] as number;
    }
    const pba = offset - this.#pba;
    if (pba >= 0 && pba < MSIX_VECTORS_MAX / 8) {
      const word = load(this.#words, this.#host + HostBlock.msixPending + (pba >>> 2));
      return (word >>> (8 * (pba & 3))) & 0xff;
    }
    return 0;
  }

  #storeBytes(offset: number, length: number, high: number, low: number): void {
    let unmasked = false;
    for (let i = 0; i < length; i++) {
      const at = offset + i;
      const byte = byteOf(high, low, length - 1 - i);
      if (at >= this.#scratch) this.#area.scratch[at - this.#scratch] = byte;
      else if (at >= this.#msixTable && at < this.#msixEnd) {
        this.#area.msixTable[at - this.#msixTable] = byte;
        if ((at & 15) === 12 && (byte & 1) === 0) unmasked = true;
      }
    }
    if (unmasked) this.#area.platformBell.ring(PLATFORM_MSI);
  }

  /** Merges the stored bytes into each register word they touch (at most three). */
  #storeRegisters(offset: number, length: number, high: number, low: number): void {
    for (let word = offset >>> 2; word * 4 < offset + length; word++) {
      let value = 0;
      let mask = 0;
      for (let lane = 0; lane < 4; lane++) {
        const i = word * 4 + lane - offset;
        if (i < 0 || i >= length) continue;
        value |= byteOf(high, low, length - 1 - i) << (8 * lane);
        mask |= 0xff << (8 * lane);
      }
      if (this.#nvme === undefined) this.#storeRegister(word * 4, value, mask);
      else if (word * 4 < this.#registerBytes) this.#nvme.storeWord(word * 4, value, mask);
    }
  }

  #storeRegister(register: number, value: number, mask: number): void {
    switch (register) {
      case TestRegister.control:
      case TestRegister.dmaAddress:
      case TestRegister.dmaAddress + 4:
      case TestRegister.dmaOffset:
      case TestRegister.dmaLength:
      case TestRegister.scratchpad: {
        const word = this.#host + HostBlock.registers + (register >>> 2);
        store(this.#words, word, (load(this.#words, word) & ~mask) | (value & mask));
        return;
      }
      case TestRegister.dmaCommand:
        this.#startDma(value);
        return;
      default:
        return; // read-only or reserved
    }
  }

  /** Latches the transfer and hands it to the platform; ignored while busy or not enabled. */
  #startDma(command: number): void {
    const words = this.#words;
    const host = this.#host;
    const registers = host + HostBlock.registers;
    if ((load(words, registers + TestRegister.control / 4) & CONTROL_ENABLE) === 0) return;
    const statusWord = registers + TestRegister.status / 4;
    const status = load(words, statusWord);
    if ((status & STATUS_BUSY) !== 0) return;
    if (compareExchange(words, statusWord, status, STATUS_BUSY) !== status) return;
    const address = registers + TestRegister.dmaAddress / 4;
    store(words, host + HostBlock.dmaCommand, command);
    store(words, host + HostBlock.dmaAddressLow, load(words, address));
    store(words, host + HostBlock.dmaAddressHigh, load(words, address + 1));
    store(words, host + HostBlock.dmaOffset, load(words, registers + TestRegister.dmaOffset / 4));
    store(words, host + HostBlock.dmaLength, load(words, registers + TestRegister.dmaLength / 4));
    store(words, host + HostBlock.dmaPending, 1);
    this.#area.platformBell.ring(PLATFORM_DMA);
  }

  // Configuration space

  #loadConfig(offset: number, length: number): number {
    if (offset + length > CONFIG_SPACE_BYTES) return -EINVAL;
    const cached = offset >= BARS_START && offset + length <= BARS_END;
    if (!cached && !this.#passes()) {
      this.#ones(length);
      return 0;
    }
    if (length === 4 && offset + 4 <= CONFIG_BYTES) {
      this.valueLow = this.#config.getInt32(offset);
      return 0;
    }
    for (let i = 0; i < length; i++) {
      const at = offset + i;
      this.#shiftIn(at < CONFIG_BYTES ? (this.#area.configSpace[at] as number) : 0xff);
    }
    return 0;
  }

  #storeConfig(offset: number, length: number, high: number, low: number): number {
    if (offset + length > CONFIG_SPACE_BYTES) return -EINVAL;
    if (!this.#passes() || offset >= CONFIG_BYTES) return 0;
    if (length <= 4 - (offset & 3)) this.#storeConfigWord(offset, length, low);
    else {
      for (let i = 0; i < length && offset + i < CONFIG_BYTES; i++) {
        this.#storeConfigWord(offset + i, 1, byteOf(high, low, length - 1 - i));
      }
    }
    if (offset <= MSIX_CONTROL + 1 && offset + length > MSIX_CONTROL + 1) {
      this.#area.platformBell.ring(PLATFORM_MSI);
    }
    return 0;
  }

  /** Bytes of one word; bits that software may not write are kept. */
  #storeConfigWord(offset: number, length: number, value: number): void {
    const at = offset & ~3;
    const shift = 8 * (4 - length - (offset & 3));
    const mask =
      this.#writable.getInt32(at) & ((length === 4 ? -1 : (1 << (8 * length)) - 1) << shift);
    this.#config.setInt32(at, (this.#config.getInt32(at) & ~mask) | ((value << shift) & mask));
    this.#nvme?.configStored(offset, length, value);
  }
}

function validRange(offset: number, length: number): boolean {
  if (length !== 1 && length !== 2 && length !== 4 && length !== 8) return false;
  return (offset | 0) === offset ? offset >= 0 : Number.isInteger(offset) && offset >= 0;
}

/** Byte `n` of high/low, counted from the least significant. */
function byteOf(high: number, low: number, n: number): number {
  return n < 4 ? (low >>> (8 * n)) & 0xff : (high >>> (8 * (n - 4))) & 0xff;
}
