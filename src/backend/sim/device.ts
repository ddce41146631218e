/**
 * What the platform needs of the silicon behind a simulated function, and the shapes of the two kinds there
 * are: the small test function and the NVMe controller.
 */
import { NVME_BAR_SIZE_LOG2, NVME_MSIX_PBA, NVME_MSIX_TABLE } from "../../abi/nvme.ts";
import { TestFunction } from "../../abi/test-function.ts";
import type { SimFunctionConfig } from "./config.ts";

/** Thread: platform only. */
export interface SimDevice {
  /** Does what is due; true when it did something. */
  step(nowUs: number): boolean;
  /** Clock time at which something becomes due by itself; Infinity when nothing will. */
  nextEventUs(): number;
  /** The function was reset: registers and memory as after power-on. */
  reset(): void;
}

/** `HostBlock.deviceKind`. */
export const DeviceKind = { test: 0, nvme: 1 } as const;

export interface DeviceShape {
  /** log2 of the size of BAR 0, the only one. */
  readonly barSizeLog2: number;
  readonly msixTableOffset: number;
  readonly msixPbaOffset: number;
}

const nvmeShape: DeviceShape = {
  barSizeLog2: NVME_BAR_SIZE_LOG2,
  msixTableOffset: NVME_MSIX_TABLE,
  msixPbaOffset: NVME_MSIX_PBA,
};

export function shapeOfKind(kind: number): DeviceShape {
  return kind === DeviceKind.nvme ? nvmeShape : TestFunction;
}

export function shapeOf(config: SimFunctionConfig): DeviceShape {
  return shapeOfKind(config.device === "nvme" ? DeviceKind.nvme : DeviceKind.test);
}
