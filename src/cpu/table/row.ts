/**
 * One row of the instruction table. The meaning of an instruction is written once, as a `body` that
 * emits WebAssembly through a `Body`; which kind of code comes out is the reader's choice: bodies of the
 * dispatch function, functions of their own for the rest, and regions of a translator later.
 */
import type { Body } from "./body.ts";
import type { Format } from "./formats.ts";

export interface Row {
  readonly mnemonic: string;
  /** Opcode key as in ports/guest-cpu.ts; RI and RIL opcodes as first byte << 4 | last nibble. */
  readonly key: number;
  readonly format: Format;
  readonly body: (b: Body) => void;
  /** Facility that brings the instruction; absent = in the base architecture. */
  readonly facility?: number;
}

/** Facilities by their STFLE bit. */
export const Facility = {
  generalExtension: 34,
  /** Distinct operands, load/store on condition, interlocked access, high word, population count. */
  z196: 45,
  /** Load and trap, execution hints, processor assist, miscellaneous instructions 1. */
  zEC12: 49,
  /** Load/store on condition 2, load and zero rightmost byte. */
  z13: 53,
  /** Miscellaneous instruction extensions 2 and 3. */
  z14: 58,
  z15: 61,
} as const;

export function row(
  mnemonic: string,
  key: number,
  format: Format,
  body: (b: Body) => void,
  facility?: number,
): Row {
  return facility === undefined
    ? { mnemonic, key, format, body }
    : { mnemonic, key, format, body, facility };
}

/** Instruction length in bytes from the first opcode byte. */
export function instructionLength(firstByte: number): 2 | 4 | 6 {
  if (firstByte < 0x40) return 2;
  return firstByte < 0xc0 ? 4 : 6;
}

/** Opcode key of the instruction whose bytes 0-3 are `high` and 4-5 the upper half of `low`. */
export function opcodeKey(high: number, low: number): number {
  const first = (high >>> 24) & 0xff;
  switch (first) {
    case 0x01:
    case 0xb2:
    case 0xb3:
    case 0xb9:
    case 0xe5:
      return (high >>> 16) & 0xffff;
    case 0xa5:
    case 0xa7:
    case 0xc0:
    case 0xc2:
    case 0xc4:
    case 0xc6:
    case 0xc8:
    case 0xcc:
      return (first << 4) | ((high >>> 16) & 15);
    case 0xe3:
    case 0xe6:
    case 0xe7:
    case 0xeb:
    case 0xec:
    case 0xed:
      return (first << 8) | ((low >>> 16) & 0xff);
    default:
      return first;
  }
}
