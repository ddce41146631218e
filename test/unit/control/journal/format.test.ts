import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  frameRecord,
  type JournalRecord,
  packRecord,
  type ScanItem,
  scanRecords,
} from "../../../../src/control/journal/format.ts";

function record(seq: number): JournalRecord {
  const detail = { pec: "0x003a", attempt: seq };
  return { seq, timeMs: 1_767_225_600_000 + seq, vm: "alpha", fid: 1, kind: "injected", detail };
}

function bytesOf(records: readonly JournalRecord[]): Uint8Array {
  return Buffer.concat(records.map(({ seq, ...rest }) => frameRecord(packRecord(rest), seq)));
}

const five = [7, 8, 9, 10, 11].map(record);
const whole = bytesOf(five);
const starts = five.map((_, n) => bytesOf(five.slice(0, n)).length);

function scan(bytes: Uint8Array, newest = true): ScanItem[] {
  return [...scanRecords(bytes, 0, 7, newest)];
}

function recordsIn(items: readonly ScanItem[]): JournalRecord[] {
  return items.flatMap((item) => (item.type === "record" ? [item.record] : []));
}

describe("a segment's header", () => {
  it("survives the way through its bytes, beyond 32 bits too", () => {
    const header = encodeSegmentHeader(12, 2 ** 40 + 3);
    expect(decodeSegmentHeader(header)).toEqual({ version: 1, segment: 12, firstSeq: 2 ** 40 + 3 });
  });

  it("is refused with any bit changed", () => {
    for (let bit = 0; bit < 32 * 8; bit++) {
      const header = encodeSegmentHeader(12, 345);
      header[bit >> 3] = (header[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(decodeSegmentHeader(header)).toBeUndefined();
    }
  });
});

describe("a scan of records", () => {
  it("gives back what was written", () => {
    const value = fc.oneof(fc.integer(), fc.string(), fc.boolean(), fc.double({ noNaN: true }));
    const detail = fc.dictionary(fc.string(), value, { noNullPrototype: true });
    fc.assert(
      fc.property(fc.array(detail, { maxLength: 8 }), (details) => {
        const records = details.map((entry, n) => ({ ...record(7 + n), detail: entry }));
        expect(recordsIn(scan(bytesOf(records)))).toEqual(records);
      }),
    );
  });

  it("cut at any byte shows every whole record and calls the rest a torn tail", () => {
    for (let length = 0; length <= whole.length; length++) {
      const items = scan(whole.subarray(0, length));
      const complete = starts.filter((_, n) => (starts[n + 1] ?? whole.length) <= length).length;
      expect(recordsIn(items)).toEqual(five.slice(0, complete));
      const at = starts[complete] ?? whole.length;
      const tail = length > at ? [{ type: "torn", offset: at, bytes: length - at }] : [];
      expect(items.slice(complete)).toEqual(tail);
    }
  });

  it("takes a tail of zeros for torn: a file that had got its size and not its bytes", () => {
    const items = scan(Buffer.concat([whole, new Uint8Array(4096)]));
    expect(items.at(-1)).toEqual({ type: "torn", offset: whole.length, bytes: 4096 });
  });

  it("names the record that any flipped bit has damaged, and reads all others", () => {
    fc.assert(
      fc.property(fc.nat((starts[4] as number) * 8 - 1), (bit) => {
        const bytes = Uint8Array.from(whole);
        bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
        const hit = starts.findLastIndex((start) => start <= bit >> 3);
        const items = scan(bytes);
        expect(recordsIn(items)).toEqual(five.filter((_, n) => n !== hit));
        expect(items.filter((item) => item.type !== "record")).toEqual([
          {
            type: "damage",
            offset: starts[hit],
            bytes: (starts[hit + 1] as number) - (starts[hit] as number),
            seq: 7 + hit,
          },
        ]);
      }),
      { numRuns: 500 },
    );
  });

  it("never shows a damaged last record", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: (starts[4] as number) * 8, max: whole.length * 8 - 1 }),
        (bit) => {
          const bytes = Uint8Array.from(whole);
          bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
          const items = scan(bytes);
          expect(recordsIn(items)).toEqual(five.slice(0, 4));
          expect(items.length).toBe(5);
        },
      ),
    );
  });

  it("calls a missing record damage although all bytes are sound", () => {
    const items = scan(bytesOf([record(7), record(9)]));
    expect(items.map((item) => item.type)).toEqual(["record", "damage", "record"]);
    expect(items[1]).toMatchObject({ seq: 8, bytes: 0 });
  });

  it("does not forgive a torn end in a segment that has successors", () => {
    expect(scan(whole.subarray(0, whole.length - 1), false).at(-1)).toMatchObject({
      type: "damage",
      seq: 11,
    });
  });

  it("reads any bytes at all without an exception", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(100), (noise, cut) => {
        const bytes = Buffer.concat([whole.subarray(0, cut), noise, whole]);
        expect(recordsIn(scan(bytes)).length).toBeGreaterThanOrEqual(0);
        expect(recordsIn(scan(bytes)).at(-1)).toEqual(five[4]);
      }),
    );
  });

  it("takes a payload that is no journal record for damage", () => {
    const foreign = frameRecord(Buffer.from([0x93, 1, 2, 3]), 7);
    expect(scan(foreign)).toEqual([{ type: "damage", offset: 0, bytes: foreign.length, seq: 7 }]);
  });
});
