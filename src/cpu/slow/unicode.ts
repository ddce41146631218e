/**
 * Conversions between UTF-8, UTF-16 and UTF-32: six instructions, one loop. At most `UNITS` characters per
 * execution, then condition code 3. An access exception after some characters ends with condition code 3
 * too, so it is met again on registers that say what has been done. SA22-7832 chapter 7.
 */
import { ProgramCode } from "../../abi/lowcore.ts";
import type { SlowContext } from "./context.ts";

const UNITS = 256;

/** Length of the encoded character and its code; or the condition code that ends the conversion. */
type Decoded = { readonly bytes: number; readonly code: number } | { readonly cc: 0 | 2 };
type Decode = (
  source: (count: number) => Uint8Array | undefined,
  check: boolean,
) => Decoded | undefined;
type Encode = (code: number) => readonly number[];

const SHORT: Decoded = { cc: 0 };
const INVALID: Decoded = { cc: 2 };

/** What `source` gives when the operand has fewer bytes than asked for. */
const ENDED = new Uint8Array(0);

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}

const decodeUtf8: Decode = (source, check) => {
  const one = source(1);
  if (one === undefined || one === ENDED) return one && SHORT;
  const lead = one[0] as number;
  if (lead < 0x80) return { bytes: 1, code: lead };
  if (lead < (check ? 0xc2 : 0xc0) || lead > (check ? 0xf4 : 0xf7)) return INVALID;
  const bytes = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  const all = source(bytes);
  if (all === undefined || all === ENDED) return all && SHORT;
  let code = lead & (0xff >> (bytes + 1));
  for (const byte of all.subarray(1)) {
    if (check && !isContinuation(byte)) return INVALID;
    code = (code << 6) | (byte & 0x3f);
  }
  const tooShort = bytes === 3 ? code < 0x800 : bytes === 4 && code < 0x10000;
  const surrogate = code >= 0xd800 && code <= 0xdfff;
  if (check && (tooShort || surrogate || code > 0x10ffff)) return INVALID;
  return { bytes, code };
};

const decodeUtf16: Decode = (source, check) => {
  const two = source(2);
  if (two === undefined || two === ENDED) return two && SHORT;
  const high = ((two[0] as number) << 8) | (two[1] as number);
  if (high < 0xd800 || high > 0xdbff) return { bytes: 2, code: high };
  const four = source(4);
  if (four === undefined || four === ENDED) return four && SHORT;
  const low = ((four[2] as number) << 8) | (four[3] as number);
  if (check && (low & 0xfc00) !== 0xdc00) return INVALID;
  return { bytes: 4, code: (((high & 0x3ff) + 0x40) << 10) | (low & 0x3ff) };
};

const decodeUtf32: Decode = (source) => {
  const four = source(4);
  if (four === undefined || four === ENDED) return four && SHORT;
  const code = new DataView(four.buffer, four.byteOffset).getUint32(0);
  if ((code >= 0xd800 && code <= 0xdbff) || code > 0x10ffff) return INVALID;
  return { bytes: 4, code };
};

const encodeUtf8: Encode = (code) => {
  const tail = (shift: number): number => 0x80 | ((code >> shift) & 0x3f);
  if (code < 0x80) return [code];
  if (code < 0x800) return [0xc0 | (code >> 6), tail(0)];
  if (code < 0x10000) return [0xe0 | (code >> 12), tail(6), tail(0)];
  return [0xf0 | ((code >> 18) & 7), tail(12), tail(6), tail(0)];
};

const encodeUtf16: Encode = (code) => {
  if (code < 0x10000) return [code >> 8, code & 0xff];
  const rest = code - 0x10000;
  const high = 0xd800 | ((rest >> 10) & 0x3ff);
  const low = 0xdc00 | (rest & 0x3ff);
  return [high >> 8, high & 0xff, low >> 8, low & 0xff];
};

const encodeUtf32: Encode = (code) => [0, (code >> 16) & 0xff, (code >> 8) & 0xff, code & 0xff];

function convert(decode: Decode, encode: Encode) {
  return (c: SlowContext): void => {
    const r1 = c.field(24, 4);
    const r2 = c.field(28, 4);
    if (((r1 | r2) & 1) !== 0) {
      c.program(ProgramCode.specification);
      return;
    }
    const check = (c.field(16, 4) & 1) !== 0;
    let target = c.addressIn(r1);
    let targetLeft = c.lengthIn(r1 + 1);
    let source = c.addressIn(r2);
    let sourceLeft = c.lengthIn(r2 + 1);
    const take = (count: number): Uint8Array | undefined =>
      sourceLeft < BigInt(count) ? ENDED : c.read(source, count);
    let cc = 3;
    for (let done = 0; done < UNITS; done++) {
      const decoded = decode(take, check);
      if (decoded !== undefined && "cc" in decoded) {
        cc = decoded.cc;
        break;
      }
      const bytes = decoded && encode(decoded.code);
      if (bytes && targetLeft < BigInt(bytes.length)) {
        cc = 1;
        break;
      }
      if (!decoded || !bytes || !c.write(target, Uint8Array.from(bytes))) {
        if (done === 0) return;
        c.forgetFault();
        break;
      }
      source = (source + BigInt(decoded.bytes)) & c.addressMask;
      sourceLeft -= BigInt(decoded.bytes);
      target = (target + BigInt(bytes.length)) & c.addressMask;
      targetLeft -= BigInt(bytes.length);
    }
    c.updateAddress(r1, target);
    c.setLength(r1 + 1, targetLeft);
    c.updateAddress(r2, source);
    c.setLength(r2 + 1, sourceLeft);
    c.cc = cc;
  };
}

export const cu12 = convert(decodeUtf8, encodeUtf16);
export const cu14 = convert(decodeUtf8, encodeUtf32);
export const cu21 = convert(decodeUtf16, encodeUtf8);
export const cu24 = convert(decodeUtf16, encodeUtf32);
export const cu41 = convert(decodeUtf32, encodeUtf8);
export const cu42 = convert(decodeUtf32, encodeUtf16);
