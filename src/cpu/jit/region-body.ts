/**
 * Reader of the instruction table for regions: operands are constants, general registers and condition code are
 * locals, addresses count from the page. Everything a region takes for granted (64-bit mode, no access-register
 * mode, no PER) is checked where it is entered.
 */
import { AssertionError } from "../../base/assert.ts";
import { Core, Entry } from "../core-layout.ts";
import type { Helpers } from "../interpreter/helpers.ts";
import { InlineBody } from "../interpreter/inline-body.ts";
import { Cpu } from "../state.ts";
import type { RegisterAccess, Width } from "../table/body.ts";
import { fieldsOf, type RegisterField } from "../table/formats.ts";
import { constant32, type I32, type I64, i32, i64, isConstant64 } from "../wasm/index.ts";
import {
  CC_SIGNED,
  CC_UNSIGNED,
  CC_VALUE,
  type CcKind,
  type RegionFrame,
  relation,
  relation32,
} from "./region-frame.ts";
import type { Instruction } from "./region-plan.ts";

/** How control leaves an instruction; the region's writer knows the blocks. */
export interface Ways {
  /** Taken branch to an address of this page that may be a block's. */
  jumpTo(offset: number): void;
  /** Taken branch to any address. */
  jump(target: I64): void;
  /** On to the next instruction, by the interpreter. */
  onward(): void;
  /** A program interruption is recorded. */
  fault(): void;
}

/** What a body does that its row does not say; for `row-traits.ts`. */
export interface Observed {
  /** Uses general registers as storage, which they are not in a region. */
  memory: boolean;
  stores: boolean;
  jumps: boolean;
}

const UPPER = i64.const(-0x1_0000_0000);

export class RegionBody extends InlineBody {
  readonly area: I32;
  readonly addressMask: I64 = i64.const(-1);
  readonly nextAddress: I64;
  readonly relativeBase: I64;
  readonly startAddress: I64;
  /** The body has left on every way that led here. */
  left = false;
  protected readonly byteMask = i64.const(0x00ff00ff00ff00ffn);
  protected readonly halfMask = i64.const(0x0000ffff0000ffffn);
  protected readonly tag: I64;
  readonly #frame: RegionFrame;
  readonly #instruction: Instruction;
  readonly #ways: Ways;
  readonly #observed: Observed | undefined;

  constructor(
    frame: RegionFrame,
    instruction: Instruction,
    helpers: Helpers,
    ways: Ways,
    observed?: Observed,
  ) {
    super(frame.fn, instruction.row.format, helpers);
    this.#frame = frame;
    this.#instruction = instruction;
    this.#ways = ways;
    this.#observed = observed;
    this.area = frame.area.get;
    this.tag = frame.tag.get;
    this.startAddress = this.#inPage(instruction.offset);
    this.relativeBase = this.startAddress;
    this.nextAddress = this.#inPage(instruction.offset + instruction.length);
  }

  get entry(): I32 {
    throw new AssertionError("a region has no decoded entries");
  }

  #inPage(offset: number): I64 {
    return i64.add(this.#frame.page.get, i64.const(offset));
  }

  // Values

  override let32(value: I32): I32 {
    return constant32(value) === undefined ? super.let32(value) : value;
  }

  override let64(value: I64): I64 {
    return isConstant64(value) ? value : super.let64(value);
  }

  /** As the base class, but constants decide now, and a way that has left joins nothing. */
  override if(condition: I32, then: () => void, otherwise?: () => void): void {
    const known = this.#observed === undefined ? constant32(condition) : undefined;
    if (known !== undefined) {
      if (known === 0) otherwise?.();
      else then();
      return;
    }
    const frame = this.#frame;
    const before = frame.known;
    let alone = false;
    let first = before;
    let second = before;
    const whenTrue = (): void => {
      then();
      alone = this.left;
      this.left = false;
      first = frame.known;
      frame.known = before;
    };
    const whenFalse = (): void => {
      if (alone) return;
      otherwise?.();
      second = frame.known;
    };
    this.fn.if(condition, whenTrue, otherwise === undefined ? undefined : whenFalse);
    if (alone) {
      // Only the other way comes here, so it needs no block of its own.
      otherwise?.();
      return;
    }
    // A way that left behind an `otherwise` does not end the instruction: the first one goes on.
    this.left = false;
    frame.known = first === second ? first : undefined;
  }

  override specificationIf(condition: I32): void {
    this.if(condition, () => this.program(0x06));
  }

  // Operand fields

  override field32(offset: number): I32 {
    const value = this.#instruction.operands.getInt32(offset, true);
    return this.#isPointer(offset) ? i32.add(this.area, i32.const(value)) : i32.const(value);
  }

  override fieldS64(offset: number): I64 {
    return i64.const(this.#instruction.operands.getInt32(offset, true));
  }

  override fieldU64(offset: number): I64 {
    return i64.const(this.#instruction.operands.getUint32(offset, true));
  }

  override get wideField(): I64 {
    return i64.const(this.#instruction.operands.getBigInt64(Entry.c, true));
  }

  override get extra(): I32 {
    return i32.const(this.#extra);
  }

  get #extra(): number {
    return this.#instruction.operands.getUint8(Entry.extra);
  }

  override base(offset: number): I64 {
    const pointer = this.#instruction.operands.getInt32(offset, true);
    if (pointer === Core.zero) return i64.const(0);
    return this.#frame.register((pointer - Cpu.gr) / 8).get;
  }

  override pointer(field: RegisterField): I32 {
    const pointer = this.#pointerOf(field);
    this.#noteMemory(pointer);
    return i32.add(this.area, i32.const(pointer));
  }

  override host(offset: number): I32 {
    this.#noteMemory(offset);
    return super.host(offset);
  }

  override implied(n: number): I64 {
    return this.#frame.register(n).get;
  }

  #isPointer(offset: number): boolean {
    const fields = fieldsOf(this.format);
    return [fields.r1, fields.r2, fields.r3].some((slot) => slot && Entry[slot] === offset);
  }

  #pointerOf(field: RegisterField): number {
    const slot = fieldsOf(this.format)[field];
    if (slot === undefined) throw new AssertionError(`format ${this.format} has no ${field}`);
    return this.#instruction.operands.getInt32(Entry[slot], true);
  }

  #noteMemory(offset: number): void {
    if (this.#observed && offset >= Cpu.gr && offset < Cpu.gr + 128) this.#observed.memory = true;
  }

  /** Number of the general register in a field; undefined for another kind of register. */
  #number(field: RegisterField): number | undefined {
    const pointer = this.#pointerOf(field);
    return pointer >= Cpu.gr && pointer < Cpu.gr + 128 ? (pointer - Cpu.gr) / 8 : undefined;
  }

  // Registers

  override gr(field: RegisterField, odd = false): I64 {
    const n = this.#number(field);
    return n === undefined ? super.gr(field, odd) : this.#frame.register(n + (odd ? 1 : 0)).get;
  }

  override gr32(field: RegisterField, odd = false): I32 {
    const n = this.#number(field);
    return n === undefined ? super.gr32(field, odd) : i32.wrap(this.gr(field, odd));
  }

  override gr32S64(field: RegisterField): I64 {
    return this.#number(field) === undefined ? super.gr32S64(field) : i64.extend32S(this.gr(field));
  }

  override gr32U64(field: RegisterField): I64 {
    return this.#number(field) === undefined
      ? super.gr32U64(field)
      : i64.fromU(i32.wrap(this.gr(field)));
  }

  override grHigh(field: RegisterField): I32 {
    return this.#number(field) === undefined
      ? super.grHigh(field)
      : i32.wrap(i64.shrU(this.gr(field), i64.const(32)));
  }

  override setGr(field: RegisterField, value: I64, odd = false): void {
    const n = this.#number(field);
    if (n === undefined) super.setGr(field, value, odd);
    else this.#frame.write(n + (odd ? 1 : 0), value);
  }

  override setGr32(field: RegisterField, value: I32, odd = false): void {
    const n = this.#number(field);
    if (n === undefined) super.setGr32(field, value, odd);
    else this.#setLow(n + (odd ? 1 : 0), value);
  }

  override setGrHigh(field: RegisterField, value: I32): void {
    const n = this.#number(field);
    if (n === undefined) super.setGrHigh(field, value);
    else this.#setHigh(n, value);
  }

  #setLow(n: number, value: I32): void {
    const kept = i64.and(this.#frame.register(n).get, UPPER);
    this.#frame.write(n, i64.or(kept, i64.fromU(value)));
  }

  #setHigh(n: number, value: I32): void {
    const kept = i64.fromU(i32.wrap(this.#frame.register(n).get));
    this.#frame.write(n, i64.or(kept, i64.shl(i64.fromU(value), i64.const(32))));
  }

  override insert(field: RegisterField, value: I32, bytes: 1 | 2, shift: number): void {
    const n = this.#number(field);
    if (n === undefined) {
      super.insert(field, value, bytes, shift);
      return;
    }
    const ones = bytes === 1 ? 0xffn : 0xffffn;
    const kept = i64.and(this.gr(field), i64.const(BigInt.asIntN(64, ~(ones << BigInt(shift)))));
    const part = i64.fromU(i32.and(value, i32.const(Number(ones))));
    this.#frame.write(n, i64.or(kept, i64.shl(part, i64.const(shift))));
  }

  override isOdd(field: RegisterField): I32 {
    return i32.const(this.#pointerOf(field) & 8);
  }

  override isNamed(field: RegisterField): I32 {
    return i32.const(this.#number(field) === 0 ? 0 : 1);
  }

  override comparand32(): I32 {
    return i32.wrap(this.comparand64());
  }

  override comparand64(): I64 {
    return this.gr("r3", this.#extra !== 0);
  }

  override eachRegister(
    unit: 4 | 8,
    each: (register: RegisterAccess, position: I32) => void,
  ): void {
    const count = this.#registerCount();
    const first = this.#number("r1") ?? 0;
    for (let k = 0; k < count; k++) {
      const n = (first + k) & 15;
      const get = (): I64 => this.#frame.register(n).get;
      each(
        {
          get,
          get32: (high) => i32.wrap(high ? i64.shrU(get(), i64.const(32)) : get()),
          set: (value) => this.#frame.write(n, value),
          set32: (value, high) => (high ? this.#setHigh(n, value) : this.#setLow(n, value)),
        },
        i32.const(k * unit),
      );
    }
  }

  override registersBytes(unit: 4 | 8): I32 {
    return i32.const(this.#registerCount() * unit);
  }

  #registerCount(): number {
    return (((this.#number("r3") ?? 0) - (this.#number("r1") ?? 0)) & 15) + 1;
  }

  override setAddress(field: RegisterField, address: I64): void {
    this.setGr(field, address);
  }

  override setLink(field: RegisterField, value: I64): void {
    this.setGr(field, value);
  }

  override updateAddress(field: RegisterField, address: I64): void {
    this.setGr(field, address);
  }

  override in64BitMode(): I32 {
    return i32.const(1);
  }

  override in31BitMode(): I32 {
    return i32.const(0);
  }

  override relativeAddress(): I64 {
    const { offset, operands } = this.#instruction;
    return this.#inPage(offset + 2 * operands.getInt32(Entry.d, true));
  }

  override executedLength(): I32 {
    return i32.const(this.#instruction.length / 2);
  }

  // Condition code

  override cc(): I32 {
    return this.#frame.cc();
  }

  override setCc(value: I32): void {
    this.fn.set(this.#frame.ccValue, value);
    this.#setKind(CC_VALUE);
  }

  #setKind(kind: CcKind): void {
    this.fn.set(this.#frame.ccKind, i32.const(kind));
    this.#frame.known = kind;
  }

  #setComparison(kind: CcKind, a: I64, b: I64): void {
    this.fn.set(this.#frame.ccA, a);
    this.fn.set(this.#frame.ccB, b);
    this.#setKind(kind);
  }

  override setCcSigned32(value: I32): void {
    this.#setComparison(CC_SIGNED, i64.fromS(value), i64.const(0));
  }

  override setCcSigned64(value: I64): void {
    this.#setComparison(CC_SIGNED, value, i64.const(0));
  }

  override setCcCompare32(a: I32, b: I32, unsigned: boolean): void {
    const wide = unsigned ? i64.fromU : i64.fromS;
    this.#setComparison(unsigned ? CC_UNSIGNED : CC_SIGNED, wide(a), wide(b));
  }

  override setCcCompare64(a: I64, b: I64, unsigned: boolean): void {
    this.#setComparison(unsigned ? CC_UNSIGNED : CC_SIGNED, a, b);
  }

  override maskSelectsCc(): I32 {
    return this.#frame.ccSelected(this.#extra);
  }

  override comparisonSelected32(x: I32, y: I32, unsigned: boolean): I32 {
    return relation32(this.#extra, x, y, unsigned);
  }

  override comparisonSelected64(x: I64, y: I64, unsigned: boolean): I32 {
    return relation(this.#extra, x, y, unsigned);
  }

  /** Rare: the interpreter goes on, so that here the code stays what the sum says. */
  override overflow(): void {
    const { known } = this.#frame;
    super.overflow();
    this.left = true;
    this.#ways.onward();
    this.#frame.known = known;
  }

  // Storage

  override change(address: I64, bytes: I32 | number, change: (host: I32) => void): void {
    if (this.#observed) this.#observed.stores = true;
    super.change(address, bytes, change);
  }

  override store(width: Width, address: I64, value: I32 | I64): void {
    if (this.#observed) this.#observed.stores = true;
    super.store(width, address, value);
  }

  override inPlaceForChange(address: I64, bytes: I32): I32 {
    if (this.#observed) this.#observed.stores = true;
    return super.inPlaceForChange(address, bytes);
  }

  override tryChangeable(address: I64): I32 {
    if (this.#observed) this.#observed.stores = true;
    return super.tryChangeable(address);
  }

  // Ways out

  jump(target: I64): void {
    if (this.#observed) this.#observed.jumps = true;
    this.#ways.jump(target);
    this.left = true;
  }

  jumpRelative(): void {
    if (this.#observed) this.#observed.jumps = true;
    const { offset, operands } = this.#instruction;
    this.#ways.jumpTo(offset + 2 * operands.getInt32(Entry.d, true));
    this.left = true;
  }

  jumpInNewMode(): void {
    throw new AssertionError("a region keeps its addressing mode");
  }

  continueInNewMode(): void {
    throw new AssertionError("a region keeps its addressing mode");
  }

  execute(): void {
    throw new AssertionError("a region does not know the target of EXECUTE");
  }

  fault(): void {
    this.#ways.fault();
    this.left = true;
  }

  protected faultIf(condition: I32): void {
    this.fn.if(condition, () => this.#ways.fault());
  }
}
