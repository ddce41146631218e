/**
 * What an instruction's body may say: operands, condition code, guest storage, branches, exceptions.
 * The operations that all readers share stand here; a reader (`../interpreter/*`) supplies where the
 * condition code lives, how a guest address becomes a host address, and how control leaves the body.
 *
 * Order inside a body: translate every storage operand, then change registers, condition code, storage.
 */

import { ProgramCode } from "../../abi/lowcore.ts";
import { assert } from "../../base/assert.ts";
import { Entry } from "../core-layout.ts";
import { Cpu } from "../state.ts";
import {
  type Code,
  type FunctionBuilder,
  type I32,
  type I64,
  i32,
  i64,
  type Label,
  type Local,
} from "../wasm/index.ts";
import { type Format, fieldsOf, type RegisterField } from "./formats.ts";

export type Width = 1 | 2 | 4 | 8;

const FIXED_OVERFLOW_MASK = 0x800; // PSW bit 20 in the upper half

/** A general register while `eachRegister` stands at it; `high` means bits 0-31. */
export interface RegisterAccess {
  get(): I64;
  get32(high: boolean): I32;
  set(value: I64): void;
  set32(value: I32, high: boolean): void;
}

export abstract class Body {
  readonly fn: FunctionBuilder;
  readonly format: Format;
  /** Host address of the vCPU area. */
  abstract readonly area: I32;
  /** Host address of the decoded entry. */
  abstract readonly entry: I32;
  /** Constants of the byte swap, cheap to repeat. */
  protected abstract readonly byteMask: I64;
  protected abstract readonly halfMask: I64;
  /** Wraps addresses as the addressing mode asks; all ones in 64-bit mode. */
  abstract readonly addressMask: I64;
  /** Address of the next sequential instruction (behind EXECUTE for an execute target). */
  abstract readonly nextAddress: I64;
  /** What relative operands count from: the instruction itself, or the target of EXECUTE. */
  abstract readonly relativeBase: I64;

  constructor(fn: FunctionBuilder, format: Format) {
    this.fn = fn;
    this.format = format;
  }

  abstract cc(): I32;
  abstract setCc(value: I32): void;
  /** Host address of `bytes` readable bytes (at most 128) at a guest address; leaves on a fault. */
  abstract readable(address: I64, bytes: I32 | number): I32;
  /**
   * Host address of `bytes` (at most 128) at a guest address that may be stored into; they hold the
   * operand's present bytes. `change` does the stores; it must not leave the body.
   */
  abstract change(address: I64, bytes: I32 | number, change: (host: I32) => void): void;
  /** Stores the low `width` bytes of an operand in host order, swapping them. */
  abstract store(width: Width, address: I64, value: I32 | I64): void;
  /** Host address of an operand of up to 256 bytes, or 0 when it crosses a page; leaves on a fault. */
  abstract inPlace(address: I64, bytes: I32): I32;
  /** The same for an operand that will be stored into. */
  abstract inPlaceForChange(address: I64, bytes: I32): I32;
  /** Makes sure that all of an operand of up to 256 bytes can be stored into; leaves on a fault. */
  abstract probe(address: I64, bytes: I32): void;
  /** Host address of one readable byte, or 0 with the fault recorded. */
  abstract tryReadable(address: I64): I32;
  abstract tryChangeable(address: I64): I32;
  /** Copies as if byte by byte from left to right. */
  abstract copyForward(target: I32, source: I32, bytes: I32): void;
  /** The same for logical addresses of which at least one operand crosses a page; leaves on a fault. */
  abstract moveAcrossPages(target: I64, source: I64, bytes: I32): void;
  /** Taken branch to an absolute address, already wrapped. Does not come back. */
  abstract jump(target: I64): void;
  /** Taken branch to the target of a relative format. Does not come back. */
  abstract jumpRelative(): void;
  /** After `Core.addressMask` and the PSW's mode bits were changed: branch, or just go on. */
  abstract jumpInNewMode(target: I64): void;
  abstract continueInNewMode(next: I64): void;
  /** Address of the instruction, or of the EXECUTE that runs it. */
  abstract readonly startAddress: I64;
  /** EXECUTE: runs the instruction at `target` with `modifier` ORed into its second byte. */
  abstract execute(target: I64, modifier: I32): void;
  /** Halfwords of the instruction, or of the EXECUTE that runs it. */
  abstract executedLength(halfwords: number): I32;
  /** Ends the body: `Cpu.programCode` and the rest are recorded. */
  abstract fault(): void;
  /** Records a program interruption: `nullify` as in state.ts. */
  protected abstract raise(code: number, nullify: number): void;

  /** From here on fetches are of the first operand, or of the second one again: access-register mode asks. */
  fetchFirst(_on: boolean): void {}

  /** A fetch of the first operand of two; `fetch` emits it. */
  ofFirst<T>(fetch: () => T): T {
    this.fetchFirst(true);
    const value = fetch();
    this.fetchFirst(false);
    return value;
  }

  // Values in temporaries

  let32(value: I32): I32 {
    return this.fn.let32(value);
  }

  let64(value: I64): I64 {
    return this.fn.let64(value);
  }

  variable32(value: I32): Local<I32> {
    const local = this.fn.temp32();
    this.fn.set(local, value);
    return local;
  }

  variable64(value: I64): Local<I64> {
    const local = this.fn.temp64();
    this.fn.set(local, value);
    return local;
  }

  set<T extends Code>(local: Local<T>, value: T): void {
    this.fn.set(local, value);
  }

  if(condition: I32, then: () => void, otherwise?: () => void): void {
    this.fn.if(condition, then, otherwise);
  }

  loop(body: (start: Label) => void): void {
    this.fn.loop(body);
  }

  // Operand fields of the decoded entry: `offset` is one of Entry.a, b, c, d

  field32(offset: number): I32 {
    return i32.load(this.entry, offset);
  }

  fieldS64(offset: number): I64 {
    return i64.load32S(this.entry, offset);
  }

  fieldU64(offset: number): I64 {
    return i64.load32U(this.entry, offset);
  }

  /** Slots c and d together. */
  get wideField(): I64 {
    return i64.load(this.entry, Entry.c);
  }

  /** What the base or index register in a slot contributes to an address. */
  base(offset: number): I64 {
    return i64.load(this.field32(offset));
  }

  pointer(field: RegisterField): I32 {
    const slot = fieldsOf(this.format)[field];
    assert(slot !== undefined, `format ${this.format} has no ${field}`);
    return this.field32(Entry[slot]);
  }

  get d(): I32 {
    return this.field32(Entry.d);
  }

  get extra(): I32 {
    return i32.load8U(this.entry, Entry.extra);
  }

  get immediate(): I32 {
    return this.field32(Entry[fieldsOf(this.format).immediate ?? "d"]);
  }

  get immediateS64(): I64 {
    return this.fieldS64(Entry[fieldsOf(this.format).immediate ?? "d"]);
  }

  get immediateU64(): I64 {
    return this.fieldU64(Entry[fieldsOf(this.format).immediate ?? "d"]);
  }

  // Registers; `odd` reads the second register of an even-odd pair

  gr(field: RegisterField, odd = false): I64 {
    return i64.load(this.pointer(field), odd ? 8 : 0);
  }

  gr32(field: RegisterField, odd = false): I32 {
    return i32.load(this.pointer(field), odd ? 8 : 0);
  }

  gr32S64(field: RegisterField): I64 {
    return i64.load32S(this.pointer(field));
  }

  gr32U64(field: RegisterField): I64 {
    return i64.load32U(this.pointer(field));
  }

  grHigh(field: RegisterField): I32 {
    return i32.load(this.pointer(field), 4);
  }

  setGr(field: RegisterField, value: I64, odd = false): void {
    this.fn.emit(i64.store(this.pointer(field), value, odd ? 8 : 0));
  }

  setGr32(field: RegisterField, value: I32, odd = false): void {
    this.fn.emit(i32.store(this.pointer(field), value, odd ? 8 : 0));
  }

  setGrHigh(field: RegisterField, value: I32): void {
    this.fn.emit(i32.store(this.pointer(field), value, 4));
  }

  /** Puts the low `bytes` bytes of `value` into a register, `shift` bits from its right end. */
  insert(field: RegisterField, value: I32, bytes: 1 | 2, shift: number): void {
    const store = bytes === 1 ? i32.store8 : i32.store16;
    this.fn.emit(store(this.pointer(field), value, shift / 8));
  }

  /** Not 0 for an odd register number: register n stands at offset 8 * n from an aligned base. */
  isOdd(field: RegisterField): I32 {
    return i32.and(this.pointer(field), i32.const(8));
  }

  /** Whether the field names a register other than 0. */
  isNamed(field: RegisterField): I32 {
    return i32.ne(this.pointer(field), this.host(Cpu.gr));
  }

  /** Comparand of BRANCH ON INDEX: the odd register of r3, where `extra` leads. */
  comparand32(): I32 {
    return i32.load(i32.add(this.pointer("r3"), this.extra));
  }

  comparand64(): I64 {
    return i64.load(i32.add(this.pointer("r3"), this.extra));
  }

  /**
   * Runs `each` for the general registers r1, r1 + 1, ... r3 (wrapping from 15 to 0) with the distance of the
   * register's part of `unit` bytes from the start of the storage operand.
   */
  eachRegister(unit: 4 | 8, each: (register: RegisterAccess, position: I32) => void): void {
    const register = this.variable32(this.pointer("r1"));
    const last = this.let32(this.pointer("r3"));
    const position = this.variable32(i32.const(0));
    const access: RegisterAccess = {
      get: () => i64.load(register.get),
      get32: (high) => i32.load(register.get, high ? 4 : 0),
      set: (value) => this.fn.emit(i64.store(register.get, value)),
      set32: (value, high) => this.fn.emit(i32.store(register.get, value, high ? 4 : 0)),
    };
    this.loop((again) => {
      each(access, position.get);
      this.if(i32.ne(register.get, last), () => {
        this.set(position, i32.add(position.get, i32.const(unit)));
        this.set(register, i32.add(register.get, i32.const(8)));
        this.if(i32.eq(register.get, this.host(Cpu.gr + 128)), () =>
          this.set(register, this.host(Cpu.gr)),
        );
        this.fn.br(again);
      });
    });
  }

  /** Bytes of the storage operand of `eachRegister`. */
  registersBytes(unit: 4 | 8): I32 {
    const span = i32.and(i32.sub(this.pointer("r3"), this.pointer("r1")), i32.const(127));
    return i32.add(unit === 8 ? span : i32.shrU(span, i32.const(1)), i32.const(unit));
  }

  /** General register by number, for instructions with implied registers. */
  implied(n: number): I64 {
    return i64.load(this.area, Cpu.gr + n * 8);
  }

  /** Address in a register under the addressing mode. */
  registerAddress(field: RegisterField): I64 {
    return i64.and(this.gr(field), this.addressMask);
  }

  /** Writes an address as LA does: bits 0-31 stay unless the mode is 64-bit. */
  setAddress(field: RegisterField, address: I64): void {
    const value = this.let64(i64.and(address, this.addressMask));
    this.if(
      this.in64BitMode(),
      () => this.setGr(field, value),
      () => this.setGr32(field, i32.wrap(value)),
    );
  }

  /**
   * Writes back the address of an operand that was worked through. In 24-bit mode bits 32-39 stay; where
   * the manual leaves zeros or no change to the CPU, the peer we compare with keeps them too.
   */
  updateAddress(field: RegisterField, address: I64): void {
    this.#updateAddress(this.pointer(field), address);
  }

  in64BitMode(): I32 {
    return i64.eq(this.addressMask, i64.const(-1));
  }

  // Condition code

  /** Zero, negative, positive: 0, 1, 2. */
  setCcSigned32(value: I32): void {
    this.setCc(
      i32.or(i32.shl(i32.gtS(value, i32.const(0)), i32.const(1)), i32.ltS(value, i32.const(0))),
    );
  }

  setCcSigned64(value: I64): void {
    this.setCc(
      i32.or(i32.shl(i64.gtS(value, i64.const(0)), i32.const(1)), i64.ltS(value, i64.const(0))),
    );
  }

  setCcCompare32(a: I32, b: I32, unsigned: boolean): void {
    const low = unsigned ? i32.ltU(a, b) : i32.ltS(a, b);
    const high = unsigned ? i32.gtU(a, b) : i32.gtS(a, b);
    this.setCc(i32.or(i32.shl(high, i32.const(1)), low));
  }

  setCcCompare64(a: I64, b: I64, unsigned: boolean): void {
    const low = unsigned ? i64.ltU(a, b) : i64.ltS(a, b);
    const high = unsigned ? i64.gtU(a, b) : i64.gtS(a, b);
    this.setCc(i32.or(i32.shl(high, i32.const(1)), low));
  }

  /** Whether the mask in `extra` selects the present condition code. */
  maskSelectsCc(): I32 {
    return i32.and(i32.shrU(i32.const(8), this.cc()), this.extra);
  }

  /** The condition of compare-and-...: bit 0 of the mask equal, bit 1 first low, bit 2 first high. */
  comparisonSelected32(x: I32, y: I32, unsigned: boolean): I32 {
    return this.#selected(i32.eq(x, y), unsigned ? i32.ltU(x, y) : i32.ltS(x, y));
  }

  comparisonSelected64(x: I64, y: I64, unsigned: boolean): I32 {
    return this.#selected(i64.eq(x, y), unsigned ? i64.ltU(x, y) : i64.ltS(x, y));
  }

  #selected(equal: I32, low: I32): I32 {
    const mask = this.let32(this.extra);
    const bit = i32.select(i32.const(8), i32.select(i32.const(4), i32.const(2), low), equal);
    return i32.and(bit, mask);
  }

  /** Condition code 3 and the fixed-point-overflow interruption if the program mask asks for it. */
  overflow(): void {
    this.setCc(i32.const(3));
    this.if(i32.and(i32.load(this.area, Cpu.pswMask + 4), i32.const(FIXED_OVERFLOW_MASK)), () =>
      this.program(ProgramCode.fixedPointOverflow),
    );
  }

  // Exceptions

  /** Program interruption whose old PSW points past the instruction (suppression, completion). */
  program(code: number): void {
    this.raise(code, 0);
    this.fault();
  }

  specificationIf(condition: I32): void {
    this.if(condition, () => this.program(ProgramCode.specification));
  }

  dataException(dxc: number): void {
    this.fn.emit(i32.store(this.area, i32.const(dxc), Cpu.dxc));
    this.program(ProgramCode.data);
  }

  // Storage

  /** Effective address of the storage operand, wrapped. */
  address(): I64 {
    const fields = fieldsOf(this.format);
    let sum = this.fieldS64(Entry.d);
    if (fields.base) sum = i64.add(this.base(Entry[fields.base]), sum);
    if (fields.index) sum = i64.add(this.base(Entry[fields.index]), sum);
    return i64.and(sum, this.addressMask);
  }

  /** Address of an operand beside the instruction (LARL and its relatives), wrapped. */
  relativeAddress(): I64 {
    return i64.and(
      i64.add(this.relativeBase, i64.shl(this.fieldS64(Entry.d), i64.const(1))),
      this.addressMask,
    );
  }

  load8(address: I64): I32 {
    return i32.load8U(this.readable(address, 1));
  }

  load16(address: I64): I32 {
    const value = this.let32(i32.load16U(this.readable(address, 2)));
    return i32.or(
      i32.shl(i32.and(value, i32.const(0xff)), i32.const(8)),
      i32.shrU(value, i32.const(8)),
    );
  }

  load16S(address: I64): I32 {
    return i32.extend16S(this.load16(address));
  }

  load32(address: I64): I32 {
    return this.swap32(i32.load(this.readable(address, 4)));
  }

  load64(address: I64): I64 {
    return this.swap64(i64.load(this.readable(address, 8)));
  }

  swap16(value: I32): I32 {
    const v = this.let32(value);
    return i32.or(
      i32.shl(i32.and(v, i32.const(0xff)), i32.const(8)),
      i32.and(i32.shrU(v, i32.const(8)), i32.const(0xff)),
    );
  }

  swap32(value: I32): I32 {
    const v = this.let32(value);
    return i32.or(
      i32.and(i32.rotl(v, i32.const(8)), i32.const(0x00ff00ff)),
      i32.and(i32.rotr(v, i32.const(8)), i32.const(0xff00ff00)),
    );
  }

  swap64(value: I64): I64 {
    const v = this.variable64(value);
    for (const [mask, bits] of [
      [this.byteMask, 8],
      [this.halfMask, 16],
    ] as const) {
      this.set(
        v,
        i64.or(
          i64.shl(i64.and(v.get, mask), i64.const(bits)),
          i64.and(i64.shrU(v.get, i64.const(bits)), mask),
        ),
      );
    }
    return i64.rotl(v.get, i64.const(32));
  }

  /** Link information of a branch-and-save: what the addressing mode leaves in r1. */
  setLink(field: RegisterField, value: I64): void {
    this.if(
      this.in64BitMode(),
      () => this.setGr(field, value),
      () =>
        this.setGr32(field, i32.or(i32.wrap(value), i32.shl(this.in31BitMode(), i32.const(31)))),
    );
  }

  /** Meaningful outside 64-bit mode only. */
  in31BitMode(): I32 {
    return i64.eq(this.addressMask, i64.const(0x7fffffff));
  }

  host(offset: number): I32 {
    return i32.add(this.area, i32.const(offset));
  }

  /** `updateAddress` for a register that the instruction implies. */
  updateImpliedAddress(n: number, address: I64): void {
    this.#updateAddress(this.host(Cpu.gr + n * 8), address);
  }

  #updateAddress(pointer: I32, address: I64): void {
    const value = this.let64(i64.and(address, this.addressMask));
    this.if(
      this.in64BitMode(),
      () => this.fn.emit(i64.store(pointer, value)),
      () => {
        const kept = i32.and(i32.load(pointer), i32.const(0xff000000 | 0));
        const top = i32.select(i32.const(0), kept, this.in31BitMode());
        this.fn.emit(i32.store(pointer, i32.or(i32.wrap(value), top)));
      },
    );
  }

  /** Takes back a recorded access exception. */
  forgetFault(): void {
    this.fn.emit(i32.store(this.area, i32.const(0), Cpu.programCode));
  }
}
