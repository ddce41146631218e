/**
 * Interlocked updates. Aligned storage is changed with wasm atomics on the swapped operands, so the
 * update is seen as one by other CPUs and by devices; misalignment is a specification exception, as the
 * architecture has it. SA22-7832 chapter 7; byte order: performance.md 3.2.
 *
 * Sixteen-byte operands (CDSG, LPQ, STPQ) are two accesses under a lock, since wasm has no wider atomic: they are one
 * among themselves, on all CPUs. Another instruction's eight bytes may come between.
 */

import { VmBlock } from "../../shm/blocks.ts";
import { Entry } from "../core-layout.ts";
import { type I32, type I64, i32, i64 } from "../wasm/index.ts";
import type { Body } from "./body.ts";
import { Facility, type Row, row } from "./row.ts";
import { ZERO32, ZERO64 } from "./sources.ts";

const HW = Facility.z196;

/** Shared memory begins with the VM's block (memory-map.ts). */
const PAIR_LOCK = i32.const(VmBlock.pairLock * 4);

/** The storage operand's address after the alignment check. */
function aligned(b: Body, bytes: number): I64 {
  const address = b.let64(b.address());
  b.specificationIf(i32.and(i32.wrap(address), i32.const(bytes - 1)));
  return address;
}

function compareAndSwap32(b: Body): void {
  b.change(aligned(b, 4), 4, (host) => {
    const expected = b.let32(b.swap32(b.gr32("r1")));
    const next = b.swap32(b.gr32("r3"));
    const seen = b.let32(i32.atomicCompareExchange(host, expected, next));
    const different = b.let32(i32.ne(seen, expected));
    b.setCc(different);
    b.if(different, () => {
      const value = b.swap32(seen);
      b.setGr32("r1", value);
    });
  });
}

function compareAndSwap64(b: Body): void {
  b.change(aligned(b, 8), 8, (host) => {
    const expected = b.let64(b.swap64(b.gr("r1")));
    const next = b.swap64(b.gr("r3"));
    const seen = b.let64(i64.atomicCompareExchange(host, expected, next));
    const different = b.let32(i64.ne(seen, expected));
    b.setCc(different);
    b.if(different, () => {
      const value = b.swap64(seen);
      b.setGr("r1", value);
    });
  });
}

function wordPair(b: Body, field: "r1" | "r3"): I64 {
  return i64.or(i64.shl(b.gr32U64(field), i64.const(32)), i64.fromU(b.gr32(field, true)));
}

function evenPairs(b: Body): void {
  b.specificationIf(i32.or(b.isOdd("r1"), b.isOdd("r3")));
}

/** CDS: two words, one aligned doubleword. */
function compareDoubleAndSwap(b: Body): void {
  evenPairs(b);
  b.change(aligned(b, 8), 8, (host) => {
    const expected = b.let64(b.swap64(wordPair(b, "r1")));
    const next = b.swap64(wordPair(b, "r3"));
    const seen = b.let64(i64.atomicCompareExchange(host, expected, next));
    const different = b.let32(i64.ne(seen, expected));
    b.setCc(different);
    b.if(different, () => {
      const value = b.let64(b.swap64(seen));
      b.setGr32("r1", i32.wrap(i64.shrU(value, i64.const(32))));
      b.setGr32("r1", i32.wrap(value), true);
    });
  });
}

/** CDSG: sixteen bytes. */
function compareDoubleAndSwap64(b: Body): void {
  evenPairs(b);
  b.change(aligned(b, 16), 16, (host) => {
    lockPairs(b);
    const high = b.let64(b.swap64(i64.load(host)));
    const low = b.let64(b.swap64(i64.load(host, 8)));
    const different = b.let32(i32.or(i64.ne(high, b.gr("r1")), i64.ne(low, b.gr("r1", true))));
    b.setCc(different);
    b.if(
      different,
      () => {
        b.setGr("r1", high);
        b.setGr("r1", low, true);
      },
      () => {
        b.fn.emit(i64.store(host, b.swap64(b.gr("r3"))));
        b.fn.emit(i64.store(host, b.swap64(b.gr("r3", true)), 8));
      },
    );
    unlockPairs(b);
  });
}

/**
 * Sixteen bytes have no wasm atomic: CPUs that update them take turns. The word is far from any guest's storage, and
 * its holder does a few loads and stores, so the others spin.
 */
function lockPairs(b: Body): void {
  b.fn.loop((again) => {
    b.fn.brIf(again, i32.atomicCompareExchange(PAIR_LOCK, ZERO32, i32.const(1)));
  });
}

function unlockPairs(b: Body): void {
  b.fn.emit(i32.atomicStore(PAIR_LOCK, ZERO32));
}

function loadPair(b: Body): void {
  b.specificationIf(b.isOdd("r1"));
  const host = b.readable(aligned(b, 16), 16);
  lockPairs(b);
  const high = b.let64(b.swap64(i64.load(host)));
  const low = b.let64(b.swap64(i64.load(host, 8)));
  unlockPairs(b);
  b.setGr("r1", high);
  b.setGr("r1", low, true);
}

function storePair(b: Body): void {
  b.specificationIf(b.isOdd("r1"));
  b.change(aligned(b, 16), 16, (host) => {
    lockPairs(b);
    b.fn.emit(i64.store(host, b.swap64(b.gr("r1"))));
    b.fn.emit(i64.store(host, b.swap64(b.gr("r1", true)), 8));
    unlockPairs(b);
  });
}

type Logic = "And" | "Or" | "Xor";
const plain = { And: "and", Or: "or", Xor: "xor" } as const;

/** LOAD AND AND / OR / EXCLUSIVE OR: r1 = the old value, cc from the new one. */
function loadAndLogic32(op: Logic) {
  return (b: Body): void =>
    b.change(aligned(b, 4), 4, (host) => {
      const operand = b.let32(b.swap32(b.gr32("r3")));
      const old = b.let32(i32[`atomic${op}`](host, operand));
      b.setCc(i32.ne(i32[plain[op]](old, operand), ZERO32));
      const value = b.swap32(old);
      b.setGr32("r1", value);
    });
}

function loadAndLogic64(op: Logic) {
  return (b: Body): void =>
    b.change(aligned(b, 8), 8, (host) => {
      const operand = b.let64(b.swap64(b.gr("r3")));
      const old = b.let64(i64[`atomic${op}`](host, operand));
      b.setCc(i64.ne(i64[plain[op]](old, operand), ZERO64));
      const value = b.swap64(old);
      b.setGr("r1", value);
    });
}

/** Adds in guest byte order, so the exchange is repeated until nobody came between. */
function atomicAdd32(b: Body, host: I32, amount: I32): I32 {
  const old = b.fn.temp32();
  b.loop((again) => {
    const seen = b.let32(i32.load(host));
    b.set(old, b.swap32(seen));
    const next = b.swap32(i32.add(old.get, amount));
    b.fn.brIf(again, i32.ne(i32.atomicCompareExchange(host, seen, next), seen));
  });
  return old.get;
}

function atomicAdd64(b: Body, host: I32, amount: I64): I64 {
  const old = b.fn.temp64();
  b.loop((again) => {
    const seen = b.let64(i64.load(host));
    b.set(old, b.swap64(seen));
    const next = b.swap64(i64.add(old.get, amount));
    b.fn.brIf(again, i64.ne(i64.atomicCompareExchange(host, seen, next), seen));
  });
  return old.get;
}

function loadAndAdd32(logical: boolean) {
  return (b: Body): void => {
    const amount = b.let32(b.gr32("r3"));
    const old = b.variable32(ZERO32);
    b.change(aligned(b, 4), 4, (host) => b.set(old, atomicAdd32(b, host, amount)));
    const sum = b.let32(i32.add(old.get, amount));
    b.setGr32("r1", old.get);
    if (logical) {
      b.setCc(i32.or(i32.shl(i32.ltU(sum, amount), i32.const(1)), i32.ne(sum, ZERO32)));
      return;
    }
    const overflow = i32.and(i32.xor(old.get, sum), i32.xor(amount, sum));
    b.if(
      i32.ltS(overflow, ZERO32),
      () => b.overflow(),
      () => b.setCcSigned32(sum),
    );
  };
}

function loadAndAdd64(logical: boolean) {
  return (b: Body): void => {
    const amount = b.let64(b.gr("r3"));
    const old = b.variable64(ZERO64);
    b.change(aligned(b, 8), 8, (host) => b.set(old, atomicAdd64(b, host, amount)));
    const sum = b.let64(i64.add(old.get, amount));
    b.setGr("r1", old.get);
    if (logical) {
      b.setCc(i32.or(i32.shl(i64.ltU(sum, amount), i32.const(1)), i64.ne(sum, ZERO64)));
      return;
    }
    const overflow = i64.and(i64.xor(old.get, sum), i64.xor(amount, sum));
    b.if(
      i64.ltS(overflow, ZERO64),
      () => b.overflow(),
      () => b.setCcSigned64(sum),
    );
  };
}

/** TEST AND SET: cc = leftmost bit; the byte becomes all ones. */
function testAndSet(b: Body): void {
  b.change(b.address(), 1, (host) => {
    const old = i32.atomicExchange8(host, i32.const(0xff));
    b.setCc(i32.shrU(old, i32.const(7)));
  });
}

/** Both storage operands of an SSF instruction. */
function twoAddresses(b: Body): { first: I64; second: I64 } {
  const displacements = b.let32(b.d);
  const sum = (slot: number, displacement: I32): I64 =>
    i64.and(i64.add(b.base(slot), i64.fromU(displacement)), b.addressMask);
  return {
    first: b.let64(sum(Entry.b, i32.and(displacements, i32.const(0xfff)))),
    second: b.let64(sum(Entry.c, i32.shrU(displacements, i32.const(16)))),
  };
}

function misaligned(address: I64, bytes: I32): I32 {
  return i32.and(i32.wrap(address), i32.sub(bytes, i32.const(1)));
}

/** LOAD PAIR DISJOINT: two operands into an even-odd pair; cc 0, as one CPU sees them at one time. */
function loadPairDisjoint(bytes: 4 | 8) {
  return (b: Body): void => {
    b.specificationIf(b.isOdd("r3"));
    const { first, second } = twoAddresses(b);
    const size = i32.const(bytes);
    b.specificationIf(i32.or(misaligned(first, size), misaligned(second, size)));
    if (bytes === 4) {
      const one = b.let32(b.load32(first));
      const two = b.let32(b.load32(second));
      b.setGr32("r3", one);
      b.setGr32("r3", two, true);
    } else {
      const one = b.let64(b.load64(first));
      const two = b.let64(b.load64(second));
      b.setGr("r3", one);
      b.setGr("r3", two, true);
    }
    b.setCc(ZERO32);
  };
}

/**
 * COMPARE AND SWAP AND STORE: GR0 holds function code (4, 8 or 16 bytes to compare) and store
 * characteristic (1...16 bytes to store); the parameter list at GR1 the replacement and the store value.
 */
function compareSwapStore(b: Body): void {
  const control = b.let32(i32.wrap(b.implied(0)));
  const code = b.let32(i32.and(control, i32.const(0xff)));
  const storeCode = b.let32(i32.and(i32.shrU(control, i32.const(8)), i32.const(0xff)));
  b.specificationIf(i32.or(i32.gtU(code, i32.const(2)), i32.gtU(storeCode, i32.const(4))));
  b.if(i32.eq(code, i32.const(2)), () => b.specificationIf(b.isOdd("r3")));
  const { first, second } = twoAddresses(b);
  const bytes = b.let32(i32.shl(i32.const(4), code));
  const storeBytes = b.let32(i32.shl(i32.const(1), storeCode));
  b.specificationIf(i32.or(misaligned(first, bytes), misaligned(second, storeBytes)));
  b.probe(second, storeBytes);
  const list = b.let64(i64.and(i64.and(b.implied(1), b.addressMask), i64.const(-16)));
  const parameters = b.readable(list, 32);
  const different = b.variable32(ZERO32);
  b.change(first, bytes, (host) => {
    b.if(
      i32.eqz(code),
      () => b.set(different, swapWord(b, host, parameters)),
      () =>
        b.if(
          i32.eq(code, i32.const(1)),
          () => b.set(different, swapDoubleword(b, host, parameters)),
          () => b.set(different, swapQuadword(b, host, parameters)),
        ),
    );
  });
  b.if(i32.eqz(different.get), () => {
    const target = b.let32(b.inPlaceForChange(second, storeBytes));
    b.copyForward(target, i32.add(parameters, i32.const(16)), storeBytes);
  });
  b.setCc(different.get);
}

/** Compare with r3, exchange with the bytes at `next`, the old value to r3; 1 if it was different. */
function swapWord(b: Body, host: I32, next: I32): I32 {
  const expected = b.let32(b.swap32(b.gr32("r3")));
  const seen = b.let32(i32.atomicCompareExchange(host, expected, i32.load(next)));
  const value = b.swap32(seen);
  b.setGr32("r3", value);
  return i32.ne(seen, expected);
}

function swapDoubleword(b: Body, host: I32, next: I32): I32 {
  const expected = b.let64(b.swap64(b.gr("r3")));
  const seen = b.let64(i64.atomicCompareExchange(host, expected, i64.load(next)));
  const value = b.swap64(seen);
  b.setGr("r3", value);
  return i64.ne(seen, expected);
}

function swapQuadword(b: Body, host: I32, next: I32): I32 {
  const high = b.let64(b.swap64(i64.load(host)));
  const low = b.let64(b.swap64(i64.load(host, 8)));
  const different = b.let32(i32.or(i64.ne(high, b.gr("r3")), i64.ne(low, b.gr("r3", true))));
  b.if(i32.eqz(different), () => {
    b.fn.emit(i64.store(host, i64.load(next)));
    b.fn.emit(i64.store(host, i64.load(next, 8), 8));
  });
  b.setGr("r3", high);
  b.setGr("r3", low, true);
  return different;
}

export const interlockedRows: readonly Row[] = [
  row("CS", 0xba, "RS", compareAndSwap32),
  row("CSY", 0xeb14, "RSY", compareAndSwap32),
  row("CSG", 0xeb30, "RSY", compareAndSwap64),
  row("CDS", 0xbb, "RS", compareDoubleAndSwap),
  row("CDSY", 0xeb31, "RSY", compareDoubleAndSwap),
  row("CDSG", 0xeb3e, "RSY", compareDoubleAndSwap64),
  row("CSST", 0xc82, "SSF", compareSwapStore),
  row("LPD", 0xc84, "SSF", loadPairDisjoint(4), HW),
  row("LPDG", 0xc85, "SSF", loadPairDisjoint(8), HW),
  row("TS", 0x93, "S", testAndSet),
  row("LPQ", 0xe38f, "RXY", loadPair),
  row("STPQ", 0xe38e, "RXY", storePair),
  row("LAA", 0xebf8, "RSY", loadAndAdd32(false), HW),
  row("LAAG", 0xebe8, "RSY", loadAndAdd64(false), HW),
  row("LAAL", 0xebfa, "RSY", loadAndAdd32(true), HW),
  row("LAALG", 0xebea, "RSY", loadAndAdd64(true), HW),
  row("LAN", 0xebf4, "RSY", loadAndLogic32("And"), HW),
  row("LANG", 0xebe4, "RSY", loadAndLogic64("And"), HW),
  row("LAO", 0xebf6, "RSY", loadAndLogic32("Or"), HW),
  row("LAOG", 0xebe6, "RSY", loadAndLogic64("Or"), HW),
  row("LAX", 0xebf7, "RSY", loadAndLogic32("Xor"), HW),
  row("LAXG", 0xebe7, "RSY", loadAndLogic64("Xor"), HW),
];
