import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { deviceHelp, parseDevices } from "../../../src/daemon/qemu-devices.ts";

function refusal(device: string): string {
  try {
    parseDevices({ device: [device], drive: [], blockdev: [] });
  } catch (error) {
    return (error as Error).message;
  }
  return "accepted";
}

/** PCI devices of the machine that runs the test: a virtual one may have none. */
const [present] = (() => {
  try {
    return readdirSync("/sys/bus/pci/devices");
  } catch {
    return [];
  }
})();

describe("-device vfio-pci", () => {
  it("stands among the models and lists its properties", () => {
    expect(deviceHelp(["help"])).toContain('name "vfio-pci", bus PCI, desc "VFIO-based PCI');
    expect(deviceHelp(["vfio-pci,help"])).toBe(
      "vfio-pci options:\n" +
        "  host=<str>             - Host PCI address (DDDD:BB:DD.F)\n" +
        "  sysfsdev=<str>         - Path of the host's device in sysfs\n",
    );
  });

  it.each([
    ["vfio-pci,id=v", "No provided host device; add host=DDDD:BB:DD.F or sysfsdev=PATH_TO_DEVICE"],
    ["vfio-pci,host=5", "host=5: expected DDDD:BB:DD.F, for example 0005:00:00.0"],
    ["vfio-pci,host=0005:00:00.8", "host=0005:00:00.8: expected DDDD:BB:DD.F, for example"],
    ["vfio-pci,host=0:0.0,sysfsdev=/x", "host and sysfsdev name the same thing; give one of them"],
    ["vfio-pci,hosts=0:0.0", "device 'vfio-pci' has no property 'hosts' (did you mean 'host'?)"],
    [
      "vfio-pci,host=fffe:1f:1f.7,id=v",
      "this machine has no PCI device fffe:1f:1f.7 (/sys/bus/pci/devices/fffe:1f:1f.7)",
    ],
    ["vfio-pci,sysfsdev=/no/such", "this machine has no PCI device such (/no/such)"],
  ])("%s: one sentence", (device, sentence) => {
    expect(refusal(device)).toContain(`-device ${device}: ${sentence}`);
  });

  it("says what zmend offers in place of a device that is there", () => {
    expect(refusal("vfio-pci,sysfsdev=/")).toMatch(
      /zmend cannot open .*: Node has no ioctl\(2\).*; give the guest a function of the simulated s390 host instead, .*-device nvme/,
    );
  });

  it.skipIf(present === undefined)(
    `finds a device of this machine by its address${present === undefined ? " (skipped: this machine has no PCI device)" : ""}`,
    () => {
      expect(refusal(`vfio-pci,host=${present}`)).toContain(`zmend cannot open ${present}`);
      expect(refusal(`vfio-pci,host=${present?.replace(/^0000:/, "")}`)).toContain(
        `zmend cannot open ${present}`,
      );
    },
  );
});
