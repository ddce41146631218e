/**
 * Parsing-enhancement facility: TRANSLATE AND TEST EXTENDED and REVERSE EXTENDED. One- or two-byte arguments select one- or
 * two-byte function codes from the table at GR1; the first code that is not zero ends the search. At most
 * `UNITS` arguments per execution, then condition code 3. Source: SA22-7832 chapter 7.
 */
import { ProgramCode } from "../../abi/lowcore.ts";
import type { SlowContext, SlowInstruction } from "./context.ts";

const UNITS = 256;
const FACILITY_PARSING = 26;
/** M3: two-byte arguments, two-byte function codes, arguments above 255 have code zero. */
const WIDE_ARGUMENT = 8;
const WIDE_CODE = 4;
const LIMITED = 2;

/** @param step 1 towards higher addresses, -1 towards lower ones */
function translateAndTest(step: 1n | -1n): SlowInstruction {
  return (c) => {
    if (!c.has(FACILITY_PARSING)) {
      c.program(ProgramCode.operation);
      return;
    }
    const modifiers = c.field(16, 4);
    const size = (modifiers & WIDE_ARGUMENT) !== 0 ? 2 : 1;
    const codeSize = (modifiers & WIDE_CODE) !== 0 ? 2 : 1;
    const r1 = c.field(24, 4);
    let left = c.lengthIn(r1 | 1);
    if ((r1 & 1) !== 0 || left % BigInt(size) !== 0n) {
      c.program(ProgramCode.specification);
      return;
    }
    const table = c.addressIn(1) & ~7n;
    let at = c.addressIn(r1);
    let code = 0;
    for (let done = 0; left > 0n && code === 0; done++) {
      const argument = done === UNITS ? -1 : number(c, at, size);
      const beyond = size === 2 && (modifiers & LIMITED) !== 0 && argument > 0xff;
      const entry = (table + BigInt(argument * codeSize)) & c.addressMask;
      const found = argument < 0 ? -1 : beyond ? 0 : number(c, entry, codeSize);
      if (found < 0) {
        if (done === 0) return;
        c.forgetFault();
        break;
      }
      code = found;
      if (code !== 0) break;
      at = (at + step * BigInt(size)) & c.addressMask;
      left -= BigInt(size);
    }
    c.updateAddress(r1, at);
    c.setLength(r1 + 1, left);
    const partial = code === 0 && left > 0n;
    if (!partial) c.setLength(c.field(28, 4), BigInt(code));
    c.cc = partial ? 3 : code === 0 ? 0 : 1;
  };
}

/** One or two bytes, or -1 with the access exception recorded. */
function number(c: SlowContext, address: bigint, size: number): number {
  const bytes = c.read(address, size);
  return bytes === undefined ? -1 : bytes.reduce((value, byte) => (value << 8) | byte, 0);
}

export const parsingRows: readonly (readonly [number, string, SlowInstruction])[] = [
  [0xb9bf, "TRTE", translateAndTest(1n)],
  [0xb9bd, "TRTRE", translateAndTest(-1n)],
];
