/**
 * Storage-to-storage instructions with one length: moves, comparison, logic, translation. Operands of up to
 * 256 bytes that lie in one page each are worked on in place; others byte by byte, after both ends of
 * what will be changed have been translated. SA22-7832 chapter 7.
 */

import { Entry } from "../core-layout.ts";
import { Cpu } from "../state.ts";
import { type I32, type I64, i32, i64, type Label } from "../wasm/index.ts";
import type { Body } from "./body.ts";
import { type Row, row } from "./row.ts";
import { ZERO32 } from "./sources.ts";

interface Operands {
  readonly length: I32; // in bytes, 1...256
  readonly first: I64;
  readonly second: I64;
}

function operands(b: Body): Operands {
  const displacements = b.let32(b.d);
  const sum = (slot: number, displacement: I32): I64 =>
    i64.and(i64.add(b.base(slot), i64.fromU(displacement)), b.addressMask);
  return {
    length: b.let32(i32.add(b.field32(Entry.a), i32.const(1))),
    first: b.let64(sum(Entry.b, i32.and(displacements, i32.const(0xfff)))),
    second: b.let64(sum(Entry.c, i32.shrU(displacements, i32.const(16)))),
  };
}

/** Address `base + index`, wrapped. */
function plus(b: Body, base: I64, index: I32): I64 {
  return i64.and(i64.add(base, i64.fromU(index)), b.addressMask);
}

function lastOf(b: Body, base: I64, length: I32): I64 {
  return plus(b, base, i32.sub(length, i32.const(1)));
}

/** MVC: left to right, byte by byte in effect, so overlapping operands may propagate a byte. */
function move(b: Body): void {
  const { length, first, second } = operands(b);
  const source = b.let32(b.inPlace(second, length));
  const target = b.let32(b.inPlaceForChange(first, length));
  b.if(
    i32.and(i32.ne(source, ZERO32), i32.ne(target, ZERO32)),
    () => b.copyForward(target, source, length),
    () => {
      b.moveAcrossPages(first, second, length);
    },
  );
}

/** Applies `each` to every byte of two operands of which the first is changed. */
function combine(each: (b: Body, first: I32, second: I32) => I32) {
  return (b: Body): void => {
    const { length, first, second } = operands(b);
    const any = b.variable32(ZERO32);
    const index = b.variable32(ZERO32);
    const source = b.let32(b.inPlace(second, length));
    // The first operand is fetched and stored: a missing page shows as a fetch.
    b.ofFirst(() => b.fn.drop(b.inPlace(first, length)));
    const target = b.let32(b.inPlaceForChange(first, length));
    const step = (again: Label, from: I32, to: I32): void => {
      const value = b.let32(each(b, i32.load8U(to), i32.load8U(from)));
      b.fn.emit(i32.store8(to, value));
      b.set(any, i32.or(any.get, value));
      b.set(index, i32.add(index.get, i32.const(1)));
      b.fn.brIf(again, i32.ltU(index.get, length));
    };
    b.if(
      i32.and(i32.ne(source, ZERO32), i32.ne(target, ZERO32)),
      () =>
        b.loop((again) => {
          const from = b.let32(i32.add(source, index.get));
          step(again, from, b.let32(i32.add(target, index.get)));
        }),
      () => {
        const ends = (operand: I64): void => {
          b.readable(operand, 1);
          b.readable(lastOf(b, operand, length), 1);
        };
        ends(second);
        b.ofFirst(() => ends(first));
        b.probe(first, length);
        b.loop((again) => {
          const from = b.readable(plus(b, second, index.get), 1);
          const to = b.let32(b.inPlaceForChange(plus(b, first, index.get), i32.const(1)));
          step(again, from, to);
        });
      },
    );
    b.setCc(i32.ne(any.get, ZERO32));
  };
}

function logic(op: "and" | "or" | "xor") {
  return (b: Body): void => {
    combine((_, x, y) => i32[op](x, y))(b);
  };
}

/** CLC: the first pair of bytes that differ decides. */
function compare(b: Body): void {
  const { length, first, second } = operands(b);
  const index = b.variable32(ZERO32);
  const x = b.variable32(ZERO32);
  const y = b.variable32(ZERO32);
  const step = (again: Label, firstByte: I32, secondByte: I32): void => {
    b.set(x, firstByte);
    b.set(y, secondByte);
    b.set(index, i32.add(index.get, i32.const(1)));
    b.fn.brIf(again, i32.and(i32.eq(x.get, y.get), i32.ltU(index.get, length)));
  };
  const left = b.ofFirst(() => b.let32(b.inPlace(first, length)));
  const right = b.let32(b.inPlace(second, length));
  b.if(
    i32.and(i32.ne(left, ZERO32), i32.ne(right, ZERO32)),
    () =>
      b.loop((again) =>
        step(again, i32.load8U(i32.add(left, index.get)), i32.load8U(i32.add(right, index.get))),
      ),
    () =>
      b.loop((again) => {
        const firstByte = b.ofFirst(() =>
          b.let32(i32.load8U(b.readable(plus(b, first, index.get), 1))),
        );
        step(again, firstByte, i32.load8U(b.readable(plus(b, second, index.get), 1)));
      }),
  );
  b.setCcCompare32(x.get, y.get, true);
}

/** MVCIN: the second operand is read right to left; its address designates its rightmost byte. */
function moveInverse(b: Body): void {
  const { length, first, second } = operands(b);
  const index = b.variable32(ZERO32);
  b.probe(first, length);
  const backwards = (i: I32): I64 => i64.and(i64.sub(second, i64.fromU(i)), b.addressMask);
  b.readable(backwards(ZERO32), 1);
  b.readable(backwards(i32.sub(length, i32.const(1))), 1);
  b.loop((again) => {
    const value = b.let32(i32.load8U(b.readable(backwards(index.get), 1)));
    const to = b.let32(b.inPlaceForChange(plus(b, first, index.get), i32.const(1)));
    b.fn.emit(i32.store8(to, value));
    b.set(index, i32.add(index.get, i32.const(1)));
    b.fn.brIf(again, i32.ltU(index.get, length));
  });
}

/** TR: each byte of the first operand is replaced by the table's byte; all are looked up before. */
function translate(b: Body): void {
  const { length, first, second } = operands(b);
  b.ofFirst(() => {
    b.readable(first, 1);
    b.readable(lastOf(b, first, length), 1);
  });
  b.probe(first, length);
  const pass = (store: boolean): void => {
    const index = b.variable32(ZERO32);
    b.loop((again) => {
      const to = b.let32(b.inPlaceForChange(plus(b, first, index.get), i32.const(1)));
      const from = b.readable(plus(b, second, i32.load8U(to)), 1);
      if (store) b.fn.emit(i32.store8(to, i32.load8U(from)));
      b.set(index, i32.add(index.get, i32.const(1)));
      b.fn.brIf(again, i32.ltU(index.get, length));
    });
  };
  pass(false);
  pass(true);
}

/** TRT: the first nonzero function byte stops; its argument's address to GR1, the byte to GR2. */
function translateAndTest(b: Body): void {
  scanForFunction(b, (first, index) => plus(b, first, index));
}

function scanForFunction(b: Body, argumentAt: (first: I64, index: I32) => I64): void {
  const { length, first, second } = operands(b);
  const index = b.variable32(ZERO32);
  const found = b.variable32(ZERO32);
  const at = b.fn.temp64();
  b.loop((again) => {
    b.set(at, argumentAt(first, index.get));
    const argument = b.ofFirst(() => b.let32(i32.load8U(b.readable(at.get, 1))));
    b.set(found, i32.load8U(b.readable(plus(b, second, argument), 1)));
    b.set(index, i32.add(index.get, i32.const(1)));
    b.fn.brIf(again, i32.and(i32.eqz(found.get), i32.ltU(index.get, length)));
  });
  b.if(found.get, () => {
    b.updateImpliedAddress(1, at.get);
    b.fn.emit(i32.store8(b.area, found.get, Cpu.gr + 16));
  });
  const stopped = i32.select(i32.const(2), i32.const(1), i32.eq(index.get, length));
  b.setCc(i32.select(stopped, ZERO32, i32.ne(found.get, ZERO32)));
}

/** TRTR: as TRT from right to left; the first operand's address designates its rightmost byte. */
function translateAndTestReverse(b: Body): void {
  scanForFunction(b, (first, index) => i64.and(i64.sub(first, i64.fromU(index)), b.addressMask));
}

const numerics = (_: Body, x: I32, y: I32): I32 =>
  i32.or(i32.and(x, i32.const(0xf0)), i32.and(y, i32.const(0x0f)));
const zones = (_: Body, x: I32, y: I32): I32 =>
  i32.or(i32.and(x, i32.const(0x0f)), i32.and(y, i32.const(0xf0)));

export const storageRows: readonly Row[] = [
  row("MVC", 0xd2, "SS", move),
  row("MVCIN", 0xe8, "SS", moveInverse),
  row("MVN", 0xd1, "SS", quiet(combine(numerics))),
  row("MVZ", 0xd3, "SS", quiet(combine(zones))),
  row("NC", 0xd4, "SS", logic("and")),
  row("OC", 0xd6, "SS", logic("or")),
  row("XC", 0xd7, "SS", logic("xor")),
  row("CLC", 0xd5, "SS", compare),
  row("TR", 0xdc, "SS", translate),
  row("TRT", 0xdd, "SS", translateAndTest),
  row("TRTR", 0xd0, "SS", translateAndTestReverse),
];

/** MVN and MVZ leave the condition code alone: it is put back after the loop. */
function quiet(body: (b: Body) => void) {
  return (b: Body): void => {
    const cc = b.let32(b.cc());
    body(b);
    b.setCc(cc);
  };
}
