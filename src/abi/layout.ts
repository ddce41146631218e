/**
 * Layout engine: a structure that crosses a border is declared once, as a table of fields, and read by
 * codecs, tests, docs and `zmend abi`. Hot code takes byte offsets from the table once, at start.
 */
export type ByteOrder = "big" | "little" | "host";

export interface ScalarField {
  readonly kind: "scalar";
  readonly offset: number;
  readonly size: 1 | 2 | 4 | 8;
  readonly signed: boolean;
}

/** A bit field inside a 32-bit word at `offset`; bit 0 is the most significant, as in the manuals. */
export interface BitsField {
  readonly kind: "bits";
  readonly offset: number;
  readonly size: 1 | 2 | 4;
  readonly first: number;
  readonly last: number;
}

export interface BytesField {
  readonly kind: "bytes";
  readonly offset: number;
  readonly size: number;
}

export type Field = ScalarField | BitsField | BytesField;

type ValueOf<F extends Field> = F extends BytesField
  ? Uint8Array
  : F extends ScalarField
    ? F["size"] extends 8
      ? bigint
      : number
    : number;

export type Values<F extends Record<string, Field>> = { [K in keyof F]: ValueOf<F[K]> };

export interface Layout<F extends Record<string, Field> = Record<string, Field>> {
  readonly name: string;
  readonly size: number;
  readonly byteOrder: ByteOrder;
  /** Where offsets come from, e.g. "Linux 7.3 arch/s390/include/asm/pci.h". */
  readonly source: string;
  /** Some field does not stand on its natural boundary. */
  readonly packed: boolean;
  readonly fields: F;
}

export const u8 = (offset: number) => scalar(offset, 1);
export const u16 = (offset: number) => scalar(offset, 2);
export const u32 = (offset: number) => scalar(offset, 4);
export const s32 = (offset: number) => ({ ...scalar(offset, 4), signed: true }) as const;
export const u64 = (offset: number) => scalar(offset, 8);

function scalar<S extends 1 | 2 | 4 | 8>(offset: number, size: S) {
  return { kind: "scalar", offset, size, signed: false } as const;
}

/** Bits `first`..`last` (IBM numbering) of the 32-bit word at `offset`. */
export function bits(offset: number, first: number, last: number): BitsField {
  return { kind: "bits", offset, size: 4, first, last };
}

/** Bits of a 16-bit or 8-bit unit. */
export function bitsOf(size: 1 | 2, offset: number, first: number, last: number): BitsField {
  return { kind: "bits", offset, size, first, last };
}

export function bytes(offset: number, size: number): BytesField {
  return { kind: "bytes", offset, size };
}

export function layout<const F extends Record<string, Field>>(
  name: string,
  size: number,
  byteOrder: ByteOrder,
  source: string,
  fields: F,
  options: { packed?: boolean } = {},
): Layout<F> {
  return { name, size, byteOrder, source, packed: options.packed ?? false, fields };
}

export function isLittle(order: ByteOrder, hostLittle: boolean): boolean {
  return order === "little" || (order === "host" && hostLittle);
}

const hostLittle = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Reads one field at `base`; 8-byte fields give a bigint. Cold paths only. */
export function readField<F extends Field>(
  view: DataView,
  base: number,
  field: F,
  order: ByteOrder,
): ValueOf<F>;
export function readField(view: DataView, base: number, field: Field, order: ByteOrder): unknown {
  const little = isLittle(order, hostLittle);
  const at = base + field.offset;
  if (field.kind === "bytes") {
    return new Uint8Array(view.buffer, view.byteOffset + at, field.size).slice();
  }
  if (field.kind === "scalar") {
    if (field.size === 8) return view.getBigUint64(at, little);
    const value = readUnit(view, at, field.size, little);
    return field.signed ? value | 0 : value;
  }
  const width = field.size * 8;
  const shift = width - 1 - field.last;
  const mask = bitMask(field.last - field.first + 1);
  return ((readUnit(view, at, field.size, little) >>> shift) & mask) >>> 0;
}

/** Writes one field at `base`; other bits of a bit field's unit are kept. Cold paths only. */
export function writeField<F extends Field>(
  view: DataView,
  base: number,
  field: F,
  value: ValueOf<F>,
  order: ByteOrder,
): void;
export function writeField(
  view: DataView,
  base: number,
  field: Field,
  value: number | bigint | Uint8Array,
  order: ByteOrder,
): void {
  const little = isLittle(order, hostLittle);
  const at = base + field.offset;
  if (field.kind === "bytes") {
    new Uint8Array(view.buffer, view.byteOffset + at, field.size).set(value as Uint8Array);
  } else if (field.kind === "scalar") {
    if (field.size === 8)
      view.setBigUint64(at, BigInt.asUintN(64, BigInt(value as bigint)), little);
    else writeUnit(view, at, field.size, value as number, little);
  } else {
    const shift = field.size * 8 - 1 - field.last;
    const mask = bitMask(field.last - field.first + 1) << shift;
    const old = readUnit(view, at, field.size, little);
    const next = (old & ~mask) | (((value as number) << shift) & mask);
    writeUnit(view, at, field.size, next >>> 0, little);
  }
}

/** All fields of the structure at `base`. Cold paths only. */
export function decode<F extends Record<string, Field>>(
  table: Layout<F>,
  view: DataView,
  base = 0,
): Values<F> {
  const result: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(table.fields)) {
    result[name] = readField(view, base, field, table.byteOrder);
  }
  return result as Values<F>;
}

/** A fresh buffer of the layout's size with the given fields set and every other byte zero. */
export function encode<F extends Record<string, Field>>(
  table: Layout<F>,
  values: Partial<Values<F>>,
): Uint8Array {
  const target = new Uint8Array(table.size);
  encodeInto(table, new DataView(target.buffer), 0, values);
  return target;
}

/** Sets the given fields of the structure at `base`; other bytes are left alone. */
export function encodeInto<F extends Record<string, Field>>(
  table: Layout<F>,
  view: DataView,
  base: number,
  values: Partial<Values<F>>,
): void {
  for (const [name, value] of Object.entries(values)) {
    const field = table.fields[name];
    if (field !== undefined) {
      writeField(view, base, field, value as never, table.byteOrder);
    }
  }
}

function bitMask(width: number): number {
  return width === 32 ? 0xffffffff : (1 << width) - 1;
}

function readUnit(view: DataView, at: number, size: 1 | 2 | 4, little: boolean): number {
  if (size === 1) return view.getUint8(at);
  return size === 2 ? view.getUint16(at, little) : view.getUint32(at, little);
}

function writeUnit(
  view: DataView,
  at: number,
  size: 1 | 2 | 4,
  value: number,
  little: boolean,
): void {
  if (size === 1) view.setUint8(at, value);
  else if (size === 2) view.setUint16(at, value, little);
  else view.setUint32(at, value, little);
}
