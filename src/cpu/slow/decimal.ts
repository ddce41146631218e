/** Conversions between binary and packed decimal, and between packed and zoned. SA22-7832 chapters 7, 8. */
import { Cpu } from "../state.ts";
import { Program } from "../table/body.ts";
import type { SlowContext } from "./context.ts";

const DXC_DECIMAL = 0;

function dataException(c: SlowContext): void {
  c.state.setI32(Cpu.dxc, DXC_DECIMAL);
  c.program(Program.data);
}

/** Value of packed digits with a sign in the last nibble, or undefined when a code is invalid. */
function unpackNumber(bytes: Uint8Array): bigint | undefined {
  let value = 0n;
  const nibbles = bytes.length * 2;
  for (let i = 0; i < nibbles - 1; i++) {
    const byte = bytes[i >> 1] as number;
    const digit = (i & 1) === 0 ? byte >> 4 : byte & 15;
    if (digit > 9) return undefined;
    value = value * 10n + BigInt(digit);
  }
  const sign = (bytes[bytes.length - 1] as number) & 15;
  if (sign < 10) return undefined;
  return sign === 0xb || sign === 0xd ? -value : value;
}

function packNumber(value: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let rest = value < 0n ? -value : value;
  bytes[length - 1] = value < 0n ? 0x0d : 0x0c;
  for (let nibble = length * 2 - 2; nibble >= 0; nibble--) {
    const digit = Number(rest % 10n);
    rest /= 10n;
    const index = nibble >> 1;
    bytes[index] = (bytes[index] as number) | ((nibble & 1) === 0 ? digit << 4 : digit);
  }
  return bytes;
}

function convertToBinary(c: SlowContext, length: 8 | 16): void {
  const bytes = c.read(c.indexedAddress(), length);
  if (!bytes) return;
  const value = unpackNumber(bytes);
  if (value === undefined) {
    dataException(c);
    return;
  }
  const bits = length === 8 ? 32 : 64;
  const fits = BigInt.asIntN(bits, value) === value;
  // Overflow: the rightmost bits are placed for CVB; CVBG is suppressed.
  if (!fits && length === 16) {
    c.program(Program.fixedDivide);
    return;
  }
  if (length === 8) c.setGr32(c.field(8, 4), Number(BigInt.asIntN(32, value)));
  else c.setGr(c.field(8, 4), value);
  if (!fits) c.program(Program.fixedDivide);
}

function convertToDecimal(c: SlowContext, length: 8 | 16): void {
  const register = c.field(8, 4);
  const value = length === 8 ? BigInt(c.gr32(register) | 0) : BigInt.asIntN(64, c.gr(register));
  c.write(c.indexedAddress(), packNumber(value, length));
}

export const cvb = (c: SlowContext): void => convertToBinary(c, 8);
export const cvbg = (c: SlowContext): void => convertToBinary(c, 16);
export const cvd = (c: SlowContext): void => convertToDecimal(c, 8);
export const cvdg = (c: SlowContext): void => convertToDecimal(c, 16);

interface TwoLengths {
  readonly first: bigint;
  readonly second: bigint;
  readonly firstLength: number;
  readonly secondLength: number;
}

function operands(c: SlowContext): TwoLengths {
  return {
    first: c.baseDisplacement(16),
    second: c.baseDisplacement(32),
    firstLength: c.field(8, 4) + 1,
    secondLength: c.field(12, 4) + 1,
  };
}

/**
 * PACK, UNPK and MVO work on bytes from right to left, as if each result byte were stored before the next
 * source byte is fetched; that matters when the operands overlap. All pages are translated first.
 */
function rightToLeft(
  c: SlowContext,
  step: (next: () => number, put: (byte: number) => void) => void,
): void {
  const o = operands(c);
  const mask = c.addressMask;
  const hosts = (address: bigint, length: number, store: boolean): number[] | undefined => {
    const found: number[] = [];
    for (let i = 0; i < length; i++) {
      const at = (address + BigInt(i)) & mask;
      const host = store ? c.storeByte(at) : c.fetchByte(at);
      if (host < 0) return undefined;
      found.push(host);
    }
    return found;
  };
  const source = hosts(o.second, o.secondLength, false);
  if (!source) return;
  const target = hosts(o.first, o.firstLength, true);
  if (!target) return;
  const next = (): number => {
    const host = source.pop();
    return host === undefined ? 0 : (c.bytes[host] as number);
  };
  const put = (byte: number): void => {
    const host = target.pop();
    if (host !== undefined) c.bytes[host] = byte;
  };
  while (target.length > 0) step(next, put);
}

export function pack(c: SlowContext): void {
  let first = true;
  rightToLeft(c, (next, put) => {
    if (first) {
      first = false;
      const byte = next();
      put(((byte & 15) << 4) | (byte >> 4));
      return;
    }
    const low = next() & 15;
    const high = next() & 15;
    put((high << 4) | low);
  });
}

export function unpk(c: SlowContext): void {
  let first = true;
  let held = -1;
  rightToLeft(c, (next, put) => {
    if (first) {
      first = false;
      const byte = next();
      put(((byte & 15) << 4) | (byte >> 4));
      return;
    }
    if (held >= 0) {
      put(0xf0 | held);
      held = -1;
      return;
    }
    const byte = next();
    held = byte >> 4;
    put(0xf0 | (byte & 15));
  });
}

export function mvo(c: SlowContext): void {
  let carry = -1;
  const o = operands(c);
  const last = c.read((o.first + BigInt(o.firstLength - 1)) & c.addressMask, 1);
  if (!last) return;
  rightToLeft(c, (next, put) => {
    const byte = next();
    put(((byte & 15) << 4) | (carry < 0 ? (last[0] as number) & 15 : carry));
    carry = byte >> 4;
  });
}
