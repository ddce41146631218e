/**
 * `zmend abi`: the registry of interface structures as a tool: list, show, diff, decode, check. Structures in
 * host byte order are decoded as the s390x host writes them (big-endian) unless told otherwise.
 */
import { existsSync, readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { decode as decodeFields, type Field } from "../abi/layout.ts";
import { type AbiEntry, abiEntry, abiNewest, abiRegistry, abiVersions } from "../abi/registry.ts";
import { inOrder } from "../abi/vfio.ts";
import { ZmendError } from "../base/errors.ts";
import { hex, hexBytes } from "../base/hex.ts";
import { suggestion } from "../base/nearest.ts";
import { checkHeaders } from "./abi-check.ts";
import { EXIT_DONE, EXIT_FAILED } from "./failure.ts";

interface JsonOption {
  readonly json?: boolean;
}

interface AtOption extends JsonOption {
  readonly at?: string;
}

interface DecodeOption extends AtOption {
  readonly byteOrder: "big" | "little";
}

/** Finds "NAME", "NAME@VERSION" or NAME with `--at`. @throws ZmendError USAGE with the nearest name */
export function findAbi(text: string, at?: string): AbiEntry {
  const split = text.lastIndexOf("@");
  const name = split < 0 ? text : text.slice(0, split);
  const version = at ?? (split < 0 ? undefined : text.slice(split + 1));
  const versions = abiVersions(name).map((item) => item.version);
  if (versions.length === 0) {
    const names = new Set(abiRegistry.map((item) => item.name));
    throw new ZmendError(
      "USAGE",
      `Structure '${name}' is unknown${suggestion(name, names)}; 'zmend abi list' names them all.`,
    );
  }
  const found = version === undefined ? abiNewest(name) : abiEntry(name, version);
  if (found === undefined) {
    throw new ZmendError(
      "USAGE",
      `${name} has no version '${version}'${suggestion(version ?? "", versions)}; it has ${versions.join(", ")}.`,
    );
  }
  return found;
}

export interface ShownField {
  readonly name: string;
  readonly offset: number;
  readonly size?: number;
  /** Bits of the word of 1, 2 or 4 bytes at `offset`, read in the structure's byte order. */
  readonly mask?: number;
}

function shownField(name: string, field: Field): ShownField {
  if (field.kind !== "bits") return { name, offset: field.offset, size: field.size };
  const width = field.last - field.first + 1;
  const mask = (2 ** width - 1) * 2 ** (field.size * 8 - 1 - field.last);
  return { name, offset: field.offset, mask };
}

function showAbi(item: AbiEntry): {
  readonly name: string;
  readonly version: string;
  readonly size: number;
  readonly byteOrder: string;
  readonly fields: readonly ShownField[];
} {
  const fields = Object.entries(item.layout.fields).map(([name, field]) => shownField(name, field));
  const { size, byteOrder } = item.layout;
  return { name: item.name, version: item.version, size, byteOrder, fields };
}

export interface AbiDifference {
  readonly field: string;
  readonly a?: ShownField;
  readonly b?: ShownField;
}

/** Fields that only one side has, or that stand elsewhere. */
export function diffAbi(a: AbiEntry, b: AbiEntry): AbiDifference[] {
  const left = new Map(showAbi(a).fields.map((field) => [field.name, field]));
  const right = new Map(showAbi(b).fields.map((field) => [field.name, field]));
  return [...new Set([...left.keys(), ...right.keys()])].flatMap((field): AbiDifference[] => {
    const x = left.get(field);
    const y = right.get(field);
    if (JSON.stringify(x) === JSON.stringify(y)) return [];
    return [{ field, ...(x === undefined ? {} : { a: x }), ...(y === undefined ? {} : { b: y }) }];
  });
}

export type DecodedValue = number | string;

/** Numbers; 64-bit values beyond 2^53 and byte strings as hex text. @throws ZmendError USAGE: wrong size */
export function decodeAbi(
  item: AbiEntry,
  data: Uint8Array,
  order: "big" | "little" = "big",
): Record<string, DecodedValue> {
  refuseSize(item, data.length);
  const byteOrder = item.layout.byteOrder === "host" ? order : item.layout.byteOrder;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const values: Record<string, unknown> = decodeFields(inOrder(item.layout, byteOrder), view);
  const fields = Object.fromEntries(
    Object.entries(values).map(([name, value]): [string, DecodedValue] => [name, plain(value)]),
  );
  if (item.tail !== undefined) fields[item.tail] = hexBytes(data.subarray(item.layout.size));
  return fields;
}

function plain(value: unknown): DecodedValue {
  if (typeof value === "bigint") {
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : hex(value, 16);
  }
  return value instanceof Uint8Array ? hexBytes(value) : Number(value);
}

function refuseSize(item: AbiEntry, length: number): void {
  const { size } = item.layout;
  if (size > 0 && (length === size || (item.tail !== undefined && length > size))) return;
  const fitting = abiVersions(item.name).filter((other) => other.layout.size === length);
  const others = length > 0 ? fitting.map((other) => other.version).join(", ") : "";
  const hint = others === "" ? "" : ` (${length} bytes are ${others}: name it with --at)`;
  const needs = item.tail === undefined ? `${size}` : `at least ${size}`;
  throw new ZmendError(
    "USAGE",
    size === 0
      ? `${item.name}@${item.version} has no data to decode${hint}.`
      : `${item.name}@${item.version} takes ${needs} bytes, got ${length}${hint}.`,
    { size, length },
  );
}

/** Hex digits (blanks, colons, underscores and 0x are fine), or a file of bytes or of such digits. */
export function bytesFrom(text: string, size: number): Uint8Array {
  const digits = hexDigits(text);
  if (digits !== undefined) return digits;
  if (!existsSync(text)) {
    throw new ZmendError(
      "USAGE",
      `'${text}' is neither pairs of hex digits nor a file that exists.`,
      { input: text },
    );
  }
  const data = readBytes(text);
  if (data.length === size) return data;
  return hexDigits(data.toString("latin1")) ?? data;
}

function readBytes(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new ZmendError("USAGE", `${file} cannot be read.`, { file }, { cause });
  }
}

function hexDigits(text: string): Uint8Array | undefined {
  const digits = text.replace(/0x|[\s:_,]/gi, "");
  if (digits === "" || digits.length % 2 !== 0 || /[^0-9a-f]/i.test(digits)) return undefined;
  return new Uint8Array(Buffer.from(digits, "hex"));
}

function print(value: unknown, json: boolean | undefined, text: () => readonly string[]): void {
  const output = json === true ? JSON.stringify(value) : text().join("\n");
  process.stdout.write(`${output}\n`);
}

function fieldText(field: ShownField | undefined): string {
  if (field === undefined) return "absent";
  const part = field.mask === undefined ? `${field.size} bytes` : `mask ${hex(field.mask, 8)}`;
  return `at ${field.offset}, ${part}`;
}

function list(options: JsonOption): void {
  const rows = abiRegistry.map(({ name, version }) => ({ name, version }));
  const names = [...new Set(rows.map((row) => row.name))];
  print(rows, options.json, () =>
    names.map(
      (name) =>
        `${name}: ${abiVersions(name)
          .map((item) => item.version)
          .join(" ")}`,
    ),
  );
}

function show(name: string, options: AtOption): void {
  const item = findAbi(name, options.at);
  const shown = showAbi(item);
  print(shown, options.json, () => [
    `${shown.name}@${shown.version}: ${shown.size} bytes, byte order ${shown.byteOrder}`,
    `source: ${item.source}`,
    ...shown.fields.map((field) => `  ${field.name} ${fieldText(field)}`),
    ...(item.tail === undefined ? [] : [`  ${item.tail} from ${shown.size} to the end`]),
  ]);
}

function diff(first: string, second: string, options: JsonOption): void {
  const a = findAbi(first);
  const b = findAbi(second);
  const differences = diffAbi(a, b);
  const head = (item: AbiEntry) => ({
    name: item.name,
    version: item.version,
    size: item.layout.size,
  });
  print({ a: head(a), b: head(b), differences }, options.json, () => [
    `${a.name}@${a.version}: ${a.layout.size} bytes; ${b.name}@${b.version}: ${b.layout.size} bytes`,
    ...(differences.length === 0 ? ["  no field differs"] : []),
    ...differences.map((row) => `  ${row.field}: ${fieldText(row.a)} -> ${fieldText(row.b)}`),
  ]);
}

function decode(name: string, input: string, options: DecodeOption): void {
  const item = findAbi(name, options.at);
  const fields = decodeAbi(item, bytesFrom(input, item.layout.size), options.byteOrder);
  print({ fields }, options.json, () =>
    Object.entries(fields).map(([field, value]) =>
      typeof value === "number"
        ? `${field} = ${value} (${hex(BigInt(value))})`
        : `${field} = ${value}`,
    ),
  );
}

function check(headers: readonly string[], options: JsonOption): number {
  const rows = checkHeaders(headers);
  print(rows, options.json, () =>
    rows.flatMap((row) => [
      row.version === "none"
        ? `${row.name}: not in these headers (version none)`
        : `${row.name}: ${row.agrees ? "agrees with" : "DIFFERS from"} version ${row.version}`,
      ...row.differences.map((text) => `  ${text}`),
    ]),
  );
  return rows.every((row) => row.agrees) ? EXIT_DONE : EXIT_FAILED;
}

/** Adds the `abi` command and its subcommands. */
export function registerAbi(program: Command): void {
  const abi = program.command("abi").description("interface structures, in every version they had");
  const json = "print JSON";
  const at = ["--at <version>", "the version; else what was merged, or the newest"] as const;
  abi
    .command("list")
    .description("every structure and version")
    .option("--json", json)
    .action((options: JsonOption) => list(options));
  abi
    .command("show <name>")
    .description("size, byte order and fields of one version")
    .option(...at)
    .option("--json", json)
    .action((name: string, options: AtOption) => show(name, options));
  abi
    .command("diff <a> <b>")
    .description("fields that differ between two, each NAME@VERSION")
    .option("--json", json)
    .action((a: string, b: string, options: JsonOption) => diff(a, b, options));
  abi
    .command("decode <name> <data>")
    .description("fields of a structure given as hex digits or in a file")
    .option(...at)
    .addOption(
      new Option("--byte-order <order>", "of structures in the host's byte order")
        .choices(["big", "little"])
        .default("big"),
    )
    .option("--json", json)
    .action((name: string, data: string, options: DecodeOption) => decode(name, data, options));
  abi
    .command("check <headers...>")
    .description("compare the tables with kernel headers, through the C compiler")
    .option("--json", json)
    .addHelpText(
      "after",
      "\nExit status: 0 all agree, 1 something differs, 2 bad usage, 3 no C compiler.",
    )
    .action((headers: string[], options: JsonOption) => {
      process.exitCode = check(headers, options);
    });
}
