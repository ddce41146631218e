/**
 * Steps of the families over storage keys, moves between address spaces, and interruptions that a sequence
 * brings about or that come from outside while it runs.
 */
import { emitRow } from "./emit-row.ts";
import { type Generator, PSW_EXTERNAL } from "./generator.ts";
import { encode, insn, rowNamed, rowsOf } from "./instructions.ts";
import { PAGE, WINDOW_BYTES } from "./layout.ts";

const KEY_INSTRUCTIONS = ["iske", "iske", "sske", "sske", "rrbe"].map(rowNamed);
const ACCESSES = rowsOf("storageRxy", "storageImmediate", "ss").filter(
  (row) => row.size > 0 && row.name !== "laey",
);

/** A real address in a data page of this slot, as storage-key instructions and TPROT take it. */
function frameAddress(g: Generator): bigint {
  const page = (g.dataStart + (g.chance(50) ? 0 : PAGE)) % WINDOW_BYTES;
  return BigInt(page + g.below(PAGE));
}

/** Sets, looks at and resets keys of the data pages between accesses; the access key stays zero. */
export function keyStep(g: Generator): void {
  if (g.chance(40)) {
    emitRow(g, g.rng.pick(ACCESSES));
    return;
  }
  const row = g.rng.pick(KEY_INSTRUCTIONS);
  const at = g.freeNonzero();
  const real = frameAddress(g);
  g.loadConstant(at, real);
  g.lock(at);
  const r1 = row.writes1 ? g.target() : g.any();
  g.unlock(at);
  g.put(row, { r1, r2: at });
}

/** MVCOS with both operands' controls, MVCP and MVCS with a length of 0 to 300. */
export function spaceMoveStep(g: Generator): void {
  const name = g.rng.pick(["mvcos", "mvcos", "mvcp", "mvcs", "sacf"]);
  if (name === "sacf") {
    g.emit(insn("sacf", { b2: 0, d2: g.rng.pick([0x000, 0x100, 0x300]) }));
    return;
  }
  const row = rowNamed(name);
  const length = g.chance(80) ? g.below(60) : g.below(300);
  // Destructive overlap may come out byte by byte or at once where the two spaces differ.
  const size = 300;
  const one = g.operand(size, 1, false, false);
  let two = g.operand(size, 1, false, false);
  for (let tries = 0; tries < 20 && near(one.address, two.address, size); tries++) {
    two = g.operand(size, 1, false, false);
  }
  if (near(one.address, two.address, size)) return;
  g.lock(one.b, two.b);
  if (name === "mvcos") {
    if (one.b === 0 || two.b === 0) return;
    g.loadConstant(0, BigInt((optional(g) << 16) | optional(g)));
    const r3 = g.freeNonzero();
    g.loadConstant(r3, BigInt(length));
    g.emit(encode(row, { r3, b1: one.b, d1: one.d, b2: two.b, d2: two.d }));
  } else {
    const r1 = g.freeNonzero();
    g.loadConstant(r1, BigInt(length));
    g.lock(r1);
    const r3 = g.freeNonzero();
    g.loadConstant(r3, 0n);
    g.emit(encode(row, { r1, r3, b1: one.b, d1: one.d, b2: two.b, d2: two.d }));
    g.unlock(r1);
  }
  g.unlock(one.b, two.b);
}

/** Whether two operands may overlap, the data pages exchanged or not. */
function near(a: number, b: number, size: number): boolean {
  const distance = Math.abs(a - b) % PAGE;
  return Math.min(distance, PAGE - distance) < size;
}

/** Operand-access control of MVCOS: space (not by access registers) and key, each valid or not. */
function optional(g: Generator): number {
  const space = g.rng.pick([0, 2, 3]);
  return (space << 6) | (g.chance(50) ? 2 : 0) | (g.chance(80) ? 1 : 0);
}

const SIGP_EXTERNAL_CALL = 2;
const SIGP_EMERGENCY = 3;

/** Signals to this very CPU, masks in the PSW and in control register 0. */
export function signalStep(g: Generator): void {
  const kind = g.below(10);
  if (kind < 4) {
    const r1 = g.target();
    const order = g.chance(50) ? SIGP_EMERGENCY : SIGP_EXTERNAL_CALL;
    const cpu = g.free();
    g.loadConstant(cpu, 0n);
    g.emit(insn("sigp", { r1, r3: cpu, b2: 0, d2: order }));
    g.wrote(r1);
  } else if (kind < 8) {
    const operand = g.operand(1, 1, false, false);
    const on = g.chance(60);
    g.emit(insn(on ? "stosm" : "stnsm", { b1: operand.b, d1: operand.d, i: on ? 0x01 : 0xfe }));
  } else {
    const masks = g.below(4) << 13;
    const word = g.literal([0, 0, 0, 0, 0x04, 0x04, masks >> 8, 0], 8);
    const base = g.freeNonzero();
    g.loadConstant(base, BigInt(word));
    g.emit(insn("lctlg", { r1: 0, r3: 0, b2: base, d2: 0 }));
  }
}

const PER_FETCH = 0x40000000n;
const watched = [
  ...["l", "lh", "st", "sth", "stc", "ic", "lg", "lgf", "llgc", "stg", "lrvg", "strv", "ld", "std"],
  ...["lgr", "lr", "lghi", "lhi", "llilf", "iihf", "sllg", "srlg", "rll", "mvi", "mvghi", "stcm"],
  ...["mvc"],
].map(rowNamed);

/**
 * Turns PER instruction fetching on for some instructions of those that follow, executes them, turns it off. Not
 * branches, SVC, or what sets the condition code: QEMU cannot judge them (qemu-faults.ts).
 */
export function perStep(g: Generator): void {
  const operand = g.operand(1, 1, false, false);
  const from = g.here + 24 + 2 * g.below(12);
  const range = g.chance(20) ? [from, g.here] : [from, from + 2 * g.below(8)];
  const words = [PER_FETCH, ...range.map(BigInt)];
  const bytes = words.flatMap((word) =>
    Array.from({ length: 8 }, (_, n) => Number((word >> BigInt(56 - 8 * n)) & 255n)),
  );
  const base = g.freeNonzero();
  g.lock(operand.b);
  g.loadConstant(base, BigInt(g.literal(bytes, 8)));
  g.emit(insn("lctlg", { r1: 9, r3: 11, b2: base, d2: 0 }));
  g.emit(insn("stosm", { b1: operand.b, d1: operand.d, i: 0x40 }));
  for (let n = 0; n < 5; n++) quietStep(g);
  g.emit(insn("stnsm", { b1: operand.b, d1: operand.d, i: 0xbf }));
  g.unlock(operand.b);
}

/** An instruction that leaves the condition code alone. */
export function quietStep(g: Generator): void {
  emitRow(g, g.rng.pick(watched));
}

/** External interruptions are enabled by the PSW (mostly) and by control register 0. */
export function externalSetup(g: Generator): void {
  if (g.chance(70)) g.pswMask |= PSW_EXTERNAL;
  g.cr0 |= 0x6000n;
}

/** The clock comparator, all the time. */
export function interruptedSetup(g: Generator): void {
  g.pswMask |= PSW_EXTERNAL;
  g.cr0 |= 0x0800n;
  if (g.chance(30)) g.pswMask |= 0x0400_0000_0000_0000n;
}
