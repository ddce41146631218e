/**
 * Reads a YAML text against a zod schema and reports every problem at once, each with file, line and key;
 * an unknown key or value suggests the nearest known one. Cold path.
 */
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument, visit } from "yaml";
import type { z } from "zod";
import { type ErrorCode, ZmendError } from "./errors.ts";
import { suggestion } from "./nearest.ts";
import { plainIssues, wording } from "./wording.ts";

/**
 * @param file the name to show in messages
 * @throws ZmendError(`code`) whose message has one line per problem: `FILE:LINE: KEY: what is wrong`
 */
export function parseYaml<S extends z.ZodType>(
  text: string,
  file: string,
  schema: S,
  code: ErrorCode,
): z.output<S> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    throw problems(
      code,
      document.errors.map(
        (error) => `${file}:${lines.linePos(error.pos[0]).line}: ${oneLine(error.message)}`,
      ),
    );
  }
  const plain = plainValue(document);
  if (plain.problem !== undefined) {
    throw problems(code, [`${file}:${lines.linePos(plain.offset).line}: ${plain.problem}`]);
  }
  const result = schema.safeParse(plain.value ?? {}, { error: wording });
  if (result.success) return result.data;
  const { lineOf, lineOfKey } = placesOf(document, lines);
  const known = schemaKeys(schema);
  const found = plainIssues(result.error.issues).flatMap((issue) => {
    if (issue.code !== "unrecognized_keys") {
      return [{ line: lineOf(issue.path), text: `${keyName(issue.path)}${issue.message}` }];
    }
    return issue.keys.map((key) => ({
      line: lineOfKey(issue.path, key),
      text: `${keyName(issue.path)}unknown key '${key}'${suggestion(key, known)}`,
    }));
  });
  found.sort((a, b) => a.line - b.line);
  throw problems(
    code,
    found.map(({ line, text }) => `${file}:${line}: ${text}`),
  );
}

/** Something wrong with a value of the file that its schema alone cannot see. */
export interface Problem {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** `found` in a text that has been parsed, in the form and order of `parseYaml`'s own problems. */
export function yamlProblems(
  text: string,
  file: string,
  found: readonly Problem[],
  code: ErrorCode,
): ZmendError {
  const lines = new LineCounter();
  const { lineOf } = placesOf(parseDocument(text, { lineCounter: lines }), lines);
  const placed = found.map(({ path, message }) => ({
    line: lineOf(path),
    text: `${keyName(path)}${message}`,
  }));
  placed.sort((a, b) => a.line - b.line);
  return problems(
    code,
    placed.map(({ line, text: words }) => `${file}:${line}: ${words}`),
  );
}

/** Where values and keys of a document stand; for what is not there, the nearest thing around it. */
function placesOf(document: Document, lines: LineCounter) {
  const lineOf = (path: readonly PropertyKey[]): number => {
    for (let depth = path.length; depth >= 0; depth--) {
      const node = document.getIn(path.slice(0, depth), true);
      if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
    }
    return 1;
  };
  const lineOfKey = (path: readonly PropertyKey[], key: string): number => {
    const map = document.getIn(path, true);
    const pairs = isMap(map) ? map.items : [];
    const found = pairs
      .map((pair) => pair.key)
      .find((node) => isScalar(node) && node.value === key);
    return isScalar(found) && found.range ? lines.linePos(found.range[0]).line : lineOf(path);
  };
  return { lineOf, lineOfKey };
}

/** The document without YAML's aliases, of which three kinds cannot be resolved; `offset` of the first one. */
function plainValue(document: Document): { value: unknown; problem?: string; offset: number } {
  let offset = 0;
  try {
    const value: unknown = document.toJS();
    JSON.stringify(value);
    return { value, offset };
  } catch (error) {
    visit(document, {
      Alias(_, node) {
        offset = node.range?.[0] ?? 0;
        return visit.BREAK;
      },
    });
    // Not set, or a bomb: the library says so. What contains itself has no JSON form.
    const problem =
      error instanceof ReferenceError ? oneLine(error.message) : "an alias contains itself";
    return { value: undefined, problem, offset };
  }
}

function problems(code: ErrorCode, list: readonly string[]): ZmendError {
  // Keys and values come from the file and may hold line breaks of their own.
  return new ZmendError(code, list.map(oneLine).join("\n"), { problems: list.length });
}

function keyName(path: readonly PropertyKey[]): string {
  if (path.length === 0) return "";
  const text = path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`))
    .join("");
  return `${text.replace(/^\./, "")}: `;
}

function oneLine(message: string): string {
  return message.replace(/\s+/g, " ").trim();
}

/** Every object key that appears anywhere in the schema, for suggestions. */
function schemaKeys(
  schema: unknown,
  seen = new Set<unknown>(),
  keys = new Set<string>(),
): Set<string> {
  if (typeof schema !== "object" || schema === null || seen.has(schema)) return keys;
  seen.add(schema);
  const definition = (schema as { def?: Record<string, unknown> }).def;
  if (definition === undefined) return keys;
  const shape = definition["shape"];
  if (typeof shape === "object" && shape !== null) {
    for (const [key, child] of Object.entries(shape)) {
      keys.add(key);
      schemaKeys(child, seen, keys);
    }
  }
  for (const part of ["innerType", "element", "in", "out", "valueType"]) {
    schemaKeys(definition[part], seen, keys);
  }
  const names = (definition["keyType"] as { def?: { entries?: object } } | undefined)?.def?.entries;
  for (const name of Object.keys(names ?? {})) keys.add(name);
  const options = definition["options"];
  if (Array.isArray(options)) for (const option of options) schemaKeys(option, seen, keys);
  return keys;
}
