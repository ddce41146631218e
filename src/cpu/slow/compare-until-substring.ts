/**
 * COMPARE UNTIL SUBSTRING EQUAL: looks for a run of GR0 equal bytes at the same place of both operands, the
 * shorter one padded with the byte in GR1. Condition code 0: found; 1: the longer operand ended in a
 * run of equal bytes that is too short; 2: it ended in unequal bytes; 3: not finished. After 0 and 1 the
 * registers designate where the run begins, after 2 and 3 where comparing stopped. SA22-7832 chapter 7.
 */
import { ProgramCode } from "../../abi/lowcore.ts";
import type { SlowContext } from "./context.ts";

const UNIT = 4096;

interface Place {
  firstAddress: bigint;
  firstLength: bigint;
  secondAddress: bigint;
  secondLength: bigint;
}

export function cuse(c: SlowContext): void {
  const r1 = c.field(24, 4);
  const r2 = c.field(28, 4);
  if (((r1 | r2) & 1) !== 0) {
    c.program(ProgramCode.specification);
    return;
  }
  const wanted = c.gr32(0) & 0xff;
  const pad = c.gr32(1) & 0xff;
  const at: Place = {
    firstAddress: c.addressIn(r1),
    firstLength: signedLength(c, r1 + 1),
    secondAddress: c.addressIn(r2),
    secondLength: signedLength(c, r2 + 1),
  };
  if (wanted === 0) {
    c.cc = 0;
    return;
  }
  let run = { ...at };
  let equal = 0;
  let cc = at.firstLength === 0n && at.secondLength === 0n ? 2 : 3;
  for (let done = 0; cc === 3 && (done < UNIT || equal > 0); done++) {
    const x = at.firstLength > 0n ? c.ofFirst(() => c.fetchByte(at.firstAddress)) : -2;
    const y = x === -1 || at.secondLength <= 0n ? -2 : c.fetchByte(at.secondAddress);
    if (x === -1 || y === -1) {
      // With something done: stop here with code 3, at the run's beginning, and meet it again.
      if (done === equal) return;
      c.forgetFault();
      put(c, r1, r2, equal > 0 ? run : at);
      c.cc = 3;
      return;
    }
    if (equal === 0) run = { ...at };
    const same = (x < 0 ? pad : c.bytes[x]) === (y < 0 ? pad : c.bytes[y]);
    equal = same ? equal + 1 : 0;
    step(c, at);
    if (equal === wanted) cc = 0;
    else if (at.firstLength === 0n && at.secondLength === 0n) cc = same ? 1 : 2;
  }
  put(c, r1, r2, cc < 2 ? run : at);
  c.cc = cc;
}

/** Lengths are signed; a negative one is none. */
function signedLength(c: SlowContext, register: number): bigint {
  const length = BigInt.asIntN(c.wide ? 64 : 32, c.lengthIn(register));
  return length < 0n ? 0n : length;
}

function step(c: SlowContext, at: Place): void {
  if (at.firstLength > 0n) {
    at.firstAddress = (at.firstAddress + 1n) & c.addressMask;
    at.firstLength -= 1n;
  }
  if (at.secondLength > 0n) {
    at.secondAddress = (at.secondAddress + 1n) & c.addressMask;
    at.secondLength -= 1n;
  }
}

function put(c: SlowContext, r1: number, r2: number, place: Place): void {
  c.updateAddress(r1, place.firstAddress);
  c.setLength(r1 + 1, place.firstLength);
  c.updateAddress(r2, place.secondAddress);
  c.setLength(r2 + 1, place.secondLength);
}
