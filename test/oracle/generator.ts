/**
 * Builds one random instruction sequence for one slot. The generator keeps track of which registers hold
 * addresses it knows, so that every storage operand stays inside the slot's data pages, and of nothing
 * else: all other registers hold whatever the instructions before made of them. A sequence is a pure
 * function of (seed, family, index, slot).
 */
import { Prng } from "../../src/base/prng.ts";
import type { Fields } from "./formats.ts";
import { CR0_DEFAULT, type RoundInput, type SequenceInput } from "./harness.ts";
import { encode, type Insn, insn, type Row } from "./instructions.ts";
import { PAGE, Slot, slotAddress, WINDOW_BYTES } from "./layout.ts";
import { randomData } from "./random-data.ts";

export interface Placed extends Insn {
  /** Offset in the slot. */
  readonly offset: number;
}

export interface Sequence {
  readonly family: string;
  readonly index: number;
  readonly input: SequenceInput;
  readonly insns: readonly Placed[];
  /** Offset in the slot of the closing SVC. */
  readonly end: number;
}

/** A storage operand: base, optional index, displacement, and the address they form. */
export interface Operand {
  readonly b: number;
  readonly x: number;
  readonly d: number;
  readonly address: number;
}

export type AddressingMode = 24 | 31 | 64;

/** Ends a sequence; also fills the code area, so that any branch within it ends the sequence too. */
const SVC = [0x0a, 0x00] as const;

export const PSW_64 = 0x0000_0001_8000_0000n;
export const PSW_31 = 0x0000_0000_8000_0000n;
export const PSW_24 = 0n;
export const PSW_DAT = 0x0400_0000_0000_0000n;
export const PSW_EXTERNAL = 0x0100_0000_0000_0000n;
export const PSW_PROBLEM = 0x0001_0000_0000_0000n;

const specials32: readonly number[] = [
  0, 1, -1, 2, -2, 0x7fffffff, -0x80000000, -0x7fffffff, 0xff, 0x80, 0x7f, 0x8000, 0x7fff, 0xffff,
  0x10000, 0x55555555, 0x0f0f0f0f,
];
const specials16: readonly number[] = [
  0, 1, -1, 2, 0x7fff, -0x8000, -0x7fff, 0x7f, 0x80, 0xff, 0x100,
];

export class Generator {
  readonly rng: Prng;
  readonly slot: number;
  readonly gr: bigint[] = [];
  readonly fpr: bigint[] = [];
  readonly ar: number[] = [];
  pswMask = PSW_64;
  fpc = 0;
  cr0 = CR0_DEFAULT;
  mode: AddressingMode = 64;
  /** Window that new pointers go to; 0 = the identity mapping. */
  window = 0;
  /** The sequence may run in 24- or 31-bit mode at some point, see `clearHigh`. */
  smallModes = false;
  /** Access exceptions are the point of this sequence; what QEMU gets wrong about them stays out. */
  faulting = false;
  /** What a floating-point register holds at first. */
  newFpr: () => bigint = () => this.word64();
  /** Facility 37 is there: every rounding method, and M4. */
  roundings = false;
  /** Odds in a hundred that an operand violates its alignment or register parity. */
  wildness = 0;

  readonly #code = new Uint8Array(Slot.codeEnd - Slot.code);
  readonly #data: Uint8Array;
  readonly #insns: Placed[] = [];
  #cursor: number = Slot.code;
  #literal: number = Slot.codeEnd;
  /** Registers whose content is a known address in the data pages (or a small known index). */
  readonly #pointers = new Map<number, number>();
  readonly #indexes = new Map<number, number>();
  readonly #locked = new Set<number>();
  /** Registers that hold the same in every round: what the code takes for granted. */
  readonly #fixed = new Set<number>();

  constructor(seed: bigint, slotIndex: number) {
    this.rng = new Prng(seed);
    this.slot = slotAddress(slotIndex);
    this.#data = randomData(this.rng);
    for (let n = 0; n < 16; n++) {
      this.gr.push(this.word64());
      this.fpr.push(this.word64());
      this.ar.push(0);
    }
    for (let i = 0; i < this.#code.length; i += 2) this.#code.set(SVC, i);
  }

  /** Chooses pointer and index registers; call after mode and window are set. */
  placePointers(): void {
    const free = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    const take = (): number => free.splice(this.rng.below(free.length), 1)[0] ?? 1;
    for (let count = 0; count < 3; count++) {
      const register = take();
      const address = this.dataPointer();
      this.#pointers.set(register, address);
      this.gr[register] = this.disguised(address);
    }
    for (let count = 0; count < 2; count++) {
      const register = take();
      const value = this.rng.below(0x400) - 0x100;
      this.#indexes.set(register, value);
      this.gr[register] = BigInt.asUintN(64, BigInt(value));
    }
    for (const register of [...this.#pointers.keys(), ...this.#indexes.keys()]) {
      this.#fixed.add(register);
    }
  }

  // Chance

  chance(percent: number): boolean {
    return this.rng.below(100) < percent;
  }

  below(bound: number): number {
    return this.rng.below(bound);
  }

  imm16(): number {
    return this.chance(50) ? this.rng.pick(specials16) : this.rng.below(0x10000) - 0x8000;
  }

  imm32(): number {
    return this.chance(50) ? this.rng.pick(specials32) : this.rng.u32() | 0;
  }

  /** A 64-bit value: random, or put together from halves with interesting bit patterns. */
  word64(): bigint {
    const kind = this.rng.below(10);
    if (kind < 4) return this.rng.u64();
    const high = kind < 7 ? this.imm32() : kind < 9 ? 0 : -1;
    return (BigInt(high >>> 0) << 32n) | BigInt(this.imm32() >>> 0);
  }

  // Registers

  any(): number {
    return this.rng.below(16);
  }

  evenAny(): number {
    return this.rng.below(8) * 2 + (this.chance(this.wildness) ? 1 : 0);
  }

  /** A register to be changed; seldom one that holds a pointer. Whoever emits the insn calls `wrote`. */
  target(): number {
    for (let attempt = 0; attempt < 8; attempt++) {
      const register = this.rng.below(16);
      if (this.#locked.has(register)) continue;
      if (!this.#isKnown(register) || this.chance(4)) return register;
    }
    return this.free();
  }

  /** The even register of a pair to be changed. */
  targetPair(): number {
    for (let attempt = 0; attempt < 24; attempt++) {
      const register = this.rng.below(8) * 2;
      if (this.#locked.has(register) || this.#locked.has(register + 1)) continue;
      const known = this.#isKnown(register) || this.#isKnown(register + 1);
      if (!known || attempt > 12) return register + (this.chance(this.wildness) ? 1 : 0);
    }
    for (let register = 0; register < 16; register += 2) {
      if (!this.#locked.has(register) && !this.#locked.has(register + 1)) return register;
    }
    throw new Error("every register pair is locked");
  }

  /** A register that holds nothing known and is not locked. */
  free(): number {
    const start = this.rng.below(16);
    for (let n = 0; n < 16; n++) {
      const register = (start + n) & 15;
      if (!this.#locked.has(register) && !this.#isKnown(register)) return register;
    }
    for (let n = 0; n < 16; n++) {
      const register = (start + n) & 15;
      if (!this.#locked.has(register)) return register;
    }
    throw new Error("every register is locked");
  }

  freeNonzero(): number {
    for (let attempt = 0; attempt < 64; attempt++) {
      const register = this.free();
      if (register !== 0) return register;
    }
    throw new Error("no free register but 0");
  }

  lock(...registers: readonly number[]): void {
    for (const register of registers) this.#locked.add(register);
  }

  unlock(...registers: readonly number[]): void {
    for (const register of registers) this.#locked.delete(register);
  }

  /** Locks all registers with a known content, as the body of a loop must; returns them. */
  lockKnown(): readonly number[] {
    this.refresh();
    const known = [...this.#pointers.keys(), ...this.#indexes.keys()].filter(
      (register) => !this.#locked.has(register),
    );
    this.lock(...known);
    return known;
  }

  wrote(...registers: readonly number[]): void {
    for (const register of registers) {
      this.#pointers.delete(register & 15);
      this.#indexes.delete(register & 15);
    }
  }

  isPointer(register: number): boolean {
    return this.#pointers.has(register);
  }

  #isKnown(register: number): boolean {
    return this.#pointers.has(register) || this.#indexes.has(register);
  }

  /** An FPR, or the first of a valid pair. */
  fpr1(pair: boolean): number {
    const register = this.rng.below(16);
    return pair && !this.chance(this.wildness) ? register & 13 : register;
  }

  /**
   * Zeros the left half before LA, LARL and their kin in sequences with small addressing modes: QEMU
   * clears it there, the architecture leaves it.
   */
  clearHigh(register: number): void {
    if (this.smallModes) this.emit(insn("iihf", { r1: register, i: 0 }));
  }

  // Storage

  get dataStart(): number {
    return this.window + this.slot + Slot.data;
  }

  get dataEnd(): number {
    return this.window + this.slot + Slot.dataEnd;
  }

  get pageBoundary(): number {
    return this.dataStart + PAGE;
  }

  dataPointer(): number {
    return this.pageBoundary - 0x900 + this.rng.below(0xb00);
  }

  /** What a register may hold for an address in this mode: ignored bits are random. */
  disguised(address: number): bigint {
    const value = BigInt(address);
    if (this.mode === 64) return value;
    const junk = this.rng.u64();
    return this.mode === 31
      ? (junk & 0xffff_ffff_8000_0000n) | value
      : (junk & 0xffff_ffff_ff00_0000n) | value;
  }

  /** The same for an operand of a string instruction, which may keep or clear bits 32-39 as it likes. */
  disguisedForString(address: number): bigint {
    if (this.mode === 64) return BigInt(address);
    return (this.rng.u64() & 0xffff_ffff_0000_0000n) | BigInt(address);
  }

  /** An address of `length` bytes in the data pages, often across the page boundary. */
  place(
    length: number,
    align = 1,
    low = this.dataStart,
    high = this.dataEnd,
    crossing = true,
  ): number {
    const last = Math.max(low, high - length);
    let address = low + this.rng.below(last - low + 1);
    if (length > 1 && crossing && this.chance(30)) {
      const across = this.pageBoundary - 1 - this.rng.below(length - 1);
      if (across >= low && across <= last) address = across;
    }
    if (this.chance(this.wildness)) return address;
    const aligned = address - (address % align);
    return aligned < low ? aligned + align : aligned;
  }

  /** Makes sure at least two pointers exist; emits the loads that make new ones. */
  refresh(): void {
    while (this.#pointers.size < 2) {
      const register = this.freeNonzero();
      this.loadPointer(register, this.dataPointer());
    }
  }

  /** Emits the load of a known address into `register` and remembers it as a pointer. */
  loadPointer(register: number, address: number): void {
    this.loadConstant(register, this.disguised(address));
    this.#pointers.set(register, address);
  }

  loadConstant(register: number, value: bigint): void {
    this.wrote(register);
    const high = Number(value >> 32n) | 0;
    const low = Number(value & 0xffff_ffffn) | 0;
    if (high === 0) {
      this.emit(insn("llilf", { r1: register, i: low }));
      return;
    }
    this.emit(insn("iihf", { r1: register, i: high }));
    this.emit(insn("iilf", { r1: register, i: low }));
  }

  /**
   * A storage operand of `length` bytes in the data pages.
   * @param wide 20-bit displacement
   * @param indexed the format has an index register
   * @param crossing the operand may cross the page boundary
   */
  operand(
    length: number,
    align: number,
    wide: boolean,
    indexed: boolean,
    crossing = true,
  ): Operand {
    this.refresh();
    const candidates = [...this.#pointers];
    const [b, base] = this.rng.pick(candidates);
    const window = Math.floor(base / WINDOW_BYTES) * WINDOW_BYTES;
    const start = window + this.slot + Slot.data;
    const end = window + this.slot + Slot.dataEnd;
    const low = wide ? start : Math.max(start, base);
    const high = wide ? end : Math.min(end, base + 0x0fff + length);
    const saved = this.window;
    this.window = window;
    let address = this.place(length, align, low, high, crossing);
    const boundary = this.pageBoundary;
    this.window = saved;
    if (address + length > end) address = end - length - ((end - length) % align);
    if (!crossing && address < boundary && address + length > boundary) {
      address = boundary - base <= 0xfff ? boundary : Math.max(low, boundary - length);
    }
    let d = address - base;
    let x = 0;
    if (indexed && this.#indexes.size > 0 && this.chance(40)) {
      const [register, value] = this.rng.pick([...this.#indexes]);
      const rest = d - value;
      const fits = wide ? rest >= -0x80000 && rest < 0x80000 : rest >= 0 && rest < 0x1000;
      if (fits) {
        d = rest;
        x = register;
        if (this.chance(30)) return { b: x, x: b, d, address };
      }
    }
    return { b, x, d, address };
  }

  /** Do `length` bytes at `address` (in any window) lie in the slot's data pages? */
  fits(address: number, length: number): boolean {
    const offset = (address % WINDOW_BYTES) - this.slot;
    return offset >= Slot.data && offset + length <= Slot.dataEnd;
  }

  // Code

  emit(...insns: readonly Insn[]): void {
    for (const one of insns) {
      if (this.#cursor + one.bytes.length + 64 > this.#literal)
        throw new Error("code area is full");
      this.#write(this.#cursor, one.bytes);
      this.#insns.push({ ...one, offset: this.#cursor });
      this.#cursor += one.bytes.length;
    }
  }

  /** Several instructions that count as one when a difference is traced to its cause. */
  emitFused(...insns: readonly Insn[]): void {
    this.emit({
      name: insns[0]?.name ?? "",
      bytes: insns.flatMap((one) => one.bytes),
      text: insns.map((one) => one.text).join("; "),
    });
  }

  #write(offset: number, bytes: readonly number[]): void {
    this.#code.set(bytes, offset - Slot.code);
  }

  /** Absolute address of the next instruction. */
  get here(): number {
    return this.slot + this.#cursor;
  }

  /** Room for about this many more bytes? */
  hasRoom(bytes: number): boolean {
    return this.#cursor + bytes + 96 < this.#literal;
  }

  /** Puts bytes at the end of the code area, where no generated store reaches; returns the address. */
  literal(bytes: readonly number[], align = 2): number {
    this.#literal = (this.#literal - bytes.length) & -align;
    this.#write(this.#literal, bytes);
    return this.slot + this.#literal;
  }

  /**
   * Emits a relative branch over what `body` emits. Pointers made or lost in the body count only when
   * both paths agree on them.
   * @param make builds the branch for a distance in halfwords
   */
  skip(make: (halfwords: number) => Insn, body: () => void): void {
    const at = this.#insns.length;
    const start = this.#cursor;
    this.emit(make(0));
    const pointers = new Map(this.#pointers);
    const indexes = new Map(this.#indexes);
    body();
    this.#rewrite(at, start, make((this.#cursor - start) / 2));
    this.#agree(pointers, indexes);
  }

  /**
   * Emits instructions that name the address behind `body` (loads of a branch target), then the body.
   * @param make builds them for a distance in halfwords from the first of them; their lengths are fixed
   */
  skipTo(make: (halfwords: number) => readonly Insn[], body: () => void): void {
    const at = this.#insns.length;
    const start = this.#cursor;
    this.emit(...make(0));
    const head = this.#insns.length - at;
    const pointers = new Map(this.#pointers);
    const indexes = new Map(this.#indexes);
    body();
    const rebuilt = make((this.#cursor - start) / 2);
    let offset = start;
    for (let n = 0; n < head; n++) {
      const one = rebuilt[n];
      if (one === undefined) throw new Error("a branch changed its shape");
      this.#rewrite(at + n, offset, one);
      offset += one.bytes.length;
    }
    this.#agree(pointers, indexes);
  }

  /** Forgets what is not the same as before a body that may have been skipped. */
  #agree(pointers: ReadonlyMap<number, number>, indexes: ReadonlyMap<number, number>): void {
    for (const [register, value] of this.#pointers) {
      if (pointers.get(register) !== value) this.#pointers.delete(register);
    }
    for (const [register, value] of this.#indexes) {
      if (indexes.get(register) !== value) this.#indexes.delete(register);
    }
  }

  #rewrite(index: number, offset: number, one: Insn): void {
    this.#write(offset, one.bytes);
    this.#insns[index] = { ...one, offset };
  }

  /** Emits an instruction of a row with given fields and forgets the registers it changes. */
  put(row: Row, fields: Partial<Fields>): void {
    this.emit(encode(row, fields));
    this.forget(row, fields);
  }

  forget(row: Row, fields: Partial<Fields>): void {
    const r1 = fields.r1 ?? 0;
    if (row.writes1 > 0 && !row.fp1) this.wrote(r1);
    if (row.writes1 === 2) this.wrote(r1, r1 + 1, r1 | 1, r1 & 14);
    const r2 = fields.r2 ?? 0;
    if (row.writes2 > 0) this.wrote(r2);
    if (row.writes2 === 2) this.wrote(r2 | 1, r2 & 14);
    if (row.writes3 > 0) this.wrote(fields.r3 ?? 0);
  }

  #round(): RoundInput {
    const gr = this.gr.map((value, n) => (this.#fixed.has(n) ? value : this.word64()));
    return { gr, fpr: this.fpr.map(() => this.newFpr()) };
  }

  finish(family: string, index: number, rounds: number): Sequence {
    const end = this.#cursor;
    const more = Array.from({ length: rounds - 1 }, () => this.#round());
    this.#insns.push({ name: "svc", bytes: SVC, text: "svc 0", offset: end });
    return {
      family,
      index,
      end,
      insns: this.#insns,
      input: {
        rounds: [{ gr: this.gr, fpr: this.fpr }, ...more],
        ar: this.ar,
        pswMask: this.pswMask,
        fpc: this.fpc,
        cr0: this.cr0,
        code: this.#code,
        data: this.#data,
      },
    };
  }
}

/** The sequence cut before instruction `count`: from there on only supervisor calls. */
export function cutSequence(sequence: Sequence, count: number): Sequence {
  const from = sequence.insns[count]?.offset ?? sequence.end;
  const code = sequence.input.code.slice();
  for (let offset = from; offset < sequence.end; offset += 2) code.set(SVC, offset - Slot.code);
  return {
    ...sequence,
    insns: sequence.insns.slice(0, count),
    end: from,
    input: { ...sequence.input, code },
  };
}

/** A sequence of one instruction, or of none. */
export function emptySequence(instruction: readonly number[], rounds: number): SequenceInput {
  const code = new Uint8Array(Slot.codeEnd - Slot.code);
  for (let i = 0; i < code.length; i += 2) code.set(SVC, i);
  code.set(instruction);
  const zeros = new Array<bigint>(16).fill(0n);
  return {
    rounds: new Array<RoundInput>(rounds).fill({ gr: zeros, fpr: zeros }),
    ar: new Array<number>(16).fill(0),
    pswMask: PSW_64,
    fpc: 0,
    cr0: CR0_DEFAULT,
    code,
    data: new Uint8Array(2 * PAGE),
  };
}
