/**
 * What the model was compared with, and the written list of differences: real kernels' zPCI instructions and the recovery
 * machine's states, one by one (test/conformance/data/sequences, held against this file by
 * test/conformance/model-against-kernels.test.ts). Reports say it to their readers.
 */
import type { KernelName } from "./kernels.ts";

export interface ComparedKernel {
  readonly flavour: KernelName;
  /** Debian's package. */
  readonly package: string;
  readonly version: string;
}

/** Each with an NVMe function of zmend's. */
export const comparedKernels: readonly ComparedKernel[] = [
  { flavour: "6.1", package: "linux-image-6.1.0-50-s390x", version: "6.1.176-1" },
  { flavour: "6.12", package: "linux-image-6.12.107+deb13-s390x", version: "6.12.107-1" },
  { flavour: "7.2", package: "linux-binary-7.2.13+deb14-s390x", version: "7.2.13-1" },
  { flavour: "7.3", package: "linux-binary-7.3-s390x", version: "7.3~rc7-1~exp1" },
];

export interface ComparedDriver {
  /** The model's name. */
  readonly driver: string;
  /** The kernel's module that stands for it. */
  readonly module: string;
  readonly kernels: readonly KernelName[];
}

/** Others of the model's are written from their sources. */
export const comparedDrivers: readonly ComparedDriver[] = [
  { driver: "nvme", module: "nvme", kernels: ["6.1", "6.12", "7.2", "7.3"] },
  { driver: "no-handlers", module: "pci-stub", kernels: ["6.1", "6.12", "7.2", "7.3"] },
  // Debian's 6.1 has no such module for s390x.
  { driver: "vfio-pci", module: "vfio-pci", kernels: ["6.12", "7.2", "7.3"] },
];

export interface Difference {
  readonly kernels: readonly KernelName[];
  /** For a reader of a report. */
  readonly what: string;
  /** Lines of a sequence that are left out of the comparison. */
  readonly lines: RegExp;
}

export const differences: readonly Difference[] = [
  {
    kernels: ["6.1", "6.12", "7.2", "7.3"],
    what: "how many commands the driver gives its controller (doorbells, RPCIT, SIC), which the controller's features decide",
    lines: /^(RPCIT|SIC) |^PCISTG bar0 0x10[0-9a-f]{2}\/4 /,
  },
];
