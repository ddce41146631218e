/**
 * The devices that `device_add` knows and how one becomes a function of the VM. The program that owns the server
 * may bring its own (with the disks of its command line); this is the catalogue of a VM without any.
 */
import { type SimFunctionConfig, simFunctionConfig } from "../../backend/sim/index.ts";
import { QmpError } from "./errors.ts";

export interface DeviceProperty {
  readonly name: string;
  /** QEMU's word for the type: str, bool, uint16, uint32, size. */
  readonly type: string;
  readonly help: string;
  readonly default?: string | number | boolean;
}

export interface DeviceModel {
  readonly name: string;
  readonly category: string;
  readonly bus?: string;
  readonly description: string;
  readonly properties: readonly DeviceProperty[];
}

export interface Identity {
  readonly fid: number;
  readonly uid: number;
}

export interface DeviceCatalogue {
  readonly models: readonly DeviceModel[];
  /**
   * The function that a PCI device becomes, its properties as `device_add` brought them.
   * @throws ZmendError or QmpError naming the property
   */
  readonly functionOf: (
    driver: string,
    id: string,
    properties: Readonly<Record<string, unknown>>,
    identity: Identity,
  ) => SimFunctionConfig;
  /** The device is gone, or never came: what it had is free again. */
  readonly released?: (id: string) => void;
}

const zpci: DeviceModel = {
  name: "zpci",
  category: "Misc devices",
  description: "zpci device: the identifiers of a PCI function",
  properties: [
    { name: "uid", type: "uint16", default: 0, help: "user ID; 0: the first free one" },
    { name: "fid", type: "uint32", help: "function ID; the first free one without it" },
    { name: "target", type: "str", help: "id of the PCI device" },
    { name: "interpret", type: "bool", default: true, help: "no effect: the CPU is emulated" },
    {
      name: "forwarding-assist",
      type: "bool",
      default: true,
      help: "no effect: the CPU is emulated",
    },
    {
      name: "relaxed-translation",
      type: "bool",
      default: true,
      help: "no effect: guest addresses are always translated",
    },
  ],
};

export const builtinModels: readonly DeviceModel[] = [
  {
    name: "nvme",
    category: "Storage devices",
    bus: "PCI",
    description: "Non-Volatile Memory Express",
    properties: [
      { name: "serial", type: "str", help: "1 to 20 printable characters" },
      { name: "drive", type: "str", help: "id of a disk image; without it, 64 MiB of memory" },
    ],
  },
  {
    name: "zmend-test",
    category: "Misc devices",
    bus: "PCI",
    description: "zmend's test function: DMA to and from a scratch memory",
    properties: [],
  },
  zpci,
];

export const builtinCatalogue: DeviceCatalogue = {
  models: builtinModels,
  functionOf: (driver, _id, properties, identity) => {
    if (driver === "zmend-test") return simFunctionConfig({ ...identity, device: "test" });
    const { serial, drive } = properties;
    if (drive !== undefined) {
      const name = String(drive);
      throw new QmpError(`Property 'nvme.drive' can't find value '${name}': no disk has this id`);
    }
    return simFunctionConfig({
      ...identity,
      device: "nvme",
      nvme: serial === undefined ? {} : { serial: String(serial) },
    });
  },
};
