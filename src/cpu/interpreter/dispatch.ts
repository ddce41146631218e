/**
 * The interpreter's loop, `run(budget) -> RunEnd`, in the shape that performance.md 2.6 measured: the hot
 * set in one br_table, everything else by call_indirect, recycled locals, budget counted per instruction,
 * pending word read at taken branches. Must stay below 30 KiB of code (a test says so).
 *
 * Every turn compares eight bytes of guest RAM that contain the instruction with the copy in its decoded
 * entry, so stores into code by anyone (this CPU, others, devices) are seen without flags or shoot-downs.
 * Eight bytes without a mask cost least; a store to a neighbour only makes the entry be looked at again.
 * An entry that was never decoded has zeros, which either fail the comparison or are handler 0: both decode.
 */

import {
  Core,
  Entry,
  HEAT_ENTRIES,
  InstructionTlbEntry,
  RunEnd,
  Status,
  TLB_ENTRIES,
} from "../core-layout.ts";
import { Cpu } from "../state.ts";
import type { Row } from "../table/row.ts";
import { instructionLength } from "../table/row.ts";
import {
  call32,
  callIndirect32,
  FunctionBuilder,
  i32,
  i64,
  type Label,
  VALUE_I32,
} from "../wasm/index.ts";
import type { ColdContext } from "./cold-body.ts";
import { AREA, high32 } from "./helpers.ts";
import { addressOfEntry, HotBody, type HotFrame } from "./hot-body.ts";

/** Handler numbers that are no rows. Rows follow, hot ones first. */
export const HANDLER_DECODE = 0;
export const HANDLER_PAGE_END = 1;
export const FIRST_ROW_HANDLER = 2;

/** Byte offset of the pending word in the vCPU area: the first word of VcpuHeader. */
const PENDING = 0;

interface Frame extends Omit<HotFrame, "next" | "jump" | "relative" | "fault"> {
  readonly budget: HotFrame["area"];
  readonly end: HotFrame["area"];
}

/**
 * @param heatAfter how often an instruction is reached by a taken branch before `hot` is told, again and again;
 *   0 = nobody is told, and no row is a region
 */
export function dispatchFunction(
  hotRows: readonly Row[],
  context: ColdContext,
  heatAfter: number,
): FunctionBuilder {
  const fn = new FunctionBuilder([VALUE_I32]);
  const frame: Frame = {
    budget: fn.parameter32(0),
    area: fn.fixed32(),
    entry: fn.fixed32(),
    slot: fn.fixed32(),
    cc: fn.fixed32(),
    breaking: fn.fixed32(),
    end: fn.fixed32(),
    page: fn.fixed64(),
    target: fn.fixed64(),
    mask: fn.fixed64(),
    tag: fn.fixed64(),
    byteMask: fn.fixed64(),
    halfMask: fn.fixed64(),
    helpers: context.helpers,
  };
  const { area } = frame;
  fn.set(area, AREA);
  fn.set(frame.byteMask, i64.const(0x00ff00ff00ff00ffn));
  fn.set(frame.halfMask, i64.const(0x0000ffff0000ffffn));
  fn.loop((reload) => {
    fn.set(frame.mask, i64.load(area.get, Core.addressMask));
    fn.set(frame.tag, i64.load(area.get, Core.dataTag));
    fn.set(frame.cc, i32.load(area.get, Cpu.cc));
    fn.set(frame.target, i64.load(area.get, Core.nextAddress));
    fn.block((exit) => {
      fn.block((fault) =>
        fn.loop((jump) => {
          emitLookup(fn, frame, context, exit);
          fn.loop((near) => {
            emitPendingTest(fn, frame, exit);
            if (heatAfter > 0) emitHeat(fn, frame, context, heatAfter);
            fn.loop((next) => {
              const loop = { hotRows, context, reload, exit, frame, heatAfter };
              fn.block((relative) =>
                emitInstruction(fn, { ...frame, next, jump, relative, fault }, loop),
              );
              emitRelativeBranch(fn, frame, near, jump);
            });
          });
        }),
      );
      // A hot body has recorded a program interruption; the entry pointer is still at its instruction.
      emitInstructionAddresses(fn, frame);
      fn.set(frame.end, i32.const(RunEnd.fault));
    });
    emitExit(fn, frame);
  });
  fn.emit(frame.end.get);
  return fn;
}

/** Finds the slot of the page of `target`; a page that cannot be fetched from ends the run. */
function emitLookup(fn: FunctionBuilder, frame: Frame, context: ColdContext, exit: Label): void {
  const { area, target, slot } = frame;
  emitBreakingEvent(fn, frame);
  const line = fn.let32(
    i32.add(
      i32.and(
        i32.wrap(i64.shrU(target.get, i64.const(8))),
        i32.const((TLB_ENTRIES - 1) * InstructionTlbEntry.bytes),
      ),
      area.get,
    ),
  );
  // Bit 0 stays in the comparison: an odd address never matches.
  const wanted = i64.or(
    i64.and(target.get, i64.const(-4095)),
    i64.load(area.get, Core.instructionTag),
  );
  fn.if(
    i64.eq(i64.load(line, Core.instructionTlb + InstructionTlbEntry.tag), wanted),
    () => fn.set(slot, i32.load(line, Core.instructionTlb + InstructionTlbEntry.slot)),
    () => {
      // The fetch may end in a program interruption, or ask the clock: write down where we are.
      fn.emit(i64.store(area.get, target.get, Core.startAddress));
      fn.emit(i64.store(area.get, target.get, Core.nextAddress));
      fn.set(slot, call32(context.imports.lookup, high32(target.get), i32.wrap(target.get)));
      fn.if(i32.eqz(slot.get), () => {
        fn.set(frame.end, i32.const(RunEnd.fault));
        fn.br(exit);
      });
    },
  );
  fn.set(frame.page, i64.and(target.get, i64.const(-4096)));
  const offset = i32.and(i32.wrap(target.get), i32.const(0xffe));
  fn.set(frame.entry, i32.add(slot.get, i32.shl(offset, i32.const(4))));
  fn.release();
}

/** Turns the entry pointer of the last taken branch into the breaking-event address. */
function emitBreakingEvent(fn: FunctionBuilder, frame: Frame): void {
  fn.if(frame.breaking.get, () => {
    const address = addressOfEntry(frame, frame.breaking.get);
    fn.emit(i64.store(frame.area.get, address, Cpu.breakingEvent));
    fn.set(frame.breaking, i32.const(0));
  });
}

function emitPendingTest(fn: FunctionBuilder, frame: Frame, exit: Label): void {
  fn.if(i32.atomicLoad(frame.area.get, PENDING), () => {
    emitStopHere(fn, frame, RunEnd.pending);
    fn.br(exit);
  });
}

/** Counts the arrival at the entry; entries that share a count are hot a little earlier. */
function emitHeat(fn: FunctionBuilder, frame: Frame, context: ColdContext, after: number): void {
  const { area, entry } = frame;
  const place = i32.and(i32.shrU(entry.get, i32.const(4)), i32.const(2 * (HEAT_ENTRIES - 1)));
  const at = fn.let32(i32.add(area.get, place));
  const count = fn.let32(i32.add(i32.load16U(at, Core.heat), i32.const(1)));
  const cold = fn.let32(i32.ltU(count, i32.const(after)));
  fn.emit(i32.store16(at, i32.select(count, i32.const(0), cold), Core.heat));
  fn.if(i32.eqz(cold), () => fn.emit(call32(context.imports.hot, entry.get)));
  fn.release();
}

function emitStopHere(fn: FunctionBuilder, frame: Frame, end: number): void {
  const address = addressOfEntry(frame);
  fn.emit(i64.store(frame.area.get, address, Core.nextAddress));
  fn.set(frame.end, i32.const(end));
}

interface Loop {
  readonly hotRows: readonly Row[];
  readonly context: ColdContext;
  readonly reload: Label;
  readonly exit: Label;
  readonly frame: Frame;
  /** Not 0: rows may be regions, which execute more than one instruction. */
  readonly heatAfter: number;
}

/** Head, br_table, hot bodies, then the ways out that are not bodies. */
function emitInstruction(fn: FunctionBuilder, hot: HotFrame, loop: Loop): void {
  const { frame } = loop;
  fn.block((cold) => {
    fn.block((stale) => {
      fn.block((pageEnd) => {
        emitHotRows(fn, hot, loop, { cold, stale, pageEnd }, loop.hotRows.length, []);
      });
      // Behind the last halfword of a page: not an instruction, so the budget gets it back.
      fn.set(frame.budget, i32.add(frame.budget.get, i32.const(1)));
      fn.set(frame.target, i64.and(i64.add(frame.page.get, i64.const(4096)), frame.mask.get));
      fn.br(hot.jump);
    });
    fn.set(frame.budget, i32.add(frame.budget.get, i32.const(1)));
    fn.emit(call32(loop.context.imports.decode, frame.entry.get));
    fn.br(hot.next);
  });
  emitColdCall(fn, hot, loop);
}

interface Ways {
  readonly cold: Label;
  readonly stale: Label;
  readonly pageEnd: Label;
}

/** One block per hot row, the head innermost; each body stands behind its block's end. */
function emitHotRows(
  fn: FunctionBuilder,
  hot: HotFrame,
  loop: Loop,
  ways: Ways,
  count: number,
  labels: readonly Label[],
): void {
  if (count === 0) {
    emitHead(fn, loop, ways, labels);
    return;
  }
  const row = loop.hotRows[count - 1] as Row;
  fn.block((label) => emitHotRows(fn, hot, loop, ways, count - 1, [label, ...labels]));
  const body = new HotBody(fn, row.format, lengthOf(row), hot);
  row.body(body);
  body.end();
  fn.release();
}

function emitHead(
  fn: FunctionBuilder,
  { frame, exit }: Loop,
  ways: Ways,
  labels: readonly Label[],
): void {
  const { entry, budget } = frame;
  fn.if(i32.eqz(budget.get), () => {
    emitStopHere(fn, frame, RunEnd.budget);
    fn.br(exit);
  });
  fn.set(budget, i32.sub(budget.get, i32.const(1)));
  const present = i64.load(i32.load(entry.get, Entry.code));
  fn.brIf(ways.stale, i64.ne(present, i64.load(entry.get, Entry.bytes)));
  const handler = i32.load16U(entry.get, Entry.handler);
  fn.brTable(handler, [ways.stale, ways.pageEnd, ...labels], ways.cold);
}

/** Rows outside the hot set: state to memory, call, then whatever the status says. */
function emitColdCall(fn: FunctionBuilder, hot: HotFrame, loop: Loop): void {
  const { frame, context } = loop;
  const { area, entry } = frame;
  emitBreakingEvent(fn, frame);
  emitInstructionAddresses(fn, frame);
  fn.emit(i32.store(area.get, frame.cc.get, Cpu.cc));
  fn.emit(i32.store(area.get, frame.budget.get, Core.budgetLeft));
  const handler = i32.load16U(entry.get, Entry.handler);
  fn.set(frame.end, callIndirect32(context.rowType, handler, entry.get));
  fn.set(frame.cc, i32.load(area.get, Cpu.cc));
  if (loop.heatAfter > 0) {
    fn.set(frame.budget, i32.load(area.get, Core.budgetLeft));
    fn.if(i32.eq(frame.end.get, i32.const(Status.onward)), () => {
      // Up to 4096: the entry behind the page's last.
      const offset = i32.wrap(i64.sub(i64.load(area.get, Core.nextAddress), frame.page.get));
      fn.set(entry, i32.add(frame.slot.get, i32.shl(offset, i32.const(4))));
      // Where a region ends, another may be worth its while.
      emitHeat(fn, frame, context, loop.heatAfter);
      fn.br(hot.next);
    });
  }
  fn.if(i32.eqz(frame.end.get), () => {
    fn.set(entry, i32.add(entry.get, entryBytes(frame)));
    fn.br(hot.next);
  });
  fn.if(i32.eq(frame.end.get, i32.const(Status.jump)), () => {
    fn.set(frame.target, i64.load(area.get, Core.nextAddress));
    fn.br(hot.jump);
  });
  fn.brIf(loop.reload, i32.eq(frame.end.get, i32.const(Status.reload)));
  fn.br(loop.exit);
}

/** Length of the entry's instruction in bytes of entries: 32 for each halfword. */
function entryBytes(frame: Frame): ReturnType<typeof i32.const> {
  return i32.shl(i32.load8U(frame.entry.get, Entry.length), i32.const(4));
}

/** Start and next address of the instruction at the entry pointer. */
function emitInstructionAddresses(fn: FunctionBuilder, frame: Frame): void {
  const start = fn.let64(addressOfEntry(frame));
  fn.emit(i64.store(frame.area.get, start, Core.startAddress));
  const length = i64.fromU(i32.shrU(entryBytes(frame), i32.const(4)));
  const next = i64.and(i64.add(start, length), frame.mask.get);
  fn.emit(i64.store(frame.area.get, next, Core.nextAddress));
  fn.release();
}

/** Taken relative branch of a hot body: an entry of the same page, or a full address. */
function emitRelativeBranch(fn: FunctionBuilder, frame: Frame, near: Label, jump: Label): void {
  const { entry, breaking } = frame;
  fn.set(breaking, entry.get);
  fn.if(i32.load(entry.get, Entry.c), () => {
    fn.set(entry, i32.load(entry.get, Entry.c));
    fn.br(near);
  });
  const distance = i64.shl(i64.load32S(entry.get, Entry.d), i64.const(1));
  const address = addressOfEntry(frame);
  fn.set(frame.target, i64.and(i64.add(address, distance), frame.mask.get));
  fn.br(jump);
}

function emitExit(fn: FunctionBuilder, frame: Frame): void {
  const { area } = frame;
  emitBreakingEvent(fn, frame);
  fn.emit(i32.store(area.get, frame.cc.get, Cpu.cc));
  fn.emit(i32.store(area.get, frame.budget.get, Core.budgetLeft));
}

export function lengthOf(row: Row): 2 | 4 | 6 {
  const { key } = row;
  const extended = key > 0xff;
  if (!extended) return instructionLength(key);
  // RI and RIL keys have three digits, two-byte opcodes and those of E3.. four.
  return instructionLength(key > 0xfff ? key >> 8 : key >> 4);
}
