/**
 * Reader of the instruction table for rows outside the hot set, and for every row as the target of
 * EXECUTE: each becomes a function (entry) -> status. Condition code and addresses live in the vCPU area.
 */

import { type ExitKind, exitKinds, VcpuHeader } from "../../shm/blocks.ts";
import { Core, Entry, Status } from "../core-layout.ts";
import { Cpu } from "../state.ts";
import { Body, type Width } from "../table/body.ts";
import type { Format } from "../table/formats.ts";
import {
  call32,
  callIndirect32,
  type FunctionBuilder,
  type I32,
  type I64,
  i32,
  i64,
} from "../wasm/index.ts";
import { AREA, commitIfBounced, type Helpers, high32, type Imports } from "./helpers.ts";

/** What cold functions need from the module they stand in. */
export interface ColdContext {
  readonly helpers: Helpers;
  readonly imports: Imports;
  /** Type index of (i32) -> i32. */
  readonly rowType: number;
}

export class ColdBody extends Body {
  readonly area = AREA;
  readonly entry: I32;
  protected readonly byteMask = i64.const(0x00ff00ff00ff00ffn);
  protected readonly halfMask = i64.const(0x0000ffff0000ffffn);
  readonly addressMask = i64.load(AREA, Core.addressMask);
  readonly nextAddress = i64.load(AREA, Core.nextAddress);
  readonly startAddress = i64.load(AREA, Core.startAddress);
  readonly relativeBase = i64.add(
    i64.load(AREA, Core.startAddress),
    i64.load(AREA, Core.relativeDelta),
  );
  readonly #context: ColdContext;

  constructor(fn: FunctionBuilder, format: Format, context: ColdContext) {
    super(fn, format);
    this.entry = fn.parameter32(0).get;
    this.#context = context;
  }

  cc(): I32 {
    return i32.load(AREA, Cpu.cc);
  }

  setCc(value: I32): void {
    this.fn.emit(i32.store(AREA, value, Cpu.cc));
  }

  readable(address: I64, bytes: I32 | number): I32 {
    const host = this.let32(call32(this.#context.helpers.read, address, asI32(bytes)));
    this.#faultUnless(host);
    return host;
  }

  change(address: I64, bytes: I32 | number, change: (host: I32) => void): void {
    const host = this.let32(call32(this.#context.helpers.write, address, asI32(bytes)));
    this.#faultUnless(host);
    change(host);
    commitIfBounced(this.fn, this.#context.helpers, AREA, host);
  }

  store(width: Width, address: I64, value: I32 | I64): void {
    const at = this.let64(address);
    const swapped = this.#swapped(width, value);
    const stored = call32(this.#context.helpers.store, at, swapped, i32.const(width));
    this.#faultUnless(stored);
  }

  inPlace(address: I64, bytes: I32): I32 {
    return this.#inPlace(this.#context.helpers.inPlaceRead, address, bytes);
  }

  inPlaceForChange(address: I64, bytes: I32): I32 {
    return this.#inPlace(this.#context.helpers.inPlaceWrite, address, bytes);
  }

  probe(address: I64, bytes: I32): void {
    this.#faultUnless(call32(this.#context.helpers.probe, address, bytes));
  }

  tryReadable(address: I64): I32 {
    return call32(this.#context.helpers.read, address, i32.const(1));
  }

  tryChangeable(address: I64): I32 {
    return call32(this.#context.helpers.write, address, i32.const(1));
  }

  copyForward(target: I32, source: I32, bytes: I32): void {
    this.fn.emit(call32(this.#context.helpers.copy, target, source, bytes));
  }

  moveAcrossPages(target: I64, source: I64, bytes: I32): void {
    this.#faultUnless(call32(this.#context.helpers.move, target, source, bytes));
  }

  jump(target: I64): void {
    this.fn.emit(i64.store(AREA, target, Core.nextAddress));
    this.#setBreakingEvent();
    this.#end(Status.jump);
  }

  jumpRelative(): void {
    this.jump(this.relativeAddress());
  }

  jumpInNewMode(target: I64): void {
    this.fn.emit(i64.store(AREA, target, Core.nextAddress));
    this.#setBreakingEvent();
    this.#end(Status.reload);
  }

  continueInNewMode(next: I64): void {
    this.fn.emit(i64.store(AREA, next, Core.nextAddress));
    this.#end(Status.reload);
  }

  executedLength(_halfwords: number): I32 {
    const bytes = i32.wrap(i64.sub(this.nextAddress, this.startAddress));
    return i32.shrU(i32.and(bytes, i32.const(7)), i32.const(1));
  }

  execute(target: I64, modifier: I32): void {
    this.specificationIf(i32.and(i32.wrap(target), i32.const(1)));
    const delta = i64.sub(target, this.startAddress);
    const scratch = this.let32(
      call32(this.#context.imports.execute, high32(target), i32.wrap(target), modifier),
    );
    this.#faultUnless(scratch);
    this.fn.emit(i64.store(AREA, delta, Core.relativeDelta));
    const status = this.let32(this.#runEntry(scratch));
    this.fn.emit(i64.store(AREA, i64.const(0), Core.relativeDelta));
    this.fn.return(status);
  }

  /** An instruction that crosses a page: the scratch entry has all of it; then go to the next page. */
  cross(): void {
    const scratch = this.let32(call32(this.#context.imports.cross, this.entry));
    this.#faultUnless(scratch);
    const status = this.let32(this.#runEntry(scratch));
    this.fn.return(i32.select(status, i32.const(Status.jump), status));
  }

  /** An instruction with something to be done before and after it. */
  watched(): void {
    const { watch, watched } = this.#context.imports;
    const handler = this.let32(call32(watch, this.entry));
    this.#faultUnless(handler);
    const status = callIndirect32(this.#context.rowType, handler, this.entry);
    this.fn.return(call32(watched, status));
  }

  override fetchFirst(on: boolean): void {
    this.fn.emit(i32.store(AREA, i32.const(on ? 1 : 0), Core.fetchesFirst));
  }

  slow(): void {
    this.fn.return(call32(this.#context.imports.slow, this.entry));
  }

  /** An intercepted instruction that touches registers only: counted as an exit, no detour through `slow`. */
  direct(index: number, kind: ExitKind): void {
    const exits = 4 * (VcpuHeader.exits + exitKinds.indexOf(kind));
    this.fn.emit(i32.store(AREA, i32.add(i32.load(AREA, exits), i32.const(1)), exits));
    this.fn.emit(call32(index, i32.load(this.entry, Entry.a)));
    const code = i32.load(AREA, Cpu.programCode);
    this.fn.return(i32.select(i32.const(Status.fault), i32.const(Status.next), code));
  }

  fault(): void {
    this.#end(Status.fault);
  }

  protected raise(code: number, nullify: number): void {
    const { raise } = this.#context.helpers;
    this.fn.emit(call32(raise, i32.const(code), i32.const(nullify)));
  }

  #runEntry(entry: I32): I32 {
    const handler = i32.load16U(entry, Entry.handler);
    return callIndirect32(this.#context.rowType, handler, entry);
  }

  #inPlace(helper: number, address: I64, bytes: I32): I32 {
    const host = this.let32(call32(helper, address, bytes));
    this.if(i32.eq(host, i32.const(-1)), () => this.fault());
    return host;
  }

  #swapped(width: Width, value: I32 | I64): I64 {
    if (width === 8) return this.swap64(value as I64);
    if (width === 4) return i64.fromU(this.swap32(value as I32));
    if (width === 2) return i64.fromU(this.swap16(value as I32));
    return i64.fromU(value as I32);
  }

  #setBreakingEvent(): void {
    this.fn.emit(i64.store(AREA, this.startAddress, Cpu.breakingEvent));
  }

  #faultUnless(host: I32): void {
    this.if(i32.eqz(host), () => this.fault());
  }

  #end(status: number): void {
    this.fn.return(i32.const(status));
  }
}

function asI32(bytes: I32 | number): I32 {
  return typeof bytes === "number" ? i32.const(bytes) : bytes;
}
