/** Conversions between binary and packed decimal, and between packed and zoned. SA22-7832 chapters 7, 8. */
import { ProgramCode } from "../../abi/lowcore.ts";
import { Cpu } from "../state.ts";
import type { SlowContext } from "./context.ts";

const DXC_DECIMAL = 0;

export function dataException(c: SlowContext): void {
  c.state.setI32(Cpu.dxc, DXC_DECIMAL);
  c.program(ProgramCode.data);
}

/** Value of packed digits with a sign in the last nibble, or undefined when a code is invalid. */
export function unpackNumber(bytes: Uint8Array): bigint | undefined {
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

/**
 * The rightmost digits of a number in `length` bytes, with a preferred sign code.
 * @param negative where the sign is not that of the value (minus zero)
 */
export function packNumber(value: bigint, length: number, negative = value < 0n): Uint8Array {
  const bytes = new Uint8Array(length);
  let rest = value < 0n ? -value : value;
  bytes[length - 1] = negative ? 0x0d : 0x0c;
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
  // Overflow: CVB places the rightmost bits before it interrupts, CVBG is suppressed.
  if (length === 8) c.setGr32(c.field(8, 4), Number(BigInt.asIntN(32, value)));
  else if (fits) c.setGr(c.field(8, 4), value);
  if (!fits) c.program(ProgramCode.fixedPointDivide);
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

/**
 * The operands of PACK, UNPK and MVO from right to left: each result byte is stored before the next source
 * byte is fetched, which matters when they overlap. Translated before anything is stored, also from the
 * right, so that of several missing pages the rightmost shows.
 */
class RightToLeft {
  readonly #c: SlowContext;
  readonly #source: readonly number[];
  readonly #target: readonly number[];
  #read = 0;
  #written = 0;

  constructor(c: SlowContext, source: readonly number[], target: readonly number[]) {
    this.#c = c;
    this.#source = source;
    this.#target = target;
  }

  /** The source byte in turn, zero behind the last. */
  next(): number {
    const host = this.#source[this.#read++];
    return host === undefined ? 0 : (this.#c.bytes[host] as number);
  }

  put(byte: number): void {
    const host = this.#target[this.#written++];
    if (host !== undefined) this.#c.bytes[host] = byte;
  }

  get full(): boolean {
    return this.#written >= this.#target.length;
  }

  /** The target byte in turn as it is now. */
  present(): number {
    return this.#c.bytes[this.#target[this.#written] as number] as number;
  }
}

function rightToLeft(c: SlowContext): RightToLeft | undefined {
  const source = hosts(c, c.baseDisplacement(32), c.field(12, 4), false);
  if (!source) return undefined;
  const target = hosts(c, c.baseDisplacement(16), c.field(8, 4), true);
  return target && new RightToLeft(c, source, target);
}

/** Host addresses of the bytes at `address + last` down to `address`. */
function hosts(
  c: SlowContext,
  address: bigint,
  last: number,
  store: boolean,
): number[] | undefined {
  const found: number[] = [];
  for (let i = last; i >= 0; i--) {
    const at = (address + BigInt(i)) & c.addressMask;
    const host = store ? c.storeByte(at) : c.fetchByte(at);
    if (host < 0) return undefined;
    found.push(host);
  }
  return found;
}

function swapNibbles(byte: number): number {
  return ((byte & 15) << 4) | (byte >> 4);
}

export function pack(c: SlowContext): void {
  const o = rightToLeft(c);
  if (!o) return;
  o.put(swapNibbles(o.next()));
  while (!o.full) {
    const low = o.next() & 15;
    o.put(((o.next() & 15) << 4) | low);
  }
}

/** Each source byte is fetched once and gives two result bytes. */
export function unpk(c: SlowContext): void {
  const o = rightToLeft(c);
  if (!o) return;
  o.put(swapNibbles(o.next()));
  while (!o.full) {
    const byte = o.next();
    o.put(0xf0 | (byte & 15));
    o.put(0xf0 | (byte >> 4));
  }
}

/** MOVE WITH OFFSET: the source shifted left by a digit, beside the target's rightmost four bits. */
export function mvo(c: SlowContext): void {
  const o = rightToLeft(c);
  if (!o) return;
  let low = o.present() & 15;
  while (!o.full) {
    const byte = o.next();
    o.put(((byte & 15) << 4) | low);
    low = byte >> 4;
  }
}
