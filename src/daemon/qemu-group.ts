/**
 * QEMU's option groups: `driver,key=value,flag`, a doubled comma for a comma, or one JSON object. Source: qmp.md 9;
 * QEMU util/keyval.c and util/qemu-option.c (behaviour). Values stay text; `GroupReader` gives them types and
 * knows which keys nobody asked for.
 */
import { ZmendError } from "../base/errors.ts";
import { suggestion } from "../base/nearest.ts";

export type Group = ReadonlyMap<string, string>;

/** Shown instead of a group whose text is long. */
const SHOWN_MAX = 200;

/** An option of the command line, as messages name it: `-device nvme,drive=d0`. */
export function shownOption(option: string, text: string): string {
  const cut = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
  return `-${option} ${cut.replace(/\s+/g, " ")}`;
}

/**
 * @param implied name of the key that a first part without "=" is the value of
 * @throws ZmendError USAGE
 */
export function parseGroup(option: string, text: string, implied?: string): Group {
  if (text.startsWith("{")) return jsonGroup(option, text);
  const group = new Map<string, string>();
  for (const [index, part] of splitParts(text).entries()) {
    const equals = part.indexOf("=");
    if (equals < 0 && index === 0 && implied !== undefined) group.set(implied, part);
    // QEMU's short form of a switch that is on.
    else if (equals < 0) add(option, text, group, part, "on");
    else add(option, text, group, part.slice(0, equals), part.slice(equals + 1));
  }
  return group;
}

function add(option: string, text: string, group: Map<string, string>, key: string, value: string) {
  if (key === "") throw new ZmendError("USAGE", `${shownOption(option, text)}: a key is missing`);
  if (group.has(key)) {
    throw new ZmendError("USAGE", `${shownOption(option, text)}: '${key}' is given twice`);
  }
  group.set(key, value);
}

/** Parts between single commas; two commas are one that belongs to the part. */
function splitParts(text: string): string[] {
  const parts = [""];
  for (let index = 0; index < text.length; index++) {
    const letter = text[index] as string;
    if (letter !== ",") parts[parts.length - 1] += letter;
    else if (text[index + 1] === ",") {
      parts[parts.length - 1] += ",";
      index++;
    } else parts.push("");
  }
  return parts;
}

/** Nested objects become dotted keys, as in QEMU's own two forms of one option. */
function jsonGroup(option: string, text: string): Group {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ZmendError("USAGE", `${shownOption(option, text)}: begins like JSON and is none`);
  }
  const group = new Map<string, string>();
  flatten(option, text, value, "", group);
  return group;
}

function flatten(
  option: string,
  text: string,
  value: unknown,
  path: string,
  group: Map<string, string>,
): void {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    for (const [key, child] of Object.entries(value)) {
      flatten(option, text, child, path === "" ? key : `${path}.${key}`, group);
    }
  } else if (typeof value === "boolean") group.set(path, value ? "on" : "off");
  else if (typeof value === "string" || typeof value === "number") group.set(path, `${value}`);
  else {
    const problem = `'${path}' is neither text, number, true, false nor an object`;
    throw new ZmendError("USAGE", `${shownOption(option, text)}: ${problem}`);
  }
}

/** Takes the values of one group key by key; what is wrong is one sentence that names the option as given. */
export class GroupReader {
  readonly shown: string;
  readonly #group: Map<string, string>;

  constructor(option: string, text: string, implied?: string) {
    this.shown = shownOption(option, text);
    this.#group = new Map(parseGroup(option, text, implied));
  }

  fail(problem: string): never {
    throw new ZmendError("USAGE", `${this.shown}: ${problem}`);
  }

  has(key: string): boolean {
    return this.#group.has(key);
  }

  keys(): string[] {
    return [...this.#group.keys()];
  }

  text(key: string): string | undefined {
    const value = this.#group.get(key);
    this.#group.delete(key);
    return value;
  }

  required(key: string): string {
    return this.text(key) ?? this.fail(`${key}= is missing`);
  }

  /** An identifier as QEMU allows them. */
  id(key: string): string | undefined {
    const value = this.text(key);
    if (value !== undefined && !/^[A-Za-z][-._A-Za-z0-9]*$/.test(value)) {
      this.fail(
        `${key}=${value}: expected an identifier: a letter, then letters, digits, '-', '.' or '_'`,
      );
    }
    return value;
  }

  switch(key: string): boolean | undefined {
    const value = this.text(key);
    if (value === undefined) return undefined;
    if (["on", "yes", "true", "y"].includes(value)) return true;
    if (["off", "no", "false", "n"].includes(value)) return false;
    return this.fail(`${key}=${value}: expected on or off`);
  }

  /** A whole number, decimal or 0x hexadecimal. */
  number(key: string, min: number, max: number): number | undefined {
    const value = this.text(key);
    if (value === undefined) return undefined;
    const number = /^(0x[0-9a-f]+|\d+)$/i.test(value) ? Number(value) : Number.NaN;
    if (number >= min && number <= max) return number;
    const shown = (bound: number): string =>
      max > 0xffff ? `0x${bound.toString(16)}` : `${bound}`;
    return this.fail(`${key}=${value}: expected a number from ${shown(min)} to ${shown(max)}`);
  }

  /** One of the words in `known`. */
  word<T extends string>(key: string, known: readonly T[]): T | undefined {
    const value = this.text(key);
    if (value === undefined) return undefined;
    const found = known.find((word) => word === value);
    return (
      found ??
      this.fail(
        `${key}=${value}: not supported${suggestion(value, known)}; known: ${known.join(", ")}`,
      )
    );
  }

  /** Refuses a key that is none of `known`: before anything else that is wrong with the group. */
  only(known: readonly string[], what: string): void {
    const unknown = this.keys().find((key) => !known.includes(key));
    if (unknown !== undefined) this.#refuse(unknown, known, what);
  }

  /** Refuses what no call above has asked for. @param known every key that may stand in this group */
  end(known: readonly string[], what: string): void {
    const [left] = this.#group.keys();
    if (left !== undefined) this.#refuse(left, known, what);
  }

  #refuse(key: string, known: readonly string[], what: string): never {
    const hint = suggestion(key, known);
    this.fail(`${what} has no property '${key}'${hint}; it has ${known.join(", ")}`);
  }
}
