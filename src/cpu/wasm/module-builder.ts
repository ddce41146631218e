/**
 * Assembles a WebAssembly module: one imported shared memory, imported functions and one i32 global,
 * functions, one funcref table. Source: WebAssembly core specification 2.0, section 5.5.
 */
import { assert } from "../../base/assert.ts";
import { constantExpression, type FunctionBuilder } from "./function-builder.ts";
import { unsigned } from "./leb128.ts";
import type { ValueType } from "./ops.ts";

export interface Signature {
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

export class ModuleBuilder {
  readonly #types: string[] = [];
  readonly #typeBytes: number[][] = [];
  readonly #imports: number[][] = [];
  readonly #importedFunctions: number[] = [];
  readonly #functionTypes: number[] = [];
  readonly #bodies: (number[] | undefined)[] = [];
  readonly #exports: number[][] = [];
  #table: readonly number[] = [];
  #spare = 0;

  type(signature: Signature): number {
    const key = JSON.stringify(signature);
    const known = this.#types.indexOf(key);
    if (known >= 0) return known;
    this.#types.push(key);
    const { parameters, results } = signature;
    this.#typeBytes.push([
      0x60,
      ...unsigned(parameters.length),
      ...parameters,
      ...unsigned(results.length),
      ...results,
    ]);
    return this.#types.length - 1;
  }

  importMemory(module: string, name: string, pages: number, maximum: number): void {
    this.#imports.push([
      ...text(module),
      ...text(name),
      0x02,
      0x03, // shared, with maximum
      ...unsigned(pages),
      ...unsigned(maximum),
    ]);
  }

  /** All imports come before the first `declare`. */
  importFunction(module: string, name: string, signature: Signature): number {
    assert(this.#functionTypes.length === 0, "imports come before functions");
    const type = this.type(signature);
    this.#imports.push([...text(module), ...text(name), 0x00, ...unsigned(type)]);
    this.#importedFunctions.push(type);
    return this.#importedFunctions.length - 1;
  }

  /** An immutable i32; the only global, so its index is 0. */
  importGlobal32(module: string, name: string): number {
    this.#imports.push([...text(module), ...text(name), 0x03, 0x7f, 0x00]);
    return 0;
  }

  /** Reserves a function index, so that functions may call each other whatever their order. */
  declare(signature: Signature): number {
    this.#functionTypes.push(this.type(signature));
    this.#bodies.push(undefined);
    return this.#importedFunctions.length + this.#functionTypes.length - 1;
  }

  /** @returns size of the function's body in bytes */
  define(index: number, builder: FunctionBuilder): number {
    const body = builder.finish();
    this.#bodies[index - this.#importedFunctions.length] = body;
    return body.length;
  }

  exportFunction(name: string, index: number): void {
    this.#exports.push([...text(name), 0x00, ...unsigned(index)]);
  }

  /** Function indices of table 0; `spare` entries behind them are for others to fill. */
  setTable(functions: readonly number[], spare = 0): void {
    this.#table = functions;
    this.#spare = spare;
  }

  exportTable(name: string): void {
    this.#exports.push([...text(name), 0x01, 0]);
  }

  finish(): Uint8Array {
    const bodies = this.#bodies.map((body, index) => {
      assert(body !== undefined, `function ${index} was declared but not defined`);
      return unsigned(body.length).concat(body);
    });
    const sections: number[][] = [
      [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
      section(1, this.#typeBytes),
      section(2, this.#imports),
      section(3, this.#functionTypes.map(unsigned)),
    ];
    if (this.#table.length > 0) {
      const size = unsigned(this.#table.length + this.#spare);
      sections.push(section(4, [[0x70, 0x01, ...size, ...size]]));
    }
    sections.push(section(7, this.#exports));
    if (this.#table.length > 0) {
      const indices = this.#table.flatMap(unsigned);
      const segment = [0x00, ...constantExpression(0), ...unsigned(this.#table.length), ...indices];
      sections.push(section(9, [segment]));
    }
    sections.push(section(10, bodies));
    return concatenate(sections);
  }
}

function text(value: string): number[] {
  const bytes = [...new TextEncoder().encode(value)];
  return [...unsigned(bytes.length), ...bytes];
}

function section(id: number, items: readonly (readonly number[])[]): number[] {
  const body = unsigned(items.length).concat(...(items as readonly number[][]));
  return [id].concat(unsigned(body.length), body);
}

function concatenate(parts: readonly (readonly number[])[]): Uint8Array {
  const total = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(total);
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}
