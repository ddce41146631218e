/**
 * The recovery worker's border to the simulated host: opens the function through the VFIO ioctls (probe,
 * GET_INFO chain with the argsz retry, ERR eventfd), then reads errors and asks for resets. Holds no state
 * of its own: a successor on another thread builds a new one. Thread: recovery worker only.
 */
import { type ByteOrder, decode, encode, encodeInto, readField, s32 } from "../../abi/layout.ts";
import {
  inOrder,
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_ZPCI_ERROR,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_NUM_REGIONS,
  VFIO_PCI_REQ_IRQ_INDEX,
  VFIO_REGION_STRIDE,
  VfioDeviceFeature,
  VfioDeviceInfo,
  VfioIrqSet,
  VfioRegionInfo,
  VfioRegionInfoCapType,
} from "../../abi/vfio.ts";
import {
  EehOp,
  EehSetOption2014,
  VFIO_EEH_PE_OP,
  VFIO_EEH_PE_OP_MIN,
  VfioEehPeOp,
} from "../../abi/vfio-iommu.ts";
import {
  type ErrorDialect,
  errorDialect,
  hostDialects,
  VFIO_REGION_TYPE_PCI_VENDOR_IBM,
} from "../../abi/zpci-err.ts";
import {
  EAGAIN,
  EBUSY,
  EINVAL,
  ENODEV,
  ENOTTY,
  type HostFacts,
  type HostFunction,
  type HostPinning,
} from "../../ports/host-function.ts";
import { exchange } from "../../shm/atomics.ts";
import { FunctionBlock } from "../../shm/blocks.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import { decodeCapabilities, type ZpciFacts } from "./capabilities.ts";
import { viewOf } from "./ccdf-builder.ts";
import { dialectOf, type SimFunctionConfig } from "./config.ts";
import { DialectReader, gated } from "./dialect-reader.ts";
import { VFIO_CHECK_EXTENSION, VFIO_EEH } from "./eeh.ts";
import { completeInterruptedGet } from "./error-queue.ts";
import { decodeFactRegions, type FactRegion } from "./fact-regions.ts";
import {
  CCDF_BYTES,
  Hardware,
  type HostArea,
  HostBlock,
  hostArea,
  PLATFORM_REQUEST,
  READER_BUFFER_BYTES,
} from "./host-area.ts";
import { PinnedDma, pinnedEnd } from "./pinned-dma.ts";
import { msixVectors } from "./profiles.ts";
import { SimVfioDevice, type SimVfioOptions } from "./vfio-device.ts";

const BARS = 6;
/** The error interface needs ZPCI_BASE with `ccdf_err_length` (vfio-uapi.md 2.5). */
const BASE_VERSION_WITH_ERRORS = 3;
/** Lower feature numbers were given to others since: `abi` has to say that they mean errors. */
const DETECTABLE_FEATURE = 13;
/** GET_INFO is repeated while the chain grows between calls, but not for ever. */
const INFO_TRIES_MAX = 8;
/** A chain that claims more than this is not believed: the recorded one has 208 bytes. */
const INFO_BYTES_MAX = 65536;
/** Any eventfd number will do: the counts are shared words. */
const EVENTFD = 0;
const DISARM = -1;

export class SimHostFunction implements HostFunction {
  readonly facts: HostFacts;
  readonly clearError: boolean;
  readonly pinning?: HostPinning;
  readonly #vm: VmMemory;
  readonly #area: HostArea;
  readonly #device: SimVfioDevice;
  readonly #baseVersion: number;
  readonly #reader: DialectReader;
  /** The shape that the user names, where it cannot be detected: numbers below 13 mean other things today. */
  readonly #told: ErrorDialect | undefined;
  /** A host that is no s390 one. */
  readonly #bare: ErrorDialect | undefined;
  readonly #opener: number;

  constructor(
    vm: VmMemory,
    functionIndex: number,
    config: SimFunctionConfig,
    options: SimVfioOptions & { readonly device?: SimVfioDevice } = {},
  ) {
    this.#vm = vm;
    this.#area = hostArea(vm, functionIndex);
    this.#device = options.device ?? new SimVfioDevice(vm, functionIndex, config, options);
    const chain = readCapabilities(this.#device);
    this.#baseVersion = chain.baseVersion;
    this.facts = factsOf(chain, this.#device, config);
    this.clearError = config.clearError;
    if (config.pins !== undefined) this.pinning = new PinnedDma(vm, functionIndex, config);
    this.#reader = new DialectReader(this.#area, this.#device, config.fid, options.hook);
    const named = errorDialect(config.host.abi);
    const zpci = config.host.dialect === "zpci";
    const old = named?.carrier === "region" || (named?.number ?? 0) < DETECTABLE_FEATURE;
    this.#told = zpci && old && named?.carrier !== "none" ? named : undefined;
    this.#opener = options.opener ?? 1;
    this.#bare = zpci ? undefined : dialectOf(config);
  }

  handle(): number {
    return this.#device.handle();
  }

  /** Mediation, detection of 2.5, then the ERR and REQ eventfds. Repeating it changes nothing. */
  open(): number {
    if (this.#area.get(HostBlock.hardware) === Hardware.ABSENT) return -ENODEV;
    // A group is open once: whoever asks while another has it is told so (1.2, step 4).
    const owner = this.#area.get(HostBlock.opener);
    if (owner !== 0 && owner !== this.#opener) return -EBUSY;
    if (this.#area.get(HostBlock.hostBusy) === 1) return -EAGAIN;
    const first = this.#reader.row() === undefined;
    this.#area.set(HostBlock.opener, this.#opener);
    if (first) {
      // The kernel mediates from the moment that the device is open.
      this.#device.errors.start();
      const found = this.#detect();
      if (typeof found === "number") {
        this.#device.errors.stop();
        this.#area.set(HostBlock.opener, 0);
        return found;
      }
      this.#reader.remember(found);
    }
    const armed = this.#trigger(VFIO_PCI_ERR_IRQ_INDEX, EVENTFD);
    if (armed === 0 && first) this.#reader.armed();
    if (armed !== 0) this.close();
    // Without REQ the host just waits longer for its device.
    else this.#trigger(VFIO_PCI_REQ_IRQ_INDEX, EVENTFD);
    return armed;
  }

  #trigger(index: number, fd: number): number {
    return this.#device.ioctl(VFIO_DEVICE_SET_IRQS, irqSet(this.#device.order, index, fd));
  }

  close(): number {
    const owner = this.#area.get(HostBlock.opener);
    if (owner !== 0 && owner !== this.#opener) return 0;
    this.#trigger(VFIO_PCI_ERR_IRQ_INDEX, DISARM);
    this.#trigger(VFIO_PCI_REQ_IRQ_INDEX, DISARM);
    // A record that detection took and nobody asked for goes with the others.
    const held = this.#area.get(HostBlock.readerHeld);
    this.#reader.forget();
    this.#area.set(HostBlock.opener, 0);
    const discarded = this.#device.errors.stop() + held;
    // A host that wants the function back has waited for this.
    this.#area.platformBell.ring(PLATFORM_REQUEST);
    return discarded;
  }

  /** The dialect, or -errno; -ENOTTY is a host without the error interface. */
  #detect(): ErrorDialect | number {
    const told = this.#told;
    if (this.#bare?.carrier === "eeh") return this.#enableEeh(this.#bare);
    if (this.#bare !== undefined) return this.#bare;
    if (told?.carrier === "region") return hasErrorRegion(this.#device, told) ? told : -ENOTTY;
    const probe = this.#probe(told?.number ?? VFIO_DEVICE_FEATURE_ZPCI_ERROR);
    if (probe !== 0) return probe;
    if (told !== undefined) return told;
    if (this.#baseVersion < BASE_VERSION_WITH_ERRORS) return this.#reader.detect();
    const length = this.facts.ccdfErrLength;
    if (length < CCDF_BYTES || length > READER_BUFFER_BYTES) return -ENOTTY;
    return errorDialect("merged") ?? -EINVAL;
  }

  /** Takes the PE over; a load that finds all ones is to wake the worker from now on. */
  #enableEeh(row: ErrorDialect): ErrorDialect | number {
    const { eeh, eehForm, order } = this.#device;
    if (eeh === undefined || eeh.ioctl(VFIO_CHECK_EXTENSION, VFIO_EEH) <= 0) return -ENOTTY;
    const option = encode(inOrder(EehSetOption2014, order), {
      argsz: EehSetOption2014.size,
      option: EehOp.ENABLE,
    });
    const op = encode(inOrder(VfioEehPeOp, order), {
      argsz: VFIO_EEH_PE_OP_MIN,
      op: EehOp.ENABLE,
    });
    const argument =
      eehForm === "merged" ? op : eehForm === "2014-v6" ? option : (EehOp.ENABLE as number);
    const enabled = eeh.ioctl(VFIO_EEH_PE_OP, argument);
    if (enabled !== 0) return enabled;
    this.#area.set(HostBlock.onesBell, 1);
    return row;
  }

  #probe(feature: number): number {
    const flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET | feature;
    const table = inOrder(VfioDeviceFeature, this.#device.order);
    const buffer = encode(table, { argsz: VfioDeviceFeature.size, flags });
    return this.#device.ioctl(VFIO_DEVICE_FEATURE, buffer);
  }

  getError(slot: number): number {
    if (this.#byValue()) return this.#reader.get(slot);
    return this.#device.errors.get(slot);
  }

  /** Whether records arrive by value; before open, and for the merged interface, they do not. */
  #byValue(): boolean {
    const row = hostDialects[this.#area.get(HostBlock.dialect) - 1];
    if (row === undefined) return false;
    // A CCDF longer than a slot of the guest's ring takes the same way as a value.
    return !row.byPointer || this.facts.ccdfErrLength !== CCDF_BYTES;
  }

  /** The journal knows the slot; `slot` is the one that the supervisor would repair, and the same. */
  completeInterruptedCall(_slot: number): void {
    if (!this.#reader.complete()) completeInterruptedGet(this.#vm, this.#area.index);
  }

  takeSignals(): number {
    const row = this.#reader.row();
    if (row !== undefined && gated(row)) return this.#reader.takeSignals();
    return exchange(this.#area.words, this.#area.block + FunctionBlock.errSignals, 0);
  }

  takeRequests(): number {
    return exchange(this.#area.words, this.#area.host + HostBlock.reqSignals, 0);
  }

  startReset(): number {
    return this.#device.requests.startReset();
  }

  pollReset(): number {
    return this.#device.requests.pollReset();
  }

  startClear(operation: 7 | 9): number {
    return this.clearError ? this.#device.requests.startClear(operation) : -ENOTTY;
  }

  pollClear(): number {
    return this.#device.requests.pollClear();
  }
}

/** GET_INFO with 24 bytes, then with as many as it asks for (1.5). */
function readCapabilities(device: SimVfioDevice): ZpciFacts {
  const order = device.order;
  let buffer = new Uint8Array(VfioDeviceInfo.size);
  for (let attempt = 0; attempt < INFO_TRIES_MAX; attempt++) {
    encodeInto(inOrder(VfioDeviceInfo, order), viewOf(buffer), 0, { argsz: buffer.length });
    if (device.ioctl(VFIO_DEVICE_GET_INFO, buffer) !== 0) break;
    const needed = readField(viewOf(buffer), 0, VfioDeviceInfo.fields.argsz, order);
    if (needed <= buffer.length || needed > INFO_BYTES_MAX) break;
    buffer = new Uint8Array(needed);
  }
  const facts = decodeCapabilities(buffer, order);
  // A host from before the capabilities tells by regions of its own, if at all.
  if (facts.baseVersion > 0) return facts;
  const count = readField(viewOf(buffer), 0, VfioDeviceInfo.fields.numRegions, order);
  return decodeFactRegions(facts, readRegions(device, count), order);
}

/** Longest region of facts that is believed. */
const FACT_BYTES_MAX = 4096;
const SPECIAL_REGIONS_MAX = 16;

/** The device specific regions of IBM's type, whole. */
function readRegions(device: SimVfioDevice, count: number): FactRegion[] {
  const found: FactRegion[] = [];
  const end = Math.min(count, VFIO_PCI_NUM_REGIONS + SPECIAL_REGIONS_MAX);
  for (let index = VFIO_PCI_NUM_REGIONS; index < end; index++) {
    const region = specialRegion(device, index);
    if (region === undefined || region.size > FACT_BYTES_MAX) continue;
    const bytes = new Uint8Array(region.size);
    if (device.pread(index * VFIO_REGION_STRIDE, bytes) !== bytes.length) continue;
    found.push({ subtype: region.subtype, bytes });
  }
  return found;
}

/** Size and subtype of a region of IBM's vendor type (1.6); undefined for any other. */
function specialRegion(
  device: SimVfioDevice,
  index: number,
): { readonly size: number; readonly subtype: number } | undefined {
  const info = inOrder(VfioRegionInfo, device.order);
  const type = inOrder(VfioRegionInfoCapType, device.order);
  const buffer = new Uint8Array(VfioRegionInfo.size + VfioRegionInfoCapType.size);
  const view = viewOf(buffer);
  encodeInto(info, view, 0, { argsz: buffer.length, index });
  if (device.ioctl(VFIO_DEVICE_GET_REGION_INFO, buffer) !== 0) return undefined;
  const { size, capOffset } = decode(info, view);
  if (capOffset !== VfioRegionInfo.size) return undefined;
  const found = decode(type, view, capOffset);
  if (found.type !== VFIO_REGION_TYPE_PCI_VENDOR_IBM) return undefined;
  return { size: Number(size), subtype: found.subtype };
}

function factsOf(chain: ZpciFacts, device: SimVfioDevice, config: SimFunctionConfig): HostFacts {
  const { baseVersion: _, handle: __, msiAddr, imaxstbl: ___, ...rest } = chain;
  const { pins } = config;
  return {
    ...rest,
    ...(pins === undefined
      ? {}
      : {
          dmaAvail: pins.avail,
          endDma: pinnedEnd(rest.startDma, rest.endDma, pins.avail),
        }),
    msiAddress: msiAddr,
    barSizeLog2: Array.from({ length: BARS }, (_bar, index) => barSizeLog2(device, index)),
    // Not from GET_IRQ_INFO: its live count is wrong while the function is in error (3.12).
    msixVectors: msixVectors(config),
  };
}

/** The first device specific region is one of errors: the right subtype, as large as a record (2.4). */
function hasErrorRegion(device: SimVfioDevice, row: ErrorDialect): boolean {
  const region = specialRegion(device, VFIO_PCI_NUM_REGIONS);
  return region?.size === row.size && region.subtype === row.number;
}

function barSizeLog2(device: SimVfioDevice, index: number): number {
  const table = inOrder(VfioRegionInfo, device.order);
  const buffer = encode(table, { argsz: VfioRegionInfo.size, index });
  if (device.ioctl(VFIO_DEVICE_GET_REGION_INFO, buffer) !== 0) return 0;
  const size = Number(readField(viewOf(buffer), 0, VfioRegionInfo.fields.size, device.order));
  return size > 0 ? Math.round(Math.log2(size)) : 0;
}

/** vfio_irq_set that gives the ERR or REQ index an eventfd, or takes it away with -1 (1.7). */
function irqSet(order: ByteOrder, index: number, fd: number): Uint8Array {
  const fields = { ...VfioIrqSet.fields, fd: s32(VfioIrqSet.size) };
  const table = { ...inOrder(VfioIrqSet, order), size: VfioIrqSet.size + 4, fields };
  return encode(table, {
    argsz: VfioIrqSet.size + 4,
    flags: VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
    index,
    start: 0,
    count: 1,
    fd,
  });
}
