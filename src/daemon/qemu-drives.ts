/**
 * Disk images of `zmend-system-s390x`: `-drive if=none,...` and `-blockdev`, raw files only. A drive is data until
 * a device takes it (`qemu-devices.ts`). Source: qmp.md 9; QEMU's qapi/block-core.json for the names of keys.
 */
import { GroupReader } from "./qemu-group.ts";

export interface Drive {
  readonly id: string;
  readonly file: string;
  readonly readOnly: boolean;
  /** The option that defined it, for messages. */
  readonly shown: string;
}

/** What is accepted because it changes nothing here: images are opened plainly and flushed as the guest says. */
const HARMLESS = ["cache", "aio", "discard", "detect-zeroes", "werror", "rerror", "locking"];
const DRIVE_KEYS = ["file", "id", "if", "format", "readonly", ...HARMLESS];
const BLOCKDEV_KEYS = ["driver", "node-name", "filename", "file", "read-only"];

/** @throws ZmendError USAGE */
export function parseDrives(drives: readonly string[], blockdevs: readonly string[]): Drive[] {
  const found: Drive[] = [];
  const add = (reader: GroupReader, drive: Drive): void => {
    if (found.some(({ id }) => id === drive.id)) {
      reader.fail(`the id '${drive.id}' is already taken by another drive`);
    }
    found.push(drive);
  };
  for (const text of drives) {
    const reader = new GroupReader("drive", text);
    add(reader, driveOf(reader));
  }
  for (const text of blockdevs) {
    const reader = new GroupReader("blockdev", text);
    add(reader, blockdevOf(reader, found));
  }
  return found;
}

function driveOf(reader: GroupReader): Drive {
  const place = reader.text("if") ?? "virtio";
  if (place !== "none") {
    reader.fail(`if=${place}: not supported; use if=none,id=ID and a -device with drive=ID`);
  }
  reader.word("format", ["raw"]);
  const readOnly = reader.switch("readonly") ?? false;
  for (const key of HARMLESS) reader.text(key);
  const drive = {
    id: reader.id("id") ?? reader.fail("id= is missing"),
    file: reader.required("file"),
    readOnly,
    shown: reader.shown,
  };
  reader.end(DRIVE_KEYS, "a drive");
  return drive;
}

/** `driver=file` with a file name, or `driver=raw` over one: by its node name, or defined in place. */
function blockdevOf(reader: GroupReader, defined: readonly Drive[]): Drive {
  const driver = reader.word("driver", ["raw", "file"]) ?? reader.fail("driver= is missing");
  const id = reader.id("node-name") ?? reader.fail("node-name= is missing");
  const readOnly = reader.switch("read-only");
  for (const prefix of ["", "file."]) {
    for (const key of ["cache.direct", "cache.no-flush", ...HARMLESS]) reader.text(prefix + key);
  }
  if (driver === "file") {
    const file = reader.required("filename");
    reader.end(BLOCKDEV_KEYS, "a block device of driver 'file'");
    return { id, file, readOnly: readOnly ?? false, shown: reader.shown };
  }
  const node = reader.text("file");
  if (node !== undefined) {
    const below = defined.find((drive) => drive.id === node);
    if (below === undefined)
      return reader.fail(`file=${node}: no block device before it has this node-name`);
    reader.end(BLOCKDEV_KEYS, "a block device of driver 'raw'");
    return { id, file: below.file, readOnly: readOnly ?? below.readOnly, shown: reader.shown };
  }
  reader.word("file.driver", ["file"]);
  const file = reader.required("file.filename");
  const below = reader.switch("file.read-only");
  reader.end(BLOCKDEV_KEYS, "a block device of driver 'raw'");
  return { id, file, readOnly: readOnly ?? below ?? false, shown: reader.shown };
}
