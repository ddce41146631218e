/**
 * Logs of zPCI instructions as an instrumented QEMU wrote them (../shared/data, README there): one line each,
 * seconds, instruction, operands, `->` answer. Gzip or plain text. Numbers are hexadecimal unless a name
 * below says otherwise.
 */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { ZmendError } from "../../src/base/errors.ts";
import { suggestion } from "../../src/base/nearest.ts";

/** Instructions, and lines that say what was done to the machine. */
export const lineKinds = {
  SIC: ["mode", "isc"],
  CLP: ["cmd", "reqlen", "rsplen_in", "w16", "oc", "ndas", "rsp", "cc"],
  PCILG: ["req", "off"],
  PCISTG: ["req", "off", "data"],
  PCISTB: ["req", "off", "len"],
  MPCIFC: ["req"],
  RPCIT: ["fh", "start", "len"],
  STCRW: [],
  CHSC: [],
  /** Operand of the MPCIFC that follows. */
  FIB: ["pba", "pal", "iota", "data", "aibv", "aisb", "fmb"],
  /** An error event that the recorder made; `newstate` -1 leaves the function's state alone. */
  INJECT: ["pec", "newstate", "fh"],
  EVENT: [],
  MCHK: [],
} as const satisfies Readonly<Record<string, readonly string[]>>;
export type LineKind = keyof typeof lineKinds;

export interface LogLine {
  readonly number: number;
  readonly timeUs: number;
  readonly kind: LineKind;
  /** The line without its time. */
  readonly text: string;
  readonly fields: ReadonlyMap<string, bigint>;
  /** What stands behind the arrow; for CHSC the rest of the line. */
  readonly answer: string;
}

/** Decimal in the recorder's format. */
const decimal = new Set(["reqlen", "rsplen_in", "ndas", "newstate", "cc"]);

function numberOf(name: string, text: string): bigint | undefined {
  if (decimal.has(name)) return /^-?\d+$/.test(text) ? BigInt(text) : undefined;
  return /^[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text}`) : undefined;
}

function fieldsOf(text: string): Map<string, bigint> {
  const found = new Map<string, bigint>();
  for (const [, name = "", value = ""] of text.matchAll(/\b([a-z_]+\d*)=(-?[0-9a-fA-F]+)\b/g)) {
    const number = numberOf(name, value);
    if (number !== undefined && !found.has(name)) found.set(name, number);
  }
  return found;
}

function isKind(word: string): word is LineKind {
  return Object.hasOwn(lineKinds, word);
}

/** @throws ZmendError USAGE with the line and what is wrong with it */
export function parseLog(text: string, file: string): LogLine[] {
  const lines: LogLine[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trimEnd();
    if (line.trim() === "" || line.startsWith("#")) continue;
    const bad = (what: string): ZmendError =>
      new ZmendError("USAGE", `${file} line ${index + 1}: ${what}`);
    const match = /^(\d+\.\d+)\s+([A-Z]+)\b\s*(.*)$/.exec(line);
    if (match === null) {
      throw bad("expected seconds and an instruction, such as '12.5 STCRW -> cc0'");
    }
    const [, seconds = "", word = "", rest = ""] = match;
    if (!isKind(word)) {
      const names = Object.keys(lineKinds);
      throw bad(`'${word}' is unknown${suggestion(word, names)}; known: ${names.join(", ")}`);
    }
    const fields = fieldsOf(rest);
    const missing = lineKinds[word].find((name) => !fields.has(name));
    if (missing !== undefined) throw bad(`${word} lacks a readable '${missing}='`);
    const answer = rest.split("->")[1]?.trim() ?? "";
    lines.push({
      number: index + 1,
      timeUs: Number(seconds) * 1e6,
      kind: word,
      text: `${word} ${rest}`.trim(),
      fields,
      answer,
    });
  }
  if (lines.length === 0) throw new ZmendError("USAGE", `${file} holds no line of a log`);
  return lines;
}

const LOG_MAX_BYTES = 1 << 28;

/** @throws ZmendError USAGE when it cannot be read or is no log */
export function readLog(file: string): LogLine[] {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new ZmendError(
      "USAGE",
      `${file} cannot be read; name a log of zPCI instructions, plain or gzip`,
      { file },
      { cause: error },
    );
  }
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    try {
      bytes = gunzipSync(bytes, { maxOutputLength: LOG_MAX_BYTES });
    } catch (error) {
      throw new ZmendError(
        "USAGE",
        `${file} is a damaged gzip file; fetch it again`,
        { file },
        { cause: error },
      );
    }
  }
  return parseLog(new TextDecoder().decode(bytes), file);
}
