/**
 * WebAssembly expressions as typed byte sequences: `i64.add(x, y)` is the code that leaves the sum on
 * the stack. An expression is text, so using it twice runs it twice; keep a value in a local for that.
 * Opcodes: WebAssembly core specification 2.0, section 5.4; atomics: threads proposal (prefix 0xFE).
 */
import { signed32, signed64, unsigned } from "./leb128.ts";

declare const type: unique symbol;
export type Code = readonly number[];
export type I32 = Code & { readonly [type]: "i32" };
export type I64 = Code & { readonly [type]: "i64" };

export const VALUE_I32 = 0x7f;
export const VALUE_I64 = 0x7e;
export type ValueType = typeof VALUE_I32 | typeof VALUE_I64;

/** `concat` copies small-integer arrays natively: the module is built at every start. */
function join(first: Code, ...rest: readonly Code[]): number[] {
  return (first as number[]).concat(...(rest as readonly number[][]));
}

const as32 = (code: number[]): I32 => code as unknown as I32;
const as64 = (code: number[]): I64 => code as unknown as I64;

/** The number that `i32.const` pushes, when the code is that and nothing else. */
export function constant32(code: Code): number | undefined {
  return code[0] === 0x41 && code.length <= 6 ? wholeLeb(code, 32) : undefined;
}

/** The same for `i64.const`; numbers that need more than six bytes stay as they are. */
function constant64(code: Code): number | undefined {
  return code[0] === 0x42 && code.length <= 7 ? wholeLeb(code, 64) : undefined;
}

/** Whether the code is an `i64.const` and nothing else. */
export function isConstant64(code: Code): boolean {
  return code[0] === 0x42 && code.findIndex((byte, i) => i > 0 && byte < 0x80) === code.length - 1;
}

/** Signed LEB128 from byte 1 on, if it ends where the code ends. */
function wholeLeb(code: Code, bits: 32 | 64): number | undefined {
  let value = 0;
  let unit = 1;
  for (let i = 1; i < code.length; i++) {
    const byte = code[i] as number;
    value += (byte & 0x7f) * unit;
    unit *= 128;
    if (byte >= 0x80) continue;
    if (i !== code.length - 1) return undefined;
    if ((byte & 0x40) !== 0) value -= unit;
    return bits === 32 ? value | 0 : value;
  }
  return undefined;
}

const un32 =
  (op: number) =>
  (a: I32): I32 =>
    as32(join(a, [op]));
/** With `fold`, two constants become one: V8's wasm pipeline leaves that to whoever writes the code. */
const bin32 =
  (op: number, fold?: (x: number, y: number) => number, neutral?: number) =>
  (a: I32, b: I32): I32 => {
    if (fold !== undefined && b[0] === 0x41) {
      const y = constant32(b);
      if (y !== undefined && y === neutral) return a;
      const x = y === undefined ? undefined : constant32(a);
      if (x !== undefined && y !== undefined) return i32.const(fold(x, y));
    }
    return as32(join(a, b, [op]));
  };
const un64 =
  (op: number) =>
  (a: I64): I64 =>
    as64(join(a, [op]));
/** `neutral` on the right leaves the left operand as it is. */
const bin64 =
  (op: number, neutral?: number) =>
  (a: I64, b: I64): I64 =>
    neutral !== undefined && b[0] === 0x42 && constant64(b) === neutral
      ? a
      : as64(join(a, b, [op]));
const test64 =
  (op: number) =>
  (a: I64, b: I64): I32 =>
    as32(join(a, b, [op]));

/** Alignment hints are 1 byte (0): host addresses follow guest addresses, which may be odd. */
const load32 =
  (op: number) =>
  (address: I32, offset = 0): I32 =>
    as32(join(address, [op, 0], unsigned(offset)));
const load64 =
  (op: number) =>
  (address: I32, offset = 0): I64 =>
    as64(join(address, [op, 0], unsigned(offset)));
const store32 =
  (op: number) =>
  (address: I32, value: I32, offset = 0): Code =>
    join(address, value, [op, 0], unsigned(offset));
const store64 =
  (op: number) =>
  (address: I32, value: I64, offset = 0): Code =>
    join(address, value, [op, 0], unsigned(offset));

/** Atomic accesses state their natural alignment and trap when the address does not have it. */
const rmw32 =
  (op: number) =>
  (address: I32, value: I32): I32 =>
    as32(join(address, value, [0xfe, op, 2, 0]));
const rmw64 =
  (op: number) =>
  (address: I32, value: I64): I64 =>
    as64(join(address, value, [0xfe, op, 3, 0]));

export const i32 = {
  const: (value: number): I32 => as32([0x41, ...signed32(value)]),
  eqz: (a: I32): I32 => {
    const x = a[0] === 0x41 ? constant32(a) : undefined;
    return x === undefined ? as32(join(a, [0x45])) : i32.const(x === 0 ? 1 : 0);
  },
  eq: bin32(0x46, (x, y) => (x === y ? 1 : 0)),
  ne: bin32(0x47, (x, y) => (x !== y ? 1 : 0)),
  ltS: bin32(0x48),
  ltU: bin32(0x49),
  gtS: bin32(0x4a),
  gtU: bin32(0x4b),
  leS: bin32(0x4c),
  leU: bin32(0x4d),
  geS: bin32(0x4e),
  geU: bin32(0x4f),
  clz: un32(0x67),
  popcnt: un32(0x69),
  add: bin32(0x6a, (x, y) => (x + y) | 0, 0),
  sub: bin32(0x6b, (x, y) => (x - y) | 0, 0),
  mul: bin32(0x6c),
  divS: bin32(0x6d),
  remS: bin32(0x6f),
  and: bin32(0x71, (x, y) => x & y, -1),
  or: bin32(0x72, (x, y) => x | y, 0),
  xor: bin32(0x73, (x, y) => x ^ y, 0),
  shl: bin32(0x74, (x, y) => x << y, 0),
  shrS: bin32(0x75, (x, y) => x >> y, 0),
  shrU: bin32(0x76, (x, y) => x >>> y, 0),
  rotl: bin32(0x77),
  rotr: bin32(0x78),
  extend8S: un32(0xc0),
  extend16S: un32(0xc1),
  wrap: (a: I64): I32 => as32(join(a, [0xa7])),
  load: load32(0x28),
  load8S: load32(0x2c),
  load8U: load32(0x2d),
  load16S: load32(0x2e),
  load16U: load32(0x2f),
  store: store32(0x36),
  store8: store32(0x3a),
  store16: store32(0x3b),
  select: (yes: I32, no: I32, condition: I32): I32 => {
    const known = condition[0] === 0x41 ? constant32(condition) : undefined;
    if (known !== undefined) return known === 0 ? no : yes;
    return as32(join(yes, no, condition, [0x1b]));
  },
  atomicLoad: (address: I32, offset = 0): I32 =>
    as32(join(address, [0xfe, 0x10, 2], unsigned(offset))),
  atomicStore: (address: I32, value: I32): Code => join(address, value, [0xfe, 0x17, 2, 0]),
  atomicAnd: rmw32(0x2c),
  atomicOr: rmw32(0x33),
  atomicXor: rmw32(0x3a),
  atomicExchange8: (address: I32, value: I32): I32 =>
    as32(join(address, value, [0xfe, 0x43, 0, 0])),
  atomicCompareExchange: (address: I32, expected: I32, next: I32): I32 =>
    as32(join(address, expected, next, [0xfe, 0x48, 2, 0])),
} as const;

export const i64 = {
  const: (value: bigint | number): I64 => as64([0x42, ...signed64(BigInt(value))]),
  eqz: (a: I64): I32 => as32(join(a, [0x50])),
  eq: test64(0x51),
  ne: test64(0x52),
  ltS: test64(0x53),
  ltU: test64(0x54),
  gtS: test64(0x55),
  gtU: test64(0x56),
  leS: test64(0x57),
  leU: test64(0x58),
  geS: test64(0x59),
  geU: test64(0x5a),
  clz: un64(0x79),
  popcnt: un64(0x7b),
  add: bin64(0x7c, 0),
  sub: bin64(0x7d, 0),
  mul: bin64(0x7e),
  divS: bin64(0x7f),
  divU: bin64(0x80),
  remS: bin64(0x81),
  remU: bin64(0x82),
  and: bin64(0x83, -1),
  or: bin64(0x84, 0),
  xor: bin64(0x85, 0),
  shl: bin64(0x86, 0),
  shrS: bin64(0x87, 0),
  shrU: bin64(0x88, 0),
  rotl: bin64(0x89, 0),
  extend8S: un64(0xc2),
  extend16S: un64(0xc3),
  extend32S: un64(0xc4),
  fromS: (a: I32): I64 => {
    const x = a[0] === 0x41 ? constant32(a) : undefined;
    return x === undefined ? as64(join(a, [0xac])) : i64.const(x);
  },
  fromU: (a: I32): I64 => {
    const x = a[0] === 0x41 ? constant32(a) : undefined;
    return x === undefined ? as64(join(a, [0xad])) : i64.const(x >>> 0);
  },
  load: load64(0x29),
  load8S: load64(0x30),
  load8U: load64(0x31),
  load16S: load64(0x32),
  load16U: load64(0x33),
  load32S: load64(0x34),
  load32U: load64(0x35),
  store: store64(0x37),
  store8: store64(0x3c),
  store16: store64(0x3d),
  store32: store64(0x3e),
  select: (yes: I64, no: I64, condition: I32): I64 => {
    const known = condition[0] === 0x41 ? constant32(condition) : undefined;
    if (known !== undefined) return known === 0 ? no : yes;
    return as64(join(yes, no, condition, [0x1b]));
  },
  atomicAnd: rmw64(0x2d),
  atomicOr: rmw64(0x34),
  atomicXor: rmw64(0x3b),
  atomicCompareExchange: (address: I32, expected: I64, next: I64): I64 =>
    as64(join(address, expected, next, [0xfe, 0x49, 3, 0])),
} as const;

export const atomicFence: Code = [0xfe, 0x03, 0x00];

export function localGet32(index: number): I32 {
  return as32([0x20, ...unsigned(index)]);
}

export function localGet64(index: number): I64 {
  return as64([0x20, ...unsigned(index)]);
}

export function globalGet32(index: number): I32 {
  return as32([0x23, ...unsigned(index)]);
}

/** A call whose result is used as an expression; `call` of the function builder is the statement. */
export function call32(index: number, ...operands: readonly Code[]): I32 {
  return as32(join([], ...operands, [0x10], unsigned(index)));
}

export function callIndirect32(
  typeIndex: number,
  tableIndex: I32,
  ...operands: readonly Code[]
): I32 {
  return as32(join([], ...operands, tableIndex, [0x11], unsigned(typeIndex), [0]));
}
