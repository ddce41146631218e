/** The object tree and the types of objects. Source: qmp.md 6. */
import { command, type QmpHost } from "../command.ts";
import { deviceNotFound, QmpError } from "../errors.ts";
import { findNode, type QomNode, qomTypes, typeProperties } from "../qom.ts";
import { any, arrayOf, bool, optional, str, struct } from "../schema.ts";

const propertyInfo = struct({
  name: str,
  type: str,
  description: optional(str),
  "default-value": optional(any),
});

function nodeAt(host: QmpHost, path: string): QomNode {
  const found = findNode(host, path);
  if (found === undefined) throw deviceNotFound(path);
  return found;
}

export const qomCommands = [
  command({
    name: "qom-list",
    summary: "properties and children of an object",
    arguments: struct({ path: str }),
    returns: arrayOf(propertyInfo),
    run: ({ path }, { host }) => {
      const found = nodeAt(host, path);
      return [
        { name: "type", type: "string" },
        ...Object.entries(found.properties).map(([name, { type }]) => ({ name, type })),
        ...Object.entries(found.children).map(([name, child]) => ({
          name,
          type: `child<${child().type}>`,
        })),
      ];
    },
  }),
  command({
    name: "qom-get",
    summary: "value of a property",
    arguments: struct({ path: str, property: str }),
    returns: any,
    run: ({ path, property }, { host }) => {
      const found = nodeAt(host, path);
      if (property === "type") return found.type;
      if (Object.hasOwn(found.children, property)) return `${path.replace(/\/$/, "")}/${property}`;
      const row = Object.hasOwn(found.properties, property)
        ? found.properties[property]
        : undefined;
      if (row === undefined) throw new QmpError(`Property '${found.type}.${property}' not found`);
      return row.get();
    },
  }),
  command({
    name: "qom-set",
    summary: "set a property",
    arguments: struct({ path: str, property: str, value: any }),
    exclusive: true,
    operates: true,
    run: async ({ path, property, value }, { host }) => {
      const found = nodeAt(host, path);
      const row = Object.hasOwn(found.properties, property)
        ? found.properties[property]
        : undefined;
      if (row === undefined && property !== "type") {
        throw new QmpError(`Property '${found.type}.${property}' not found`);
      }
      if (row?.set === undefined) {
        throw new QmpError(`Property '${found.type}.${property}' is not writable`);
      }
      await row.set(value);
    },
  }),
  command({
    name: "qom-list-types",
    summary: "types of objects",
    arguments: struct({ implements: optional(str), abstract: optional(bool) }),
    returns: arrayOf(struct({ name: str, abstract: optional(bool), parent: optional(str) })),
    run: (args, { host }) => {
      const types = qomTypes(host);
      const parents = new Map(types.map(({ name, parent }) => [name, parent]));
      const isA = (name: string, ancestor: string): boolean => {
        for (let at: string | undefined = name; at !== undefined; at = parents.get(at)) {
          if (at === ancestor) return true;
        }
        return false;
      };
      return types.filter(
        ({ name, abstract }) =>
          (args.abstract === true || abstract !== true) &&
          (args.implements === undefined || isA(name, args.implements)),
      );
    },
  }),
  command({
    name: "qom-list-properties",
    summary: "properties of a type of object",
    arguments: struct({ typename: str }),
    returns: arrayOf(propertyInfo),
    run: ({ typename }, { host }) => {
      if (!qomTypes(host).some(({ name }) => name === typename)) {
        throw new QmpError(`Class '${typename}' not found`, "DeviceNotFound");
      }
      return typeProperties(host, typename);
    },
  }),
];
