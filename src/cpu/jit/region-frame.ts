/**
 * The state of a region function while it is written: locals that hold the guest's registers and the condition code,
 * and what the translator knows of the condition code at the present place.
 *
 * The condition code is kept as what it follows from: `ccKind` says how to get it from `ccValue`, or from a
 * comparison of `ccA` with `ccB`. The locals are right at every place, so an exit can work it out whatever the way
 * was; `known` lets a branch behind a comparison in the same block use the comparison itself.
 */
import { Cpu } from "../state.ts";
import { type FunctionBuilder, type I32, type I64, i32, i64, type Local } from "../wasm/index.ts";

export const CC_VALUE = 0;
export const CC_SIGNED = 1;
export const CC_UNSIGNED = 2;
export type CcKind = typeof CC_VALUE | typeof CC_SIGNED | typeof CC_UNSIGNED;

export class RegionFrame {
  readonly fn: FunctionBuilder;
  readonly area: Local<I32>;
  /** Logical address of the page. */
  readonly page: Local<I64>;
  readonly tag: Local<I64>;
  /** Instructions that may still be executed, less those of the present block. */
  readonly budget: Local<I32>;
  readonly ccKind: Local<I32>;
  readonly ccValue: Local<I32>;
  readonly ccA: Local<I64>;
  readonly ccB: Local<I64>;
  /** Block to go to by way of the dispatch. */
  readonly state: Local<I32>;
  /** Where the interpreter goes on, and how (`Status`). */
  readonly target: Local<I64>;
  readonly status: Local<I32>;
  /** Offset + 1 of the last taken branch; 0 = none yet. */
  readonly breaking: Local<I32>;
  /** Of a faulting instruction: offset, length << 12, instructions of its block that follow << 16. */
  readonly where: Local<I32>;
  readonly #registers: (Local<I64> | undefined)[] = [];
  readonly #written = new Set<number>();
  known: CcKind | undefined;

  constructor(fn: FunctionBuilder, state: Local<I32>) {
    this.fn = fn;
    this.state = state;
    this.area = fn.fixed32();
    this.page = fn.fixed64();
    this.tag = fn.fixed64();
    this.budget = fn.fixed32();
    this.ccKind = fn.fixed32();
    this.ccValue = fn.fixed32();
    this.ccA = fn.fixed64();
    this.ccB = fn.fixed64();
    this.target = fn.fixed64();
    this.status = fn.fixed32();
    this.breaking = fn.fixed32();
    this.where = fn.fixed32();
  }

  register(n: number): Local<I64> {
    let local = this.#registers[n & 15];
    if (local === undefined) {
      local = this.fn.fixed64();
      this.#registers[n & 15] = local;
    }
    return local;
  }

  write(n: number, value: I64): void {
    this.#written.add(n & 15);
    this.fn.set(this.register(n), value);
  }

  /** Code that loads the registers that the region mentions; for the function's start. */
  loadRegisters(into: FunctionBuilder): void {
    this.#registers.forEach((local, n) => {
      if (local !== undefined) into.set(local, i64.load(this.area.get, Cpu.gr + n * 8));
    });
  }

  /** Puts back what the region may have changed. */
  storeRegisters(): void {
    for (const n of this.#written) {
      this.fn.emit(i64.store(this.area.get, this.register(n).get, Cpu.gr + n * 8));
    }
  }

  /** The condition code, 0 to 3. */
  cc(): I32 {
    const { ccA, ccB } = this;
    const one = i32.const(1);
    const from = (high: I32, low: I32): I32 => i32.or(i32.shl(high, one), low);
    const signed = from(i64.gtS(ccA.get, ccB.get), i64.ltS(ccA.get, ccB.get));
    if (this.known === CC_VALUE) return this.ccValue.get;
    if (this.known === CC_SIGNED) return signed;
    const unsigned = from(i64.gtU(ccA.get, ccB.get), i64.ltU(ccA.get, ccB.get));
    if (this.known === CC_UNSIGNED) return unsigned;
    const compared = i32.select(signed, unsigned, i32.eq(this.ccKind.get, i32.const(CC_SIGNED)));
    return i32.select(compared, this.ccValue.get, this.ccKind.get);
  }

  /** Not 0 when `mask` (8 for code 0 ... 1 for code 3) selects the condition code. */
  ccSelected(mask: number): I32 {
    if (mask === 0 || mask === 15) return i32.const(mask === 0 ? 0 : 1);
    if (this.known === CC_SIGNED || this.known === CC_UNSIGNED) {
      return relation(mask, this.ccA.get, this.ccB.get, this.known === CC_UNSIGNED);
    }
    const cc = this.cc();
    const single = [7, 11, 13, 14].indexOf(mask);
    if (single >= 0) return i32.ne(cc, i32.const(single));
    const only = [8, 4, 2, 1].indexOf(mask);
    if (only >= 0) return i32.eq(cc, i32.const(only));
    if (mask === 12) return i32.ltU(cc, i32.const(2));
    if (mask === 3) return i32.geU(cc, i32.const(2));
    return i32.and(i32.shrU(i32.const(8), cc), i32.const(mask));
  }
}

/** The comparison of 64-bit numbers that a mask of a branch (8 equal, 4 low, 2 high) stands for. */
export function relation(mask: number, a: I64, b: I64, unsigned: boolean): I32 {
  switch (mask & 14) {
    case 8:
      return i64.eq(a, b);
    case 4:
      return unsigned ? i64.ltU(a, b) : i64.ltS(a, b);
    case 2:
      return unsigned ? i64.gtU(a, b) : i64.gtS(a, b);
    case 12:
      return unsigned ? i64.leU(a, b) : i64.leS(a, b);
    case 10:
      return unsigned ? i64.geU(a, b) : i64.geS(a, b);
    case 6:
      return i64.ne(a, b);
    default:
      return i32.const((mask & 14) === 0 ? 0 : 1);
  }
}

/** The same for 32-bit numbers. */
export function relation32(mask: number, a: I32, b: I32, unsigned: boolean): I32 {
  switch (mask & 14) {
    case 8:
      return i32.eq(a, b);
    case 4:
      return unsigned ? i32.ltU(a, b) : i32.ltS(a, b);
    case 2:
      return unsigned ? i32.gtU(a, b) : i32.gtS(a, b);
    case 12:
      return unsigned ? i32.leU(a, b) : i32.leS(a, b);
    case 10:
      return unsigned ? i32.geU(a, b) : i32.geS(a, b);
    case 6:
      return i32.ne(a, b);
    default:
      return i32.const((mask & 14) === 0 ? 0 : 1);
  }
}
