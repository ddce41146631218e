/**
 * Writer of cpio archives in the "newc" format, as the kernel unpacks them into its first root file system.
 * The same entries give the same bytes: times and owners are zero, inode numbers count up.
 * Source of the format: Linux Documentation/driver-api/early-userspace/buffer-format.rst.
 */

const MAGIC = "070701";
const TRAILER = "TRAILER!!!";
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFCHR = 0o020000;
const S_IFLNK = 0o120000;

/** @typedef {{ name: string, mode: number, data: Uint8Array, major: number, minor: number }} Entry */

/** @type {(name: string, permissions?: number) => Entry} */
export function directory(name, permissions = 0o755) {
  return { name, mode: S_IFDIR | permissions, data: new Uint8Array(0), major: 0, minor: 0 };
}

/** @type {(name: string, data: Uint8Array, permissions?: number) => Entry} */
export function file(name, data, permissions = 0o644) {
  return { name, mode: S_IFREG | permissions, data, major: 0, minor: 0 };
}

/** @type {(name: string, target: string) => Entry} */
export function symbolicLink(name, target) {
  const data = new TextEncoder().encode(target);
  return { name, mode: S_IFLNK | 0o777, data, major: 0, minor: 0 };
}

/** @type {(name: string, major: number, minor: number, permissions?: number) => Entry} */
export function characterDevice(name, major, minor, permissions = 0o600) {
  return { name, mode: S_IFCHR | permissions, data: new Uint8Array(0), major, minor };
}

/** @param {readonly Entry[]} entries parents before their children */
export function cpioArchive(entries) {
  const parts = entries.flatMap((entry, index) => member(entry, index + 1));
  parts.push(...member({ ...file(TRAILER, new Uint8Array(0), 0), mode: 0 }, 0));
  return Buffer.concat(parts);
}

/** @type {(entry: Entry, inode: number) => Uint8Array[]} */
function member(entry, inode) {
  const name = Buffer.from(`${entry.name}\0`);
  const links = (entry.mode & S_IFDIR) === S_IFDIR ? 2 : 1;
  const fields = [
    inode,
    entry.mode,
    0, // user
    0, // group
    links,
    0, // time
    entry.data.length,
    0, // device of the archive, major and minor
    0,
    entry.major,
    entry.minor,
    name.length,
    0, // check sum: only in the format with one
  ];
  const header = MAGIC + fields.map((field) => field.toString(16).padStart(8, "0")).join("");
  return [
    padded(Buffer.concat([Buffer.from(header.toUpperCase()), name])),
    padded(Buffer.from(entry.data)),
  ];
}

/** @type {(bytes: Uint8Array) => Uint8Array} */
function padded(bytes) {
  return Buffer.concat([bytes, new Uint8Array(-bytes.length & 3)]);
}
