/**
 * Vector registers for instructions in TypeScript: whole registers as 128-bit numbers, or as elements from the left, each
 * a number without sign. Also what every vector instruction begins with: facility 129, and the controls in CR0.
 * Source: SA22-7832-11 chapter 21.
 */
import { ProgramCode } from "../../abi/lowcore.ts";
import { Cpu } from "../state.ts";
import { dataException } from "./bfp-exceptions.ts";
import type { SlowContext, SlowInstruction } from "./context.ts";

const FACILITY_VECTOR = 129;
/** Vector enhancements 1, of z14. */
export const FACILITY_ENHANCEMENTS = 135;
/** CR0 bits 45 and 46: AFP-register control, vector-enablement control. */
const CONTROLS = 0x60000;
const DXC_VECTOR_INSTRUCTION = 0xfe;

/** Element sizes: 2^n bytes. */
export const BYTES = 0;
export const WORDS = 2;
export const DOUBLEWORDS = 3;
export const QUADWORDS = 4;

/** First bit of a vector-register field, and the bit that makes its number 16 higher. */
const HIGH_BIT = { 8: 36, 12: 37, 16: 38, 32: 39 } as const;
export type VectorField = keyof typeof HIGH_BIT;

export function registerAt(c: SlowContext, field: VectorField): number {
  return c.field(field, 4) | (c.field(HIGH_BIT[field], 1) << 4);
}

export function readVector(c: SlowContext, n: number): bigint {
  return (c.state.u64(Cpu.vr + n * 16) << 64n) | c.state.u64(Cpu.vr + n * 16 + 8);
}

export function writeVector(c: SlowContext, n: number, value: bigint): void {
  c.state.setU64(Cpu.vr + n * 16, value >> 64n);
  c.state.setU64(Cpu.vr + n * 16 + 8, value);
}

export function split(value: bigint, size: number): bigint[] {
  const bits = 8 << size;
  const count = 16 >> size;
  return Array.from({ length: count }, (_, n) =>
    BigInt.asUintN(bits, value >> BigInt((count - 1 - n) * bits)),
  );
}

/** Elements may be too wide or negative. */
export function join(elements: readonly bigint[], size: number): bigint {
  const bits = 8 << size;
  return elements.reduce(
    (value, element) => (value << BigInt(bits)) | BigInt.asUintN(bits, element),
    0n,
  );
}

export function operand(c: SlowContext, field: VectorField): bigint {
  return readVector(c, registerAt(c, field));
}

export function elementsOf(c: SlowContext, field: VectorField, size: number): bigint[] {
  return split(operand(c, field), size);
}

/** The first operand of nearly all. */
export function result(c: SlowContext, value: bigint): void {
  writeVector(c, registerAt(c, 8), value);
}

export function resultElements(c: SlowContext, elements: readonly bigint[], size: number): void {
  result(c, join(elements, size));
}

export function setElement(c: SlowContext, size: number, index: number, value: bigint): void {
  const elements = elementsOf(c, 8, size);
  elements[index] = value;
  resultElements(c, elements, size);
}

export function toNumber(bytes: Uint8Array): bigint {
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

function toBytes(value: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let n = length - 1, rest = value; n >= 0; n--, rest >>= 8n) bytes[n] = Number(rest & 0xffn);
  return bytes;
}

export function load(c: SlowContext, address: bigint, length: number): bigint | undefined {
  const bytes = c.read(address, length);
  return bytes && toNumber(bytes);
}

export function store(c: SlowContext, address: bigint, value: bigint, length: number): void {
  c.write(address, toBytes(value, length));
}

export function specification(c: SlowContext): void {
  c.program(ProgramCode.specification);
}

/** Without the controls a vector instruction is a data exception. */
export function vectorInstruction(body: SlowInstruction): SlowInstruction {
  return withFacility((c) => {
    if ((c.state.low(Cpu.cr) & CONTROLS) === CONTROLS) body(c);
    else dataException(c, DXC_VECTOR_INSTRUCTION);
  });
}

export function withFacility(body: SlowInstruction): SlowInstruction {
  return (c) => {
    if (c.has(FACILITY_VECTOR)) body(c);
    else c.program(ProgramCode.operation);
  };
}

/** An instruction that came with z14. */
export function withEnhancements(body: SlowInstruction): SlowInstruction {
  return (c) => {
    if (c.has(FACILITY_ENHANCEMENTS)) body(c);
    else c.program(ProgramCode.operation);
  };
}

/** Condition code of what says yes or no for each element: all, some, none. */
export function ccOfAll(matches: readonly boolean[]): 0 | 1 | 3 {
  if (matches.every(Boolean)) return 0;
  return matches.some(Boolean) ? 1 : 3;
}
