/**
 * Where the guest's console ends: `-serial`, or `-chardev` and `-device sclpconsole`, or by default the terminal.
 * Source: qmp.md 9; QEMU chardev/char.c and softmmu/vl.c (behaviour).
 */
import { ZmendError } from "../base/errors.ts";
import { suggestion } from "../base/nearest.ts";
import { GroupReader } from "./qemu-group.ts";

/** Nowhere, or on the terminal, with Ctrl-A as an escape or without. */
export type ConsolePlace = "none" | "plain" | "escapes";

export interface ConsoleOptions {
  readonly chardev: readonly string[];
  /** `-serial`, if it was given. */
  readonly serial?: string | undefined;
  /** `chardev=` of a `-device sclpconsole`; "" when that names none. */
  readonly device?: string | undefined;
  readonly nodefaults: boolean;
}

const places: Readonly<Record<string, ConsolePlace>> = {
  "mon:stdio": "escapes",
  stdio: "plain",
  none: "none",
  null: "none",
};
const BACKENDS = ["stdio", "null"] as const;

/** @throws ZmendError USAGE */
export function consolePlace(options: ConsoleOptions): ConsolePlace {
  const ends = chardevs(options.chardev);
  const { serial, device } = options;
  if (device !== undefined) {
    if (serial !== undefined && places[serial] !== "none") {
      throw new ZmendError(
        "USAGE",
        `-serial ${serial}: -device sclpconsole is the console already`,
      );
    }
    return device === "" ? "none" : endOf(ends, device, `-device sclpconsole,chardev=${device}`);
  }
  if (serial === undefined) return options.nodefaults ? "none" : "escapes";
  if (serial.startsWith("chardev:")) {
    return endOf(ends, serial.slice("chardev:".length), `-serial ${serial}`);
  }
  const place = Object.hasOwn(places, serial) ? places[serial] : undefined;
  if (place !== undefined) return place;
  const known = [...Object.keys(places), "chardev:ID"];
  throw new ZmendError(
    "USAGE",
    `-serial ${serial}: not supported${suggestion(serial, known)}; known: ${known.join(", ")}`,
  );
}

function chardevs(texts: readonly string[]): ReadonlyMap<string, ConsolePlace> {
  const ends = new Map<string, ConsolePlace>();
  let terminal = false;
  for (const text of texts) {
    const reader = new GroupReader("chardev", text, "backend");
    const backend = reader.word("backend", BACKENDS) ?? reader.fail("a backend is missing");
    const id = reader.id("id") ?? reader.fail("id= is missing");
    if (ends.has(id)) reader.fail(`the id '${id}' is already taken by another chardev`);
    if (backend === "null") ends.set(id, "none");
    else {
      if (terminal) reader.fail("cannot use stdio by multiple character devices");
      terminal = true;
      const mux = reader.switch("mux") ?? false;
      reader.switch("signal");
      ends.set(id, mux ? "escapes" : "plain");
    }
    reader.end(["id", ...(backend === "null" ? [] : ["mux", "signal"])], `chardev '${backend}'`);
  }
  return ends;
}

function endOf(ends: ReadonlyMap<string, ConsolePlace>, id: string, shown: string): ConsolePlace {
  const place = ends.get(id);
  if (place !== undefined) return place;
  const known = ends.size === 0 ? "no -chardev is given" : `known: ${[...ends.keys()].join(", ")}`;
  throw new ZmendError(
    "USAGE",
    `${shown}: no chardev has the id '${id}'${suggestion(id, ends.keys())}; ${known}`,
  );
}
