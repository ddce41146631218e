/** Our own guest programs: name, file and checksum from `guest-fixtures/manifest.json`. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { ZmendError } from "../base/errors.ts";
import { suggestion } from "../base/nearest.ts";
import { packageRoot } from "../base/version.ts";

interface Manifest {
  readonly fixtures: readonly {
    readonly name: string;
    readonly file: string;
    readonly sha256: string;
  }[];
}

function manifest(): Manifest {
  return JSON.parse(
    readFileSync(new URL("guest-fixtures/manifest.json", packageRoot), "utf8"),
  ) as Manifest;
}

export function fixtureNames(): string[] {
  return manifest().fixtures.map((entry) => entry.name);
}

/** The fixture's image. @throws ZmendError FIXTURE_MISSING or FIXTURE_INVALID (truncated, changed) */
export function readFixture(name: string): { readonly image: Uint8Array; readonly file: string } {
  const entry = manifest().fixtures.find((candidate) => candidate.name === name);
  if (entry === undefined) {
    const names = fixtureNames();
    throw new ZmendError(
      "FIXTURE_MISSING",
      `Guest fixture '${name}' is unknown${suggestion(name, names)}; name one of ${names.join(", ")}.`,
    );
  }
  const file = `guest-fixtures/${entry.file}`;
  const image = readFixtureFile(file);
  const sum = createHash("sha256").update(image).digest("hex");
  if (sum !== entry.sha256) {
    throw new ZmendError(
      "FIXTURE_INVALID",
      `Guest fixture ${file} (${image.length} bytes) does not have the checksum of guest-fixtures/manifest.json; ` +
        "restore it or rebuild it with npm run fixtures:build.",
      { file, sum },
    );
  }
  return { image, file };
}

function readFixtureFile(file: string): Uint8Array {
  try {
    return readFileSync(new URL(file, packageRoot));
  } catch (error) {
    throw new ZmendError(
      "FIXTURE_MISSING",
      `Guest fixture ${file} is missing; restore it or rebuild it with npm run fixtures:build.`,
      { file },
      { cause: error },
    );
  }
}
