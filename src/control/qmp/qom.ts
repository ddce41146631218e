/**
 * The object tree that QOM commands walk: made from the VM's state at each look, nothing is kept. Children are typed
 * `child<TYPE>`. Only what QEMU's users look up is there. Source: qmp.md 6, seen paths.
 */
import { cpuModels } from "../../cpu/index.ts";
import type { QmpHost } from "./command.ts";
import { CPU_TYPE, MACHINE_TYPE, MACHINE_VERSIONED } from "./machine-type.ts";

export interface QomProperty {
  readonly type: string;
  readonly get: () => unknown;
  readonly set?: (value: unknown) => void | Promise<void>;
}

export interface QomNode {
  readonly type: string;
  readonly properties: Readonly<Record<string, QomProperty>>;
  readonly children: Readonly<Record<string, () => QomNode>>;
}

function node(
  type: string,
  properties: Readonly<Record<string, QomProperty>> = {},
  children: Readonly<Record<string, () => QomNode>> = {},
): QomNode {
  return { type, properties, children };
}

function value(type: string, content: unknown): QomProperty {
  return { type, get: () => content };
}

/** The node at `path`, absolute or relative to the root; undefined when there is none. */
export function findNode(host: QmpHost, path: string): QomNode | undefined {
  let at: QomNode | undefined = root(host);
  for (const part of path.split("/").filter((name) => name !== "")) {
    at = at !== undefined && Object.hasOwn(at.children, part) ? at.children[part]?.() : undefined;
  }
  return at;
}

function root(host: QmpHost): QomNode {
  return node(
    "container",
    {},
    {
      objects: () => node("container"),
      machine: () => machine(host),
      chardevs: () => chardevs(host),
    },
  );
}

function chardevs(host: QmpHost): QomNode {
  const entries = host.chardevs
    .list()
    .map(({ label, ring }) => [
      label,
      () => node(ring === undefined ? "chardev-socket" : "chardev-ringbuf"),
    ]);
  return node("container", {}, Object.fromEntries(entries));
}

function machine(host: QmpHost): QomNode {
  const { control } = host;
  if (control === undefined) return node("none-machine", machineProperties("none"));
  return node(`${MACHINE_VERSIONED}-machine`, machineProperties(MACHINE_TYPE), {
    peripheral: () => node("container", {}, peripheral(host)),
    "peripheral-anon": () => node("container", {}, anonymous(host)),
    unattached: () => node("container", {}, cpus(host)),
  });
}

function machineProperties(name: string): Record<string, QomProperty> {
  return { "x-zmend-type": value("string", name) };
}

function cpus(host: QmpHost): Record<string, () => QomNode> {
  const areas = host.control?.vm.map.vcpuAreas ?? [];
  return Object.fromEntries(
    areas.map((_, index) => [
      `device[${index}]`,
      () => node(CPU_TYPE, { realized: value("bool", true), "core-id": value("int", index) }),
    ]),
  );
}

function peripheral(host: QmpHost): Record<string, () => QomNode> {
  const functions = host.devices.functions().map((status) => {
    const properties: Record<string, QomProperty> = {
      realized: value("bool", true),
      hotplugged: value("bool", false),
      addr: value("str", `${status.index.toString(16).padStart(2, "0")}.0`),
      "x-zmend-fid": value("uint32", status.fid),
      "x-zmend-guest-state": value("str", status.guestState),
      "x-zmend-state": value("str", status.state),
      "x-zmend-policy": value("str", status.policy),
    };
    return [status.id, () => node(functionType(status.device), properties)] as const;
  });
  const zpci = host.devices
    .zpci()
    .flatMap((entry) => (entry.id === undefined ? [] : [[entry.id, () => zpciNode(entry)]]));
  return Object.fromEntries([...functions, ...zpci]);
}

export function functionType(device: "test" | "nvme"): string {
  return device === "nvme" ? "nvme" : "zmend-test";
}

function zpciNode(entry: {
  readonly uid: number;
  readonly fid: number;
  readonly target: string;
}): QomNode {
  return node("zpci", {
    realized: value("bool", true),
    uid: value("uint16", entry.uid),
    fid: value("uint32", entry.fid),
    target: value("str", entry.target),
    interpret: value("bool", false),
    "forwarding-assist": value("bool", false),
    "relaxed-translation": value("bool", false),
  });
}

function anonymous(host: QmpHost): Record<string, () => QomNode> {
  const made = host.devices.zpci().filter(({ id }) => id === undefined);
  return Object.fromEntries(
    made.map((entry, index) => [`device[${index}]`, () => zpciNode(entry)]),
  );
}

interface QomType {
  readonly name: string;
  readonly parent?: string;
  readonly abstract?: boolean;
}

/** Types that exist besides the catalogue's devices. */
const baseTypes: readonly QomType[] = [
  { name: "object", abstract: true },
  { name: "container", parent: "object" },
  { name: "device", parent: "object", abstract: true },
  { name: "pci-device", parent: "device", abstract: true },
  { name: "machine", parent: "object", abstract: true },
  { name: "s390-ccw-machine", parent: "machine", abstract: true },
  { name: `${MACHINE_VERSIONED}-machine`, parent: "s390-ccw-machine" },
  { name: "none-machine", parent: "machine" },
  { name: "cpu", parent: "device", abstract: true },
  { name: "s390x-cpu", parent: "cpu", abstract: true },
  { name: CPU_TYPE, parent: "s390x-cpu" },
  { name: "accel", parent: "object", abstract: true },
  { name: "tcg-accel", parent: "accel" },
  { name: "memory-backend", parent: "object", abstract: true },
  { name: "memory-backend-ram", parent: "memory-backend" },
  // Nobody can have one; libvirt 9.0 ends itself when its properties are not to be had.
  { name: "memory-backend-file", parent: "memory-backend", abstract: true },
  { name: "memory-backend-memfd", parent: "memory-backend" },
  { name: "secret", parent: "object" },
  { name: "chardev", parent: "object", abstract: true },
  { name: "chardev-socket", parent: "chardev" },
  { name: "chardev-stdio", parent: "chardev" },
  { name: "chardev-file", parent: "chardev" },
  { name: "chardev-null", parent: "chardev" },
  { name: "chardev-ringbuf", parent: "chardev" },
];

export function qomTypes(host: QmpHost): QomType[] {
  const cpuTypes = Object.keys(cpuModels).map((name) => ({
    name: `${name}-s390x-cpu`,
    parent: "s390x-cpu",
  }));
  const devices = host.catalogue.models.map(({ name, bus }) => ({
    name,
    parent: bus === "PCI" ? "pci-device" : "device",
  }));
  return [...baseTypes, ...cpuTypes, ...devices];
}

/** Properties of a type before there is an object of it, for qom-list-properties. */
export function typeProperties(host: QmpHost, typename: string): { name: string; type: string }[] {
  const model = host.catalogue.models.find(({ name }) => name === typename);
  if (model !== undefined) return model.properties.map(({ name, type }) => ({ name, type }));
  if (typename.startsWith("memory-backend-")) {
    return [
      { name: "size", type: "int" },
      { name: "share", type: "bool" },
    ];
  }
  if (typename === `${MACHINE_VERSIONED}-machine`) {
    return [
      { name: "memory-backend", type: "string" },
      { name: "kernel", type: "string" },
      { name: "initrd", type: "string" },
      { name: "append", type: "string" },
    ];
  }
  return [{ name: "type", type: "string" }];
}
