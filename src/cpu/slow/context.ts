/**
 * What an instruction written in TypeScript works on. Cold code: 64-bit values are BigInt here. Storage is
 * reached through the address translation, a page at a time.
 */

import { Core } from "../core-layout.ts";
import type { Dat } from "../dat.ts";
import type { Interrupts } from "../interrupts.ts";
import { FETCH, STORE } from "../seam.ts";
import { Cpu, type CpuState, PswBit } from "../state.ts";

const PAGE = 4096n;
const WORD = 0xffffffffn;

export interface SlowParts {
  readonly state: CpuState;
  readonly dat: Dat;
  readonly interrupts: Interrupts;
  /** All of the VM's memory, and where guest RAM begins in it. */
  readonly bytes: Uint8Array;
  readonly ramOffset: number;
  /** Whether the CPU model has a facility. */
  readonly has: (facility: number) => boolean;
}

export class SlowContext {
  readonly state: CpuState;
  readonly interrupts: Interrupts;
  readonly bytes: Uint8Array;
  readonly has: (facility: number) => boolean;
  readonly #dat: Dat;
  readonly #ramOffset: number;

  constructor(parts: SlowParts) {
    this.state = parts.state;
    this.interrupts = parts.interrupts;
    this.bytes = parts.bytes;
    this.has = parts.has;
    this.#dat = parts.dat;
    this.#ramOffset = parts.ramOffset;
  }

  // Fields of the instruction

  /** `count` bits from bit `first` (0...47) of the instruction. */
  field(first: number, count: number): number {
    const high = BigInt(this.state.i32(Cpu.instructionHigh) >>> 0);
    const low = BigInt(this.state.i32(Cpu.instructionLow) >>> 16);
    const all = (high << 16n) | low;
    return Number((all >> BigInt(48 - first - count)) & ((1n << BigInt(count)) - 1n));
  }

  // Registers

  gr(n: number): bigint {
    return this.state.gr(n & 15);
  }

  setGr(n: number, value: bigint): void {
    this.state.setGr(n & 15, value);
  }

  /** Bits 32-63. */
  gr32(n: number): number {
    return this.state.low(Cpu.gr + (n & 15) * 8) >>> 0;
  }

  setGr32(n: number, value: number): void {
    this.state.setI32(Cpu.gr + (n & 15) * 8, value);
  }

  get addressMask(): bigint {
    return this.state.u64(Core.addressMask);
  }

  get wide(): boolean {
    return (this.state.high(Cpu.pswMask) & PswBit.ea64High) !== 0;
  }

  /** Address in a register under the addressing mode. */
  addressIn(n: number): bigint {
    return this.gr(n) & this.addressMask;
  }

  /** Bits 32-39 become zeros in the 24-bit mode. */
  setAddress(n: number, address: bigint): void {
    const wrapped = address & this.addressMask;
    if (this.wide) this.setGr(n, wrapped);
    else this.setGr32(n, Number(wrapped));
  }

  /** Bits 32-39 stay in the 24-bit mode (`updateAddress` of table/body.ts). */
  updateAddress(n: number, address: bigint): void {
    const wrapped = address & this.addressMask;
    if (this.wide) this.setGr(n, wrapped);
    else if (this.addressMask === 0xffffffn) {
      this.setGr32(n, Number(wrapped) | (this.gr32(n) & 0xff000000));
    } else this.setGr32(n, Number(wrapped));
  }

  /** A length in a register: 64 bits in the 64-bit mode, else 32. */
  lengthIn(n: number): bigint {
    return this.wide ? this.gr(n) : BigInt(this.gr32(n));
  }

  setLength(n: number, length: bigint): void {
    if (this.wide) this.setGr(n, length);
    else this.setGr32(n, Number(length & WORD));
  }

  /** Base register and 12-bit displacement at bit `first` of the instruction. */
  baseDisplacement(first: number): bigint {
    const base = this.field(first, 4);
    const value = (base === 0 ? 0n : this.gr(base)) + BigInt(this.field(first + 4, 12));
    return value & this.addressMask;
  }

  /** Base and 20-bit displacement of RSY. */
  longDisplacement(): bigint {
    const high = BigInt.asIntN(8, BigInt(this.field(32, 8))) << 12n;
    return (this.baseDisplacement(16) + high) & this.addressMask;
  }

  /** Index, base and displacement of RX and RXY. */
  indexedAddress(): bigint {
    const index = this.field(12, 4);
    const long = this.field(0, 8) === 0xe3;
    const high = long ? BigInt.asIntN(8, BigInt(this.field(32, 8))) << 12n : 0n;
    const value = this.baseDisplacement(16) + high + (index === 0 ? 0n : this.gr(index));
    return value & this.addressMask;
  }

  // Outcome

  set cc(value: number) {
    this.state.setI32(Cpu.cc, value);
  }

  /** @returns true, so that a handler can end with it */
  program(code: number): true {
    this.state.setI32(Cpu.programCode, code);
    this.state.setI32(Cpu.nullify, 0);
    return true;
  }

  /** Takes back a recorded access exception. */
  forgetFault(): void {
    this.state.setI32(Cpu.programCode, 0);
  }

  /** Interruptible instruction that is not finished: it is executed again, from the present registers. */
  repeat(): void {
    this.state.setU64(Cpu.pswAddress, this.state.u64(Core.startAddress));
  }

  // Storage: host addresses; -1 = an access exception is recorded

  fetchByte(address: bigint): number {
    return this.#resolve(address, FETCH);
  }

  /** @param bytes how many will be stored from there on, in the same page */
  storeByte(address: bigint, bytes = 1): number {
    return this.#resolve(address, STORE, bytes);
  }

  /** `fetchByte` and `read` of the first operand of two. */
  ofFirst<T>(fetch: () => T): T {
    this.state.setI32(Core.fetchesFirst, 1);
    const result = fetch();
    this.state.setI32(Core.fetchesFirst, 0);
    return result;
  }

  /** Host address under a key of the program's choice, or minus the code of the exception, not recorded. */
  resolveKeyed(
    address: bigint,
    kind: typeof FETCH | typeof STORE,
    key: number | undefined,
  ): number {
    const dat = this.#dat;
    const high = Number(address >> 32n) | 0;
    const low = Number(address & WORD) | 0;
    dat.chooseAccessRegister(kind);
    const absolute = dat.resolve(high, low, kind, dat.currentSpace(kind), key ?? dat.pswKey());
    if (kind === STORE && absolute >= 0) dat.stores(high, low, Number(PAGE));
    return absolute < 0 ? absolute : this.#ramOffset + absolute;
  }

  /** Records the access exception that `resolveKeyed` met last. */
  recordAccess(code: number): void {
    this.#dat.record(code, this.#dat.currentSpace(FETCH));
  }

  /** The bytes of a short operand, or undefined with the access exception recorded. */
  read(address: bigint, length: number): Uint8Array | undefined {
    const result = new Uint8Array(length);
    for (let i = 0; i < length; i++) {
      const host = this.fetchByte((address + BigInt(i)) & this.addressMask);
      if (host < 0) return undefined;
      result[i] = this.bytes[host] as number;
    }
    return result;
  }

  /** Stores all or nothing. */
  write(address: bigint, source: Uint8Array): boolean {
    const hosts: number[] = [];
    for (let i = 0; i < source.length; i++) {
      const host = this.storeByte((address + BigInt(i)) & this.addressMask);
      if (host < 0) return false;
      hosts.push(host);
    }
    hosts.forEach((host, i) => {
      this.bytes[host] = source[i] as number;
    });
    return true;
  }

  /** Whether all of a short operand can be stored into; if not, the access exception is recorded. */
  mayWrite(address: bigint, length: number): boolean {
    for (let i = 0; i < length; i++) {
      if (this.storeByte((address + BigInt(i)) & this.addressMask) < 0) return false;
    }
    return true;
  }

  /** Bytes from `address` to the end of its page. */
  untilPageEnd(address: bigint): number {
    return Number(PAGE - (address & (PAGE - 1n)));
  }

  #resolve(address: bigint, kind: typeof FETCH | typeof STORE, bytes = 1): number {
    const high = Number(address >> 32n) | 0;
    const low = Number(address & WORD) | 0;
    const absolute = this.#dat.translate(high, low, kind);
    if (kind === STORE && absolute >= 0) this.#dat.stores(high, low, bytes);
    return absolute < 0 ? -1 : this.#ramOffset + absolute;
  }
}

export type SlowInstruction = (context: SlowContext) => void;
