/**
 * What is wrong with a value that somebody wrote, in words: what was expected at that place, what is there, and the nearest
 * known value. Every zod schema of zmend is asked with `wording`; what a schema words itself stays as it is. What was expected is read off
 * the schema (its JSON Schema), so that bounds and choices are named once. Cold path.
 */
import { z } from "zod";
import { suggestion } from "./nearest.ts";

type JsonSchema = z.core.JSONSchema.BaseSchema;
type Issue = z.core.$ZodRawIssue;

/** "1 VM", "2 VMs". */
export function countOf(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** For the `error` parameter of a schema's `parse` and `safeParse`. */
export const wording: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case "invalid_type":
    case "invalid_value":
    case "invalid_union":
    case "too_big":
    case "too_small":
    case "not_multiple_of":
    case "invalid_format":
      return mismatch(issue);
    case "unrecognized_keys":
      return issue.keys.map((key) => `unknown key '${key}'`).join(", ");
    default:
      return "is not valid";
  }
};

function mismatch(issue: Issue): string {
  const expected = issue.inst === undefined ? undefined : schemaOf(issue);
  if (issue.input === undefined) {
    // Its form is told to who has written something.
    const { pattern: _, ...rest } = expected ?? {};
    return `is missing; expected ${describe(rest)}`;
  }
  const what = describe(expected ?? {});
  const values = expected === undefined ? [] : choices(expected);
  const hint = typeof issue.input === "string" ? suggestion(issue.input, values) : "";
  return `expected ${what}, got ${shown(issue)}${hint}${remedy(expected, issue.input)}`;
}

/** The schema that refused; for one of its checks, the schema that the check belongs to. */
function schemaOf(issue: Issue): JsonSchema | undefined {
  const owner = (issue as { readonly schema?: unknown }).schema ?? issue.inst;
  if (!(owner instanceof z.core.$ZodType)) return undefined;
  return z.toJSONSchema(owner, { io: "input", unrepresentable: "any" });
}

/** A schema's demand as a noun: "a whole number from 0 to 65535", "one of own, shared", "a list". */
function describe(schema: JsonSchema): string {
  if (schema.const !== undefined) return literal(schema.const);
  const values = choices(schema);
  if (values.length > 0)
    return values.length === 1 ? `${values[0]}` : `one of ${values.join(", ")}`;
  const options = schema.anyOf ?? schema.oneOf;
  if (options !== undefined) {
    const words = options.map((option) => describe(option as JsonSchema));
    return [...new Set(words)].join(" or ");
  }
  switch (schema.type) {
    case "string":
      return text(schema);
    case "number":
      return `a number${range(schema)}`;
    case "integer":
      return `a whole number${range(schema)}`;
    case "boolean":
      return "true or false";
    case "array":
      return `a list${counted(schema.minItems, schema.maxItems, "entry", "entries")}`;
    case "object":
      return "a mapping of keys to values";
    default:
      return "a value";
  }
}

function choices(schema: JsonSchema): string[] {
  return (schema.enum ?? []).map((value) => String(value));
}

function text({ minLength, maxLength, pattern }: JsonSchema): string {
  const length = counted(minLength, maxLength, "character", "characters");
  return `text${length}${pattern === undefined ? "" : ` that matches ${pattern}`}`;
}

function counted(
  least: number | undefined,
  most: number | undefined,
  one: string,
  many: string,
): string {
  if (least !== undefined && most !== undefined) return ` of ${least} to ${most} ${many}`;
  if (least !== undefined) return ` of at least ${least} ${least === 1 ? one : many}`;
  return most === undefined ? "" : ` of at most ${most} ${many}`;
}

function range(schema: JsonSchema): string {
  const { exclusiveMinimum: above, exclusiveMaximum: below, multipleOf } = schema;
  const least = bound(schema.minimum);
  const most = bound(schema.maximum);
  const multiple = multipleOf === undefined ? "" : ` that is a multiple of ${multipleOf}`;
  if (least !== undefined && most !== undefined) return ` from ${least} to ${most}${multiple}`;
  const low = least === undefined ? "" : ` of at least ${least}`;
  const high = most === undefined ? "" : ` of at most ${most}`;
  const over = above === undefined ? "" : ` above ${above}`;
  const under = below === undefined ? "" : ` below ${below}`;
  const joint = over + low !== "" && under + high !== "" ? " and" : "";
  return `${over}${low}${joint}${under}${high}${multiple}`;
}

/** Bounds that only say what a number is are none. Those of a 32-bit word read better as such. */
function bound(value: number | undefined): string | undefined {
  if (value === undefined || Math.abs(value) === Number.MAX_SAFE_INTEGER) return undefined;
  return value === 0xffffffff ? "0xffffffff" : String(value);
}

/** Long enough to be recognised, short enough for a line. */
const SHOWN_MAX = 60;

function shown({ input }: Issue): string {
  if (input === null) return "nothing";
  if (Array.isArray(input))
    return input.length === 0 ? "an empty list" : `a list of ${input.length}`;
  if (typeof input === "object") return "a mapping";
  return literal(input);
}

function literal(value: unknown): string {
  if (typeof value !== "string") return String(value);
  return `'${value.length > SHOWN_MAX ? `${value.slice(0, SHOWN_MAX)}…` : value}'`;
}

/** What YAML took for something else than was meant. */
function remedy(schema: JsonSchema | undefined, input: unknown): string {
  if (schema?.type === "string" && (typeof input === "number" || typeof input === "boolean")) {
    return "; put it in quotes";
  }
  const number = schema?.type === "number" || schema?.type === "integer";
  if (
    number &&
    typeof input === "string" &&
    input.trim() !== "" &&
    Number.isFinite(Number(input))
  ) {
    return "; leave the quotes out";
  }
  return "";
}

/** A failed parse's issues; where a value was nearly one of several forms, that form's own issues. */
export function plainIssues(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue[] {
  return issues.flatMap((issue) => {
    if (issue.code !== "invalid_union") return [issue];
    const near = issue.errors.filter(
      (form) =>
        form.length > 0 &&
        form.every(({ path, code }) => path.length > 0 || code === "unrecognized_keys"),
    );
    const [form] = near;
    if (near.length !== 1 || form === undefined) return [issue];
    return plainIssues(form).map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }));
  });
}
