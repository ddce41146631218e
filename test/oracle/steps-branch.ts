/** Branches: forward over a few instructions, loops with a bounded count, linkage through a register. */
import { emitRow } from "./emit-row.ts";
import type { Generator } from "./generator.ts";
import { insn, type Row, rowNamed, rowsOf } from "./instructions.ts";

/** Without LAEY: QEMU mixes up two of the modes it depends on. */
const fillers = rowsOf("registers", "immediate", "storageRxy").filter((row) => row.name !== "laey");
const comparers = rowsOf("compareBranches");

function body(g: Generator): void {
  for (let count = 1 + g.below(3); count > 0; count--) emitRow(g, g.rng.pick(fillers));
}

/** BRC, BRCL, BRCT, BRXH and their kin: a relative branch forward. */
function relativeForward(g: Generator): void {
  const name = g.rng.pick([
    "brc",
    "brcl",
    "brct",
    "brctg",
    "brxh",
    "brxle",
    "brxhg",
    "brxlg",
    "bras",
    "brasl",
  ]);
  const row = rowNamed(name);
  const r1 = g.target();
  const fields = { r1, r3: g.any(), m: g.below(16) };
  g.wrote(...(row.writes1 ? [r1] : []));
  g.skip(
    (i) => insn(name, { ...fields, i }),
    () => body(g),
  );
}

function compareForward(g: Generator): void {
  const row = g.rng.pick(comparers);
  const fields = { r1: g.any(), r2: g.any(), m: g.below(16), i3: g.imm16() & 255 };
  if (row.format === "RIEb" || row.format === "RIEc") {
    g.skip(
      (i) => insn(row.name, { ...fields, i }),
      () => body(g),
    );
    return;
  }
  throughRegister(g, (base) => insn(row.name, { ...fields, b2: base, d2: 0 }));
}

/** Loads the address behind the body into a register and branches through it. */
function throughRegister(g: Generator, branch: (base: number) => ReturnType<typeof insn>): void {
  const base = g.freeNonzero();
  g.wrote(base);
  g.clearHigh(base);
  g.skipTo(
    (i) => [insn("larl", { r1: base, i }), branch(base)],
    () => body(g),
  );
}

function indirectForward(g: Generator): void {
  const name = g.rng.pick([
    "bcr",
    "bc",
    "bct",
    "bctr",
    "bctg",
    "bctgr",
    "bxh",
    "bxle",
    "bxhg",
    "bxleg",
    "basr",
    "bas",
    "balr",
    "bal",
  ]);
  const row: Row = rowNamed(name);
  const r1 = g.free();
  g.lock(r1);
  const fields = { r1, r3: g.any(), m: g.below(16) };
  throughRegister(g, (base) => insn(name, { ...fields, r2: base, b2: base }));
  g.unlock(r1);
  if (row.writes1) g.wrote(r1);
}

/** A counted loop: the count register is locked, so the body cannot change it. */
function loop(g: Generator): void {
  const counter = g.freeNonzero();
  g.loadConstant(counter, BigInt(1 + g.below(4)));
  g.lock(counter);
  const known = g.lockKnown();
  const start = g.here;
  body(g);
  body(g);
  const name = g.rng.pick(["brct", "brctg"]);
  g.emit(insn(name, { r1: counter, i: (start - g.here) / 2 }));
  g.unlock(counter, ...known);
}

/** A branch-on-index loop: increment and comparand in an even-odd pair. */
function indexLoop(g: Generator): void {
  const pair = g.targetPair() & 14;
  g.wrote(pair, pair + 1);
  g.loadConstant(pair, 3n);
  g.loadConstant(pair + 1, BigInt(4 + g.below(12)));
  g.lock(pair, pair + 1);
  const index = g.freeNonzero();
  g.loadConstant(index, BigInt(g.below(4)));
  g.lock(index);
  const known = g.lockKnown();
  const start = g.here;
  body(g);
  const name = g.rng.pick(["brxle", "brxlg"]);
  g.emit(insn(name, { r1: index, r3: pair, i: (start - g.here) / 2 }));
  g.unlock(pair, pair + 1, index, ...known);
}

/** Registers 0 as the branch address: no branch, but the link or count still happens. */
function withoutTarget(g: Generator): void {
  const name = g.rng.pick(["bcr", "bctr", "bctgr", "basr", "balr"]);
  const r1 = g.target();
  g.emit(insn(name, { r1, r2: 0, m: g.below(15) }));
  if (name !== "bcr") g.wrote(r1);
}

export function branchSteps(g: Generator): void {
  const kind = g.below(12);
  if (kind < 4) relativeForward(g);
  else if (kind < 7) compareForward(g);
  else if (kind < 9) indirectForward(g);
  else if (kind === 9) loop(g);
  else if (kind === 10) indexLoop(g);
  else withoutTarget(g);
}
