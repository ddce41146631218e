/**
 * Devices of `zmend-system-s390x`: the table of the models there are, `-device help`, and the way from `-device`
 * options to the functions of a VM. A PCI function without a `zpci` device of its own gets one, as in QEMU.
 * Sources: qmp.md 9; QEMU hw/s390x/s390-pci-bus.c (identifiers), hw/nvme/ctrl.c and ns.c (properties).
 */
import {
  checkDisks,
  type NvmeNamespaceConfig,
  type SimFunctionConfig,
  simFunctionConfig,
} from "../backend/sim/index.ts";
import { ZmendError } from "../base/errors.ts";
import { hex } from "../base/hex.ts";
import { FUNCTIONS_MAX } from "../base/limits.ts";
import { suggestion } from "../base/nearest.ts";
import type {
  BlockNode,
  DeviceCatalogue,
  DeviceModel,
  DeviceProperty,
  ZpciDevice,
} from "../control/qmp/index.ts";
import { type Drive, parseDrives } from "./qemu-drives.ts";
import { GroupReader } from "./qemu-group.ts";
import { refuseVfio, vfioPci } from "./qemu-vfio.ts";

const blockSize: DeviceProperty = {
  name: "logical_block_size",
  type: "size",
  help: "512 or 4096 (default: 512)",
};
const driveProperty: DeviceProperty = {
  name: "drive",
  type: "str",
  help: "Node name or ID of a block device to use as a backend",
};

export const deviceModels: readonly DeviceModel[] = [
  {
    name: "nvme",
    category: "Storage devices",
    bus: "PCI",
    description: "Non-Volatile Memory Express",
    properties: [
      driveProperty,
      blockSize,
      { name: "serial", type: "str", help: "1 to 20 printable characters" },
    ],
  },
  {
    name: "nvme-ns",
    category: "Storage devices",
    bus: "nvme-bus",
    description: "Virtual NVMe namespace",
    properties: [
      { name: "bus", type: "str", help: "id of an nvme device (default: the last one)" },
      driveProperty,
      blockSize,
    ],
  },
  {
    name: "diag288",
    category: "Watchdog devices",
    description: "the guest's watchdog (-action watchdog=… says what it does)",
    properties: [],
  },
  {
    name: "sclpconsole",
    category: "Input devices",
    bus: "s390-sclp-events-bus",
    description: "SCLP ASCII console (ttysclp0 in Linux)",
    properties: [{ name: "chardev", type: "str", help: "ID of a chardev to use as a backend" }],
  },
  vfioPci,
  {
    name: "zpci",
    category: "Misc devices",
    description: "zpci device: the identifiers of a PCI function",
    properties: [
      { name: "fid", type: "uint32", help: "function ID (default: the first free one from 1)" },
      { name: "forwarding-assist", type: "bool", help: "no effect: the CPU is emulated" },
      { name: "interpret", type: "bool", help: "no effect: the CPU is emulated" },
      {
        name: "relaxed-translation",
        type: "bool",
        help: "no effect: guest addresses are always translated",
      },
      { name: "target", type: "str", help: "id of the PCI device" },
      { name: "uid", type: "uint16", help: "user ID (default: the first free one from 1)" },
    ],
  },
];

/** What `-device` and its kin define. */
export interface QemuDevices {
  readonly functions: readonly SimFunctionConfig[];
  /** Their ids, where they were given one. */
  readonly functionIds: readonly (string | undefined)[];
  /** The zpci devices that were given, for those whose functions have an id to name. */
  readonly zpci: readonly ZpciDevice[];
  /** Disk images, and which device has them. */
  readonly blocks: () => readonly BlockNode[];
  /** For devices that are plugged later. */
  readonly catalogue: DeviceCatalogue;
  /** The guest has a watchdog. */
  readonly watchdog: boolean;
  /** `chardev` of the console that was asked for by `-device sclpconsole`; "" when it names none. */
  readonly console?: string;
}

export interface DeviceOptions {
  readonly device: readonly string[];
  readonly drive: readonly string[];
  readonly blockdev: readonly string[];
}

/** The text that `-device help` or `-device MODEL,help` asks for, if one of them does. @throws ZmendError USAGE */
export function deviceHelp(device: readonly string[]): string | undefined {
  for (const text of device) {
    if (text === "help" || text === "?") return modelList();
    const [name = "", ...rest] = text.split(",");
    if (!rest.includes("help") && !rest.includes("?")) continue;
    const { properties } = modelNamed(`-device ${text}`, name);
    const left = properties.map((row) => `  ${row.name}=<${row.type}>`);
    const lines = properties.map((row, index) => `${left[index]?.padEnd(24)} - ${row.help}`);
    return `${name} options:\n${lines.join("\n")}\n`;
  }
  return undefined;
}

function modelList(): string {
  const categories = [...new Set(deviceModels.map(({ category }) => category))];
  const parts = categories.map((category) => {
    const rows = deviceModels.filter((model) => model.category === category);
    const lines = rows.map(({ name, bus, description }) => {
      const place = bus === undefined ? "" : `, bus ${bus}`;
      return `name "${name}"${place}, desc "${description}"\n`;
    });
    return `${category}:\n${lines.join("")}`;
  });
  return parts.join("\n");
}

function modelNamed(shown: string, name: string): DeviceModel {
  const model = deviceModels.find((candidate) => candidate.name === name);
  if (model !== undefined) return model;
  const names = deviceModels.map((candidate) => candidate.name);
  const problem = `'${name}' is not a valid device model name${suggestion(name, names)}`;
  throw new ZmendError("USAGE", `${shown}: ${problem}; known: ${names.join(", ")}`);
}

interface Controller {
  readonly reader: GroupReader;
  readonly id: string | undefined;
  readonly serial: string;
  readonly namespaces: NvmeNamespaceConfig[];
}

interface Identity {
  readonly reader: GroupReader;
  readonly id: string | undefined;
  readonly target: string;
  readonly uid: number | undefined;
  readonly fid: number | undefined;
}

/** @throws ZmendError USAGE or CONFIG_INVALID: one sentence that names the option */
export function parseDevices(options: DeviceOptions): QemuDevices {
  const drives = new DriveBay(parseDrives(options.drive, options.blockdev));
  const controllers: Controller[] = [];
  const identities: Identity[] = [];
  const ids = new Set<string>();
  let consoleEnd: string | undefined;
  let watchdog = false;
  for (const text of options.device) {
    const reader = new GroupReader("device", text, "driver");
    const driver = reader.required("driver");
    const { properties } = modelNamed(reader.shown, driver);
    const known = ["id", ...properties.map(({ name }) => name)];
    reader.only(known, `device '${driver}'`);
    const id = reader.id("id");
    if (id !== undefined && ids.has(id)) reader.fail(`Duplicate ID '${id}' for device`);
    if (id !== undefined) ids.add(id);
    if (driver === vfioPci.name) refuseVfio(reader);
    if (driver === "nvme") controllers.push(controllerOf(reader, id, drives));
    else if (driver === "nvme-ns") addNamespace(reader, controllers, drives);
    else if (driver === "zpci") identities.push(identityOf(reader, id));
    else if (driver === "diag288") watchdog = true;
    else if (consoleEnd !== undefined) reader.fail("there is one console; give it one -device");
    else consoleEnd = reader.text("chardev") ?? "";
    reader.end(known, `device '${driver}'`);
  }
  const functions = functionsOf(controllers, identities);
  checkDisks([...functions, drives.unused()]);
  const zpci = identities.flatMap(({ id, target }) => {
    const at = controllers.findIndex((controller) => controller.id === target);
    const config = functions[at];
    return config === undefined ? [] : [{ id, target, fid: config.fid, uid: config.uid }];
  });
  return {
    functions,
    functionIds: controllers.map(({ id }) => id),
    zpci,
    blocks: () => drives.blocks(),
    catalogue: {
      models: deviceModels,
      functionOf: (driver, id, properties, identity) => {
        // The same reader as for -device: text, numbers and switches mean the same in both.
        const reader = new GroupReader("device", JSON.stringify({ driver, ...properties }));
        reader.text("driver");
        if (driver === vfioPci.name) refuseVfio(reader);
        const controller = controllerOf(reader, id, drives);
        reader.end(["serial", "drive", "logical_block_size"], `device '${driver}'`);
        const config = nvmeFunction(controller, identity, 0);
        checkDisks([config]);
        return config;
      },
      released: (id) => drives.release(id),
    },
    watchdog,
    ...(consoleEnd === undefined ? {} : { console: consoleEnd }),
  };
}

function nvmeFunction(
  { reader, serial, namespaces }: Controller,
  { fid, uid }: { readonly fid: number; readonly uid: number },
  index: number,
): SimFunctionConfig {
  if (namespaces.length === 0) {
    reader.fail("it has no disk; add drive=ID, or -device nvme-ns,drive=ID behind it");
  }
  return simFunctionConfig({ fid, uid, device: "nvme", nvme: { serial, namespaces } }, index);
}

function controllerOf(reader: GroupReader, id: string | undefined, drives: DriveBay): Controller {
  const serial = reader.text("serial") ?? reader.fail("serial property not set; add serial=TEXT");
  if (!/^[ -~]{1,20}$/.test(serial)) {
    reader.fail(`serial=${serial}: expected 1 to 20 printable ASCII characters`);
  }
  const namespaces = reader.has("drive") ? [drives.namespaceOf(reader, id)] : [];
  return { reader, id, serial, namespaces };
}

function addNamespace(reader: GroupReader, controllers: Controller[], drives: DriveBay): void {
  const bus = reader.text("bus");
  const controller =
    bus === undefined ? controllers.at(-1) : controllers.find(({ id }) => id === bus);
  if (controller === undefined) {
    const which = bus === undefined ? "no nvme device" : `no nvme device with the id '${bus}'`;
    return reader.fail(`${which} stands before it`);
  }
  controller.namespaces.push(drives.namespaceOf(reader, controller.id));
}

function identityOf(reader: GroupReader, id: string | undefined): Identity {
  const target = reader.text("target") ?? reader.fail("target must be defined");
  reader.switch("interpret");
  reader.switch("forwarding-assist");
  reader.switch("relaxed-translation");
  const uid = reader.number("uid", 0, 0xffff);
  const fid = reader.number("fid", 0, 0xffffffff);
  // 0 stands for "choose one", as in QEMU.
  return { reader, id, target, uid: uid === 0 ? undefined : uid, fid };
}

function functionsOf(
  controllers: readonly Controller[],
  identities: readonly Identity[],
): SimFunctionConfig[] {
  if (controllers.length > FUNCTIONS_MAX) {
    const problem = `there are ${controllers.length} PCI devices; a guest may have ${FUNCTIONS_MAX}`;
    throw new ZmendError("USAGE", `-device nvme: ${problem}`);
  }
  const owners = new Map<Controller, Identity>();
  for (const identity of identities) {
    const { reader, target } = identity;
    const owner = controllers.find(({ id }) => id === target);
    if (owner === undefined) return reader.fail(`target=${target}: no PCI device has this id`);
    if (owners.has(owner)) reader.fail(`target=${target}: the device has a zpci device already`);
    owners.set(owner, identity);
  }
  const uids = new Taken("uid", identities, ({ uid }) => uid);
  const fids = new Taken("fid", identities, ({ fid }) => fid);
  return controllers.map((controller, index) => {
    const identity = owners.get(controller);
    const fid = identity?.fid ?? fids.free();
    const uid = identity?.uid ?? uids.free();
    return nvmeFunction(controller, { fid, uid }, index);
  });
}

/** Identifiers that `zpci` devices have asked for, and the next free ones. */
class Taken {
  readonly #taken = new Set<number>();

  constructor(
    name: string,
    identities: readonly Identity[],
    read: (identity: Identity) => number | undefined,
  ) {
    for (const identity of identities) {
      const value = read(identity);
      if (value === undefined) continue;
      if (this.#taken.has(value)) identity.reader.fail(`${name} ${hex(value)} is already in use`);
      this.#taken.add(value);
    }
  }

  /** From 1: an event that no function is responsible for carries FID 0 (zpci-guest.md 0.1). */
  free(): number {
    let value = 1;
    while (this.#taken.has(value)) value++;
    this.#taken.add(value);
    return value;
  }
}

/** The drives, each for one device. */
class DriveBay {
  readonly #drives: readonly Drive[];
  readonly #used = new Map<Drive, string | undefined>();

  constructor(drives: readonly Drive[]) {
    this.#drives = drives;
  }

  namespaceOf(reader: GroupReader, owner: string | undefined): NvmeNamespaceConfig {
    const id = reader.text("drive") ?? reader.fail("drive property not set; add drive=ID");
    const drive = this.#drives.find((candidate) => candidate.id === id);
    if (drive === undefined) {
      const names = this.#drives.map((candidate) => candidate.id);
      const known = names.length === 0 ? "no -drive is given" : `known: ${names.join(", ")}`;
      return reader.fail(
        `Cannot find device='${id}' nor node-name='${id}'${suggestion(id, names)}; ${known}`,
      );
    }
    if (this.#used.has(drive)) reader.fail(`Drive '${id}' is already in use by another device`);
    this.#used.set(drive, owner);
    const size = reader.text("logical_block_size") ?? "512";
    if (size !== "512" && size !== "4096") {
      reader.fail(`logical_block_size=${size}: expected 512 or 4096`);
    }
    const { file, readOnly } = drive;
    return { file, ...(readOnly ? { readOnly } : {}), blockBytes: size === "4096" ? 4096 : 512 };
  }

  /** The device `owner` is gone. */
  release(owner: string): void {
    for (const [drive, device] of this.#used) if (device === owner) this.#used.delete(drive);
  }

  blocks(): BlockNode[] {
    return this.#drives.map((drive) => {
      const device = this.#used.get(drive);
      const { id, file, readOnly } = drive;
      return { id, file, readOnly, ...(device === undefined ? {} : { device }) };
    });
  }

  /** Drives without a device, for the check of their files. */
  unused(): { readonly nvme: { readonly namespaces: readonly NvmeNamespaceConfig[] } } {
    // A -blockdev that another one stands on has the same file; the upper one is checked.
    const files = new Set([...this.#used.keys()].map(({ file }) => file));
    const rest = this.#drives.filter(({ file }) => !files.has(file));
    return { nvme: { namespaces: rest.map(({ file }) => ({ file, readOnly: true })) } };
  }
}
