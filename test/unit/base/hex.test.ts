import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hex, hexBytes } from "../../../src/base/hex.ts";

describe("hex numbers", () => {
  it("are lower case behind 0x, padded to the digits asked for", () => {
    expect(hex(0x3a, 4)).toBe("0x003a");
    expect(hex(0xabc)).toBe("0xabc");
    expect(hex(0)).toBe("0x0");
  });

  it("show a negative 32-bit word, as lanes hold them, unsigned", () => {
    expect(hex(-1, 8)).toBe("0xffffffff");
    expect(hex(0x80010001 | 0, 8)).toBe("0x80010001");
  });

  it("show 64 bits of a bigint", () => {
    expect(hex(0xfe00000000000000n, 16)).toBe("0xfe00000000000000");
    expect(hex(1n, 16)).toBe("0x0000000000000001");
  });

  it("read back as the number they show", () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.nat(8), (value, digits) => {
        const text = hex(value, digits);
        expect(Number(text)).toBe(value);
        expect(text.length).toBeGreaterThanOrEqual(2 + digits);
      }),
    );
  });
});

describe("hex bytes", () => {
  it("are two digits each, in order of address", () => {
    expect(hexBytes(Uint8Array.of(0, 0x0f, 0xa0, 0xff))).toBe("000fa0ff");
    expect(hexBytes(new Uint8Array(0))).toBe("");
  });

  it("read back as the bytes they show", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(Uint8Array.from(Buffer.from(hexBytes(bytes), "hex"))).toEqual(bytes);
      }),
    );
  });
});
