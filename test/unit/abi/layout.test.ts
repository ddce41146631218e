import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  allLayouts,
  type BitsField,
  type ByteOrder,
  bits,
  bitsOf,
  bytes,
  decode,
  encode,
  encodeInto,
  type Field,
  isLittle,
  type Layout,
  layout,
  readField,
  s32,
  u8,
  u16,
  u32,
  u64,
  writeField,
} from "../../../src/abi/index.ts";

const orders: readonly ByteOrder[] = ["big", "little", "host"];

function anyValue(field: Field): fc.Arbitrary<number | bigint | Uint8Array> {
  if (field.kind === "bytes") {
    return fc.uint8Array({ minLength: field.size, maxLength: field.size });
  }
  if (field.kind === "bits") return fc.nat(2 ** (field.last - field.first + 1) - 1);
  if (field.size === 8) return fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  if (field.signed) return fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  return fc.integer({ min: 0, max: 2 ** (field.size * 8) - 1 });
}

function anyValues(table: Layout): fc.Arbitrary<Record<string, number | bigint | Uint8Array>> {
  return fc.record(
    Object.fromEntries(
      Object.entries(table.fields).map(([name, field]) => [name, anyValue(field)]),
    ),
  );
}

/** One field of every kind: word, half word, byte and odd bytes, bit fields of each unit. */
const Sample = layout("sample", 36, "big", "test", {
  byte: u8(0),
  half: u16(2),
  word: u32(4),
  long: u64(8),
  signed: s32(16),
  high: bits(20, 0, 0),
  middle: bits(20, 1, 30),
  low: bits(20, 31, 31),
  whole: bits(24, 0, 31),
  nibble: bitsOf(1, 28, 4, 7),
  short: bitsOf(2, 30, 4, 15),
  raw: bytes(32, 3),
});

describe("the layout engine", () => {
  it.each(orders)(
    "encode then decode is the identity for every field kind, %s-endian",
    (byteOrder) => {
      const table = { ...Sample, byteOrder } as unknown as Layout;
      fc.assert(
        fc.property(anyValues(table), (values) => {
          const encoded = encode(table, values as never);
          expect(decode(table, new DataView(encoded.buffer))).toEqual(values);
        }),
      );
    },
  );

  it.each(allLayouts.map((table) => [table.name, table] as const))(
    "encode then decode is the identity for %s, and back for any bytes",
    (_, table) => {
      fc.assert(
        fc.property(anyValues(table), (values) => {
          const encoded = encode(table, values as never);
          expect(encoded.length).toBe(table.size);
          const decoded = decode(table, new DataView(encoded.buffer));
          expect(decoded).toEqual(values);
          expect(encode(table, decoded)).toEqual(encoded);
        }),
        { numRuns: table.size > 4096 ? 10 : 50 },
      );
    },
  );

  it("writes words most significant byte first in big, last in little order", () => {
    const pair = (order: ByteOrder) => {
      const view = new DataView(new ArrayBuffer(16));
      writeField(view, 0, u32(0), 0x01020304, order);
      writeField(view, 0, u16(4), 0x0506, order);
      writeField(view, 0, u64(8), 0x1112131415161718n, order);
      return [...new Uint8Array(view.buffer)];
    };
    expect(pair("big")).toEqual([
      1, 2, 3, 4, 5, 6, 0, 0, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
    ]);
    expect(pair("little")).toEqual([
      4, 3, 2, 1, 6, 5, 0, 0, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
    ]);
  });

  it("takes 'host' as the order of the CPU it runs on", () => {
    expect(isLittle("host", true)).toBe(true);
    expect(isLittle("host", false)).toBe(false);
    expect(isLittle("big", true)).toBe(false);
    expect(isLittle("little", false)).toBe(true);
    const encoded = encode({ ...Sample, byteOrder: "host" }, { word: 0x01020304 });
    expect(new Uint32Array(encoded.buffer, 4, 1)[0]).toBe(0x01020304);
  });

  it("numbers bits from the most significant, as the manuals do", () => {
    const view = new DataView(new ArrayBuffer(8));
    writeField(view, 0, bits(0, 0, 3), 0xa, "big");
    writeField(view, 0, bits(0, 4, 15), 0xbcd, "big");
    writeField(view, 0, bits(0, 31, 31), 1, "big");
    expect(view.getUint32(0)).toBe(0xabcd0001);
    writeField(view, 0, bitsOf(2, 4, 4, 15), 0x123, "big");
    expect(view.getUint16(4)).toBe(0x0123);
    writeField(view, 0, bitsOf(1, 6, 0, 0), 1, "big");
    expect(view.getUint8(6)).toBe(0x80);
  });

  it("a bit field leaves every other bit of its unit alone and takes no more bits than it has", () => {
    const field = fc
      .tuple(fc.nat(31), fc.nat(31))
      .map(([a, b]): BitsField => bits(0, Math.min(a, b), Math.max(a, b)));
    fc.assert(
      fc.property(
        field,
        fc.nat(0xffffffff),
        fc.nat(0xffffffff),
        fc.constantFrom(...orders),
        ({ first, last, ...rest }, before, value, order) => {
          const unit = { ...rest, first, last };
          const view = new DataView(new ArrayBuffer(4));
          writeField(view, 0, u32(0), before, order);
          writeField(view, 0, unit, value, order);
          const width = last - first + 1;
          const kept = value % 2 ** width;
          expect(readField(view, 0, unit, order)).toBe(kept);
          const shift = 2 ** (31 - last);
          const mask = BigInt(2 ** width - 1) * BigInt(shift);
          const after = BigInt(readField(view, 0, u32(0), order));
          expect(after & ~mask).toBe(BigInt(before) & ~mask);
        },
      ),
    );
  });

  it("sets the given fields only and leaves bytes outside the structure alone", () => {
    const view = new DataView(new ArrayBuffer(Sample.size + 8));
    new Uint8Array(view.buffer).fill(0xee);
    encodeInto(Sample, view, 4, { half: 0x0102, raw: Uint8Array.of(7, 8, 9) });
    const changed = [...new Uint8Array(view.buffer)].flatMap((byte, index) =>
      byte === 0xee ? [] : [index],
    );
    expect(changed).toEqual([6, 7, 36, 37, 38]);
  });

  it("hands out a copy of byte fields, not a window into the structure", () => {
    const encoded = encode(Sample, { raw: Uint8Array.of(1, 2, 3) });
    const { raw } = decode(Sample, new DataView(encoded.buffer));
    raw[0] = 99;
    expect(encoded[32]).toBe(1);
  });

  it("keeps the low 64 bits of a bigint and refuses bytes that do not fit", () => {
    const encoded = encode(Sample, { long: -1n });
    expect(decode(Sample, new DataView(encoded.buffer)).long).toBe(0xffffffffffffffffn);
    expect(() => encode(Sample, { raw: new Uint8Array(5) })).toThrow(RangeError);
  });

  it("reads nothing outside its buffer: a short one throws instead", () => {
    expect(() => decode(Sample, new DataView(new ArrayBuffer(Sample.size - 4)))).toThrow(
      RangeError,
    );
  });
});
