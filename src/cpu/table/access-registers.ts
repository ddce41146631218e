/**
 * Which access registers go with the storage operands of an instruction: the one numbered like the base register of
 * the operand, or like the general register that holds its address. Only access-register mode asks. Source:
 * SA22-7832 chapter 5, "Access-Register Translation", and the instruction formats.
 */
import { opcodeKey } from "./row.ts";

/** RRE and RRF whose operands are at the addresses in R1 and R2. */
const byRegisters = new Set([
  ...[0xb241, 0xb250, 0xb254, 0xb255, 0xb257, 0xb25d, 0xb25e, 0xb2a5, 0xb2a6, 0xb2a7],
  ...[
    0xb98a, 0xb990, 0xb991, 0xb992, 0xb993, 0xb9b0, 0xb9b1, 0xb9b2, 0xb9b3, 0xb9bd, 0xb9be, 0xb9bf,
  ],
  0xb223,
]);
/** RS and RSY whose operands are at the addresses in R1 and R3. */
const byFirstAndThird = new Set([0xa8, 0xa9, 0xeb8e, 0xeb8f]);

/** Numbers of the access registers: first operand << 4 | second operand. A single operand counts as both. */
export function accessRegisters(high: number, low: number): number {
  const key = opcodeKey(high, low);
  const first = high >>> 24;
  const upper = (high >>> 12) & 15; // B1 of SS, B2 or B1 of the others
  if (first === 0x0e || first === 0x0f || byFirstAndThird.has(key)) return (high >>> 16) & 0xff;
  if (byRegisters.has(key)) return high & 0xff;
  // Beside the instruction: the primary space, as access register 0.
  if (first === 0xc0 || first === 0xc4 || first === 0xc6) return 0;
  const two = (first >= 0xd0 && first !== 0xe3 && first < 0xe5) || isTwoOperand(first, key);
  return (upper << 4) | (two ? low >>> 28 : upper);
}

function isTwoOperand(first: number, key: number): boolean {
  if (first === 0xe5) return key < 0xe544;
  if (first === 0xe8 || first === 0xe9 || first === 0xea) return true;
  return first === 0xc8 || (first >= 0xee && first <= 0xff);
}
