/** Devices: what is plugged, plugging and unplugging. Source: qmp.md 6 and 9. */
import { statSync } from "node:fs";
import type { VmControl } from "../../../machine/vm-control.ts";
import { type BlockNode, type Command, command, machineOf, type QmpHost } from "../command.ts";
import type { DeviceModel } from "../device-catalogue.ts";
import { pciClassNames, pciFacts } from "../devices.ts";
import { deviceNotFound, QmpError } from "../errors.ts";
import { qomTypes } from "../qom.ts";
import {
  any,
  arrayOf,
  bool,
  enumeration,
  int,
  int64,
  optional,
  type Static,
  str,
  struct,
} from "../schema.ts";

const pciRegion = struct({
  bar: int,
  type: str,
  address: int64,
  size: int,
  prefetch: optional(bool),
  mem_type_64: optional(bool),
});
const pciDevice = struct({
  bus: int,
  slot: int,
  function: int,
  class_info: struct({ class: int, desc: optional(str) }),
  id: struct({
    vendor: int,
    device: int,
    subsystem: optional(int),
    "subsystem-vendor": optional(int),
  }),
  irq: optional(int),
  irq_pin: int,
  qdev_id: str,
  regions: arrayOf(pciRegion),
});

const imageInfo = struct({
  filename: str,
  format: str,
  "virtual-size": int,
  "actual-size": optional(int),
});
const blockNode = struct({
  file: str,
  "node-name": optional(str),
  ro: bool,
  drv: str,
  encrypted: bool,
  backing_file_depth: int,
  detect_zeroes: enumeration(["off"]),
  bps: int,
  bps_rd: int,
  bps_wr: int,
  iops: int,
  iops_rd: int,
  iops_wr: int,
  write_threshold: int,
  cache: struct({ writeback: bool, direct: bool, "no-flush": bool }),
  image: imageInfo,
});
const blockInfo = struct({
  device: str,
  qdev: optional(str),
  type: str,
  removable: bool,
  locked: bool,
  inserted: optional(blockNode),
});

/** A raw image without limits: what QEMU says of one, in its own members. */
function nodeInfo(node: BlockNode): Static<typeof blockNode> {
  const { size = 0, blocks = 0 } = statSync(node.file, { throwIfNoEntry: false }) ?? {};
  return {
    file: node.file,
    "node-name": node.id,
    ro: node.readOnly,
    drv: "raw",
    encrypted: false,
    backing_file_depth: 0,
    detect_zeroes: "off",
    bps: 0,
    bps_rd: 0,
    bps_wr: 0,
    iops: 0,
    iops_rd: 0,
    iops_wr: 0,
    write_threshold: 0,
    cache: { writeback: true, direct: false, "no-flush": false },
    image: {
      filename: node.file,
      format: "raw",
      "virtual-size": size,
      "actual-size": blocks * STAT_BLOCK_BYTES,
    },
  };
}

/** Unit of stat's block count, whatever the file system's is. */
const STAT_BLOCK_BYTES = 512;

export const deviceCommands: readonly Command[] = [
  command({
    name: "query-pci",
    summary: "PCI functions of the guest",
    returns: arrayOf(struct({ bus: int, devices: arrayOf(pciDevice) })),
    run: (_, { host }) => {
      const { control } = host;
      return control === undefined ? [] : [{ bus: 0, devices: pciDevices(control) }];
    },
  }),
  command({
    name: "query-block",
    summary: "disks",
    returns: arrayOf(blockInfo),
    run: (_, { host }) =>
      host.blocks().map((node) => ({
        device: node.id,
        ...(node.device === undefined ? {} : { qdev: `/machine/peripheral/${node.device}` }),
        type: "unknown",
        removable: false,
        locked: false,
        inserted: nodeInfo(node),
      })),
  }),
  command({
    name: "query-named-block-nodes",
    summary: "disk images",
    arguments: struct({ flat: optional(bool) }),
    returns: arrayOf(blockNode),
    run: (_, { host }) => host.blocks().map(nodeInfo),
  }),
  command({
    name: "device_add",
    summary: "plug a device: driver, id and the driver's properties",
    arguments: struct({ driver: str, bus: optional(str), id: optional(str) }, { open: true }),
    exclusive: true,
    operates: true,
    run: (args, { host }) => addDevice(host, args),
  }),
  command({
    name: "device_del",
    summary:
      "ask the guest to give a device up; an event tells the end; after a refusal it is taken",
    arguments: struct({ id: str }),
    exclusive: true,
    operates: true,
    run: ({ id }, { host }) => {
      const control = machineOf(host);
      if (host.devices.forgetWaiting(id)) {
        const device = id.slice(id.lastIndexOf("/") + 1);
        host.emit("DEVICE_DELETED", { device, path: `/machine/peripheral/${device}` });
        return;
      }
      const status = host.devices.function(id);
      const force = host.devices.startLeaving(status.id) === "refused-before";
      try {
        control.unplug(status.fid, { deadlineMs: host.unplugAfterMs, force });
      } catch (error) {
        host.devices.stayed(status.id);
        throw error;
      }
    },
  }),
  command({
    name: "device-list-properties",
    summary: "properties of a type of device",
    arguments: struct({ typename: str }),
    returns: arrayOf(
      struct({ name: str, type: str, description: optional(str), "default-value": optional(any) }),
    ),
    run: ({ typename }, { host }) => propertiesOf(modelOf(host, typename)),
  }),
];

export function modelOf(host: QmpHost, typename: string): DeviceModel {
  const model = host.catalogue.models.find(({ name }) => name === typename);
  if (model !== undefined) return model;
  if (!qomTypes(host).some(({ name }) => name === typename)) throw deviceNotFound(typename);
  throw new QmpError("Parameter 'typename' expects a non-abstract device type");
}

function propertiesOf(
  model: DeviceModel,
): { name: string; type: string; description: string; "default-value"?: unknown }[] {
  return model.properties.map(({ name, type, help, default: fallback }) => ({
    name,
    type,
    description: help,
    ...(fallback === undefined ? {} : { "default-value": fallback }),
  }));
}

function pciDevices(control: VmControl) {
  return control.functions().map((status) => {
    const facts = pciFacts(control, status);
    const desc = pciClassNames[facts.classCode];
    return {
      bus: 0,
      slot: status.index,
      function: 0,
      qdev_id: status.id,
      class_info: { class: facts.classCode, ...(desc === undefined ? {} : { desc }) },
      id: {
        vendor: facts.vendor,
        device: facts.device,
        subsystem: facts.subsystem,
        "subsystem-vendor": facts.subsystemVendor,
      },
      irq_pin: 0,
      regions: [
        {
          bar: 0,
          type: "memory",
          address: facts.barAddress ?? -1,
          size: facts.barBytes,
          prefetch: false,
          mem_type_64: true,
        },
      ],
    };
  });
}

async function addDevice(
  host: QmpHost,
  args: { readonly driver: string; readonly id?: string; readonly bus?: string },
): Promise<void> {
  const { driver, id, bus: _bus, ...given } = args as typeof args & Record<string, unknown>;
  const control = machineOf(host);
  const model = host.catalogue.models.find(({ name }) => name === driver);
  if (model === undefined) throw new QmpError(`'${driver}' is not a valid device model name`);
  const properties = checkProperties(model, given);
  if (id !== undefined && !/^[A-Za-z][A-Za-z0-9_.-]*$/.test(id)) {
    throw new QmpError("Parameter 'id' expects an identifier");
  }
  if (id !== undefined && host.devices.has(id)) throw new QmpError(`Duplicate device ID '${id}'`);
  if (driver === "zpci") {
    const { target, uid, fid } = properties;
    if (target === undefined) throw new QmpError("target must be defined");
    const number = (value: unknown): number | undefined =>
      typeof value === "number" ? value : undefined;
    host.devices.expect(id, String(target), number(uid) ?? 0, number(fid));
    return;
  }
  if (model.bus !== "PCI") throw new QmpError(`Device '${driver}' does not support hotplugging`);
  const identity = host.devices.identityFor(id ?? "");
  const name = id ?? host.devices.idOf(identity.fid);
  try {
    await control.plug(name, host.catalogue.functionOf(driver, name, properties, identity));
  } catch (error) {
    host.catalogue.released?.(name);
    throw error;
  }
}

const INTEGER_MAX: Readonly<Record<string, number>> = { uint16: 0xffff, uint32: 0xffffffff };

/** Properties as `-device` and device_add bring them: numbers and switches may be text. */
function checkProperties(
  model: DeviceModel,
  given: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => {
      const property = model.properties.find((row) => row.name === name);
      if (property === undefined) {
        throw new QmpError(`Property '${model.name}.${name}' not found`);
      }
      return [name, propertyValue(name, property.type, value)];
    }),
  );
}

function propertyValue(name: string, type: string, value: unknown): unknown {
  const maximum = INTEGER_MAX[type];
  if (maximum !== undefined) {
    const numeric = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
    if (typeof numeric !== "number" || !Number.isInteger(numeric)) {
      throw new QmpError(`Invalid parameter type for '${name}', expected: integer`);
    }
    if (numeric < 0 || numeric > maximum) {
      throw new QmpError(`Parameter '${name}' expects ${type}`);
    }
    return numeric;
  }
  if (type === "bool") {
    if (value === "on" || value === true) return true;
    if (value === "off" || value === false) return false;
    throw new QmpError(`Invalid parameter type for '${name}', expected: boolean`);
  }
  if (typeof value !== "string") {
    throw new QmpError(`Invalid parameter type for '${name}', expected: string`);
  }
  return value;
}
