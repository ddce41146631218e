/**
 * What a region consists of: the blocks of one page that can be reached from a hot instruction without leaving the
 * page. A block starts where something may arrive (a label) and goes on through conditional branches until an
 * unconditional one, the next label, or an instruction that is left to the interpreter. Works on a copy of the page:
 * the generated code compares the bytes again before it acts on them.
 */
import { PAGE_BYTES } from "../core-layout.ts";
import { rowsByKey } from "../interpreter/decode-cache.ts";
import { decodeOperands } from "../table/formats.ts";
import { instructionLength, opcodeKey, type Row } from "../table/row.ts";
import { traitsOf } from "./row-traits.ts";

/** Bounds of one region; performance.md 2.6, 4 asks for at most 200 blocks per function. */
const REGION_BLOCKS_MAX = 80;
const REGION_INSTRUCTIONS_MAX = 250;
const BLOCK_INSTRUCTIONS_MAX = 48;
/** Instructions of one region that were never executed: ways that are taken later, most of them never. */
const UNSEEN_MAX = 64;

export interface Instruction {
  readonly row: Row;
  readonly offset: number;
  readonly length: 2 | 4 | 6;
  /** Operand slots as in a decoded entry, with pointers relative to the vCPU area. */
  readonly operands: DataView;
  /** Handler number of the interpreter. */
  readonly handler: number;
  /** May store, or serializes: the bytes behind it have to be compared again. */
  readonly stores: boolean;
  readonly flow: Flow;
}

/** Where control goes behind an instruction. */
interface Flow {
  /** Not to the next instruction. */
  readonly unconditional: boolean;
  /** Offset of a target in the same page. */
  readonly target?: number;
  /** Leaves a link to the next instruction. */
  readonly call: boolean;
}

export interface Block {
  readonly offset: number;
  readonly instructions: readonly Instruction[];
  /** Offset behind the last instruction when it does not end in an unconditional branch. */
  readonly falls: number | undefined;
}

export interface RegionPlan {
  readonly blocks: readonly Block[];
  /** Indices of blocks that the interpreter may enter, the hot one first. */
  readonly heads: readonly number[];
  /** Offsets that links of calls in the region lead to. */
  readonly returns: readonly number[];
}

const SEQUENTIAL: Flow = { unconditional: false, call: false };
const links: ReadonlySet<string> = new Set(["BRAS", "BRASL", "BAS", "BASR", "BAL", "BALR"]);

/**
 * @param page the page's bytes
 * @param has whether the CPU model has a facility
 * @param wanted whether code at an offset is known to be worth having; of the rest there is only a little
 * @returns undefined when the instruction at `start` is not one for regions
 */
export function planRegion(
  page: Uint8Array,
  start: number,
  has: (facility: number) => boolean,
  wanted: (offset: number) => boolean,
): RegionPlan | undefined {
  return new Planner(page, has, wanted).plan(start);
}

class Planner {
  readonly #view: DataView;
  readonly #has: (facility: number) => boolean;
  readonly #wanted: (offset: number) => boolean;
  readonly #known = new Map<number, Instruction | undefined>();
  readonly #labels = new Set<number>();
  readonly #heads = new Set<number>();
  readonly #returns = new Set<number>();
  readonly #queue: number[] = [];
  #instructions = 0;
  #unseen = 0;

  constructor(
    page: Uint8Array,
    has: (facility: number) => boolean,
    wanted: (offset: number) => boolean,
  ) {
    this.#wanted = wanted;
    this.#view = new DataView(page.buffer, page.byteOffset, page.byteLength);
    this.#has = has;
  }

  plan(start: number): RegionPlan | undefined {
    if (this.#at(start) === undefined) return undefined;
    this.#head(start);
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      this.#explore(next);
    }
    const blocks = [...this.#labels]
      .sort((a, b) => a - b)
      .map((offset) => this.#block(offset))
      .filter((block) => block.instructions.length > 0);
    const index = new Map(blocks.map((block, n) => [block.offset, n]));
    const heads = [...this.#heads].flatMap((offset) => index.get(offset) ?? []);
    return { blocks, heads, returns: [...this.#returns] };
  }

  #label(offset: number): void {
    if (offset < 0 || offset >= PAGE_BYTES || this.#labels.has(offset)) return;
    if (this.#labels.size >= REGION_BLOCKS_MAX || this.#at(offset) === undefined) return;
    this.#labels.add(offset);
    this.#queue.push(offset);
  }

  #head(offset: number): void {
    this.#label(offset);
    if (this.#labels.has(offset)) this.#heads.add(offset);
  }

  /** Finds the labels that one block leads to. */
  #explore(from: number): void {
    let offset = from;
    for (let count = 0; count < BLOCK_INSTRUCTIONS_MAX; count++) {
      const instruction = this.#at(offset);
      const next = offset + (instruction?.length ?? this.#lengthAt(offset));
      if (instruction === undefined) {
        // The interpreter does it and comes back.
        this.#head(next);
        return;
      }
      if (count > 0 && this.#labels.has(offset)) return;
      if (++this.#instructions > REGION_INSTRUCTIONS_MAX) return;
      const { flow } = instruction;
      if (flow.target !== undefined) this.#label(flow.target);
      if (flow.call) {
        this.#head(next);
        if (this.#labels.has(next)) this.#returns.add(next);
      }
      if (flow.unconditional) return;
      offset = next;
    }
    this.#label(offset);
  }

  #block(start: number): Block {
    const instructions: Instruction[] = [];
    let offset = start;
    while (instructions.length < BLOCK_INSTRUCTIONS_MAX) {
      if (instructions.length > 0 && this.#labels.has(offset)) break;
      const instruction = this.#at(offset);
      if (instruction === undefined) break;
      instructions.push(instruction);
      offset += instruction.length;
      if (instruction.flow.unconditional) return { offset: start, instructions, falls: undefined };
    }
    return { offset: start, instructions, falls: offset };
  }

  #lengthAt(offset: number): number {
    return offset < PAGE_BYTES ? instructionLength(this.#view.getUint8(offset)) : 2;
  }

  /** The instruction at an offset, if a region can have it. */
  #at(offset: number): Instruction | undefined {
    if (this.#known.has(offset)) return this.#known.get(offset);
    const instruction = this.#decode(offset);
    this.#known.set(offset, instruction);
    return instruction;
  }

  #decode(offset: number): Instruction | undefined {
    if (offset >= PAGE_BYTES || (offset & 1) !== 0) return undefined;
    const view = this.#view;
    const length = instructionLength(view.getUint8(offset));
    if (offset + length > PAGE_BYTES) return undefined;
    if (!this.#wanted(offset) && ++this.#unseen > UNSEEN_MAX) return undefined;
    let high = view.getUint16(offset) << 16;
    if (length > 2) high |= view.getUint16(offset + 2);
    const low = length === 6 ? view.getUint16(offset + 4) << 16 : 0;
    const known = rowsByKey.get(opcodeKey(high, low));
    if (known === undefined) return undefined;
    const { row, handler, relative } = known;
    if (row.facility !== undefined && !this.#has(row.facility)) return undefined;
    const traits = traitsOf(row);
    if (!traits.translatable) return undefined;
    const operands = new DataView(new ArrayBuffer(32));
    decodeOperands(operands, 0, 0, row.format, high, low);
    const serializes = row.format === "RR_m" && operands.getInt32(24, true) !== 0;
    const flow = traits.jumps ? flowOf(row, operands, offset, relative) : SEQUENTIAL;
    const stores = traits.stores || serializes;
    return { row, offset, length, operands, handler, stores, flow };
  }
}

function flowOf(row: Row, operands: DataView, offset: number, relative: boolean): Flow {
  const extra = operands.getUint8(3);
  const always = /^(BRC|BRCL|BC|BCR)$/.test(row.mnemonic) && extra === 15;
  const register = row.mnemonic === "BASR" || row.mnemonic === "BALR";
  const call = links.has(row.mnemonic) && !(register && extra === 0);
  const flow = { unconditional: always || call, call };
  if (!relative) return flow;
  const target = offset + 2 * operands.getInt32(28, true);
  return target >= 0 && target < PAGE_BYTES ? { ...flow, target } : flow;
}
