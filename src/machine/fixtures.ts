/**
 * Our own guest programs: name, file and checksum from `guest-fixtures/manifest.json`. `root` is the package's
 * root, so that a test can show a damaged copy.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { z } from "zod";
import { ZmendError } from "../base/errors.ts";
import { suggestion } from "../base/nearest.ts";
import { packageRoot } from "../base/version.ts";

const MANIFEST = "guest-fixtures/manifest.json";

/** The part of the manifest that running a fixture needs. */
const manifestSchema = z.object({
  version: z.literal(1),
  fixtures: z.array(
    z.object({
      name: z.string(),
      file: z.string(),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
    }),
  ),
});

export function fixtureNames(root: URL = packageRoot): string[] {
  return manifest(root).map((entry) => entry.name);
}

/** The fixture's image. @throws ZmendError FIXTURE_MISSING or FIXTURE_INVALID (truncated, changed) */
export function readFixture(
  name: string,
  root: URL = packageRoot,
): { readonly image: Uint8Array; readonly file: string } {
  const entries = manifest(root);
  const entry = entries.find((candidate) => candidate.name === name);
  if (entry === undefined) {
    const names = entries.map((candidate) => candidate.name);
    throw new ZmendError(
      "FIXTURE_MISSING",
      `Guest fixture '${name}' is unknown${suggestion(name, names)}; name one of ${names.join(", ")}.`,
    );
  }
  const file = `guest-fixtures/${entry.file}`;
  const image = read(file, root);
  const sum = createHash("sha256").update(image).digest("hex");
  if (sum !== entry.sha256) {
    throw new ZmendError(
      "FIXTURE_INVALID",
      `Guest fixture ${file} (${image.length} bytes) does not have the checksum of ${MANIFEST}; ` +
        "restore it or rebuild it with npm run fixtures:build.",
      { file, sum },
    );
  }
  return { image, file };
}

function manifest(root: URL): z.output<typeof manifestSchema>["fixtures"] {
  const text = new TextDecoder().decode(read(MANIFEST, root));
  const problem = (why: string, cause: unknown): ZmendError =>
    new ZmendError("FIXTURE_INVALID", `${MANIFEST} ${why}; restore it.`, {}, { cause });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw problem("is no JSON", error);
  }
  const result = manifestSchema.safeParse(value);
  if (!result.success) {
    const key = result.error.issues[0]?.path.join(".") ?? "";
    throw problem(`is not as expected at '${key}'`, result.error);
  }
  return result.data.fixtures;
}

function read(file: string, root: URL): Uint8Array {
  try {
    return readFileSync(new URL(file, root));
  } catch (error) {
    throw new ZmendError(
      "FIXTURE_MISSING",
      `Guest fixture file ${file} is missing; restore it or rebuild it with npm run fixtures:build.`,
      { file },
      { cause: error },
    );
  }
}
