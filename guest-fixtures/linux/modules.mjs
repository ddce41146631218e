/**
 * Kernel modules as Debian packages hold them (plain, or compressed with xz): found by name, with what they depend
 * on. Dependencies stand in each module's `.modinfo` section as "depends=a,b".
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { AptError } from "./apt.mjs";

/**
 * @param {string} folder of one kernel version
 * @param {readonly string[]} wanted names of modules
 * @returns {{ name: string, data: Uint8Array }[]} in the order to load them
 */
export function modulesWith(folder, wanted) {
  const files = new Map(
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((path) => /\.ko(\.xz)?$/.test(path))
      .map((path) => [nameOf(path), join(folder, path)]),
  );
  const order = new Map();
  const visit = (/** @type {string} */ name) => {
    const key = name.replaceAll("-", "_");
    if (order.has(key)) return;
    const path = files.get(key);
    if (path === undefined) throw new AptError(`the kernel's packages have no module ${name}`);
    const data = path.endsWith(".xz") ? decompressed(path) : readFileSync(path);
    for (const other of dependencies(data)) visit(other);
    order.set(key, { name: basename(path, ".xz"), data });
  };
  for (const name of wanted) visit(name);
  return [...order.values()];
}

/** @param {string} path */
function nameOf(path) {
  return basename(path)
    .replace(/\.ko(\.xz)?$/, "")
    .replaceAll("-", "_");
}

/** @param {Buffer} data @returns {string[]} */
export function dependencies(data) {
  const mark = "\0depends=";
  const at = data.indexOf(mark, 0, "latin1");
  if (at < 0) return [];
  const start = at + mark.length;
  const text = data.toString("latin1", start, data.indexOf(0, start));
  return text.split(",").filter((name) => name !== "");
}

/** @param {string} path */
function decompressed(path) {
  const result = spawnSync("xz", ["-dc", path], { maxBuffer: 64 * 1024 ** 2 });
  if (result.error !== undefined) throw new AptError("xz could not be started; install xz-utils");
  if (result.status !== 0) throw new AptError(`xz: ${result.stderr.toString().trim()}`);
  return result.stdout;
}
