/**
 * `-device vfio-pci` of `zmend-system-s390x`: QEMU's syntax, and what becomes of it. A VFIO device is opened and driven by
 * ioctl(2), which Node has not, so a real function is refused with what there is in its place: a function of the
 * simulated s390 host kernel. Everything that is wrong with the option itself is said first. Source: qmp.md 9; QEMU
 * hw/vfio/pci.c (properties, messages).
 */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import type { DeviceModel } from "../control/qmp/index.ts";
import type { GroupReader } from "./qemu-group.ts";

export const vfioPci: DeviceModel = {
  name: "vfio-pci",
  category: "Misc devices",
  bus: "PCI",
  description: "VFIO-based PCI device assignment (refused: Node cannot open VFIO devices)",
  properties: [
    { name: "host", type: "str", help: "Host PCI address (DDDD:BB:DD.F)" },
    { name: "sysfsdev", type: "str", help: "Path of the host's device in sysfs" },
  ],
};

/** Domain, bus, device, function; the domain may be left out, as in QEMU. */
const ADDRESS = /^(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([01]?[0-9a-f])\.([0-7])$/i;

/** @throws ZmendError USAGE, always: one sentence */
export function refuseVfio(reader: GroupReader): never {
  const host = reader.text("host");
  const sysfs = reader.text("sysfsdev");
  reader.only(
    vfioPci.properties.map(({ name }) => name),
    "device 'vfio-pci'",
  );
  if (host !== undefined && sysfs !== undefined) {
    reader.fail("host and sysfsdev name the same thing; give one of them");
  }
  const path = sysfs ?? pathOf(reader, host);
  if (!existsSync(path)) reader.fail(`this machine has no PCI device ${basename(path)} (${path})`);
  return reader.fail(
    `zmend cannot open ${basename(path)}: Node has no ioctl(2), which VFIO needs; give the guest a function of the ` +
      "simulated s390 host instead, for example -drive if=none,id=d0,file=disk.img,format=raw " +
      "-device nvme,serial=zmend,drive=d0,id=nv0, and break it with x-zmend-inject-error",
  );
}

function pathOf(reader: GroupReader, host: string | undefined): string {
  if (host === undefined) {
    return reader.fail("No provided host device; add host=DDDD:BB:DD.F or sysfsdev=PATH_TO_DEVICE");
  }
  const [, domain = "0", bus = "", device = "", fn = ""] =
    ADDRESS.exec(host) ??
    reader.fail(`host=${host}: expected DDDD:BB:DD.F, for example 0005:00:00.0`);
  const padded = `${domain.padStart(4, "0")}:${bus.padStart(2, "0")}:${device.padStart(2, "0")}.${fn}`;
  return `/sys/bus/pci/devices/${padded.toLowerCase()}`;
}
