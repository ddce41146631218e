/**
 * What a simulated function is and what happens to it: plain JSON data that travels in workerData. The
 * config module has checked values that a user wrote; `simFunctionConfig` makes any input usable, because
 * nothing in a fault script may crash the platform's thread.
 * Knobs: vfio-uapi.md 3.14.
 */

import { CcdfErr } from "../../abi/ccdf.ts";
import { type ErrorDialect, errorDialect, hostInterfaces } from "../../abi/zpci-err.ts";
import { ZmendError } from "../../base/errors.ts";
import { type PlugForm, pciFaultProblems, type UnplugForm } from "./fault-plan.ts";
import { type NvmeConfig, type NvmeInput, nvmeConfig } from "./nvme/config.ts";

/** One architected error event. FH and FID are the host's current ones unless said otherwise. */
export interface CcdfSpec {
  /** 32 bytes as 64 hex digits (blanks allowed). */
  readonly ccdf?: string;
  /** Instead of `ccdf`: PEC, failing address and direction. */
  readonly pec?: number;
  readonly faddr?: number;
  readonly rw?: boolean;
  /** The event carries a handle that is no longer current. */
  readonly stale?: boolean;
  /** FH and FID of `ccdf` are sent as they stand. */
  readonly literal?: boolean;
}

export type FaultAction =
  | ({ readonly type: "ccdf" } & CcdfSpec)
  /** Several events stored under one queue lock. */
  | { readonly type: "burst"; readonly ccdfs: readonly CcdfSpec[] }
  /** The function's next DMA goes to an address that the guest has not mapped. */
  | { readonly type: "dma"; readonly kind: "translation" }
  /** So many events, one after the other. */
  | {
      readonly type: "storm";
      readonly pec: number;
      readonly faddr?: number;
      readonly stale?: boolean;
      readonly count: number;
      readonly everyUs: number;
    }
  /** Loads give ones and stores go nowhere, without an event; for a time, or until the function is reset. */
  | { readonly type: "allOnes"; readonly forUs?: number }
  /** DMA and MSI do not pass, without an event; for a time, or until the function is reset. */
  | { readonly type: "blockedDma"; readonly forUs?: number }
  /** The function is out of reach; event 0x003a when the link is up again, 0x003b at once when it never will be. */
  | { readonly type: "linkDown"; readonly forUs?: number }
  /** The next stores to BARs are lost: doorbells that do not ring. */
  | { readonly type: "lostStores"; readonly count?: number }
  | { readonly type: "lostInterrupts"; readonly count?: number }
  /** The host stores errors and does not signal them. */
  | { readonly type: "lostSignals"; readonly count?: number }
  /** The host asks for the function, or takes it. */
  | { readonly type: "unplug"; readonly how: UnplugForm }
  /** A function that is not there appears. */
  | { readonly type: "plug"; readonly as: PlugForm };

/** Addresses from `from` to `to`, both included; without `to` one address. */
export interface FaultRange {
  readonly from: number;
  readonly to?: number;
}

/** Exactly one key. Accesses are the guest's BAR loads and stores since the start, transfers the device's. */
export interface FaultTrigger {
  readonly atUs?: number;
  readonly afterAccesses?: number;
  readonly afterTransfers?: number;
  readonly command?: string;
  /** An access of the guest to these offsets of BAR 0. */
  readonly bar?: FaultRange;
  /** A transfer of the device that touches these addresses. */
  readonly dma?: FaultRange;
  /** By chance, at each access or transfer. */
  readonly perAccess?: number;
  readonly perTransfer?: number;
}

export interface FaultRule {
  readonly when: FaultTrigger;
  readonly action: FaultAction;
  /** How often it fires; by default once, by command always. Counts and chances begin anew each time. */
  readonly times?: number | "always";
}

export interface SimPinning {
  /** MAP calls that the container allows at the start (`dma_entry_limit`). */
  readonly avail: number;
  /** How many of them others use up later. */
  readonly taken: number;
}

/** Module parameter dma_entry_limit (vfio-uapi.md 1.9). */
export const DMA_ENTRY_LIMIT = 65535;

export interface SimTiming {
  /** How long the host holds the device lock after an error's arrival: a reset answers -EAGAIN. */
  readonly deviceLockUs: number;
  /** How long it then still holds the state lock: a reset answers -EIO. */
  readonly stateLockUs: number;
  /** How long a reset takes. */
  readonly resetUs: number;
}

export const hostDialectNames = ["zpci", "eeh", "aer"] as const;
export type HostDialect = (typeof hostDialectNames)[number];
/** Names that `abi` may have under the dialect `eeh` (vfio-uapi.md 6). */
export type EehForm = "merged" | "2014-v6" | "2014-u32";

/**
 * Where a function's facts stand: in GET_INFO's capabilities, or in device regions as proposed in 2019 and 2020.
 * Those hosts knew neither the merged interface nor the device region of errors.
 */
export const factCarriers = [
  "capabilities",
  "region-2019",
  "region-2019-growable",
  "region-2020",
  "regions-2020",
] as const;
export type FactCarrier = (typeof factCarriers)[number];

/** What the host offers user space about errors. */
export interface SimHostInterface {
  /** zPCI's own interface, powerpc's EEH, or generic vfio-pci (`aer`), which only signals. */
  readonly dialect: HostDialect;
  /** Shape of the interface: a name of `errorDialects`, under `eeh` of `eehForms`. */
  readonly abi: string;
  /**
   * The merged interface as a later kernel may extend it: a longer CCDF, version 4 of ZPCI_BASE, capabilities,
   * flags and features that nobody knows yet. What was there stays where it was.
   */
  readonly future?: boolean;
  /** Under `eeh`: functions with the same number freeze, thaw and are reset together; absent = a PE of its own. */
  readonly pe?: number;
  readonly facts?: FactCarrier;
  /** Older versions of the capabilities than this kernel's own. */
  readonly capabilities?: { readonly base?: 1 | 2; readonly group?: 1 };
}

export interface SimFunctionConfig {
  /** The silicon behind the function. */
  readonly device: "test" | "nvme";
  /** Set when, and only when, the device is an NVMe controller. */
  readonly nvme?: NvmeConfig;
  readonly host: SimHostInterface;
  /** The host's FID of the function. */
  readonly fid: number;
  readonly uid: number;
  /** False: not there when the VM starts; a `plug` action brings it. */
  readonly present: boolean;
  /** Host handle at start, enable bit set. */
  readonly hostHandle: number;
  /** `recorded`: the capabilities and 65 MSI-X vectors of the recorded 7.3-rc7 host. */
  readonly profile: "plain" | "recorded";
  /** `7.2`: no error feature, ZPCI_BASE version 2, the host recovers by itself (vfio-uapi.md 3.13). */
  readonly kernel: "7.3" | "7.2";
  /** MPCIFC 9 and 7 reach the hardware (design.md 5.1). */
  readonly clearError: boolean;
  /** The function has function-level reset: a healthy one keeps its handle over a reset. */
  readonly flr: boolean;
  /** VFIO_DEVICE_RESET is offered (flag RESET of GET_INFO). */
  readonly resettable: boolean;
  /** A CLP disable and enable gives the function a new handle. */
  readonly changeHandle: boolean;
  /** The device reaches only what was mapped for it, with VFIO_IOMMU_MAP_DMA; absent: the guest's own tables. */
  readonly pins?: SimPinning;
  readonly timing: SimTiming;
  /** Errno values (positive) that the first resets answer, one each; 0 lets a reset be. */
  readonly resetFailures: readonly number[];
  readonly faults: readonly FaultRule[];
  /** Of the generator behind `perAccess` and `perTransfer`. */
  readonly faultSeed: number;
}

/** The handle and FID of `vfio-zpci-7.3-rc7.json`. */
export const RECORDED_HANDLE = 0x80020001;

export const defaultTiming: SimTiming = { deviceLockUs: 400, stateLockUs: 100, resetUs: 2000 };

const TIME_MAX_US = 1e12;

function timeUs(value: unknown, fallback: number): number {
  if (typeof value !== "number" || !Number.isFinite(value)) return fallback;
  return Math.min(Math.max(Math.ceil(value), 0), TIME_MAX_US);
}

/**
 * Fills in defaults and brings every number into its range.
 * @throws ZmendError CONFIG_INVALID for a malformed fault plan, all problems at once, and for an NVMe controller that
 * cannot be built
 */
export function simFunctionConfig(
  input: Omit<Partial<SimFunctionConfig>, "host" | "nvme"> & {
    readonly fid: number;
    readonly nvme?: NvmeInput;
    readonly host?: Partial<SimHostInterface>;
  },
  index = 0,
): SimFunctionConfig {
  const problems = input.faults === undefined ? [] : pciFaultProblems(input.faults);
  if (problems.length > 0) {
    const fid = `0x${(input.fid >>> 0).toString(16)}`;
    throw new ZmendError("CONFIG_INVALID", `Faults of function ${fid}: ${problems.join("; ")}`, {
      problems,
    });
  }
  const profile = input.profile === "recorded" ? "recorded" : "plain";
  const handle =
    input.hostHandle ?? (profile === "recorded" ? RECORDED_HANDLE : 0x80020001 + (index & 0xfff));
  const timing = input.timing;
  const dialect = hostDialectNames.find((name) => name === input.host?.dialect) ?? "zpci";
  const known = hostInterfaces[dialect].find((name) => name === input.host?.abi) ?? "merged";
  const abi = input.kernel === "7.2" && dialect === "zpci" ? "none" : known;
  const nvme = input.device === "nvme" ? { nvme: nvmeConfig(input.nvme ?? {}, input.fid) } : {};
  return {
    device: input.device === "nvme" ? "nvme" : "test",
    ...nvme,
    host: {
      dialect,
      abi,
      ...(input.host?.future === true ? { future: true } : {}),
      ...peOf(dialect, input.host?.pe),
      ...(input.host?.capabilities === undefined ? {} : { capabilities: input.host.capabilities }),
      ...factsOf(input.host?.facts, dialect === "zpci" ? abi : dialect),
    },
    fid: input.fid >>> 0,
    uid: (input.uid ?? index + 1) & 0xffff,
    present: input.present !== false,
    hostHandle: (handle | 0x80000000) >>> 0,
    profile,
    kernel: abi === "none" ? "7.2" : "7.3",
    // A PE can always be thawed.
    clearError: input.clearError === true || dialect === "eeh",
    flr: input.flr !== false,
    resettable: input.resettable !== false,
    changeHandle: input.changeHandle !== false,
    ...pinsOf(input.pins),
    timing: {
      deviceLockUs: timeUs(timing?.deviceLockUs, defaultTiming.deviceLockUs),
      stateLockUs: timeUs(timing?.stateLockUs, defaultTiming.stateLockUs),
      resetUs: timeUs(timing?.resetUs, defaultTiming.resetUs),
    },
    resetFailures: list(input.resetFailures).filter(
      (errno) => Number.isInteger(errno) && errno >= 0 && errno < 4096,
    ),
    faults: list(input.faults),
    faultSeed: Number.isSafeInteger(input.faultSeed) ? (input.faultSeed ?? 0) : input.fid >>> 0,
  };
}

function pinsOf(wanted: SimPinning | undefined): { pins?: SimPinning } {
  if (wanted === undefined) return {};
  const whole = (value: number, most: number): number =>
    Math.min(Math.max(Math.trunc(Number.isFinite(value) ? value : 0), 0), most);
  const avail = Math.max(1, whole(wanted.avail, DMA_ENTRY_LIMIT));
  return { pins: { avail, taken: whole(wanted.taken, avail) } };
}

function peOf(dialect: HostDialect, pe: number | undefined): { pe?: number } {
  return dialect === "eeh" && pe !== undefined && Number.isSafeInteger(pe) ? { pe } : {};
}

/** The carrier of the facts, where a host that speaks this dialect may have it. */
function factsOf(wanted: FactCarrier | undefined, abi: string): { facts?: FactCarrier } {
  const facts = factCarriers.find((name) => name === wanted);
  const row = errorDialect(abi);
  const alone = row?.byPointer === true || row?.carrier === "region";
  return facts === undefined || alone ? {} : { facts };
}

/** Bytes of a CCDF as this host hands it out: 32, more from a later kernel. */
export function ccdfBytesOf(config: SimFunctionConfig): number {
  return config.host.future === true ? 2 * CcdfErr.size : CcdfErr.size;
}

/** The row of the error interface that this function's host speaks. */
export function dialectOf(config: SimFunctionConfig): ErrorDialect {
  const { dialect, abi } = config.host;
  return (
    errorDialect(dialect === "zpci" ? abi : dialect) ?? (errorDialect("merged") as ErrorDialect)
  );
}

function list<T>(value: readonly T[] | undefined): readonly T[] {
  return Array.isArray(value) ? value : [];
}
