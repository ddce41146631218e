/** MOVE PAGE, LOAD MULTIPLE DISJOINT, TRANSLATE EXTENDED. SA22-7832 chapters 7 and 10. */
import { ProgramCode } from "../../abi/lowcore.ts";
import { FETCH, STORE } from "../seam.ts";
import type { SlowContext } from "./context.ts";

const PAGE_BYTES = 4096;
const FIRST_KEY = 0x800; //       GR0 bit 52
const SECOND_KEY = 0x400; //      GR0 bit 53
const RESERVED = 0xf000; //       GR0 bits 48-51
const CC_FOR_INVALID = 0x100; //  GR0 bit 55

/** MVPG: an invalid page is condition code 1 (first operand) or 2 if the program asks for that. */
export function mvpg(c: SlowContext): void {
  const control = c.gr32(0);
  const keyed = control & (FIRST_KEY | SECOND_KEY);
  if ((control & RESERVED) !== 0 || keyed === (FIRST_KEY | SECOND_KEY)) {
    c.program(ProgramCode.specification);
    return;
  }
  const key = (control >>> 4) & 15;
  const page = ~BigInt(PAGE_BYTES - 1);
  const target = c.addressIn(c.field(24, 4)) & page;
  const source = c.addressIn(c.field(28, 4)) & page;
  const from = c.resolveKeyed(source, FETCH, keyed === SECOND_KEY ? key : undefined);
  const to = from < 0 ? 0 : c.resolveKeyed(target, STORE, keyed === FIRST_KEY ? key : undefined);
  if (from < 0 || to < 0) {
    const code = -Math.min(from, to);
    if (code === ProgramCode.pageTranslation && (control & CC_FOR_INVALID) !== 0) {
      c.cc = from < 0 ? 2 : 1;
    } else {
      c.recordAccess(code);
    }
    return;
  }
  c.bytes.copyWithin(to, from, from + PAGE_BYTES);
  c.cc = 0;
}

/** LMD: bits 0-31 of the registers from the second operand, bits 32-63 from the fourth. */
export function lmd(c: SlowContext): void {
  const r1 = c.field(8, 4);
  const r3 = c.field(12, 4);
  const count = ((r3 - r1) & 15) + 1;
  const highs = c.read(c.baseDisplacement(16), count * 4);
  const lows = highs && c.read(c.baseDisplacement(32), count * 4);
  if (!highs || !lows) return;
  const high = new DataView(highs.buffer);
  const low = new DataView(lows.buffer);
  for (let i = 0; i < count; i++) {
    c.setGr(r1 + i, (BigInt(high.getUint32(i * 4)) << 32n) | BigInt(low.getUint32(i * 4)));
  }
}

const TRANSLATE_UNIT = 4096;

/** TRE: bytes are replaced through the table until the test character of GR0. */
export function tre(c: SlowContext): void {
  const r1 = c.field(24, 4);
  if ((r1 & 1) !== 0) {
    c.program(ProgramCode.specification);
    return;
  }
  const test = c.gr32(0) & 0xff;
  const table = c.addressIn(c.field(28, 4));
  let at = c.addressIn(r1);
  let left = c.lengthIn(r1 + 1);
  let cc = 3;
  for (let done = 0; done < TRANSLATE_UNIT; done++) {
    if (left === 0n) {
      cc = 0;
      break;
    }
    const host = c.ofFirst(() => c.fetchByte(at));
    const byte = host < 0 ? 0 : (c.bytes[host] as number);
    if (host >= 0 && byte === test) {
      cc = 1;
      break;
    }
    const entry = host < 0 ? -1 : c.fetchByte((table + BigInt(byte)) & c.addressMask);
    const target = entry < 0 ? -1 : c.storeByte(at);
    if (target < 0) {
      if (done === 0) return;
      c.forgetFault();
      break;
    }
    c.bytes[target] = c.bytes[entry] as number;
    at = (at + 1n) & c.addressMask;
    left -= 1n;
  }
  c.updateAddress(r1, at);
  c.setLength(r1 + 1, left);
  c.cc = cc;
}
