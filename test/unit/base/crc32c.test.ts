import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crc32c } from "../../../src/base/crc32c.ts";

const ascending = Uint8Array.from({ length: 32 }, (_, n) => n);

describe("CRC-32C", () => {
  it("has the check value of the Castagnoli polynomial", () => {
    expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(0))).toBe(0);
  });

  // RFC 3720, appendix B.4; its table shows the sums in the order of the wire.
  it("agrees with iSCSI's examples", () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(ascending)).toBe(0x46dd794e);
    expect(crc32c(ascending.toReversed())).toBe(0x113fdb5c);
  });

  it("goes on from the sum of what stands in front", () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        expect(crc32c(b, crc32c(a))).toBe(crc32c(Uint8Array.from([...a, ...b])));
      }),
    );
  });
});
