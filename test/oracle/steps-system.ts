/** Steps of the families that change the machine's state: modes, PSW, address spaces, and deliberate faults. */
import { emitRow } from "./emit-row.ts";
import { type Generator, PSW_24, PSW_31, PSW_64, PSW_PROBLEM } from "./generator.ts";
import { encode, insn, rowNamed, rowsOf } from "./instructions.ts";
import { PAGE, RAM_BYTES, Slot, WINDOW_BYTES, Window } from "./layout.ts";
import { swappedEntry } from "./tables.ts";

const fillers = rowsOf("registers", "immediate", "storageRxy").filter((row) => row.name !== "laey");

function filler(g: Generator): void {
  emitRow(g, g.rng.pick(fillers));
}

/** SAM24/31/64, TAM, and the linkage instructions whose link depends on the mode. */
export function modeStep(g: Generator): void {
  if (g.chance(60)) {
    g.emit(insn(g.rng.pick(["sam24", "sam31", "sam64", "tam"])));
    return;
  }
  const r1 = g.target();
  g.emit(insn(g.rng.pick(["basr", "balr"]), { r1, r2: 0 }));
  g.wrote(r1);
}

/**
 * System masks without PER, with and without DAT (the code is mapped onto itself in every space);
 * interruptions that these bits enable never arrive in the harness.
 */
const systemMasks: readonly number[] = [0x00, 0x01, 0x02, 0x03, 0x04, 0x07];

export function pswStep(g: Generator): void {
  const kind = g.below(12);
  if (kind < 4) loadPsw(g);
  else if (kind < 6) setProgramMask(g);
  else if (kind < 8) systemMask(g);
  else {
    const [r1, r2] = [g.target(), g.target()];
    // QEMU leaves the condition code out.
    g.emitFused(insn("epsw", { r1, r2 }), insn("nill", { r1, i: 0xcfff }));
    g.wrote(r1, r2);
  }
}

/** SPM from a register; the fixed-point-overflow mask stays off (a fault of QEMU, see qemu-faults.ts). */
function setProgramMask(g: Generator): void {
  const r1 = g.free();
  const mask = (g.below(4) << 12) | (g.below(8) << 8);
  g.loadConstant(r1, BigInt((mask << 16) >>> 0) | (g.rng.u64() & 0xffff_ffff_00ff_ffffn));
  g.emit(insn("spm", { r1 }));
}

function systemMask(g: Generator): void {
  const mask = g.rng.pick(systemMasks);
  const operand = g.operand(1, 1, false, false);
  const kind = g.below(3);
  if (kind === 0) {
    g.emit(insn("stosm", { b1: operand.b, d1: operand.d, i: mask }));
  } else if (kind === 1) {
    g.emit(insn("stnsm", { b1: operand.b, d1: operand.d, i: g.below(256) }));
  } else {
    g.emit(insn("mvi", { b1: operand.b, d1: operand.d, i: mask }));
    g.emit(insn("ssm", { b2: operand.b, d2: operand.d }));
  }
}

/** Bits 0-63 of a valid PSW for LPSWE: any addressing mode, condition code, mask, state, space. */
function randomPswMask(g: Generator): bigint {
  const mode = g.rng.pick([PSW_64, PSW_64, PSW_31, PSW_24]);
  const cc = BigInt(g.below(4)) << 44n;
  const mask = BigInt(g.below(8)) << 40n;
  const system = BigInt(g.rng.pick(systemMasks)) << 56n;
  const problem = g.chance(25) ? PSW_PROBLEM : 0n;
  const machineCheck = g.chance(20) ? 1n << 50n : 0n;
  const space = BigInt(g.chance(20) ? g.rng.pick([2, 3]) : 0) << 46n;
  return mode | cc | mask | system | problem | machineCheck | space;
}

/** Writes a PSW that continues behind a body and loads it. */
function loadPsw(g: Generator): void {
  const value = randomPswMask(g);
  const data = g.operand(16, 8, false, false);
  if (data.d > 0xff0) return;
  g.lock(data.b);
  const address = g.freeNonzero();
  g.lock(address);
  const mask = g.freeNonzero();
  g.wrote(address, mask);
  g.clearHigh(address);
  g.skipTo(
    (i) => [
      insn("larl", { r1: address, i }),
      insn("iihf", { r1: mask, i: Number(value >> 32n) | 0 }),
      insn("iilf", { r1: mask, i: Number(value & 0xffff_ffffn) | 0 }),
      insn("stg", { r1: mask, b2: data.b, d2: data.d }),
      insn("stg", { r1: address, b2: data.b, d2: data.d + 8 }),
      insn("lpswe", { b2: data.b, d2: data.d }),
    ],
    () => filler(g),
  );
  g.unlock(data.b, address);
}

const privileged = rowsOf("psw", "control").filter(
  (row) =>
    row.privileged &&
    ![
      ...["diag", "servc", "sigp", "stsi", "lpsw", "lpswe", "ipk", "tprot"],
      ...["spka", "tb"], // semiprivileged; not in zmend
    ].includes(row.name),
);

/** Opcodes that no machine has assigned. */
const unassigned: readonly (readonly number[])[] = [
  [0x00, 0x00],
  [0x00, 0x01],
  [0xb2, 0xfb, 0x00, 0x12],
  [0xb9, 0x7c, 0x00, 0x12],
  [0xe3, 0x12, 0x30, 0x00, 0x00, 0xff],
  [0xeb, 0x12, 0x30, 0x00, 0x00, 0xff],
  [0xec, 0x12, 0x30, 0x00, 0x00, 0xf0],
  [0xc0, 0x13, 0x00, 0x00, 0x00, 0x00],
  [0x02, 0x12],
  [0x64, 0x12, 0x30, 0x00],
  [0xff, 0x00, 0x00, 0x00, 0x00, 0x00],
];

export function faultStep(g: Generator): void {
  const kind = g.below(10);
  if (kind < 2) undefinedOpcode(g);
  else if (kind < 4) privilegedInstruction(g);
  else if (kind < 6) (g.mode === 24 ? undefinedOpcode : beyondStorage)(g);
  else if (kind < 7) executeOfExecute(g);
  else if (kind < 8) monitorCall(g);
  else misaligned(g);
}

function undefinedOpcode(g: Generator): void {
  const bytes = g.rng.pick(unassigned);
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  g.emit({ name: "(unassigned)", bytes, text: `.insn 0x${hex}` });
}

/** Only in the problem state, where it must not do anything. */
function privilegedInstruction(g: Generator): void {
  if ((g.pswMask & PSW_PROBLEM) === 0n) {
    undefinedOpcode(g);
    return;
  }
  const row = g.rng.pick(privileged);
  const operand = g.operand(64, 8, false, false);
  const place = { b1: operand.b, d1: operand.d, b2: operand.b, d2: operand.d };
  g.emit(encode(row, { ...place, r1: row.even1 ? g.evenAny() : g.any(), r2: g.any(), i: 0 }));
}

/** A storage operand outside the machine's storage; 24-bit addresses cannot reach that far. */
function beyondStorage(g: Generator): void {
  const name = g.rng.pick(["lg", "stg", "l", "st", "mvi", "ic", "agsi", "cli", "lmg", "ny"]);
  const base = g.freeNonzero();
  const beyond = BigInt(RAM_BYTES + g.below(0x10000000));
  g.loadConstant(base, beyond);
  const r1 = g.target();
  g.emit(insn(name, { r1, r3: r1, b1: base, b2: base, d1: 8, d2: 8, i: 1 }));
  g.wrote(r1);
}

function executeOfExecute(g: Generator): void {
  const bytes = insn("ex", { r1: 0, b2: 0, d2: 0 }).bytes;
  const address = g.literal(g.chance(50) ? bytes : insn("exrl", { r1: 0, i: 0 }).bytes);
  g.emit(insn("exrl", { r1: 0, i: (address - g.here) / 2 }));
}

/** MC with a class that CR8 masks, and with a bad class number. */
function monitorCall(g: Generator): void {
  g.emit(insn("mc", { i: g.chance(70) ? g.below(16) : g.below(256), b1: 0, d1: g.below(0x1000) }));
}

function misaligned(g: Generator): void {
  const row = rowNamed(g.rng.pick(["lpq", "stpq", "cs", "csg", "cds", "lam", "stam", "laag"]));
  const operand = g.operand(Math.max(16, row.size), 1, false, false);
  const r1 = row.writes1 ? g.target() : g.any();
  g.emit(encode(row, { r1, r3: r1, b2: operand.b, d2: operand.d }));
  if (row.writes1) g.wrote(r1, r1 ^ 1);
}

export function spaceStep(g: Generator): void {
  const kind = g.below(10);
  if (kind < 4) {
    // 0x200, access-register mode, is beyond QEMU (qemu-faults.ts); 0x400 and up are never valid.
    const space = g.chance(92) ? g.rng.pick([0x000, 0x100, 0x300]) : 0x400;
    g.emit(insn("sacf", { b2: 0, d2: space }));
    return;
  }
  if (kind < 7) {
    loadRealStep(g);
    return;
  }
  const row = rowNamed(g.rng.pick(["lura", "lurag", "stura", "sturg"]));
  const size = row.name.endsWith("g") ? 8 : 4;
  const r2 = g.freeNonzero();
  const real = g.place(size, size) % WINDOW_BYTES;
  g.loadConstant(r2, BigInt(real));
  const r1 = row.writes1 ? g.target() : g.any();
  g.put(row, { r1, r2 });
}

/** LRA of an operand, also in large frames. */
export function loadRealStep(g: Generator): void {
  const row = rowNamed(g.rng.pick(["lra", "lray", "lrag"]));
  const operand = g.operand(1, 1, row.format === "RXY", true);
  g.put(row, { r1: g.target(), b2: operand.b, d2: operand.d, x: operand.x });
}

/** Branches to a supervisor call (stored through the identity mapping) in a data page, fetched through the window. */
export function fetchFrameStep(g: Generator): void {
  const page = g.chance(50) ? g.dataStart : g.pageBoundary;
  const at = page + 2 * g.below(0x700);
  const base = g.freeNonzero();
  g.loadConstant(base, BigInt(at % WINDOW_BYTES));
  g.emit(insn("mvhhi", { b1: base, d1: 0, i: 0x0a07 }));
  g.loadConstant(base, BigInt(at));
  g.emit(insn("bcr", { m: 15, r2: base }));
}

/** Branches into storage that cannot be fetched: at the target itself, or in its second half. */
export function fetchFaultStep(g: Generator): void {
  const { hole, noSegment, badEntry } = Window;
  if (g.window !== hole && g.window !== noSegment && g.window !== badEntry) return;
  const base = g.freeNonzero();
  const second = g.pageBoundary;
  // A suppressing exception in the second half: QEMU has ILC 2 there, whatever the instruction's length.
  if (g.window === badEntry || g.chance(50)) {
    g.loadConstant(base, BigInt(second + 2 * g.below(0x700)));
  } else {
    // The first halfword of LHI or LGFI at the end of the first page, written through the identity mapping.
    const first = g.chance(50) ? 0xa708 : 0xc001;
    const plain = g.freeNonzero();
    g.loadConstant(plain, BigInt(second % WINDOW_BYTES) - 2n);
    g.emit(insn("mvhhi", { b1: plain, d1: 0, i: first }));
    g.loadConstant(base, BigInt(second - 2));
  }
  g.emit(insn("bcr", { m: 15, r2: base }));
}

/**
 * Invalidates a page of its own slot with IPTE, maps it anew (perhaps to the other data page, perhaps
 * protected) and goes on using it.
 */
export function tableStep(g: Generator): void {
  const page = g.chance(50) ? g.dataStart : g.pageBoundary;
  const { table, entry } = swappedEntry(page);
  const frame = g.slot + Slot.data + (g.chance(50) ? 0 : PAGE);
  const flags = g.chance(20) ? 0x200 : 0;
  const origin = g.freeNonzero();
  g.loadConstant(origin, BigInt(table));
  g.lock(origin);
  const address = g.freeNonzero();
  g.loadConstant(address, BigInt(page));
  g.lock(address);
  g.emit(insn("ipte", { r1: origin, r2: address }));
  if (g.chance(85)) {
    const value = g.freeNonzero();
    g.loadConstant(value, BigInt(frame | flags));
    g.loadConstant(origin, BigInt(entry));
    g.emit(insn("stg", { r1: value, b2: origin }));
  }
  g.unlock(origin, address);
}

/** Stores into an instruction that comes soon after: immediate, register field or mask. */
export function modifyStep(g: Generator): void {
  const base = g.freeNonzero();
  g.lock(base);
  const target = g.target();
  const distance = g.below(3);
  const value = g.imm16() & 255;
  const body = (): void => {
    for (let n = 0; n < distance; n++) filler(g);
  };
  g.wrote(base, target);
  g.skipTo(
    (i) => [insn("larl", { r1: base, i }), insn("mvi", { b1: base, d1: 3, i: value })],
    body,
  );
  g.unlock(base);
  g.emit(insn(g.rng.pick(["lhi", "lghi", "aghi", "chi"]), { r1: target, i: g.imm16() }));
}
