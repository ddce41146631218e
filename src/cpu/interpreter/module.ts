/**
 * Builds the interpreter's WebAssembly module from the instruction table: imports, helpers, one function
 * per row, the dispatch function. The bytes are the same in every thread; compile them once per process
 * and hand the `WebAssembly.Module` to the workers.
 */

import { PciOpcode } from "../../abi/pci-insn.ts";
import { assert } from "../../base/assert.ts";
import type { ExitKind } from "../../shm/blocks.ts";
import { hotMnemonics, instructionTable } from "../table/index.ts";
import type { Row } from "../table/row.ts";
import {
  callIndirect32,
  FunctionBuilder,
  ModuleBuilder,
  VALUE_I32,
  VALUE_I64,
  type ValueType,
} from "../wasm/index.ts";
import { ColdBody, type ColdContext } from "./cold-body.ts";
import { dispatchFunction, FIRST_ROW_HANDLER } from "./dispatch.ts";
import { defineHelpers, type Helpers, type Imports } from "./helpers.ts";

/** Rows in the order of their handler numbers; the hot ones first. */
export const handlerRows: readonly Row[] = orderRows();
/**
 * Handlers behind the rows: instructions written in TypeScript, those that cross a page, any instruction while
 * each is watched, and intercepted ones with an
 * import of their own (`InterceptHandler.direct`).
 */
export const HANDLER_SLOW = FIRST_ROW_HANDLER + handlerRows.length;
export const HANDLER_CROSS = HANDLER_SLOW + 1;
export const HANDLER_WATCHED = HANDLER_CROSS + 1;
export const HANDLER_DIRECT = HANDLER_WATCHED + 1;

/** Those, by the names of their imports, which take bytes 0-3 of the instruction. */
export const directInstructions = [
  ["pcilg", PciOpcode.PCILG],
  ["pcistg", PciOpcode.PCISTG],
  ["rpcit", PciOpcode.RPCIT],
] as const satisfies readonly (readonly [ExitKind, number])[];

export interface InterpreterModule {
  readonly bytes: Uint8Array;
  /** Size of the dispatch function's body; performance.md 2.6 wants it below 30 KiB. */
  readonly dispatchBytes: number;
  readonly largestRowBytes: number;
}

/** Functions the module imports from "cpu", all over i32. */
export interface InterpreterImports {
  fill(high: number, low: number, kind: number): number;
  lookup(high: number, low: number): number;
  decode(entry: number): void;
  slow(entry: number): number;
  execute(high: number, low: number, modifier: number): number;
  cross(entry: number): number;
  watch(entry: number): number;
  watched(status: number): number;
  hot(entry: number): void;
}

/** Places in the function table for regions. */
export const REGION_SLOTS = 16384;
export const FIRST_REGION_HANDLER = HANDLER_DIRECT + directInstructions.length;

/** Parameters and results of the helpers that regions import; `original` runs a row on an entry. */
export const regionImports = {
  read: [VALUE_I64, VALUE_I32],
  write: [VALUE_I64, VALUE_I32],
  commit: [],
  store: [VALUE_I64, VALUE_I64, VALUE_I32],
  inPlaceRead: [VALUE_I64, VALUE_I32],
  inPlaceWrite: [VALUE_I64, VALUE_I32],
  probe: [VALUE_I64, VALUE_I32],
  copy: [VALUE_I32, VALUE_I32, VALUE_I32],
  move: [VALUE_I64, VALUE_I64, VALUE_I32],
  raise: [VALUE_I32, VALUE_I32],
} as const satisfies Record<keyof Helpers, readonly ValueType[]>;
/** Helpers without a result. */
export const quietHelpers: ReadonlySet<keyof Helpers> = new Set(["commit", "copy", "raise"]);

/** @param heatAfter 0 for the interpreter alone; else see `dispatchFunction`, and exports for regions */
export function buildInterpreterModule(heatAfter = 0): InterpreterModule {
  const module = new ModuleBuilder();
  // Any shared memory fits these limits.
  module.importMemory("vm", "memory", 1, 65536);
  module.importGlobal32("vm", "area");
  const imports = declareImports(module);
  const helpers = defineHelpers(module, imports);
  const rowType = module.type({ parameters: [VALUE_I32], results: [VALUE_I32] });
  const context: ColdContext = { helpers, imports, rowType };

  const signature = { parameters: [VALUE_I32], results: [VALUE_I32] } as const;
  const sizes: number[] = [];
  const define = (emit: (body: ColdBody) => void, format: Row["format"]): number => {
    const index = module.declare(signature);
    const fn = new FunctionBuilder(signature.parameters);
    emit(new ColdBody(fn, format, context));
    fn.emit([0x41, 0x00]); // Status.next
    sizes.push(module.define(index, fn));
    return index;
  };
  const rows = handlerRows.map((row) => define(row.body, row.format));
  const largestRowBytes = Math.max(...sizes);
  const slow = define((body) => body.slow(), "slow");
  const cross = define((body) => body.cross(), "slow");
  const watched = define((body) => body.watched(), "slow");
  const direct = imports.direct.map(({ index, kind }) =>
    define((body) => body.direct(index, kind), "slow"),
  );
  // Handlers 0 and 1 belong to the dispatch function and are never called.
  module.setTable(
    [slow, slow, ...rows, slow, cross, watched, ...direct],
    heatAfter > 0 ? REGION_SLOTS : 0,
  );

  const run = module.declare(signature);
  const hotRows = handlerRows.slice(0, hotMnemonics.length);
  const dispatchBytes = module.define(run, dispatchFunction(hotRows, context, heatAfter));
  module.exportFunction("run", run);
  if (heatAfter > 0) {
    module.exportTable("table");
    for (const [name, index] of Object.entries(helpers)) module.exportFunction(name, index);
    const original = module.declare({ parameters: [VALUE_I32, VALUE_I32], results: [VALUE_I32] });
    const fn = new FunctionBuilder([VALUE_I32, VALUE_I32]);
    fn.emit(callIndirect32(rowType, fn.parameter32(0).get, fn.parameter32(1).get));
    module.define(original, fn);
    module.exportFunction("original", original);
  }
  return { bytes: module.finish(), dispatchBytes, largestRowBytes };
}

function declareImports(module: ModuleBuilder): Imports {
  const declare = (name: string, parameters: number, result: boolean): number =>
    module.importFunction("cpu", name, {
      parameters: new Array(parameters).fill(VALUE_I32),
      results: result ? [VALUE_I32] : [],
    });
  return {
    fill: declare("fill", 3, true),
    lookup: declare("lookup", 2, true),
    decode: declare("decode", 1, false),
    slow: declare("slow", 1, true),
    execute: declare("execute", 3, true),
    cross: declare("cross", 1, true),
    watch: declare("watch", 1, true),
    watched: declare("watched", 1, true),
    direct: directInstructions.map(([name]) => ({ index: declare(name, 1, false), kind: name })),
    hot: declare("hot", 1, false),
  };
}

function orderRows(): Row[] {
  const byName = new Map(instructionTable.map((row) => [row.mnemonic, row]));
  const hot = hotMnemonics.map((mnemonic) => {
    const row = byName.get(mnemonic);
    assert(row !== undefined, `hot instruction ${mnemonic} is not in the table`);
    return row;
  });
  const chosen = new Set(hot);
  return [...hot, ...instructionTable.filter((row) => !chosen.has(row))];
}
