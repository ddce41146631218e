/** Newline-delimited JSON with bounds. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JsonLines, parseLine } from "../../../../src/control/daemon/lines.ts";

const encoder = new TextEncoder();

function linesOf(pieces: readonly Uint8Array[], maxBytes = 1000): unknown[] {
  const values: unknown[] = [];
  const lines = new JsonLines(maxBytes, (value) => values.push(value));
  for (const piece of pieces) lines.push(piece);
  return values;
}

describe("lines of JSON", () => {
  it("come out the same however the stream is cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.jsonValue({ maxDepth: 4 }), { maxLength: 6 }),
        fc.array(fc.nat(400), { maxLength: 12 }),
        (values, cuts) => {
          const texts = values.map((value) => JSON.stringify(value));
          const bytes = encoder.encode(texts.map((text) => `${text}\n`).join(""));
          const inner = cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b);
          const places = [0, ...inner, bytes.length];
          const pieces = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
          expect(linesOf(pieces, 1_000_000)).toEqual(texts.map((text) => JSON.parse(text)));
        },
      ),
    );
  });

  it("may be empty, and a last one without an end is not there yet", () => {
    expect(linesOf([encoder.encode('\n\n{"a":1}\n{"b":')])).toEqual([{ a: 1 }]);
  });

  it("are refused when too long, wherever the end is", () => {
    const blanks = new Uint8Array(600).fill(0x20);
    expect(() => linesOf([encoder.encode(`"${"x".repeat(999)}"\n`)])).toThrow(/1000 bytes/);
    expect(() => linesOf([blanks, blanks])).toThrow(/longer/);
    expect(linesOf([encoder.encode(`"${"x".repeat(998)}"\n`)])).toHaveLength(1);
  });

  it("are refused when nested too deep, and brackets in strings do not count", () => {
    expect(() => parseLine("[".repeat(17))).toThrow(/deeper than 16/);
    expect(parseLine(`${"[".repeat(16)}${"]".repeat(16)}`)).toBeTruthy();
    expect(parseLine(JSON.stringify(`${"[".repeat(20)}"\\`))).toHaveLength(22);
  });

  it("are refused when they are not UTF-8 or no JSON", () => {
    expect(() => linesOf([Uint8Array.of(0xc3, 0x28, 0x0a)])).toThrow(/not UTF-8/);
    expect(() => linesOf([encoder.encode("{a:1}\n")])).toThrow(/no JSON/);
  });
});
