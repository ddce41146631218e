/**
 * One vCPU as instructions outside the interpreter see it: `GuestCpu` over the CPU state, the address
 * translation and guest storage. Storage operands are translated whole, every page of them, before a byte
 * is changed. Source of operand formation: SA22-7832 chapter 5, "Operand-Address Generation".
 */
import { assert } from "../base/assert.ts";
import { at } from "../base/bits.ts";
import type { GuestCpu } from "../ports/guest-cpu.ts";
import { peek, poke } from "../shm/atomics.ts";
import type { GuestRam } from "../shm/guest-ram.ts";
import type { Dat } from "./dat.ts";
import { type AccessKind, FETCH, STORE } from "./seam.ts";
import { Cpu, type CpuState, PswBit } from "./state.ts";

// Words of the CPU's area. Constants of this module: the engine folds those into the code, while it reads an imported
// binding anew at each use.
const GR = Cpu.gr / 4;
const PSW_MASK_HIGH = Cpu.pswMask / 4 + 1;
const PROBLEM_STATE = PswBit.problemHigh;
const CC = Cpu.cc / 4;

const TWO_32 = 0x1_0000_0000;
/** Longest operand: an 8 KiB area touches at most three pages. */
const OPERAND_MAX = 8192;

export class StateGuestCpu implements GuestCpu {
  addressHigh = 0;
  addressLow = 0;
  readonly cpuAddress: number;

  readonly #state: CpuState;
  readonly #dat: Dat;
  readonly #ram: GuestRam;
  readonly #pages = new Float64Array(4);
  /** The CPU's area as words, for what every instruction of a device reads: shorter than the way through the state. */
  readonly #words: Int32Array;
  readonly #base: number;

  constructor(state: CpuState, dat: Dat, ram: GuestRam, cpuAddress: number) {
    this.#state = state;
    this.#words = new Int32Array(state.view.buffer);
    this.#base = state.base / 4;
    this.#dat = dat;
    this.#ram = ram;
    this.cpuAddress = cpuAddress;
  }

  grHigh(n: number): number {
    return peek(this.#words, this.#base + GR + n * 2 + 1);
  }

  grLow(n: number): number {
    return peek(this.#words, this.#base + GR + n * 2);
  }

  setGr(n: number, high: number, low: number): void {
    const word = this.#base + GR + n * 2;
    poke(this.#words, word, low);
    poke(this.#words, word + 1, high);
  }

  crLow(n: number): number {
    return this.#state.low(Cpu.cr + n * 8);
  }

  problemState(): boolean {
    return (peek(this.#words, this.#base + PSW_MASK_HIGH) & PROBLEM_STATE) !== 0;
  }

  setCc(cc: 0 | 1 | 2 | 3): void {
    poke(this.#words, this.#base + CC, cc);
  }

  program(code: number): void {
    this.#state.setI32(Cpu.programCode, code);
    this.#state.setI32(Cpu.nullify, 0);
  }

  formOperandAddress(): void {
    const high = this.#state.i32(Cpu.instructionHigh);
    const opcode = high >>> 24;
    const base = (high >>> 12) & 15;
    let displacement = high & 0xfff;
    let index = 0;
    if (opcode === 0xe3 || opcode === 0xeb) {
      const upper = this.#state.i32(Cpu.instructionLow) >> 24; // sign-extended DH
      displacement |= upper << 12;
      if (opcode === 0xe3) index = (high >>> 16) & 15;
    } else if (opcode >= 0x40 && opcode < 0x80) {
      index = (high >>> 16) & 15; // RX
    } else if (opcode === 0xb1) {
      index = (high >>> 16) & 15; // LRA, RX as well
    }
    this.formAddress(base, index, displacement);
  }

  formRegisterAddress(n: number): void {
    this.addressHigh = this.grHigh(n);
    this.addressLow = this.grLow(n);
    this.#wrap();
    this.#dat.accessRegister = n;
  }

  /** Base + index + signed displacement under the addressing mode; register 0 stands for no register. */
  formAddress(base: number, index: number, displacement: number): void {
    this.addressHigh = displacement >> 31;
    this.addressLow = displacement;
    if (base !== 0) this.#add(base);
    if (index !== 0) this.#add(index);
    this.#wrap();
    this.#dat.accessRegister = base;
  }

  fetch(target: Uint8Array, length: number): boolean {
    const kind = FETCH;
    if (!this.prepare(length, kind, this.#dat.currentSpace(kind), this.#dat.pswKey())) return false;
    this.copyOut(target, length);
    return true;
  }

  store(source: Uint8Array, length: number): boolean {
    const kind = STORE;
    if (!this.prepare(length, kind, this.#dat.currentSpace(kind), this.#dat.pswKey())) return false;
    this.copyIn(source, length);
    return true;
  }

  realToAbsolute(address: number): number {
    return this.#dat.realToAbsolute(address);
  }

  /**
   * Translates every page of `length` bytes at addressHigh/Low in the given space with the given key.
   * @returns false with the exception recorded; after true, `copyOut` or `copyIn` moves the bytes
   */
  prepare(length: number, kind: AccessKind, space: number, key: number): boolean {
    assert(length <= OPERAND_MAX, "an operand is longer than 8 KiB");
    const dat = this.#dat;
    let high = this.addressHigh;
    let low = this.addressLow;
    let left = length;
    for (let page = 0; left > 0; page++) {
      const absolute = dat.translateIn(high, low, kind, space, key);
      if (absolute < 0) return false;
      if (kind === STORE) dat.stores(high, low, Math.min(left, 4096 - (low & 0xfff)));
      this.#pages[page] = absolute;
      left -= 4096 - (low & 0xfff);
      // next page, carried into the upper half and wrapped by the addressing mode
      low = ((low & ~0xfff) + 4096) | 0;
      if (low === 0) high = (high + 1) | 0;
      const mask = this.#addressMask();
      if (mask !== 0) {
        high = 0;
        low &= mask;
      }
    }
    return true;
  }

  /** Absolute address of the operand that `prepare` translated, up to the end of its page. */
  operand(): number {
    return at(this.#pages, 0);
  }

  /** Copies the operand that `prepare` translated into `target`. */
  copyOut(target: Uint8Array, length: number): void {
    let done = 0;
    for (let page = 0; done < length; page++) {
      const absolute = at(this.#pages, page);
      const part = Math.min(length - done, 4096 - (absolute % 4096));
      this.#ram.read(absolute, target.subarray(done, done + part));
      done += part;
    }
  }

  /** Copies `source` into the operand that `prepare` translated for storing. */
  copyIn(source: Uint8Array, length: number): void {
    let done = 0;
    for (let page = 0; done < length; page++) {
      const absolute = at(this.#pages, page);
      const part = Math.min(length - done, 4096 - (absolute % 4096));
      this.#ram.write(absolute, source.subarray(done, done + part));
      done += part;
    }
  }

  /** 0 in the 64-bit mode, else the mask of an address's low half. */
  #addressMask(): number {
    if ((this.#state.high(Cpu.pswMask) & PswBit.ea64High) !== 0) return 0;
    return (this.#state.low(Cpu.pswMask) & PswBit.ba31Low) !== 0 ? 0x7fffffff : 0x00ffffff;
  }

  #wrap(): void {
    const mask = this.#addressMask();
    if (mask === 0) return;
    this.addressHigh = 0;
    this.addressLow &= mask;
  }

  #add(register: number): void {
    const low = (this.addressLow >>> 0) + (this.grLow(register) >>> 0);
    const carry = low >= TWO_32 ? 1 : 0;
    this.addressHigh = (this.addressHigh + this.grHigh(register) + carry) | 0;
    this.addressLow = low | 0;
  }
}
