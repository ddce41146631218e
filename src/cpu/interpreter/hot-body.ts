/**
 * Reader of the instruction table for the hot set: bodies inside the dispatch function, with the
 * condition code, the entry pointer and the page address in locals, and the TLB test inline.
 */

import { AssertionError } from "../../base/assert.ts";
import { Core, Entry, TlbEntry } from "../core-layout.ts";
import { Body, type Width } from "../table/body.ts";
import type { Format } from "../table/formats.ts";
import {
  call32,
  type FunctionBuilder,
  type I32,
  type I64,
  i32,
  i64,
  type Label,
  type Local,
} from "../wasm/index.ts";
import { commitIfBounced, type Helpers, hostOf, tlbEntry, wantedTag } from "./helpers.ts";

/** Locals of the dispatch function that bodies use, and the places they leave to. */
export interface HotFrame {
  readonly area: Local<I32>;
  readonly entry: Local<I32>;
  readonly slot: Local<I32>;
  readonly page: Local<I64>;
  readonly cc: Local<I32>;
  readonly target: Local<I64>;
  /** Entry of the last taken branch in this page, 0 = none since it was written down. */
  readonly breaking: Local<I32>;
  readonly mask: Local<I64>;
  readonly tag: Local<I64>;
  readonly byteMask: Local<I64>;
  readonly halfMask: Local<I64>;
  readonly helpers: Helpers;
  readonly next: Label;
  readonly jump: Label;
  readonly relative: Label;
  readonly fault: Label;
}

export class HotBody extends Body {
  readonly area: I32;
  readonly entry: I32;
  protected readonly byteMask: I64;
  protected readonly halfMask: I64;
  readonly addressMask: I64;
  readonly #frame: HotFrame;
  readonly #length: number;

  constructor(fn: FunctionBuilder, format: Format, length: number, frame: HotFrame) {
    super(fn, format);
    this.#frame = frame;
    this.#length = length;
    this.area = frame.area.get;
    this.entry = frame.entry.get;
    this.byteMask = frame.byteMask.get;
    this.halfMask = frame.halfMask.get;
    this.addressMask = frame.mask.get;
  }

  /** Goes on behind the instruction. */
  end(): void {
    const bytes = this.#length * (Entry.size / 2);
    this.fn.set(this.#frame.entry, i32.add(this.entry, i32.const(bytes)));
    this.fn.br(this.#frame.next);
  }

  get startAddress(): I64 {
    return addressOfEntry(this.#frame);
  }

  get relativeBase(): I64 {
    return this.startAddress;
  }

  get nextAddress(): I64 {
    return i64.and(i64.add(this.startAddress, i64.const(this.#length)), this.addressMask);
  }

  cc(): I32 {
    return this.#frame.cc.get;
  }

  setCc(value: I32): void {
    this.fn.set(this.#frame.cc, value);
  }

  readable(address: I64, bytes: I32 | number): I32 {
    return this.#resolve(address, bytes, TlbEntry.readTag, this.#frame.helpers.read);
  }

  change(address: I64, bytes: I32 | number, change: (host: I32) => void): void {
    const { helpers } = this.#frame;
    const host = this.#resolve(address, bytes, TlbEntry.writeTag, helpers.write);
    change(host);
    commitIfBounced(this.fn, helpers, this.area, host);
  }

  store(width: Width, address: I64, value: I32 | I64): void {
    const at = this.let64(address);
    const entry = this.let32(tlbEntry(this.area, at));
    const swapped = this.#swapped(width, value);
    const { helpers, fault } = this.#frame;
    this.if(
      this.#hit(entry, at, width, TlbEntry.writeTag),
      () => this.fn.emit(storeCode(width, hostOf(entry, at), swapped)),
      () => {
        const wide = width === 8 ? (swapped as I64) : i64.fromU(swapped as I32);
        const stored = call32(helpers.store, at, wide, i32.const(width));
        this.fn.brIf(fault, i32.eqz(stored));
      },
    );
  }

  inPlace(address: I64, bytes: I32): I32 {
    return this.#inPlace(this.#frame.helpers.inPlaceRead, address, bytes);
  }

  inPlaceForChange(address: I64, bytes: I32): I32 {
    return this.#inPlace(this.#frame.helpers.inPlaceWrite, address, bytes);
  }

  probe(address: I64, bytes: I32): void {
    const { helpers, fault } = this.#frame;
    this.fn.brIf(fault, i32.eqz(call32(helpers.probe, address, bytes)));
  }

  tryReadable(address: I64): I32 {
    return call32(this.#frame.helpers.read, address, i32.const(1));
  }

  tryChangeable(address: I64): I32 {
    return call32(this.#frame.helpers.write, address, i32.const(1));
  }

  copyForward(target: I32, source: I32, bytes: I32): void {
    this.fn.emit(call32(this.#frame.helpers.copy, target, source, bytes));
  }

  moveAcrossPages(target: I64, source: I64, bytes: I32): void {
    const { helpers, fault } = this.#frame;
    this.fn.brIf(fault, i32.eqz(call32(helpers.move, target, source, bytes)));
  }

  jump(target: I64): void {
    this.fn.set(this.#frame.target, target);
    this.fn.set(this.#frame.breaking, this.entry);
    this.fn.br(this.#frame.jump);
  }

  jumpRelative(): void {
    this.fn.br(this.#frame.relative);
  }

  jumpInNewMode(): void {
    notHot("a change of addressing mode");
  }

  continueInNewMode(): void {
    notHot("a change of addressing mode");
  }

  executedLength(halfwords: number): I32 {
    return i32.const(halfwords);
  }

  execute(): void {
    notHot("EXECUTE");
  }

  fault(): void {
    this.fn.br(this.#frame.fault);
  }

  protected raise(code: number, nullify: number): void {
    this.fn.emit(call32(this.#frame.helpers.raise, i32.const(code), i32.const(nullify)));
  }

  /** Inline TLB test; the helper handles misses and page crossings. */
  #resolve(address: I64, bytes: I32 | number, tagOffset: number, helper: number): I32 {
    const at = this.let64(address);
    const host = this.fn.temp32();
    this.fn.set(host, tlbEntry(this.area, at));
    const size = typeof bytes === "number" ? i32.const(bytes) : bytes;
    this.if(
      this.#hit(host.get, at, bytes, tagOffset),
      () => this.fn.set(host, hostOf(host.get, at)),
      () => {
        this.fn.set(host, call32(helper, at, size));
        this.fn.brIf(this.#frame.fault, i32.eqz(host.get));
      },
    );
    return host.get;
  }

  #hit(entry: I32, address: I64, bytes: I32 | number, tagOffset: number): I32 {
    const last =
      typeof bytes !== "number"
        ? i64.fromU(i32.sub(bytes, i32.const(1)))
        : bytes === 1
          ? undefined
          : i64.const(bytes - 1);
    return i64.eq(
      i64.load(entry, Core.tlb + tagOffset),
      wantedTag(address, last, this.#frame.tag.get),
    );
  }

  #inPlace(helper: number, address: I64, bytes: I32): I32 {
    const host = this.let32(call32(helper, address, bytes));
    this.fn.brIf(this.#frame.fault, i32.eq(host, i32.const(-1)));
    return host;
  }

  #swapped(width: Width, value: I32 | I64): I32 | I64 {
    if (width === 8) return this.let64(this.swap64(value as I64));
    if (width === 4) return this.let32(this.swap32(value as I32));
    if (width === 2) return this.let32(this.swap16(value as I32));
    return this.let32(value as I32);
  }
}

/** Guest address of the entry pointer: 16 bytes of entry for each byte of code. */
export function addressOfEntry(
  frame: Pick<HotFrame, "entry" | "slot" | "page">,
  entry: I32 = frame.entry.get,
): I64 {
  const offset = i32.shrU(i32.sub(entry, frame.slot.get), i32.const(4));
  return i64.add(frame.page.get, i64.fromU(offset));
}

function storeCode(width: Width, host: I32, value: I32 | I64): readonly number[] {
  if (width === 8) return i64.store(host, value as I64);
  if (width === 4) return i32.store(host, value as I32);
  if (width === 2) return i32.store16(host, value as I32);
  return i32.store8(host, value as I32);
}

function notHot(what: string): never {
  throw new AssertionError(`${what} has no place in the dispatch function`);
}
