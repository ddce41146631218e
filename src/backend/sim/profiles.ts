/**
 * Profiles of simulated functions: the constants behind their VFIO capabilities. `recorded` is the
 * function of the recorded 7.3-rc7 host (guest-fixtures: vfio-zpci-7.3-rc7.json); `plain` has every
 * capability, a larger DMA aperture and one MSI-X vector.
 */
import { NVME_MSIX_VECTORS } from "../../abi/nvme.ts";
import type { SimFunctionConfig } from "./config.ts";

export interface Profile {
  readonly startDma: bigint;
  readonly endDma: bigint;
  readonly pchid: number;
  readonly vfn: number;
  readonly fmbLength: number;
  readonly pft: number;
  readonly gid: number;
  readonly dasm: bigint;
  readonly msiAddr: bigint;
  readonly mui: number;
  readonly noi: number;
  readonly maxstbl: number;
  readonly groupVersion: number;
  readonly imaxstbl: number;
  /** EBCDIC, empty = no such capability. */
  readonly utilityString: readonly number[];
  readonly pfip: readonly number[];
  readonly msixVectors: number;
}

/** "ZMEND" in EBCDIC code page 037. */
const ZMEND_EBCDIC = [0xe9, 0xd4, 0xc5, 0xd5, 0xc4];

const recorded: Profile = {
  startDma: 0x1_0000_0000n,
  endDma: 0x1_1fff_ffffn,
  pchid: 0,
  vfn: 0,
  fmbLength: 0,
  pft: 0,
  gid: 0xff,
  dasm: 0n,
  msiAddr: 0xfe00_0000_0000_0000n,
  mui: 4000,
  noi: 128,
  maxstbl: 128,
  groupVersion: 0,
  imaxstbl: 128,
  utilityString: [],
  pfip: [0, 0, 0, 0],
  msixVectors: 65,
};

const plain: Profile = {
  ...recorded,
  endDma: 0x1_ffff_ffffn,
  pchid: 0x0100,
  utilityString: Array.from({ length: 64 }, (_, i) => ZMEND_EBCDIC[i] ?? 0x40),
  pfip: [0x5a, 0, 0, 0],
  msixVectors: 1,
};

export function profileOf(config: SimFunctionConfig): Profile {
  return config.profile === "recorded" ? recorded : plain;
}

export function msixVectors(config: SimFunctionConfig): number {
  return config.device === "nvme" ? NVME_MSIX_VECTORS : profileOf(config).msixVectors;
}
