/**
 * What readers with the TLB test inline share: the dispatch function's hot bodies and generated regions. A hit costs
 * a comparison; misses and page crossings go to the helpers. How control leaves a body is the reader's own.
 */
import { Core, TlbEntry } from "../core-layout.ts";
import { Body, type Width } from "../table/body.ts";
import type { Format } from "../table/formats.ts";
import { call32, type FunctionBuilder, type I32, type I64, i32, i64 } from "../wasm/index.ts";
import { commitIfBounced, type Helpers, hostOf, tlbEntry, wantedTag } from "./helpers.ts";

export abstract class InlineBody extends Body {
  /** Tag of the data space. */
  protected abstract readonly tag: I64;
  protected readonly helpers: Helpers;

  constructor(fn: FunctionBuilder, format: Format, helpers: Helpers) {
    super(fn, format);
    this.helpers = helpers;
  }

  /** Leaves the body when `condition` says that a program interruption is recorded. */
  protected abstract faultIf(condition: I32): void;

  readable(address: I64, bytes: I32 | number): I32 {
    return this.#resolve(address, bytes, TlbEntry.readTag, this.helpers.read);
  }

  change(address: I64, bytes: I32 | number, change: (host: I32) => void): void {
    const host = this.#resolve(address, bytes, TlbEntry.writeTag, this.helpers.write);
    change(host);
    commitIfBounced(this.fn, this.helpers, this.area, host);
  }

  store(width: Width, address: I64, value: I32 | I64): void {
    const at = this.let64(address);
    const entry = this.let32(tlbEntry(this.area, at));
    const swapped = this.#swapped(width, value);
    this.if(
      this.#hit(entry, at, width, TlbEntry.writeTag),
      () => this.fn.emit(storeCode(width, hostOf(entry, at), swapped)),
      () => {
        const wide = width === 8 ? (swapped as I64) : i64.fromU(swapped as I32);
        const stored = call32(this.helpers.store, at, wide, i32.const(width));
        this.faultIf(i32.eqz(stored));
      },
    );
  }

  inPlace(address: I64, bytes: I32): I32 {
    return this.#inPlace(this.helpers.inPlaceRead, address, bytes);
  }

  inPlaceForChange(address: I64, bytes: I32): I32 {
    return this.#inPlace(this.helpers.inPlaceWrite, address, bytes);
  }

  probe(address: I64, bytes: I32): void {
    this.faultIf(i32.eqz(call32(this.helpers.probe, address, bytes)));
  }

  tryReadable(address: I64): I32 {
    return call32(this.helpers.read, address, i32.const(1));
  }

  tryChangeable(address: I64): I32 {
    return call32(this.helpers.write, address, i32.const(1));
  }

  copyForward(target: I32, source: I32, bytes: I32): void {
    this.fn.emit(call32(this.helpers.copy, target, source, bytes));
  }

  moveAcrossPages(target: I64, source: I64, bytes: I32): void {
    this.faultIf(i32.eqz(call32(this.helpers.move, target, source, bytes)));
  }

  protected raise(code: number, nullify: number): void {
    this.fn.emit(call32(this.helpers.raise, i32.const(code), i32.const(nullify)));
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
        this.faultIf(i32.eqz(host.get));
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
    return i64.eq(i64.load(entry, Core.tlb + tagOffset), wantedTag(address, last, this.tag));
  }

  #inPlace(helper: number, address: I64, bytes: I32): I32 {
    const host = this.let32(call32(helper, address, bytes));
    this.faultIf(i32.eq(host, i32.const(-1)));
    return host;
  }

  #swapped(width: Width, value: I32 | I64): I32 | I64 {
    if (width === 8) return this.let64(this.swap64(value as I64));
    if (width === 4) return this.let32(this.swap32(value as I32));
    if (width === 2) return this.let32(this.swap16(value as I32));
    return this.let32(value as I32);
  }
}

function storeCode(width: Width, host: I32, value: I32 | I64): readonly number[] {
  if (width === 8) return i64.store(host, value as I64);
  if (width === 4) return i32.store(host, value as I32);
  if (width === 2) return i32.store16(host, value as I32);
  return i32.store8(host, value as I32);
}
