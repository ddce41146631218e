/**
 * Structured random operands: mostly what a driver would say, with one thing wrong, and now and then anything at
 * all. Formats and numbers: zpci-guest.md 1 to 3, 5, 7, 8.
 */
import { ClpCommand } from "../../src/abi/clp.ts";
import { PciOpcode } from "../../src/abi/pci-insn.ts";
import { FIB_INTERRUPTS, FIB_IOAT, FunctionState } from "../../src/shm/blocks.ts";
import type { GuestRam } from "../../src/shm/guest-ram.ts";
import { registersLast } from "../support/device-instructions.ts";
import {
  BLOCK_BYTES,
  BLOCK_COUNT,
  BLOCKS,
  DRIVER_BLOCKS,
  OPERAND_BYTES,
  OPERANDS,
  RAM_BYTES,
  TABLES,
  writeEntry,
} from "./program.ts";
import type { Random } from "./random.ts";

const SERVC = 0xb220;
const STSCH = 0xb234;
const TPI = 0xb236;
const STCRW = 0xb239;
const CHSC = 0xb25f;
/** More than once: what drivers do more often. */
const menu = [
  PciOpcode.PCILG,
  PciOpcode.PCILG,
  PciOpcode.PCILG,
  PciOpcode.PCISTG,
  PciOpcode.PCISTG,
  PciOpcode.PCISTG,
  PciOpcode.PCISTB,
  PciOpcode.RPCIT,
  PciOpcode.RPCIT,
  PciOpcode.MPCIFC,
  PciOpcode.MPCIFC,
  PciOpcode.STPCIFC,
  PciOpcode.SIC,
  PciOpcode.CLP,
  PciOpcode.CLP,
  STCRW,
  CHSC,
  CHSC,
  SERVC,
  STSCH,
  TPI,
];
const lengths = [1, 2, 4, 8, 4, 4, 8];
const spaces = [0, 0, 0, 15, 15, 1, 6, 16];
/** BAR offsets that mean something: registers of the test function and of an NVMe controller, doorbells. */
const offsets = [0, 0x8, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x28, 0x30, 0x1000, 0x1008, 0x100c];
const sccbCommands = [
  0x00020001, 0x00010001, 0x00780005, 0x00760005, 0x00770005, 0x001a0001, 0x001b0001,
];

/** What the guest's driver knows of a function. */
export interface FunctionView {
  readonly handle: number;
  readonly state: number;
  readonly fibFlags: number;
}

/** MPCIFC: what leaves a working function as it is, and all the codes there are. */
const harmlessOperations = [2, 4, 6, 7, 9, 10];
const anyOperation = Array.from({ length: 16 }, (_, code) => code);
/** Mostly questions: Set PCI function ends what the others would try. */
const { listPci, queryFunction, queryGroup, setFunction } = ClpCommand;
const clpCommands = [listPci, queryFunction, queryGroup, queryFunction, queryGroup, setFunction];

export class Operands {
  readonly #ram: GuestRam;
  readonly #random: Random;
  readonly #view: (index: number) => FunctionView;
  readonly #functionCount: number;

  constructor(
    ram: GuestRam,
    random: Random,
    functionCount: number,
    view: (index: number) => FunctionView,
  ) {
    this.#ram = ram;
    this.#random = random;
    this.#functionCount = functionCount;
    this.#view = view;
  }

  /**
   * The driver in this guest: the first entries of a batch bring each function one step further, as its state
   * says. Without it, random operands hardly ever get past the first check.
   * @returns how many entries it took
   */
  driver(): number {
    let next = 0;
    for (let index = 0; index < this.#functionCount; index++) {
      if (this.#random.chance(4)) continue;
      const { state, fibFlags, handle } = this.#view(index);
      const block = DRIVER_BLOCKS + index * BLOCK_BYTES;
      this.#ram.fill(block, 256, 0);
      const registers = OPERANDS + next * OPERAND_BYTES;
      this.#u64(registers + 2 * 8, handle, 0);
      this.#u64(registers + 4 * 8, 0, block);
      if (state === FunctionState.ENABLED) {
        const interrupts = (fibFlags & FIB_IOAT) !== 0;
        if (interrupts && (fibFlags & FIB_INTERRUPTS) !== 0) continue;
        this.#fib(block);
        this.#u64(registers + 2 * 8, handle, interrupts ? 2 : 4);
        this.#write(next++, PciOpcode.MPCIFC, 2, 4, 0);
        continue;
      }
      const failed = state === FunctionState.ERROR || state === FunctionState.BLOCKED;
      if (!failed && state !== FunctionState.DISABLED) continue;
      this.#ram.setU16(block, 32);
      this.#ram.setU16(block + 2, ClpCommand.setFunction);
      this.#ram.setU32(block + 16, handle);
      this.#ram.setU8(block + 22, failed ? 1 : 0);
      this.#ram.setU8(block + 23, 1);
      this.#ram.setU16(block + 32, 32);
      this.#write(next++, PciOpcode.CLP, 2, 4, 0);
    }
    return next;
  }

  /** DMA tables that map the aperture to guest storage. */
  tables(): void {
    for (let n = 0; n < 2048; n++) {
      this.#u64(TABLES + n * 8, 0, (TABLES + 0x4000) | 0x7);
      this.#u64(TABLES + 0x4000 + n * 8, 0, TABLES + 0x8000);
    }
    for (let n = 0; n < 256; n++) this.#u64(TABLES + 0x8000 + n * 8, 0, 0x10_0000 + n * 0x1000);
  }

  #fib(at: number): void {
    this.#u64(at + 16, 1, 0);
    this.#u64(at + 24, 1, RAM_BYTES - 1);
    this.#u64(at + 32, 0, TABLES | 0x804);
    this.#ram.setU32(at + 40, 0x20410080);
    this.#u64(at + 48, 0, 0x1f0000);
    this.#u64(at + 56, 0, 0x1f1000);
  }

  /** Fills operand blocks, and makes some entries of the DMA tables wrong. */
  blocks(): void {
    for (let n = 0; n < BLOCK_COUNT; n++) this.#block(BLOCKS + n * BLOCK_BYTES, n % 5);
    const random = this.#random;
    for (let n = random.below(4); n > 0; n--) {
      const entry = TABLES + random.below(0x9000 / 8) * 8;
      const target = random.chance(8) ? random.u32() : TABLES + random.below(16) * 0x1000;
      this.#u64(entry, random.chance(16) ? random.u32() : 0, target | random.below(0x1000));
    }
  }

  /** One entry of the program with its registers. */
  entry(index: number): void {
    const random = this.#random;
    const key = random.pick(menu);
    const r1 = random.below(15);
    const r2 = random.chance(8) ? random.below(15) : random.below(7) * 2;
    const r3 = random.below(15);
    const at = OPERANDS + index * OPERAND_BYTES;
    for (let n = 0; n < 15; n++) {
      if (n === r1 || n === r2 || n === r2 + 1 || random.chance(8)) {
        this.#u64(at + n * 8, random.chance(4) ? random.u32() : 0, random.u32());
      }
    }
    const set = (n: number, high: number, low: number): void => this.#u64(at + n * 8, high, low);
    const block = BLOCKS + random.below(BLOCK_COUNT) * BLOCK_BYTES;
    const address = (n: number): void => {
      if (random.chance(24)) set(n, random.chance(2) ? random.u32() : 0, random.u32());
      else set(n, 0, block + (random.chance(16) ? random.below(BLOCK_BYTES) : 0));
    };
    switch (key) {
      case PciOpcode.PCILG:
      case PciOpcode.PCISTG:
        set(r2, this.#fh(), (random.pick(spaces) << 16) | random.pick(lengths));
        set(r2 + 1, random.chance(64) ? random.u32() : 0, this.#offset());
        break;
      case PciOpcode.RPCIT:
        set(r1, this.#fh(), 0);
        set(r2, 1, random.below(RAM_BYTES / 4096 - 16) * 4096);
        set(r2 + 1, random.chance(512) ? random.u32() : 0, this.#rangeLength());
        break;
      case PciOpcode.PCISTB:
        set(r1, this.#fh(), (random.pick(spaces) << 16) | (random.below(20) * 8));
        set(r3, 0, random.chance(4) ? this.#offset() : 0x8000 + random.below(64) * 8);
        address(r2);
        break;
      case PciOpcode.MPCIFC:
      case PciOpcode.STPCIFC:
        set(r1, this.#fh(), random.pick(random.chance(8) ? anyOperation : harmlessOperations));
        address(r2);
        break;
      case PciOpcode.SIC:
        set(r1, 0, random.below(5));
        set(r3, 0, random.u32());
        address(r2);
        break;
      case SERVC:
        set(r1, 0, random.pick(sccbCommands) | (random.below(4) << 8));
        address(r2);
        break;
      default:
        address(r1);
        address(r2);
    }
    this.#write(index, key, r1, r2, r3);
  }

  /** The instruction with its registers; storage operands have the address in register `r2`. */
  #write(index: number, key: number, r1: number, r2: number, r3: number): void {
    const random = this.#random;
    const last = registersLast(key);
    const format = key >>> 8;
    if (format === 0xb2 && key !== SERVC && key !== CHSC) {
      // S: base register and displacement.
      writeEntry(this.#ram, index, (key << 16) | (r2 << 12), 0, 4);
    } else if (last) {
      writeEntry(this.#ram, index, (key << 16) | (r1 << 4) | r2, 0, 4);
    } else {
      // RXY: X2 = 0; RSY: R3 is a register with an offset. The base is r2.
      const middle = key === PciOpcode.PCISTB || key === PciOpcode.SIC ? r3 : 0;
      const displacement = random.chance(32) ? random.below(0x1000) : 0;
      const high = (format << 24) | (r1 << 20) | (middle << 16) | (r2 << 12) | displacement;
      writeEntry(this.#ram, index, high, (key & 0xff) << 16, 6);
    }
  }

  #fh(): number {
    const random = this.#random;
    const handle = this.#view(random.below(this.#functionCount)).handle;
    switch (random.below(24)) {
      case 0:
        return random.u32();
      case 1:
        return (handle ^ 0x80000000) >>> 0;
      case 2:
        return (handle ^ (1 << random.below(32))) >>> 0;
      default:
        return handle;
    }
  }

  #offset(): number {
    const random = this.#random;
    if (random.chance(8)) return random.below(0x11000);
    if (random.chance(3)) return random.below(0x40) * 4;
    return random.pick(offsets);
  }

  #rangeLength(): number {
    const random = this.#random;
    return random.chance(256) ? random.u32() : (1 + random.below(16)) * 4096;
  }

  #block(at: number, kind: number): void {
    const { setU8, setU16, setU32 } = {
      setU8: (offset: number, value: number) => this.#ram.setU8(at + offset, value),
      setU16: (offset: number, value: number) => this.#ram.setU16(at + offset, value),
      setU32: (offset: number, value: number) => this.#ram.setU32(at + offset, value >>> 0),
    };
    const random = this.#random;
    this.#ram.fill(at, 256, 0);
    switch (kind) {
      case 0:
      case 1: {
        const command = random.pick(clpCommands);
        setU16(0, 32);
        setU16(2, command);
        setU32(16, command === ClpCommand.queryGroup ? random.below(256) : this.#fh());
        setU8(22, random.below(4));
        setU8(23, random.below(3));
        setU16(32, random.pick([32, 48, 64, 160, 384, 4064]));
        break;
      }
      case 2:
        this.#fib(at);
        if (random.chance(8)) this.#u64(at + 24, random.u32(), random.u32());
        if (random.chance(8)) this.#u64(at + 32, 0, random.u32());
        if (random.chance(4)) setU32(40, random.u32());
        if (random.chance(4)) this.#u64(at + 64, 0, random.chance(2) ? random.u32() : 0x1f2000);
        break;
      case 3:
        setU32(0, random.chance(4) ? random.u32() : 0x0010000e);
        setU32(8, random.chance(4) ? random.u32() : 0xa0000000);
        break;
      default:
        setU16(0, random.pick([8, 16, 28, 44, 144, 4096]));
        setU16(8, random.below(64));
        setU8(10, random.pick([0x02, 0x18, 0x1a, 0x1d]));
        setU32(12, random.u32());
        setU32(16, random.below(8));
    }
    // One thing wrong, now and then.
    if (random.chance(4)) setU32(random.below(40) * 4, random.u32());
  }

  #u64(at: number, high: number, low: number): void {
    this.#ram.setU32(at, high >>> 0);
    this.#ram.setU32(at + 4, low >>> 0);
  }
}
