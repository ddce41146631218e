/**
 * Types of the QMP schema: one description checks what clients send, gives handlers their TypeScript types and is
 * what query-qmp-schema tells. Kinds and error texts are QAPI's (qmp.md 3 and 5).
 */
import { QmpError } from "./errors.ts";
import { JsonNumber } from "./json-lexer.ts";

export type JsonType =
  | "string"
  | "number"
  | "int"
  | "boolean"
  | "null"
  | "object"
  | "array"
  | "value";

export interface Member {
  readonly type: Type<unknown>;
  readonly optional: boolean;
}
export type Members = Readonly<Record<string, Member>>;

export type Shape =
  | { readonly meta: "builtin"; readonly name: string; readonly json: JsonType }
  | { readonly meta: "enum"; readonly values: readonly string[] }
  | { readonly meta: "array"; readonly element: Type<unknown> }
  | {
      readonly meta: "object";
      readonly members: Members;
      /** Takes members that are not described (device_add's properties). */
      readonly open?: boolean;
      readonly union?: {
        readonly tag: string;
        readonly variants: Readonly<Record<string, Type<unknown>>>;
      };
    }
  | { readonly meta: "alternate"; readonly types: readonly Type<unknown>[] };

export interface Type<T> {
  readonly shape: Shape;
  /** @throws QmpError GenericError naming the parameter at `path` */
  readonly check: (value: unknown, path: string) => T;
}

export type Static<S> = S extends Type<infer T> ? T : never;

function wrongType(path: string, expected: string): QmpError {
  return new QmpError(`Invalid parameter type for '${path}', expected: ${expected}`);
}

function builtin<T>(
  name: string,
  json: JsonType,
  expected: string,
  accept: (value: unknown) => T | undefined,
): Type<T> {
  return {
    shape: { meta: "builtin", name, json },
    check: (value, path) => {
      const accepted = accept(value);
      if (accepted === undefined) throw wrongType(path, expected);
      return accepted;
    },
  };
}

export const str = builtin("str", "string", "string", (value) =>
  typeof value === "string" ? value : undefined,
);
export const int = builtin("int", "int", "integer", (value) =>
  typeof value === "number" && Number.isSafeInteger(value) ? value : undefined,
);
/** An integer that may need more than 53 bits: a bigint then. Introspected as `int`. */
export const int64 = builtin<number | bigint>("int", "int", "integer", (value) => {
  if (typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value))) {
    return value;
  }
  return value instanceof JsonNumber && /^-?\d+$/.test(value.text) ? BigInt(value.text) : undefined;
});
export const number = builtin("number", "number", "number", (value) => {
  if (typeof value === "number") return value;
  return value instanceof JsonNumber ? Number(value.text) : undefined;
});
export const bool = builtin("bool", "boolean", "boolean", (value) =>
  typeof value === "boolean" ? value : undefined,
);
export const any: Type<unknown> = {
  shape: { meta: "builtin", name: "any", json: "value" },
  check: (value) => value,
};

/** An integer of a range: introspected as `int`, as QAPI does with its sized integers. */
export function intRange(minimum: number, maximum: number): Type<number> {
  return {
    shape: int.shape,
    check: (value, path) => {
      const accepted = int.check(value, path);
      if (accepted < minimum || accepted > maximum) {
        throw new QmpError(`Parameter '${path}' expects an integer from ${minimum} to ${maximum}`);
      }
      return accepted;
    },
  };
}

export function enumeration<const V extends readonly string[]>(values: V): Type<V[number]> {
  return {
    shape: { meta: "enum", values },
    check: (value, path) => {
      if (typeof value !== "string") throw wrongType(path, "string");
      const found = values.find((entry) => entry === value);
      if (found === undefined) {
        throw new QmpError(`Parameter '${path}' does not accept value '${value}'`);
      }
      return found;
    },
  };
}

export function arrayOf<T>(element: Type<T>): Type<readonly T[]> {
  return {
    shape: { meta: "array", element },
    check: (value, path) => {
      if (!Array.isArray(value)) throw wrongType(path, "array");
      return value.map((entry, index) => element.check(entry, `${path}[${index}]`));
    },
  };
}

/** A member that may be left out. */
export interface Optional<T> {
  readonly optional: Type<T>;
}
export function optional<T>(type: Type<T>): Optional<T> {
  return { optional: type };
}

type Described = Readonly<Record<string, Type<unknown> | Optional<unknown>>>;
type OptionalKeys<D> = {
  [K in keyof D]: D[K] extends Optional<unknown> ? K : never;
}[keyof D];
export type StructOf<D> = {
  readonly [K in Exclude<keyof D, OptionalKeys<D>>]: Static<D[K]>;
} & {
  readonly [K in OptionalKeys<D>]?: D[K] extends Optional<infer T> ? T : never;
};

function membersOf(described: Described): Members {
  return Object.fromEntries(
    Object.entries(described).map(([key, entry]) => [
      key,
      "optional" in entry
        ? { type: entry.optional, optional: true }
        : { type: entry, optional: false },
    ]),
  );
}

export interface StructOptions {
  readonly open?: boolean;
}

export function struct<const D extends Described>(
  described: D,
  options: StructOptions = {},
): Type<StructOf<D>> {
  const members = membersOf(described);
  return {
    shape: { meta: "object", members, ...(options.open === true ? { open: true } : {}) },
    check: (value, path) =>
      checkMembers(members, value, path, options.open === true) as StructOf<D>,
  };
}

/** Base members, one of which (an enumeration) says which further members there are. */
export function union<
  const D extends Described,
  const V extends Readonly<Record<string, Type<unknown>>>,
>(
  described: D,
  tag: keyof D & string,
  variants: V,
): Type<StructOf<D> & Partial<Static<V[keyof V]>>> {
  const members = membersOf(described);
  return {
    shape: { meta: "object", members, union: { tag, variants } },
    check: (value, path) => {
      const base = checkMembers(members, value, path, true);
      const variant = variants[String(base[tag])];
      const shape = variant?.shape;
      const more = shape?.meta === "object" ? shape.members : {};
      return checkMembers({ ...members, ...more }, value, path, false) as StructOf<D> &
        Partial<Static<V[keyof V]>>;
    },
  };
}

/** The first type whose JSON kind fits. */
export function alternate<const T extends readonly Type<unknown>[]>(
  types: T,
): Type<Static<T[number]>> {
  return {
    shape: { meta: "alternate", types },
    check: (value, path) => {
      const fitting = types.find((type) => jsonKindOf(type.shape) === kindOf(value));
      if (fitting !== undefined) return fitting.check(value, path) as Static<T[number]>;
      const expected = types.map((type) => kindNames[jsonKindOf(type.shape)]);
      throw wrongType(path, expected.join(" or "));
    },
  };
}

const kindNames: Readonly<Record<JsonType, string>> = {
  string: "string",
  number: "number",
  int: "integer",
  boolean: "boolean",
  null: "null",
  object: "object",
  array: "array",
  value: "value",
};

export function jsonKindOf(shape: Shape): JsonType {
  if (shape.meta === "builtin") return shape.json;
  if (shape.meta === "enum") return "string";
  if (shape.meta === "array") return "array";
  return "object";
}

function kindOf(value: unknown): JsonType {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (value instanceof JsonNumber) return /^-?\d+$/.test(value.text) ? "int" : "number";
  if (typeof value === "bigint") return "int";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "number";
  return typeof value as JsonType;
}

function checkMembers(
  members: Members,
  value: unknown,
  path: string,
  open: boolean,
): Record<string, unknown> {
  if (kindOf(value) !== "object") throw wrongType(path, "object");
  const given = value as Record<string, unknown>;
  const named = (key: string): string => (path === "" ? key : `${path}.${key}`);
  const result: Record<string, unknown> = open ? { ...given } : {};
  for (const [key, member] of Object.entries(members)) {
    const entry = Object.hasOwn(given, key) ? given[key] : undefined;
    if (entry !== undefined) result[key] = member.type.check(entry, named(key));
    else if (!member.optional) throw new QmpError(`Parameter '${named(key)}' is missing`);
  }
  if (open) return result;
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(members, key)) {
      throw new QmpError(`Parameter '${named(key)}' is unexpected`);
    }
  }
  return result;
}
