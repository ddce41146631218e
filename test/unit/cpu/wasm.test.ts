import fc from "fast-check";
import { expect, test } from "vitest";
import {
  FunctionBuilder,
  i32,
  i64,
  ModuleBuilder,
  VALUE_I32,
  VALUE_I64,
} from "../../../src/cpu/wasm/index.ts";
import { signed32, signed64, unsigned } from "../../../src/cpu/wasm/leb128.ts";

function compile(
  build: (module: ModuleBuilder) => void,
): Record<string, (...a: unknown[]) => unknown> {
  const builder = new ModuleBuilder();
  build(builder);
  const bytes = builder.finish();
  expect(WebAssembly.validate(bytes)).toBe(true);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  return exports as Record<string, (...a: unknown[]) => unknown>;
}

test("the integers that the specification shows are encoded as it shows them", () => {
  // WebAssembly core 5.2.2 refers to DWARF 7.6: 624485 and -123456 are its examples.
  expect(unsigned(624485)).toEqual([0xe5, 0x8e, 0x26]);
  expect(signed32(-123456)).toEqual([0xc0, 0xbb, 0x78]);
  expect(signed32(64)).toEqual([0xc0, 0x00]);
  expect(signed64(-(1n << 63n)).length).toBe(10);
});

test("a constant of any value comes back from a function that returns it", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }), (value) => {
      const exports = compile((module) => {
        const index = module.declare({ parameters: [], results: [VALUE_I64] });
        const fn = new FunctionBuilder([]);
        fn.emit(i64.const(value));
        module.define(index, fn);
        module.exportFunction("f", index);
      });
      expect(exports["f"]?.()).toBe(value);
    }),
    { numRuns: 50 },
  );
});

test("br_table goes to the label of its index and to the last one for any other", () => {
  const exports = compile((module) => {
    const index = module.declare({ parameters: [VALUE_I32], results: [VALUE_I32] });
    const fn = new FunctionBuilder([VALUE_I32]);
    fn.block((other) => {
      fn.block((one) => {
        fn.block((zero) => fn.brTable(fn.parameter32(0).get, [zero, one], other));
        fn.return(i32.const(100));
      });
      fn.return(i32.const(101));
    });
    fn.emit(i32.const(99));
    module.define(index, fn);
    module.exportFunction("f", index);
  });
  expect([0, 1, 2, -1].map((n) => exports["f"]?.(n))).toEqual([100, 101, 99, 99]);
});

test("temporaries are recycled after release and a loop can sum with them", () => {
  const fn = new FunctionBuilder([VALUE_I32]);
  const first = fn.temp32();
  fn.release();
  expect(fn.temp32().index).toBe(first.index);
  expect(fn.temp32().index).toBe(first.index + 1);
  fn.release();
  const exports = compile((module) => {
    const index = module.declare({ parameters: [VALUE_I32], results: [VALUE_I32] });
    const n = fn.parameter32(0);
    const sum = fn.fixed32();
    fn.loop((again) => {
      fn.set(sum, i32.add(sum.get, n.get));
      fn.set(n, i32.sub(n.get, i32.const(1)));
      fn.brIf(again, n.get);
    });
    fn.emit(sum.get);
    module.define(index, fn);
    module.exportFunction("sum", index);
  });
  expect(exports["sum"]?.(10)).toBe(55);
});

test("functions call each other through the table whatever the order of their definition", () => {
  const exports = compile((module) => {
    const signature = { parameters: [VALUE_I32], results: [VALUE_I32] } as const;
    const type = module.type(signature);
    const caller = module.declare(signature);
    const double = module.declare(signature);
    module.setTable([caller, double]);
    const fn = new FunctionBuilder(signature.parameters);
    const n = fn.parameter32(0).get;
    fn.emit([...n, ...i32.const(1), 0x11, type, 0]);
    module.define(caller, fn);
    const body = new FunctionBuilder(signature.parameters);
    body.emit(i32.shl(body.parameter32(0).get, i32.const(1)));
    module.define(double, body);
    module.exportFunction("f", caller);
  });
  expect(exports["f"]?.(21)).toBe(42);
});
