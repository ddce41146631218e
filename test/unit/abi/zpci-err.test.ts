import { describe, expect, it } from "vitest";
import { errorDialect, errorDialects } from "../../../src/abi/index.ts";

/** vfio-uapi.md 2.4, typed in: carrier, number, size, offsets of PEC and pending, empty queue. */
const sheet: readonly [string, string, number, number, number, number, string, number][] = [
  ["v1", "region", 2, 8, 0, 4, "previous", 16],
  ["v2", "feature", 11, 8, 0, 4, "garbage", 16],
  ["v3", "feature", 11, 8, 0, 4, "garbage", 16],
  ["v4", "feature", 11, 4, 0, 2, "garbage", 4],
  ["v5", "feature", 11, 4, 0, 2, "garbage", 4],
  ["v6", "feature", 11, 4, 0, 2, "garbage", 4],
  ["v7", "feature", 12, 4, 0, 2, "garbage", 4],
  ["v8", "feature", 12, 4, 0, 2, "garbage", 4],
  ["v9", "feature", 12, 4, 2, 1, "garbage", 4],
  ["v10", "feature", 12, 4, 2, 1, "garbage", 4],
  ["v11", "feature", 12, 4, 2, 1, "garbage", 4],
  ["v12", "feature", 12, 4, 2, 1, "zero", 4],
  ["v13", "feature", 13, 4, 2, 1, "zero", 4],
  ["v13-enomsg", "feature", 13, 4, 2, 1, "ENOMSG", 4],
  ["v13-enoent", "feature", 13, 4, 2, 1, "ENOENT", 4],
  ["pec-only", "feature", 13, 2, 0, -1, "ENOENT", 4],
  ["v14", "feature", 13, 72, 38, -1, "ENOMSG", 4],
  ["v15", "feature", 13, 72, 38, -1, "ENOMSG", 4],
  ["v16", "feature", 13, 72, 38, -1, "ENOMSG", 4],
  ["v17", "feature", 13, 72, 38, -1, "ENOMSG", 4],
  ["v18", "feature", 13, 72, 38, -1, "ENOMSG", 4],
  ["v19", "feature", 13, 64, 34, -1, "ENOMSG", 4],
  ["v20", "feature", 13, 8, -1, -1, "ENOMSG", 4],
  ["merged", "feature", 13, 8, -1, -1, "ENOMSG", 4],
  ["none", "none", 0, 0, -1, -1, "ENOTTY", 4],
];

describe("error dialects", () => {
  it("are the postings, proposals and the merged form of vfio-uapi 2.4, row by row", () => {
    const rows = errorDialects.map((row) => [
      row.abi,
      row.carrier,
      row.number,
      row.size,
      row.pec,
      row.pending,
      row.empty,
      row.ringSlots,
    ]);
    expect(rows).toEqual(sheet);
  });

  it("hand out FH, FID, word e and failing address from v14 on", () => {
    const places = (abi: string): number[] => {
      const row = errorDialect(abi);
      return row === undefined ? [] : [row.fh, row.fid, row.wordE, row.faddr];
    };
    expect(places("v14")).toEqual([8, 12, 16, 24]);
    expect(places("v18")).toEqual([8, 12, 16, 24]);
    expect(places("v19")).toEqual([8, 12, 24, 16]);
    expect(places("v13")).toEqual([-1, -1, -1, -1]);
  });

  it("stand where their layouts say", () => {
    for (const row of errorDialects) {
      const fields: Record<string, { offset: number; size: number }> = row.layout.fields;
      const at = (name: string): number => fields[name]?.offset ?? -1;
      expect([row.pec, row.pending, row.fh, row.fid, row.wordE, row.faddr, row.version]).toEqual(
        ["pec", "pendingErrors", "fh", "fid", "ett", "faddr", "version"].map(at),
      );
      expect(row.pendingBytes).toBe(fields["pendingErrors"]?.size ?? 0);
    }
  });

  it("only v20 and what was merged go with ZPCI_BASE version 3 and a pointer", () => {
    const whole = errorDialects.filter((row) => row.byPointer || row.baseVersion === 3);
    expect(whole.map((row) => row.abi)).toEqual(["v20", "merged"]);
    expect(whole.every((row) => row.byPointer && row.baseVersion === 3)).toBe(true);
  });

  it("an unknown name has no row", () => {
    expect(errorDialect("v21")).toBeUndefined();
  });
});
