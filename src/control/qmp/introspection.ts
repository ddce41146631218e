/**
 * query-qmp-schema, made from the command and event tables: a flat array in which types other than builtins have
 * numbers for names, so that nobody depends on them. Source: qmp.md 5.
 */
import { jsonKindOf, type Members, type Shape, type Type } from "./schema.ts";

export interface SchemaCommand {
  readonly name: string;
  readonly arguments: Type<unknown>;
  readonly returns: Type<unknown>;
  readonly oob?: boolean;
  readonly features?: readonly string[];
}

export interface SchemaEvent {
  readonly name: string;
  readonly data: Type<unknown>;
  readonly features?: readonly string[];
}

export type SchemaEntry = Readonly<Record<string, unknown>>;

export function qmpSchema(
  commands: readonly SchemaCommand[],
  events: readonly SchemaEvent[],
): SchemaEntry[] {
  const types = new TypeNames();
  const features = (list: readonly string[] | undefined): object =>
    list === undefined || list.length === 0 ? {} : { features: list };
  const entries: SchemaEntry[] = [
    ...commands.map((command) => ({
      name: command.name,
      "ret-type": types.name(command.returns),
      "meta-type": "command",
      "arg-type": types.name(command.arguments),
      ...(command.oob === true ? { "allow-oob": true } : {}),
      ...features(command.features),
    })),
    ...events.map((event) => ({
      name: event.name,
      "meta-type": "event",
      "arg-type": types.name(event.data),
      ...features(event.features),
    })),
  ];
  return [...entries, ...types.entries()];
}

class TypeNames {
  readonly #names = new Map<Shape, string>();
  readonly #entries = new Map<string, SchemaEntry>();
  #next = 0;

  entries(): SchemaEntry[] {
    return [...this.#entries.values()];
  }

  name(type: Type<unknown>): string {
    const shape = type.shape;
    const known = this.#names.get(shape);
    if (known !== undefined) return known;
    const name = this.#newName(shape);
    this.#names.set(shape, name);
    if (!this.#entries.has(name)) this.#describe(name, shape);
    return name;
  }

  #newName(shape: Shape): string {
    if (shape.meta === "builtin") return shape.name;
    if (shape.meta === "array") return `[${this.name(shape.element)}]`;
    // Everything without members is one type: "no arguments", "no data", "no result".
    const empty = shape.meta === "object" && Object.keys(shape.members).length === 0;
    if (empty && shape.union === undefined) return this.#empty();
    return String(this.#next++);
  }

  #emptyName: string | undefined;

  #empty(): string {
    this.#emptyName ??= String(this.#next++);
    return this.#emptyName;
  }

  #describe(name: string, shape: Shape): void {
    // Reserves the place: the order of names is the order of first use.
    this.#entries.set(name, {});
    this.#entries.set(name, { name, ...this.#body(shape) });
  }

  #body(shape: Shape): SchemaEntry {
    switch (shape.meta) {
      case "builtin":
        return { "meta-type": "builtin", "json-type": jsonKindOf(shape) };
      case "enum":
        return {
          "meta-type": "enum",
          members: shape.values.map((value) => ({ name: value })),
          values: shape.values,
        };
      case "array":
        return { "meta-type": "array", "element-type": this.name(shape.element) };
      case "alternate":
        return {
          "meta-type": "alternate",
          members: shape.types.map((type) => ({ type: this.name(type) })),
        };
      case "object":
        return {
          "meta-type": "object",
          members: this.#members(shape.members),
          ...(shape.union === undefined
            ? {}
            : {
                tag: shape.union.tag,
                variants: Object.entries(shape.union.variants).map(([value, type]) => ({
                  case: value,
                  type: this.name(type),
                })),
              }),
        };
    }
  }

  #members(members: Members): SchemaEntry[] {
    return Object.entries(members).map(([name, member]) => ({
      name,
      type: this.name(member.type),
      ...(member.optional ? { default: null } : {}),
    }));
  }
}
