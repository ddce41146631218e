/**
 * The functions every body leans on: guest address to host address through the software TLB, operands
 * that cross a page, byte copies, raising. A host address of 0 means "a program interruption is recorded".
 *
 * Crossing a page: a fetch operand is gathered in the read bounce; a store operand is worked on in the
 * write bounce and put back by `commit`, after both pages have been translated for storing.
 */

import type { ExitKind } from "../../shm/blocks.ts";
import { Core, TLB_ENTRIES, TlbEntry } from "../core-layout.ts";
import { FETCH, STORE } from "../seam.ts";
import { Cpu } from "../state.ts";
import {
  FunctionBuilder as Builder,
  call32,
  type FunctionBuilder,
  globalGet32,
  type I32,
  type I64,
  i32,
  i64,
  type Local,
  type ModuleBuilder,
  VALUE_I32,
  VALUE_I64,
} from "../wasm/index.ts";

/** The vCPU area's host address: the module's only global. */
export const AREA = globalGet32(0);

export interface Imports {
  /** (high, low, kind | bytes << 8) -> host address or 0; fills the TLB. */
  readonly fill: number;
  /** (high, low) -> host address of the page's slot or 0. */
  readonly lookup: number;
  /** (entry): decodes the instruction the entry stands for. */
  readonly decode: number;
  /** (entry) -> status of an instruction written in TypeScript. */
  readonly slow: number;
  /** (high, low, modifier) -> scratch entry or 0. */
  readonly execute: number;
  /** (entry) -> scratch entry of an instruction that crosses a page, or 0. */
  readonly cross: number;
  /** (entry) -> handler of the instruction that is to be watched, or 0. */
  readonly watch: number;
  /** (status) -> status after it. */
  readonly watched: number;
  /** (bytes 0-3) of each instruction that has an import of its own. */
  readonly direct: readonly { readonly index: number; readonly kind: ExitKind }[];
  /** (entry): the instruction was reached by taken branches often enough to be translated. */
  readonly hot: number;
}

export interface Helpers {
  readonly read: number; //        (address, bytes) -> host | 0
  readonly write: number; //       (address, bytes) -> host | 0; crossing: commit afterwards
  readonly commit: number; //      ()
  readonly store: number; //       (address, value, bytes) -> 1 | 0
  readonly inPlaceRead: number; // (address, bytes) -> host | 0 crossing | -1 fault
  readonly inPlaceWrite: number;
  readonly probe: number; //       (address, bytes) -> 1 | 0
  readonly copy: number; //        (target, source, bytes)
  readonly move: number; //        (target, source, bytes) -> 1 | 0
  readonly raise: number; //       (code, nullify)
}

const ZERO = i32.const(0);
const PAGE_MASK = i64.const(-4096);

export function high32(value: I64): I32 {
  return i32.wrap(i64.shrU(value, i64.const(32)));
}

/** Host address of the TLB entry for a guest address. */
export function tlbEntry(area: I32, address: I64): I32 {
  return i32.add(
    i32.and(
      i32.wrap(i64.shrU(address, i64.const(7))),
      i32.const((TLB_ENTRIES - 1) * TlbEntry.bytes),
    ),
    area,
  );
}

/** The tag that an access ending `last` bytes behind `address` must find; a page crossing never does. */
export function wantedTag(address: I64, last: I64 | undefined, space: I64): I64 {
  const end = last === undefined ? address : i64.add(address, last);
  return i64.or(i64.and(end, PAGE_MASK), space);
}

const dataTag = i64.load(AREA, Core.dataTag);
const addressMask = i64.load(AREA, Core.addressMask);

/** Distance to the operand's last byte. */
function lastOf(bytes: I32): I64 {
  return i64.fromU(i32.sub(bytes, i32.const(1)));
}

export function defineHelpers(module: ModuleBuilder, imports: Imports): Helpers {
  const declare = (parameters: readonly (typeof VALUE_I32 | typeof VALUE_I64)[], result = true) =>
    module.declare({ parameters, results: result ? [VALUE_I32] : [] });
  const access = [VALUE_I64, VALUE_I32] as const;
  const helpers: Helpers = {
    read: declare(access),
    write: declare(access),
    commit: declare([], false),
    store: declare([VALUE_I64, VALUE_I64, VALUE_I32]),
    inPlaceRead: declare(access),
    inPlaceWrite: declare(access),
    probe: declare(access),
    copy: declare([VALUE_I32, VALUE_I32, VALUE_I32], false),
    move: declare([VALUE_I64, VALUE_I64, VALUE_I32]),
    raise: declare([VALUE_I32, VALUE_I32], false),
  };
  module.define(helpers.read, readFunction(helpers, imports));
  module.define(helpers.write, writeFunction(helpers, imports));
  module.define(helpers.commit, commitFunction(helpers));
  module.define(helpers.store, storeFunction(helpers));
  module.define(helpers.inPlaceRead, inPlaceFunction(helpers.read));
  module.define(helpers.inPlaceWrite, inPlaceFunction(helpers.write));
  module.define(helpers.probe, probeFunction(helpers));
  module.define(helpers.copy, copyFunction());
  module.define(helpers.move, moveFunction(helpers));
  module.define(helpers.raise, raiseFunction());
  return helpers;
}

/** Returns the host address when the tag at `offset` of the TLB entry matches. */
function returnOnHit(fn: FunctionBuilder, address: I64, bytes: I32, offset: number): I32 {
  const entry = fn.let32(tlbEntry(AREA, address));
  const hit = i64.eq(
    i64.load(entry, Core.tlb + offset),
    wantedTag(address, lastOf(bytes), dataTag),
  );
  fn.if(hit, () => fn.return(hostOf(entry, address)));
  return entry;
}

export function hostOf(entry: I32, address: I64): I32 {
  return i32.add(i32.load(entry, Core.tlb + TlbEntry.addend), i32.wrap(address));
}

function crosses(address: I64, bytes: I32): I32 {
  const end = i64.add(address, lastOf(bytes));
  return i64.ne(i64.and(i64.xor(address, end), PAGE_MASK), i64.const(0));
}

function call(fn: FunctionBuilder, index: number, ...operands: readonly (I32 | I64)[]): void {
  fn.emit(call32(index, ...operands));
}

/** Bytes of the operand in its first page. */
function firstPart(address: I64): I32 {
  return i32.sub(i32.const(4096), i32.and(i32.wrap(address), i32.const(0xfff)));
}

function secondAddress(address: I64, first: I32): I64 {
  return i64.and(i64.add(address, i64.fromU(first)), addressMask);
}

function readFunction(helpers: Helpers, imports: Imports): FunctionBuilder {
  const fn = new Builder([VALUE_I64, VALUE_I32]);
  const address = fn.parameter64(0).get;
  const bytes = fn.parameter32(1).get;
  returnOnHit(fn, address, bytes, TlbEntry.readTag);
  fn.if(i32.eqz(crosses(address, bytes)), () =>
    fn.return(call32(imports.fill, high32(address), i32.wrap(address), i32.const(FETCH))),
  );
  const first = fn.let32(firstPart(address));
  const one = fn.let32(call32(helpers.read, address, i32.const(1)));
  fn.if(i32.eqz(one), () => fn.return(ZERO));
  const two = fn.let32(call32(helpers.read, secondAddress(address, first), i32.const(1)));
  fn.if(i32.eqz(two), () => fn.return(ZERO));
  const bounce = fn.let32(i32.add(AREA, i32.const(Core.readBounce)));
  call(fn, helpers.copy, bounce, one, first);
  call(fn, helpers.copy, i32.add(bounce, first), two, i32.sub(bytes, first));
  fn.emit(bounce);
  return fn;
}

/** A store's kind, with its length for those who look at stores. */
function storeOf(bytes: I32): I32 {
  return i32.or(i32.shl(bytes, i32.const(8)), i32.const(STORE));
}

function writeFunction(helpers: Helpers, imports: Imports): FunctionBuilder {
  const fn = new Builder([VALUE_I64, VALUE_I32]);
  const address = fn.parameter64(0).get;
  const bytes = fn.parameter32(1).get;
  const entry = returnOnHit(fn, address, bytes, TlbEntry.writeTag);
  const lowHit = i64.eq(
    i64.load(entry, Core.tlb + TlbEntry.lowTag),
    wantedTag(address, lastOf(bytes), dataTag),
  );
  const behind = i32.geU(i32.and(i32.wrap(address), i32.const(0xfff)), i32.const(512));
  fn.if(i32.and(lowHit, behind), () => fn.return(hostOf(entry, address)));
  fn.if(i32.eqz(crosses(address, bytes)), () =>
    fn.return(call32(imports.fill, high32(address), i32.wrap(address), storeOf(bytes))),
  );
  const first = fn.let32(firstPart(address));
  const one = fn.let32(call32(helpers.write, address, i32.const(1)));
  fn.if(i32.eqz(one), () => fn.return(ZERO));
  const two = fn.let32(call32(helpers.write, secondAddress(address, first), i32.const(1)));
  fn.if(i32.eqz(two), () => fn.return(ZERO));
  const bounce = fn.let32(i32.add(AREA, i32.const(Core.writeBounce)));
  call(fn, helpers.copy, bounce, one, first);
  call(fn, helpers.copy, i32.add(bounce, first), two, i32.sub(bytes, first));
  fn.emit(i32.store(AREA, one, Core.commitFirst));
  fn.emit(i32.store(AREA, first, Core.commitFirstBytes));
  fn.emit(i32.store(AREA, two, Core.commitSecond));
  fn.emit(i32.store(AREA, bytes, Core.commitBytes));
  fn.emit(bounce);
  return fn;
}

function commitFunction(helpers: Helpers): FunctionBuilder {
  const fn = new Builder([]);
  const bounce = fn.let32(i32.add(AREA, i32.const(Core.writeBounce)));
  const first = fn.let32(i32.load(AREA, Core.commitFirstBytes));
  call(fn, helpers.copy, i32.load(AREA, Core.commitFirst), bounce, first);
  const rest = i32.sub(i32.load(AREA, Core.commitBytes), first);
  call(fn, helpers.copy, i32.load(AREA, Core.commitSecond), i32.add(bounce, first), rest);
  return fn;
}

/** Commits when the operand was in the bounce. */
export function commitIfBounced(fn: FunctionBuilder, helpers: Helpers, area: I32, host: I32): void {
  fn.if(i32.eq(host, i32.add(area, i32.const(Core.writeBounce))), () => call(fn, helpers.commit));
}

function storeFunction(helpers: Helpers): FunctionBuilder {
  const fn = new Builder([VALUE_I64, VALUE_I64, VALUE_I32]);
  const address = fn.parameter64(0).get;
  const value = fn.parameter64(1).get;
  const bytes = fn.parameter32(2).get;
  const host = fn.let32(call32(helpers.write, address, bytes));
  fn.if(i32.eqz(host), () => fn.return(ZERO));
  fn.block((done) => {
    fn.if(i32.eq(bytes, i32.const(8)), () => {
      fn.emit(i64.store(host, value));
      fn.br(done);
    });
    fn.if(i32.eq(bytes, i32.const(4)), () => {
      fn.emit(i64.store32(host, value));
      fn.br(done);
    });
    fn.if(i32.eq(bytes, i32.const(2)), () => {
      fn.emit(i64.store16(host, value));
      fn.br(done);
    });
    fn.emit(i64.store8(host, value));
  });
  commitIfBounced(fn, helpers, AREA, host);
  fn.emit(i32.const(1));
  return fn;
}

function inPlaceFunction(resolve: number): FunctionBuilder {
  const fn = new Builder([VALUE_I64, VALUE_I32]);
  const address = fn.parameter64(0).get;
  const bytes = fn.parameter32(1).get;
  fn.if(crosses(address, bytes), () => fn.return(ZERO));
  const host = fn.let32(call32(resolve, address, bytes));
  fn.emit(i32.select(host, i32.const(-1), host));
  return fn;
}

function lastAddress(address: I64, bytes: I32): I64 {
  return i64.and(i64.add(address, lastOf(bytes)), addressMask);
}

function probeFunction(helpers: Helpers): FunctionBuilder {
  const fn = new Builder([VALUE_I64, VALUE_I32]);
  const address = fn.parameter64(0).get;
  const bytes = fn.parameter32(1).get;
  const one = i32.const(1);
  fn.if(i32.eqz(call32(helpers.write, address, one)), () => fn.return(ZERO));
  fn.emit(i32.ne(call32(helpers.write, lastAddress(address, bytes), one), ZERO));
  return fn;
}

/** Eight bytes at a time unless the target begins inside the source: then byte by byte. */
function copyFunction(): FunctionBuilder {
  const fn = new Builder([VALUE_I32, VALUE_I32, VALUE_I32]);
  const target = fn.parameter32(0);
  const source = fn.parameter32(1);
  const bytes = fn.parameter32(2);
  const advance = (by: number): void => {
    fn.set(target, i32.add(target.get, i32.const(by)));
    fn.set(source, i32.add(source.get, i32.const(by)));
    fn.set(bytes, i32.sub(bytes.get, i32.const(by)));
  };
  const chunks = (by: number, copy: () => void): void =>
    fn.block((done) =>
      fn.loop((again) => {
        fn.brIf(done, i32.ltU(bytes.get, i32.const(by)));
        copy();
        advance(by);
        fn.br(again);
      }),
    );
  fn.if(i32.geU(i32.sub(target.get, source.get), bytes.get), () =>
    chunks(8, () => fn.emit(i64.store(target.get, i64.load(source.get)))),
  );
  chunks(1, () => fn.emit(i32.store8(target.get, i32.load8U(source.get))));
  return fn;
}

function moveFunction(helpers: Helpers): FunctionBuilder {
  const fn = new Builder([VALUE_I64, VALUE_I64, VALUE_I32]);
  const target: Local<I64> = fn.parameter64(0);
  const source: Local<I64> = fn.parameter64(1);
  const bytes = fn.parameter32(2);
  const one = i32.const(1);
  fn.if(i32.eqz(call32(helpers.read, source.get, one)), () => fn.return(ZERO));
  fn.if(i32.eqz(call32(helpers.read, lastAddress(source.get, bytes.get), one)), () =>
    fn.return(ZERO),
  );
  fn.if(i32.eqz(call32(helpers.probe, target.get, bytes.get)), () => fn.return(ZERO));
  fn.loop((again) => {
    const from = fn.let32(call32(helpers.read, source.get, one));
    fn.if(i32.eqz(from), () => fn.return(ZERO));
    const to = fn.let32(call32(helpers.write, target.get, one));
    fn.if(i32.eqz(to), () => fn.return(ZERO));
    fn.emit(i32.store8(to, i32.load8U(from)));
    for (const local of [source, target]) {
      fn.set(local, i64.and(i64.add(local.get, i64.const(1)), addressMask));
    }
    fn.set(bytes, i32.sub(bytes.get, one));
    fn.brIf(again, bytes.get);
  });
  fn.emit(one);
  return fn;
}

function raiseFunction(): FunctionBuilder {
  const fn = new Builder([VALUE_I32, VALUE_I32]);
  fn.emit(i32.store(AREA, fn.parameter32(0).get, Cpu.programCode));
  fn.emit(i32.store(AREA, fn.parameter32(1).get, Cpu.nullify));
  return fn;
}
