/**
 * Builds one WebAssembly function: statements, structured control flow with labels instead of depths,
 * and a pool of locals that is recycled between pieces of code (performance.md 2.6, 2b: every join
 * point carries every local, so a function with many bodies must share a few).
 */
import { assert } from "../../base/assert.ts";
import { signed32, unsigned } from "./leb128.ts";
import {
  type Code,
  type I32,
  type I64,
  localGet32,
  localGet64,
  VALUE_I32,
  VALUE_I64,
  type ValueType,
} from "./ops.ts";

const VOID = 0x40;

/** Where a branch may go: out of a block or if, or back to the start of a loop. */
export interface Label {
  readonly depth: number;
}

/** A local variable: `get` is its value as an expression. */
export interface Local<T extends Code> {
  readonly index: number;
  readonly get: T;
}

export class FunctionBuilder {
  readonly #parameters: readonly ValueType[];
  readonly #locals: ValueType[] = [];
  readonly #code: number[] = [];
  readonly #free: { [VALUE_I32]: number[]; [VALUE_I64]: number[] } = {
    [VALUE_I32]: [],
    [VALUE_I64]: [],
  };
  #taken: { index: number; type: ValueType }[] = [];
  #depth = 0;
  #structures = 0;

  constructor(parameters: readonly ValueType[]) {
    this.#parameters = parameters;
  }

  get codeBytes(): number {
    return this.#code.length;
  }

  /** Code so far; for `prepend` of another builder with the same locals. */
  get code(): Code {
    return this.#code;
  }

  /** How many blocks and loops there have been. */
  get structures(): number {
    return this.#structures;
  }

  /** Puts straight-line code before everything else: what only the whole function's code can tell. */
  prepend(code: Code): void {
    this.#code.unshift(...code);
  }

  parameter32(index: number): Local<I32> {
    return { index, get: localGet32(index) };
  }

  parameter64(index: number): Local<I64> {
    return { index, get: localGet64(index) };
  }

  /** A local that lives as long as the function. */
  fixed32(): Local<I32> {
    const index = this.#newLocal(VALUE_I32);
    return { index, get: localGet32(index) };
  }

  fixed64(): Local<I64> {
    const index = this.#newLocal(VALUE_I64);
    return { index, get: localGet64(index) };
  }

  /** A temporary that `release` gives back. */
  temp32(): Local<I32> {
    const index = this.#take(VALUE_I32);
    return { index, get: localGet32(index) };
  }

  temp64(): Local<I64> {
    const index = this.#take(VALUE_I64);
    return { index, get: localGet64(index) };
  }

  /** Evaluates now, into a temporary. */
  let32(value: I32): I32 {
    const local = this.temp32();
    this.set(local, value);
    return local.get;
  }

  let64(value: I64): I64 {
    const local = this.temp64();
    this.set(local, value);
    return local.get;
  }

  /** Gives all temporaries back; called between two bodies. */
  release(): void {
    for (const { index, type } of this.#taken) this.#free[type].push(index);
    this.#taken = [];
  }

  emit(code: Code): void {
    this.#code.push(...code);
  }

  set<T extends Code>(local: Local<T>, value: T): void {
    this.emit(value);
    this.emit([0x21, ...unsigned(local.index)]);
  }

  drop(value: Code): void {
    this.emit(value);
    this.emit([0x1a]);
  }

  return(value: I32 | I64): void {
    this.emit(value);
    this.emit([0x0f]);
  }

  unreachable(): void {
    this.emit([0x00]);
  }

  block(body: (end: Label) => void): void {
    this.#structured([0x02, VOID], body);
  }

  loop(body: (start: Label) => void): void {
    this.#structured([0x03, VOID], body);
  }

  if(condition: I32, then: () => void, otherwise?: () => void): void {
    this.emit(condition);
    this.emit([0x04, VOID]);
    this.#depth++;
    then();
    if (otherwise) {
      this.emit([0x05]);
      otherwise();
    }
    this.#depth--;
    this.emit([0x0b]);
  }

  br(label: Label): void {
    this.emit([0x0c, ...unsigned(this.#depth - label.depth)]);
  }

  brIf(label: Label, condition: I32): void {
    this.emit(condition);
    this.emit([0x0d, ...unsigned(this.#depth - label.depth)]);
  }

  /** @param labels targets of index 0, 1, …; every other index goes to `otherwise` */
  brTable(index: I32, labels: readonly Label[], otherwise: Label): void {
    this.emit(index);
    this.emit([0x0e, ...unsigned(labels.length)]);
    for (const label of [...labels, otherwise]) this.emit(unsigned(this.#depth - label.depth));
  }

  /** The function's bytes for the code section, without the size prefix. */
  finish(): number[] {
    assert(this.#depth === 0, "a block was left open");
    const runs: { type: ValueType; count: number }[] = [];
    for (const type of this.#locals) {
      const last = runs.at(-1);
      if (last?.type === type) last.count++;
      else runs.push({ type, count: 1 });
    }
    const declarations = runs.flatMap(({ type, count }) => [...unsigned(count), type]);
    return unsigned(runs.length).concat(declarations, this.#code, [0x0b]);
  }

  #structured(opening: Code, body: (label: Label) => void): void {
    this.#structures++;
    this.emit(opening);
    this.#depth++;
    body({ depth: this.#depth });
    this.#depth--;
    this.emit([0x0b]);
  }

  #take(type: ValueType): number {
    const index = this.#free[type].pop() ?? this.#newLocal(type);
    this.#taken.push({ index, type });
    return index;
  }

  #newLocal(type: ValueType): number {
    this.#locals.push(type);
    return this.#parameters.length + this.#locals.length - 1;
  }
}

/** i32.const as raw code, for element segment offsets. */
export function constantExpression(value: number): number[] {
  return [0x41, ...signed32(value), 0x0b];
}
