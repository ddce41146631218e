/** Steps that need more than random operands: division, load and store multiple, atomics, EXECUTE, traps. */
import { emitRow } from "./emit-row.ts";
import type { Fields } from "./formats.ts";
import type { Generator } from "./generator.ts";
import { encode, insn, type Row, rowsOf } from "./instructions.ts";
import { WINDOW_BYTES, Window } from "./layout.ts";
import { generatedRows } from "./rows.ts";

const divides = rowsOf("divide");

/** A division whose dividend was made small half of the time, so that quotients exist. */
export function divideStep(g: Generator): void {
  const row = g.rng.pick(divides);
  if (g.chance(35)) {
    emitRow(g, row);
    return;
  }
  const r1 = g.targetPair();
  const even = r1 & 14;
  const long = row.name === "dr" || row.name === "d" || row.name === "dl" || row.name === "dlr";
  if (row.name.startsWith("ds")) {
    // The even register is not part of the dividend.
  } else if (long && !row.name.startsWith("dl") && g.chance(50)) {
    g.emit(insn("sra", { r1: even, d2: 31 }));
  } else {
    g.loadConstant(even, BigInt(g.below(g.chance(50) ? 3 : 0x10000)));
  }
  g.wrote(even, even + 1);
  if (row.format === "RR" || row.format === "RRE") {
    g.put(row, { r1, r2: g.any() });
  } else {
    const operand = g.operand(row.size, 1, row.format === "RXY", true);
    g.put(row, { r1, b2: operand.b, d2: operand.d, x: operand.x });
  }
}

const multiples = generatedRows("multiple", "quad");

export function multipleStep(g: Generator): void {
  const row = g.rng.pick(multiples);
  if (row.format === "RXY") {
    const operand = g.operand(16, 16, true, true);
    const r1 = row.writes1 ? g.targetPair() : g.evenAny();
    g.emit(encode(row, { r1, b2: operand.b, d2: operand.d, x: operand.x }));
    if (row.writes1) g.wrote(r1, r1 + 1);
    return;
  }
  const loads = row.writes1 > 0;
  const count = g.chance(70) ? 1 + g.below(4) : 1 + g.below(16);
  const width = row.name === "lmg" || row.name === "stmg" ? 8 : 4;
  const access = row.name.includes("am");
  const wide = row.format === "RSY";
  // QEMU stores, and loads access registers, up to the page that faults.
  const crossing = !g.faulting || (loads && !access);
  const operand = g.operand(count * width, access ? 4 : 1, wide, false, crossing);
  const r1 = loads && count < 4 ? g.target() : g.any();
  const r3 = (r1 + count - 1) & 15;
  g.emit(encode(row, { r1, r3, b2: operand.b, d2: operand.d }));
  if (loads) {
    for (let n = 0; n < count; n++) g.wrote((r1 + n) & 15);
  }
}

const swaps = rowsOf("compareSwap");
const updates = rowsOf("interlocked");

/** Compare and swap, half of the time with a comparand that was loaded from the operand before. */
export function atomicStep(g: Generator): void {
  const kind = g.below(10);
  if (kind === 0) {
    compareAndSwapAndStore(g);
    return;
  }
  if (kind < 5) {
    const row = g.rng.pick(updates);
    if (row.format === "SSF") {
      loadPairDisjoint(g, row);
    } else {
      const operand = g.operand(row.size, row.align, true, false);
      g.put(row, { r1: g.target(), r3: g.any(), b2: operand.b, d2: operand.d });
    }
    return;
  }
  const row = g.rng.pick(swaps);
  if (row.format === "S1") {
    emitRow(g, row);
    return;
  }
  const wide = row.format === "RSY";
  const pair = row.writes1 === 2;
  const operand = g.operand(row.size, row.align, wide, false);
  const r1 = pair ? g.targetPair() : g.target();
  if (g.chance(60) && r1 !== operand.b && (!pair || (r1 ^ 1) !== operand.b)) {
    const name = row.size === 16 || (row.size === 8 && !pair) ? "lmg" : "lmy";
    const r3 = pair ? r1 + 1 : r1;
    g.emit(insn(name, { r1, r3: r3 & 15, b2: operand.b, d2: operand.d }));
  }
  const wildness = g.wildness;
  if (row.name === "cdsg") g.wildness = 0; // QEMU takes odd registers
  const r3 = pair ? g.evenAny() : g.any();
  g.wildness = wildness;
  g.put(row, { r1: row.name === "cdsg" ? r1 & 14 : r1, r3, b2: operand.b, d2: operand.d });
}

function loadPairDisjoint(g: Generator, row: Row): void {
  const size = row.name === "lpd" ? 4 : 8;
  const one = g.operand(size, size, false, false);
  const two = g.operand(size, size, false, false);
  const r3 = g.targetPair();
  g.emit(encode(row, { r3, b1: one.b, d1: one.d, b2: two.b, d2: two.d }));
  g.wrote(r3, r3 + 1);
}

/**
 * CSST: function code and store characteristic in GR0, parameter list at GR1. The comparand is the pair
 * (function code 2) or one register; the swap value comes from the parameter list.
 */
function compareAndSwapAndStore(g: Generator): void {
  const wildness = g.wildness;
  g.wildness = 0; // its specification exceptions kill QEMU as well
  const code = 1 + g.below(2); // 0, the 32-bit form: QEMU puts the result into the wrong half
  const characteristic = 1 + g.below(4); // 0 kills QEMU, see qemu-faults.ts
  const size = 4 << code;
  const storeSize = 1 << characteristic;
  g.lock(0, 1);
  const one = g.operand(size, size, false, false);
  const two = g.operand(storeSize, storeSize, false, false);
  const list = g.place(32, 16);
  const r3 = g.targetPair();
  // Operands that overlap one another or the list: the order of accesses is not defined.
  const apart = [one.address, two.address, list % WINDOW_BYTES].every((address, n, all) =>
    all.every(
      (other, m) => m === n || Math.abs((other % WINDOW_BYTES) - (address % Window.swapped)) >= 32,
    ),
  );
  if (one.b > 1 && two.b > 1 && apart) {
    g.loadConstant(0, BigInt((characteristic << 8) | code));
    g.loadConstant(1, BigInt(list));
    if (g.chance(60) && r3 !== one.b && r3 + 1 !== one.b && r3 > 1) {
      const last = code === 2 ? r3 + 1 : r3;
      g.emit(insn("lmg", { r1: r3, r3: last, b2: one.b, d2: one.d }));
    }
    g.emit(insn("csst", { r3, b1: one.b, d1: one.d, b2: two.b, d2: two.d }));
    g.wrote(r3, r3 + 1);
  }
  g.unlock(0, 1);
  g.wildness = wildness;
}

const traps = rowsOf("traps");

export function trapStep(g: Generator): void {
  emitRow(g, g.rng.pick(traps));
}

interface Target {
  readonly row: Row;
  readonly fields: Partial<Fields>;
}

const simpleTargets = rowsOf("registers", "immediate", "shifts", "distinct", "insert");

/** Without LA and its kin, whose left half QEMU clears in the small modes. */
const executedLoads = rowsOf("storageRx", "storageRxy").filter((row) => !row.address);

/** The instruction to be executed, with all operands chosen. */
function chooseTarget(g: Generator): Target {
  const kind = g.faulting ? 9 : g.below(10);
  if (kind < 4) {
    const row = g.rng.pick(rowsOf("ss").filter((candidate) => !candidate.name.startsWith("trt")));
    const one = g.operand(256, 1, false, false);
    const two = g.operand(256, 1, false, false);
    const fields = { l1: g.below(256), b1: one.b, d1: one.d, b2: two.b, d2: two.d };
    return { row, fields };
  }
  if (kind < 6) {
    const row = g.rng.pick(rowsOf("storageImmediate"));
    const wide = row.format === "SIY";
    const operand = g.operand(row.size, 1, wide, false);
    return { row, fields: { b1: operand.b, d1: operand.d, i: g.imm16() } };
  }
  if (kind < 8) {
    const row = g.rng.pick(executedLoads);
    const operand = g.operand(8, 1, row.format === "RXY", true);
    const r1 = row.writes1 ? g.target() : g.any();
    return { row, fields: { r1, b2: operand.b, d2: operand.d, x: operand.x } };
  }
  const row = g.rng.pick(simpleTargets);
  const r1 = row.writes1 === 2 ? g.targetPair() : row.writes1 === 1 ? g.target() : g.any();
  const r2 = row.no2 ? 0 : g.any();
  const positions = { i3: g.below(64), i4: g.below(64), i5: g.below(64) };
  return { row, fields: { r1, r2, r3: g.any(), i: g.imm16(), d2: g.below(64), ...positions } };
}

/**
 * EX or EXRL: the target stands at the end of the code area with some bits of its second byte taken
 * out; the low byte of R1 ORs them in again, so that what runs is the instruction that was chosen.
 */
export function executeStep(g: Generator): void {
  if (g.chance(15)) {
    executeBranch(g);
    return;
  }
  g.refresh();
  const r1 = g.chance(15) ? 0 : g.freeNonzero();
  g.lock(r1);
  const target = chooseTarget(g);
  const bytes = [...encode(target.row, target.fields).bytes];
  const secondByte = bytes[1] ?? 0;
  const kept = r1 === 0 ? 0xff : g.below(256);
  bytes[1] = secondByte & kept;
  // Bits that the target has already may come from the register as well.
  const fromRegister = (secondByte & ~kept & 0xff) | (secondByte & g.below(256));
  if (r1 !== 0) {
    const junk = g.rng.u64() & 0xffff_ff00n;
    g.loadConstant(r1, junk | BigInt(fromRegister));
  }
  const address = g.literal(bytes);
  if (g.chance(50)) {
    g.emit(insn("exrl", { r1, i: (address - g.here) / 2 }));
  } else {
    const base = baseFor(g, target, r1);
    g.clearHigh(base);
    g.emit(insn("larl", { r1: base, i: (address - g.here) / 2 }));
    g.wrote(base);
    g.emit(insn("ex", { r1, b2: base }));
  }
  g.unlock(r1);
  g.forget(target.row, target.fields);
}

/** EXRL of a branch through a register, or of SUPERVISOR CALL, which ends the sequence. */
function executeBranch(g: Generator): void {
  if (g.chance(10)) {
    const address = g.literal(insn("svc", { i: g.below(256) }).bytes);
    g.emit(insn("exrl", { r1: 0, i: (address - g.here) / 2 }));
    return;
  }
  const base = g.freeNonzero();
  g.wrote(base);
  g.clearHigh(base);
  const link = g.target();
  const name = g.rng.pick(["bcr", "basr", "balr"]);
  const address = g.literal(insn(name, { m: g.below(16), r1: link, r2: base }).bytes);
  g.wrote(...(name === "bcr" ? [] : [link]));
  const start = g.here;
  g.skipTo(
    (i) => [insn("larl", { r1: base, i }), insn("exrl", { r1: 0, i: (address - start - 6) / 2 })],
    () => emitRow(g, g.rng.pick(simpleTargets)),
  );
}

/** A register for the target's address that the target itself does not use as base or index. */
function baseFor(g: Generator, target: Target, r1: number): number {
  const { b1 = 0, b2 = 0, x = 0 } = target.fields;
  for (let register = 15; register > 0; register--) {
    if (register !== r1 && register !== b1 && register !== b2 && register !== x) {
      if (!g.isPointer(register)) return register;
    }
  }
  return r1 === 1 || b1 === 1 || b2 === 1 || x === 1 ? 2 : 1;
}
