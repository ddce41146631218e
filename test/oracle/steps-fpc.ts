/** Steps that change the floating-point-control register: rounding modes, and masks that signal old flags. */
import type { Generator } from "./generator.ts";
import { insn } from "./instructions.ts";

/** Values of the register with all masks zero but those that may signal; a bad one now and then. */
function fpcValue(g: Generator): number {
  const mode = g.chance(90) ? g.rng.pick([0, 1, 2, 3, 7]) : g.below(8);
  return (g.below(32) << 19) | (g.below(8) << 4) | mode | (g.chance(5) ? 0x8 : 0);
}

export function fpcStep(g: Generator): void {
  const name = g.rng.pick(["srnmb", "srnmt", "srnm", "lfpc", "sfpc", "lfas", "sfasr"]);
  if (name.startsWith("srn")) {
    g.emit(insn(name, { b2: 0, d2: g.chance(90) ? g.below(8) : g.below(256) }));
    return;
  }
  const value = fpcValue(g);
  if (name === "sfpc") {
    const r1 = g.free();
    g.loadConstant(r1, BigInt(value));
    g.emit(insn(name, { r1 }));
    return;
  }
  if (name === "lfpc") {
    const base = g.freeNonzero();
    const word = g.literal(
      [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255],
      4,
    );
    g.loadConstant(base, BigInt(word));
    g.emit(insn(name, { b2: base }));
    return;
  }
  // Masks that signal, then none again: an exception with its mask on is not QEMU's.
  const masked = (value | (g.below(32) << 27)) >>> 0;
  const r1 = g.free();
  g.loadConstant(r1, BigInt(masked));
  if (name === "sfasr") {
    g.emit(insn(name, { r1 }));
  } else {
    g.lock(r1);
    const base = g.freeNonzero();
    const operand = g.operand(4, 4, false, false);
    g.emit(insn("st", { r1, b2: operand.b, d2: operand.d }));
    g.emit(insn("lfas", { b2: operand.b, d2: operand.d }));
    g.unlock(r1);
    g.wrote(base);
  }
  g.loadConstant(r1, BigInt(value & 0x00ffffff & ~0x8));
  g.emit(insn("sfpc", { r1 }));
}
