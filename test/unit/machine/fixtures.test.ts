import { cpSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ZmendError } from "../../../src/base/errors.ts";
import { fixtureNames, readFixture } from "../../../src/machine/fixtures.ts";

let folder: string;
let root: URL;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "zmend-fixtures-"));
  root = pathToFileURL(`${folder}/`);
  mkdirSync(join(folder, "guest-fixtures"));
  for (const name of ["manifest.json", "bin"]) {
    cpSync(join("guest-fixtures", name), join(folder, "guest-fixtures", name), { recursive: true });
  }
});
afterEach(() => rmSync(folder, { recursive: true }));

function refusal(name: string): string {
  try {
    readFixture(name, root);
  } catch (error) {
    if (error instanceof ZmendError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "";
}

describe("guest fixtures", () => {
  it("are the five of the manifest", () => {
    expect(fixtureNames()).toEqual(["hello", "zrecover", "zhang", "zhostile", "zsmp"]);
  });

  it.each(fixtureNames())("%s is an ELF image with the manifest's checksum", (name) => {
    const { image, file } = readFixture(name);
    expect(file).toBe(`guest-fixtures/bin/${name}.elf`);
    expect([...image.subarray(0, 4)]).toEqual([0x7f, 0x45, 0x4c, 0x46]);
  });

  it("suggest the nearest name for an unknown one", () => {
    expect(refusal("zrecovr")).toBe(
      "FIXTURE_MISSING: Guest fixture 'zrecovr' is unknown (did you mean 'zrecover'?); " +
        "name one of hello, zrecover, zhang, zhostile, zsmp.",
    );
  });

  it("that are missing are named with the remedy", () => {
    rmSync(join(folder, "guest-fixtures/bin/hello.elf"));
    expect(refusal("hello")).toBe(
      "FIXTURE_MISSING: Guest fixture file guest-fixtures/bin/hello.elf is missing; " +
        "restore it or rebuild it with npm run fixtures:build.",
    );
  });

  it("that are truncated are refused by their checksum", () => {
    truncateSync(join(folder, "guest-fixtures/bin/hello.elf"), 100);
    expect(refusal("hello")).toBe(
      "FIXTURE_INVALID: Guest fixture guest-fixtures/bin/hello.elf (100 bytes) does not have the checksum of " +
        "guest-fixtures/manifest.json; restore it or rebuild it with npm run fixtures:build.",
    );
  });

  it("with one changed bit are refused by their checksum", () => {
    const { image } = readFixture("hello", root);
    const changed = Uint8Array.from(image);
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
    writeFileSync(join(folder, "guest-fixtures/bin/hello.elf"), changed);
    expect(refusal("hello")).toMatch(/^FIXTURE_INVALID: .* does not have the checksum/);
  });

  it.each([
    ["no JSON", "{", "guest-fixtures/manifest.json is no JSON; restore it."],
    [
      "another version",
      '{"version":2,"fixtures":[]}',
      "is not as expected at 'version'; restore it.",
    ],
    [
      "a checksum that is none",
      '{"version":1,"fixtures":[{"name":"hello","file":"bin/hello.elf","sha256":"?"}]}',
      "is not as expected at 'fixtures.0.sha256'; restore it.",
    ],
  ])("are refused when the manifest has %s", (_, text, message) => {
    writeFileSync(join(folder, "guest-fixtures/manifest.json"), text);
    expect(refusal("hello")).toMatch(/^FIXTURE_INVALID: /);
    expect(refusal("hello")).toContain(message);
  });

  it("are refused when there is no manifest", () => {
    rmSync(join(folder, "guest-fixtures/manifest.json"));
    expect(refusal("hello")).toMatch(/^FIXTURE_MISSING: .*manifest\.json is missing/);
  });
});
