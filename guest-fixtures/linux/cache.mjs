/** What `npm run fixtures` keeps: a folder per fixture in `.cache`, with `fixture.json` beside its files. */
import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
export const cache = join(here, "..", "..", ".cache");
/** Files are read in parts: a disk image is larger than what one would keep in memory. */
const PART_BYTES = 4 * 1024 ** 2;

/** What `fixture.json` says, if every file is as it says. @param {string} name */
export function wholeFixture(name) {
  try {
    const folder = join(cache, name);
    const fixture = JSON.parse(readFileSync(join(folder, "fixture.json"), "utf8"));
    const whole = fixture.files.every(
      (entry) => fileSum(join(folder, entry.file)) === entry.sha256,
    );
    return whole ? fixture : undefined;
  } catch {
    return undefined;
  }
}

/** The row of a file in `fixture.json`. @param {string} folder @param {string} file */
export function described(folder, file) {
  return { file, sha256: fileSum(join(folder, file)) };
}

/** An empty folder to build a fixture in; `publish` makes it the fixture. @param {string} name */
export function partialFolder(name) {
  const folder = join(cache, `${name}.partial`);
  rmSync(folder, { recursive: true, force: true });
  return folder;
}

/** @param {string} name */
export function publish(name) {
  const final = join(cache, name);
  rmSync(final, { recursive: true, force: true });
  renameSync(join(cache, `${name}.partial`), final);
}

/** @param {string} path */
export function fileSum(path) {
  const hash = createHash("sha256");
  const part = Buffer.alloc(PART_BYTES);
  const file = openSync(path, "r");
  try {
    for (let n = readSync(file, part); n > 0; n = readSync(file, part)) {
      hash.update(part.subarray(0, n));
    }
  } finally {
    closeSync(file);
  }
  return hash.digest("hex");
}

/** Of several files, one after the other. @param {readonly string[]} paths */
export function scriptsSum(paths) {
  const hash = createHash("sha256");
  for (const path of paths) hash.update(readFileSync(path));
  return hash.digest("hex");
}

/** @param {string} text */
export function say(text) {
  process.stderr.write(`${text}\n`);
}
