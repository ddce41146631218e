/**
 * Writes the WebAssembly of a region: one function whose blocks stand in the order of their addresses, so that going
 * on and branching forward are plain branches of wasm, and branching back goes by way of one br_table.
 *
 * Exact like the interpreter: a block takes its instructions off the budget at once and gives back what a branch or
 * a fault leaves out; it compares the code's bytes before it acts on them, again behind each store; the pending word
 * is read at each taken branch, and nowhere else. What cannot begin (budget too small, bytes changed, another mode)
 * is the interpreter's row for that one instruction, so the guest always gets on.
 */
import { assert } from "../../base/assert.ts";
import { Core, Status } from "../core-layout.ts";
import { AREA, type Helpers } from "../interpreter/helpers.ts";
import { quietHelpers, regionImports } from "../interpreter/module.ts";
import { Cpu } from "../state.ts";
import {
  call32,
  FunctionBuilder,
  type I32,
  type I64,
  i32,
  i64,
  type Label,
  type Local,
  ModuleBuilder,
  VALUE_I32,
  type ValueType,
} from "../wasm/index.ts";
import { RegionBody, type Ways } from "./region-body.ts";
import { RegionFrame } from "./region-frame.ts";
import type { Block, Instruction, RegionPlan } from "./region-plan.ts";

/**
 * Bytes of one generated function. Above, V8's compilers take another way, and far above they can end the process
 * (performance.md 2.6, 4): a guest chooses its code, so this is a bound of security.
 */
export const REGION_BYTES_MAX = 30 * 1024;
/** No further instruction is written above: the rest of the function (stubs, the way out) stays below the bound. */
const REGION_BYTES_ENOUGH = 20 * 1024;
/** Ways of a return that are tried before the interpreter looks the address up. */
const RETURNS_TRIED = 4;
/** Byte offset of the pending word in the vCPU area: the first word of VcpuHeader. */
const PENDING = 0;

export interface RegionModule {
  readonly bytes: Uint8Array;
  readonly functionBytes: number;
  /** Indices into the plan's blocks that have code; block n is entered by the export `b<n>`. */
  readonly blocks: readonly number[];
}

interface Parts {
  readonly helpers: Helpers;
  readonly original: number;
  readonly stale: number;
  /** Host address of the page. */
  readonly host: number;
  /** The page as the plan saw it. */
  readonly page: DataView;
  /** What `stale` is told. */
  readonly id: number;
}

/**
 * @param page the bytes that the plan was made from
 * @param host address of the page in the shared memory
 * @param id what the import `stale` is called with when the bytes are others
 */
export function regionModule(
  plan: RegionPlan,
  page: Uint8Array,
  host: number,
  id: number,
): RegionModule {
  const module = new ModuleBuilder();
  module.importMemory("vm", "memory", 1, 65536);
  module.importGlobal32("vm", "area");
  const helpers: Partial<Record<keyof Helpers, number>> = {};
  for (const name of Object.keys(regionImports) as (keyof Helpers)[]) {
    const results: readonly ValueType[] = quietHelpers.has(name) ? [] : [VALUE_I32];
    helpers[name] = module.importFunction("core", name, {
      parameters: regionImports[name],
      results,
    });
  }
  const two = { parameters: [VALUE_I32, VALUE_I32], results: [VALUE_I32] } as const;
  const original = module.importFunction("core", "original", two);
  const stale = module.importFunction("jit", "stale", { parameters: [VALUE_I32], results: [] });
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const writer = new RegionWriter(plan, {
    helpers: helpers as Helpers,
    original,
    stale,
    host,
    page: view,
    id,
  });
  const region = module.declare({
    parameters: [VALUE_I32, VALUE_I32, VALUE_I32],
    results: [VALUE_I32],
  });
  const functionBytes = module.define(region, writer.write());
  const blocks = [...plan.blocks.keys()].filter((index) => writer.written(index));
  for (const index of blocks) {
    const handler = (plan.blocks[index] as Block).instructions[0]?.handler ?? 0;
    const head = module.declare({ parameters: [VALUE_I32], results: [VALUE_I32] });
    const fn = new FunctionBuilder([VALUE_I32]);
    fn.emit(call32(region, fn.parameter32(0).get, i32.const(index), i32.const(handler)));
    module.define(head, fn);
    module.exportFunction(`b${index}`, head);
  }
  return { bytes: module.finish(), functionBytes, blocks };
}

class RegionWriter {
  readonly #plan: RegionPlan;
  readonly #parts: Parts;
  readonly #fn = new FunctionBuilder([VALUE_I32, VALUE_I32, VALUE_I32]);
  readonly #entry: Local<I32>;
  readonly #handler: Local<I32>;
  readonly #frame: RegionFrame;
  readonly #entryBudget: Local<I32>;
  readonly #index: ReadonlyMap<number, number>;
  readonly #stubs = new Set<number>();
  readonly #labels: Label[] = [];
  #dispatch: Label = { depth: 0 };
  #leave: Label = { depth: 0 };
  #bail: Label = { depth: 0 };
  #stale: Label = { depth: 0 };
  #fault: Label = { depth: 0 };

  constructor(plan: RegionPlan, parts: Parts) {
    this.#plan = plan;
    this.#parts = parts;
    this.#entry = this.#fn.parameter32(0);
    this.#handler = this.#fn.parameter32(2);
    this.#frame = new RegionFrame(this.#fn, this.#fn.parameter32(1));
    this.#entryBudget = this.#fn.fixed32();
    this.#index = new Map(plan.blocks.map((block, n) => [block.offset, n]));
  }

  /** Whether the block has code of its own. */
  written(index: number): boolean {
    return !this.#stubs.has(index);
  }

  write(): FunctionBuilder {
    const fn = this.#fn;
    const frame = this.#frame;
    fn.loop((dispatch) => {
      this.#dispatch = dispatch;
      fn.block((leave) => {
        this.#leave = leave;
        fn.block((bail) => {
          this.#bail = bail;
          fn.block((stale) => {
            this.#stale = stale;
            fn.block((fault) => {
              this.#fault = fault;
              this.#blocks(this.#plan.blocks.length);
              fn.unreachable();
            });
            this.#faulted();
          });
          fn.emit(call32(this.#parts.stale, i32.const(this.#parts.id)));
        });
        // Nothing executed since the entry: one instruction by the interpreter's row.
        fn.if(i32.eq(frame.budget.get, this.#entryBudget.get), () => fn.return(this.#original()));
        fn.set(frame.status, i32.const(Status.onward));
      });
      this.#wayOut();
    });
    fn.unreachable();
    fn.prepend(this.#prologue());
    return fn;
  }

  #original(): I32 {
    return call32(this.#parts.original, this.#handler.get, this.#entry.get);
  }

  /** Comes first, but only the finished code tells which registers it needs. */
  #prologue(): readonly number[] {
    const { area, budget, page, tag, ccValue } = this.#frame;
    const fn = new FunctionBuilder([]);
    fn.set(area, AREA);
    // SAM and BSM change the mode without anybody's leave, so the mode is looked at here.
    const wide = i64.eq(i64.load(area.get, Core.addressMask), i64.const(-1));
    const usual = i32.and(i32.load(area.get, Core.regionsOn), wide);
    fn.if(i32.eqz(usual), () => fn.return(this.#original()));
    fn.set(budget, i32.add(i32.load(area.get, Core.budgetLeft), i32.const(1)));
    fn.set(this.#entryBudget, budget.get);
    fn.set(page, i64.and(i64.load(area.get, Core.startAddress), i64.const(-4096)));
    fn.set(tag, i64.load(area.get, Core.dataTag));
    fn.set(ccValue, i32.load(area.get, Cpu.cc));
    this.#frame.loadRegisters(fn);
    return fn.code;
  }

  #faulted(): void {
    const fn = this.#fn;
    const { area, budget, page, target, where, status } = this.#frame;
    const offset = i64.fromU(i32.and(where.get, i32.const(0xfff)));
    const length = i64.fromU(i32.and(i32.shrU(where.get, i32.const(12)), i32.const(7)));
    fn.set(target, i64.add(page.get, offset));
    fn.emit(i64.store(area.get, target.get, Core.startAddress));
    fn.set(target, i64.add(target.get, length));
    fn.set(budget, i32.add(budget.get, i32.shrU(where.get, i32.const(16))));
    fn.set(status, i32.const(Status.fault));
    fn.br(this.#leave);
  }

  #wayOut(): void {
    const fn = this.#fn;
    const frame = this.#frame;
    const { area, breaking, budget, page, status, target } = frame;
    frame.known = undefined;
    frame.storeRegisters();
    fn.emit(i32.store(area.get, frame.cc(), Cpu.cc));
    fn.if(breaking.get, () => {
      const from = i64.add(page.get, i64.fromU(i32.sub(breaking.get, i32.const(1))));
      fn.emit(i64.store(area.get, from, Cpu.breakingEvent));
    });
    fn.emit(i64.store(area.get, target.get, Core.nextAddress));
    fn.emit(i32.store(area.get, budget.get, Core.budgetLeft));
    const executed = i64.fromU(i32.sub(this.#entryBudget.get, budget.get));
    const total = i64.add(i64.load(area.get, Core.regionInstructions), executed);
    fn.emit(i64.store(area.get, total, Core.regionInstructions));
    fn.return(status.get);
  }

  /** One wasm block per block of the region, the dispatch innermost; each block's code stands behind its end. */
  #blocks(count: number): void {
    const fn = this.#fn;
    if (count === 0) {
      if (this.#labels.length > 1) {
        const all = [...this.#labels];
        fn.brTable(this.#frame.state.get, all, all[0] as Label);
      }
      return;
    }
    const index = count - 1;
    fn.block((label) => {
      this.#labels[index] = label;
      this.#blocks(index);
    });
    const block = this.#plan.blocks[index] as Block;
    const again = block.instructions.some(({ flow }) => flow.target === block.offset);
    if (again) fn.loop((self) => this.#block(block, index, self));
    else this.#block(block, index, undefined);
  }

  #block(block: Block, index: number, self: Label | undefined): void {
    const fn = this.#fn;
    const frame = this.#frame;
    const { instructions, offset } = block;
    if (fn.codeBytes > REGION_BYTES_ENOUGH) {
      this.#stubs.add(index);
      fn.set(frame.target, this.#inPage(offset));
      fn.br(this.#bail);
      return;
    }
    const count = instructions.length;
    fn.set(frame.budget, i32.sub(frame.budget.get, i32.const(count)));
    fn.if(i32.ltS(frame.budget.get, i32.const(0)), () => {
      this.#refund(count);
      fn.set(frame.target, this.#inPage(offset));
      fn.br(this.#bail);
    });
    frame.known = undefined;
    for (const [n, instruction] of instructions.entries()) {
      if (n === 0 || instructions[n - 1]?.stores === true) this.#compare(instructions, n);
      const rest = count - n - 1;
      const ways = this.#ways(instruction, rest, index, self);
      const body = new RegionBody(frame, instruction, this.#parts.helpers, ways);
      const { structures } = fn;
      instruction.row.body(body);
      fn.release();
      if (body.left) return;
      // Where ways join that the body does not tell of, so may different kinds of condition code.
      if (fn.structures !== structures) frame.known = undefined;
      if (fn.codeBytes > REGION_BYTES_ENOUGH && rest > 0) {
        ways.onward();
        return;
      }
    }
    if (this.#plan.blocks[index + 1]?.offset === block.falls) return;
    assert(block.falls !== undefined, "a block ends in a branch that always leaves");
    fn.set(frame.target, this.#inPage(block.falls));
    fn.set(frame.status, i32.const(Status.onward));
    fn.br(this.#leave);
  }

  #inPage(offset: number): I64 {
    return i64.add(this.#frame.page.get, i64.const(offset));
  }

  /** Gives back instructions that the block has taken off the budget and does not execute. */
  #refund(count: number): void {
    const { budget } = this.#frame;
    if (count > 0) this.#fn.set(budget, i32.add(budget.get, i32.const(count)));
  }

  /** Compares the bytes of the instructions from `first` to the next store with what they were. */
  #compare(instructions: readonly Instruction[], first: number): void {
    const fn = this.#fn;
    const start = (instructions[first] as Instruction).offset;
    let end = start;
    for (let n = first; n < instructions.length; n++) {
      const { offset, length, stores } = instructions[n] as Instruction;
      end = offset + length;
      if (stores) break;
    }
    fn.if(this.#differs(start, end), () => {
      this.#refund(instructions.length - first);
      fn.set(this.#frame.target, this.#inPage(start));
      fn.br(this.#stale);
    });
  }

  #differs(start: number, end: number): I32 {
    const { host, page } = this.#parts;
    const parts: I64[] = [];
    for (let at = start; at < end; ) {
      const left = end - at;
      const address = i32.const((host + at) | 0);
      if (left >= 8) parts.push(i64.xor(i64.load(address), i64.const(page.getBigInt64(at, true))));
      else if (left >= 4) {
        parts.push(i64.xor(i64.load32U(address), i64.const(page.getUint32(at, true))));
      } else parts.push(i64.xor(i64.load16U(address), i64.const(page.getUint16(at, true))));
      at += left >= 8 ? 8 : left >= 4 ? 4 : 2;
    }
    const any = parts.reduce((sum, part) => i64.or(sum, part));
    return i64.ne(any, i64.const(0));
  }

  /** @param rest how many instructions of the block follow */
  #ways(instruction: Instruction, rest: number, index: number, self: Label | undefined): Ways {
    const fn = this.#fn;
    const frame = this.#frame;
    const leaveTo = (target: I64, status: number): void => {
      fn.set(frame.target, target);
      fn.set(frame.status, i32.const(status));
      fn.br(this.#leave);
    };
    const branch = (): void => {
      fn.set(frame.breaking, i32.const(instruction.offset + 1));
      this.#refund(rest);
    };
    const goTo = (block: number): void => {
      if (block > index) fn.br(this.#labels[block] as Label);
      else if (block === index && self !== undefined) fn.br(self);
      else {
        fn.set(frame.state, i32.const(block));
        fn.br(this.#dispatch);
      }
    };
    const pending = i32.atomicLoad(frame.area.get, PENDING);
    return {
      jumpTo: (offset) => {
        branch();
        const block = this.#index.get(offset);
        if (block !== undefined) {
          fn.if(i32.eqz(pending), () => goTo(block));
        }
        leaveTo(this.#inPage(offset), Status.jump);
      },
      jump: (target) => {
        fn.set(frame.target, target);
        branch();
        for (const offset of this.#plan.returns.slice(0, RETURNS_TRIED)) {
          const block = this.#index.get(offset);
          if (block === undefined) continue;
          const here = i64.eq(frame.target.get, this.#inPage(offset));
          fn.if(i32.and(here, i32.eqz(pending)), () => goTo(block));
        }
        leaveTo(frame.target.get, Status.jump);
      },
      onward: () => {
        this.#refund(rest);
        leaveTo(this.#inPage(instruction.offset + instruction.length), Status.onward);
      },
      fault: () => {
        const { offset, length } = instruction;
        fn.set(frame.where, i32.const(offset | (length << 12) | (rest << 16)));
        fn.br(this.#fault);
      },
    };
  }
}
