/**
 * Checks of fault plans, which arrive as any JSON value: each field has a test and a phrase that says what was expected,
 * and every problem is named with its path.
 */
export type Check = (value: unknown) => boolean;
export type Fields = Readonly<Record<string, readonly [Check, string]>>;

export function integer(min: number, max: number): Check {
  return (value) =>
    Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max;
}

export const text: Check = (value) => typeof value === "string" && value !== "";
export const boolean: Check = (value) => typeof value === "boolean";

/** How often a rule fires. */
export function timesProblems(times: unknown, path: string): string[] {
  if (times === undefined || times === "always") return [];
  if (integer(1, Number.MAX_SAFE_INTEGER)(times)) return [];
  return [`${path}.times: expected 1 or more, or "always"`];
}

/** `table` keys that end in "?" may be missing. */
export function fieldProblems(
  value: Record<string, unknown>,
  table: Fields,
  path: string,
): string[] {
  const problems: string[] = [];
  for (const [spec, [check, expected]] of Object.entries(table)) {
    const key = spec.replace("?", "");
    const found = value[key];
    if (found === undefined && spec.endsWith("?")) continue;
    if (!check(found)) problems.push(`${path}.${key}: expected ${expected}`);
  }
  for (const key of Object.keys(value)) {
    if (!(key in table) && !(`${key}?` in table)) problems.push(`${path}.${key}: unknown key`);
  }
  return problems;
}

/** The same keys, none of which has to be there. */
export function optional(table: Fields): Fields {
  return Object.fromEntries(Object.entries(table).map(([key, value]) => [`${key}?`, value]));
}

/** An action by its type, with the fields of that type and no others. */
export function actionProblems(
  action: Record<string, unknown>,
  table: Readonly<Record<string, Fields>>,
  path: string,
): string[] {
  const { type, ...fields } = action;
  if (typeof type !== "string" || !Object.hasOwn(table, type)) {
    return [`${path}.type: expected one of ${Object.keys(table).join(", ")}`];
  }
  return fieldProblems(fields, table[type] ?? {}, path);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
