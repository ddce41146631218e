/** Register fields of an instruction's first four bytes, and register pairs as numbers. */
export const r1Rre = (high: number): number => (high >>> 4) & 15;
export const r2Rre = (high: number): number => high & 15;
/** R1 of RXY and RSY. */
export const r1Rxy = (high: number): number => (high >>> 20) & 15;
/** R3 of RSY. */
export const r3Rsy = (high: number): number => (high >>> 16) & 15;

/** A 64-bit value as a number; beyond 2^53 inexact, which every bound check refuses anyway. */
export function toNumber(high: number, low: number): number {
  return (high >>> 0) * 0x1_0000_0000 + (low >>> 0);
}
