/**
 * String instructions that end at a character, and CHECKSUM. Each execution does at most `UNIT` bytes and
 * then sets condition code 3, or stops there early when the next byte cannot be accessed after some have
 * been processed: the exception then comes with the next execution, on a clean state. SA22-7832 chapter 7.
 */
import { type I32, type I64, i32, i64, type Label, type Local } from "../wasm/index.ts";
import type { Body } from "./body.ts";
import { type Row, row } from "./row.ts";
import { ZERO32 } from "./sources.ts";

const UNIT = 4096;

/** Ending character from GR0; its bits 32-55 must be zeros. */
function ending(b: Body): I32 {
  const value = b.let32(i32.wrap(b.implied(0)));
  b.specificationIf(i32.and(value, i32.const(~0xff)));
  return value;
}

function next(b: Body, address: Local<I64>): void {
  b.set(address, i64.and(i64.add(address.get, i64.const(1)), b.addressMask));
}

/** Counts one byte; branches back while the unit lasts. */
function whileUnitLasts(b: Body, done: Local<I32>, again: Label): void {
  b.set(done, i32.add(done.get, i32.const(1)));
  b.fn.brIf(again, i32.ltU(done.get, i32.const(UNIT)));
}

/** SEARCH STRING: r1 = end, r2 = start; cc 1 found (r1 = its address), 2 not found. */
function search(b: Body): void {
  const character = ending(b);
  const end = b.let64(b.registerAddress("r1"));
  const at = b.variable64(b.registerAddress("r2"));
  const done = b.variable32(ZERO32);
  const cc = b.variable32(i32.const(3));
  b.fn.block((out) =>
    b.loop((again) => {
      b.if(i64.eq(at.get, end), () => {
        b.set(cc, i32.const(2));
        b.fn.br(out);
      });
      const byte = i32.load8U(b.readable(at.get, 1));
      b.if(i32.eq(byte, character), () => {
        b.set(cc, i32.const(1));
        b.fn.br(out);
      });
      next(b, at);
      whileUnitLasts(b, done, again);
    }),
  );
  b.if(i32.eq(cc.get, i32.const(1)), () => b.updateAddress("r1", at.get));
  b.if(i32.eq(cc.get, i32.const(3)), () => b.updateAddress("r2", at.get));
  b.setCc(cc.get);
}

/** Host address of a byte, or 0 to stop with condition code 3; leaves if nothing has been done yet. */
function orStop(b: Body, done: Local<I32>, host: I32, out: Label): I32 {
  const found = b.let32(host);
  b.if(i32.eqz(found), () => {
    b.if(i32.eqz(done.get), () => b.fault());
    b.forgetFault();
    b.fn.br(out);
  });
  return found;
}

/** MOVE STRING: up to and with the ending character; r1 then points at it. */
function move(b: Body): void {
  const character = ending(b);
  const to = b.variable64(b.registerAddress("r1"));
  const from = b.variable64(b.registerAddress("r2"));
  const done = b.variable32(ZERO32);
  const cc = b.variable32(i32.const(3));
  b.fn.block((out) =>
    b.loop((again) => {
      const source = orStop(b, done, b.tryReadable(from.get), out);
      const target = orStop(b, done, b.tryChangeable(to.get), out);
      const byte = b.let32(i32.load8U(source));
      b.fn.emit(i32.store8(target, byte));
      b.if(i32.eq(byte, character), () => {
        b.set(cc, i32.const(1));
        b.fn.br(out);
      });
      next(b, to);
      next(b, from);
      whileUnitLasts(b, done, again);
    }),
  );
  b.updateAddress("r1", to.get);
  b.if(i32.eq(cc.get, i32.const(3)), () => b.updateAddress("r2", from.get));
  b.setCc(cc.get);
}

/** COMPARE LOGICAL STRING: the ending character of either operand counts as the lowest. */
function compare(b: Body): void {
  const character = ending(b);
  const first = b.variable64(b.registerAddress("r1"));
  const second = b.variable64(b.registerAddress("r2"));
  const done = b.variable32(ZERO32);
  const cc = b.variable32(i32.const(3));
  b.fn.block((out) =>
    b.loop((again) => {
      const left = b.ofFirst(() => orStop(b, done, b.tryReadable(first.get), out));
      const x = b.let32(i32.load8U(left));
      const right = orStop(b, done, b.tryReadable(second.get), out);
      const y = b.let32(i32.load8U(right));
      const firstEnds = b.let32(i32.eq(x, character));
      const secondEnds = b.let32(i32.eq(y, character));
      b.if(i32.or(i32.ne(x, y), firstEnds), () => {
        const low = i32.select(i32.const(1), i32.const(2), i32.ltU(x, y));
        const unequal = i32.select(
          i32.const(1),
          i32.select(i32.const(2), low, secondEnds),
          firstEnds,
        );
        b.set(cc, i32.select(ZERO32, unequal, i32.eq(x, y)));
        b.fn.br(out);
      });
      next(b, first);
      next(b, second);
      whileUnitLasts(b, done, again);
    }),
  );
  b.if(cc.get, () => {
    b.updateAddress("r1", first.get);
    b.updateAddress("r2", second.get);
  });
  b.setCc(cc.get);
}

/** CHECKSUM: words added with end-around carry; a last part word is padded with zeros. */
function checksum(b: Body): void {
  b.specificationIf(b.isOdd("r2"));
  const at = b.variable64(b.registerAddress("r2"));
  const wide = b.let32(b.in64BitMode());
  const length = b.variable64(i64.select(b.gr("r2", true), i64.fromU(b.gr32("r2", true)), wide));
  const sum = b.variable64(b.gr32U64("r1"));
  const done = b.variable32(ZERO32);
  b.fn.block((out) =>
    b.loop((again) => {
      b.fn.brIf(out, i64.eqz(length.get));
      const bytes = b.let64(
        i64.select(length.get, i64.const(4), i64.ltU(length.get, i64.const(4))),
      );
      const host = b.readable(at.get, b.let32(i32.wrap(bytes)));
      const word = b.variable32(ZERO32);
      b.if(
        i64.eq(bytes, i64.const(4)),
        () => b.set(word, b.swap32(i32.load(host))),
        () => {
          for (let i = 0; i < 3; i++) {
            b.if(i64.gtU(bytes, i64.const(i)), () =>
              b.set(word, i32.or(word.get, i32.shl(i32.load8U(host, i), i32.const(24 - 8 * i)))),
            );
          }
        },
      );
      b.set(sum, i64.add(sum.get, i64.fromU(word.get)));
      b.set(
        sum,
        i64.add(i64.and(sum.get, i64.const(0xffffffff)), i64.shrU(sum.get, i64.const(32))),
      );
      b.set(at, i64.and(i64.add(at.get, bytes), b.addressMask));
      b.set(length, i64.sub(length.get, bytes));
      whileUnitLasts(b, done, again);
    }),
  );
  b.setGr32("r1", i32.wrap(sum.get));
  b.updateAddress("r2", at.get);
  b.if(
    wide,
    () => b.setGr("r2", length.get, true),
    () => b.setGr32("r2", i32.wrap(length.get), true),
  );
  b.setCc(i32.select(ZERO32, i32.const(3), i64.eqz(length.get)));
}

export const stringRows: readonly Row[] = [
  row("SRST", 0xb25e, "RRE", search),
  row("MVST", 0xb255, "RRE", move),
  row("CLST", 0xb25d, "RRE", compare),
  row("CKSM", 0xb241, "RRE", checksum),
];
