import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ZmendError } from "../../../src/base/errors.ts";
import { ccdfSequenceNames, loadCcdfSequence } from "../../../src/machine/ccdf-sequence.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "zmend-ccdf-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Two records, PEC 0x003a and 0x0002, and a time line over them. */
function write(events: readonly object[], records = twoRecords(), extra = {}): string {
  writeFileSync(join(folder, "x.bin"), records);
  const file = join(folder, "x.json");
  const defaults = { atUs: 0, offset: 0, contentCode: 1, pec: "0x003a", handle: "own" };
  const list = events.map((event) => ({ ...defaults, origin: "constructed", ...event }));
  const head = { version: 1, name: "x", source: "test", file: "x.bin", recordBytes: 32 };
  writeFileSync(file, JSON.stringify({ ...head, events: list, ...extra }, null, 1));
  return file;
}

function twoRecords(): Uint8Array {
  const records = new Uint8Array(64);
  records[31] = 0x3a;
  records[63] = 0x02;
  records[48] = 0x77; // most significant byte of the second failing address
  return records;
}

function refusal(nameOrFile: string): string {
  try {
    loadCcdfSequence(nameOrFile);
  } catch (error) {
    if (!(error instanceof ZmendError)) throw error;
    expect(error.code).toBe("CCDF_FILE_INVALID");
    return error.message;
  }
  return "";
}

describe("a CCDF sequence", () => {
  it("gives one action per time, in the order of the file, with the record as it stands", () => {
    const file = write([
      { atUs: 0, offset: 32, pec: "0x0002" },
      { atUs: 500, offset: 0, handle: "stale" },
    ]);
    expect(loadCcdfSequence(file)).toEqual([
      {
        atUs: 0,
        action: {
          type: "ccdf",
          ccdf: "0000000000000000000000000000000077000000000000000000000000000002",
          stale: false,
        },
      },
      {
        atUs: 500,
        action: { type: "ccdf", ccdf: `${"0".repeat(62)}3a`, stale: true },
      },
    ]);
  });

  it("makes a burst of the events that have one time", () => {
    const [only, ...rest] = loadCcdfSequence(write([{}, { offset: 32, pec: "0x0002" }, {}]));
    expect(rest).toEqual([]);
    expect(only?.action.type === "burst" && only.action.ccdfs.length).toBe(3);
  });

  it("that was recorded from the genuine kernel is a burst of six", () => {
    const actions = loadCcdfSequence("recorded-7.3-burst");
    expect(actions).toHaveLength(1);
    expect(actions[0]?.action).toMatchObject({ type: "burst", ccdfs: { length: 6 } });
  });

  it.each(ccdfSequenceNames())("%s as shipped agrees with its records", (name) => {
    expect(loadCcdfSequence(name).length).toBeGreaterThan(0);
  });

  it("names the shipped ones and suggests the nearest for an unknown one", () => {
    expect(refusal("single-003b")).toBe(
      "CCDF sequence 'single-003b' is unknown (did you mean 'single-003a'?); name one of permanent-003b, " +
        "recorded-7.3-burst, recorded-7.3-single, single-003a, stale-handle or a JSON file.",
    );
  });

  it("refuses a file that does not exist", () => {
    expect(refusal("./nowhere.json")).toBe(
      "CCDF file ./nowhere.json does not exist; name an existing one.",
    );
  });

  it("refuses a folder", () => {
    expect(refusal(`${folder}/`)).toBe(
      `CCDF file ${folder}/ cannot be read; check that it is a readable file.`,
    );
  });

  it("refuses a time line whose records are missing", () => {
    const file = write([{}], undefined, { file: "y.bin" });
    expect(refusal(file)).toBe(
      `CCDF file ${join(folder, "y.bin")} does not exist; name an existing one.`,
    );
  });

  it.each([0, 1, 31, 33, 63])(
    "refuses records of %i bytes, a size that is no multiple of 32",
    (size) => {
      expect(refusal(write([{}], twoRecords().slice(0, size)))).toBe(
        `CCDF file ${join(folder, "x.bin")} has ${size} bytes; it must hold records of 32 bytes each.`,
      );
    },
  );

  it("refuses an offset beyond the file, with the line of the offset: the file was truncated", () => {
    const file = write([{}, { offset: 32, pec: "0x0002" }], twoRecords().slice(0, 32));
    const line = readFileSync(file, "utf8")
      .split("\n")
      .findIndex((text) => text.includes('"offset": 32'));
    expect(refusal(file)).toBe(
      `${file}:${line + 1}: events[1].offset: 32 is beyond the 32 bytes of the file`,
    );
  });

  it("refuses a time line that names another PEC than its record has", () => {
    expect(refusal(write([{ pec: "0x003b" }]))).toMatch(
      /x\.json:\d+: events\[0\]\.pec: is 0x003b, the record at 0 has 0x003a$/,
    );
  });

  it.each([
    ["an offset inside a record", { offset: 16 }, /events\[0\]\.offset: /],
    ["a negative offset", { offset: -32 }, /events\[0\]\.offset: /],
    ["a negative time", { atUs: -1 }, /events\[0\]\.atUs: /],
    ["an unknown handle", { handle: "other" }, /events\[0\]\.handle: /],
    ["an availability event", { contentCode: 2 }, /events\[0\]\.contentCode: /],
    ["a PEC that is no number", { pec: "58" }, /events\[0\]\.pec: expected four hex digits/],
    ["an unknown key", { offst: 0 }, /unknown key 'offst' \(did you mean 'offset'\?\)/],
  ])("refuses %s with file, line and key", (_, event, message) => {
    const text = refusal(write([event]));
    expect(text).toMatch(/x\.json:\d+: /);
    expect(text).toMatch(message);
  });

  it.each([
    ["no events", { events: [] }, /events: /],
    ["another version", { version: 2 }, /version: /],
    ["another record size", { recordBytes: 64 }, /recordBytes: /],
    [
      "records elsewhere",
      { file: "../x.bin" },
      /file: expected the name of a file beside this one/,
    ],
  ])("refuses %s", (_, extra, message) => {
    expect(refusal(write([{}], undefined, extra))).toMatch(message);
  });

  it("refuses text that is no JSON with its line", () => {
    const file = join(folder, "x.json");
    writeFileSync(file, '{ "version": 1,\n  "name": ');
    expect(refusal(file)).toMatch(/x\.json:\d+: /);
  });
});
