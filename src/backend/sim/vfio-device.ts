/**
 * The VFIO device fd of a simulated function: ioctls over encoded buffers, answered as the genuine kernel
 * answers them (vfio-uapi.md 1.4 to 1.8, 2.1, 3.12). "User addresses" are byte offsets in the VM's shared
 * memory. Byte order can be chosen to talk like the big-endian host of the recording.
 * Thread: recovery worker only (and tests).
 */
import { type ByteOrder, decode, encodeInto, readField } from "../../abi/layout.ts";
import {
  inOrder,
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFO_V2,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  VFIO_DEVICE_FLAGS_CAPS,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_INFO_MIN,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
  VFIO_PCI_BAR0_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_NUM_REGIONS,
  VFIO_PCI_VGA_REGION_INDEX,
  VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
  VFIO_REGION_INFO_FLAG_CAPS,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
  VFIO_REGION_STRIDE,
  VfioDeviceFeature,
  VfioDeviceInfo,
  VfioInfoCapHeader,
  VfioRegionInfo,
  ZpciErrorFeature,
} from "../../abi/vfio.ts";
import type { ErrorDialect } from "../../abi/zpci-err.ts";
import { EFAULT, EINVAL, EIO, ENOTTY, HOST_PENDING } from "../../ports/host-function.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import { encodeCapabilities } from "./capabilities.ts";
import { viewOf } from "./ccdf-builder.ts";
import { ccdfBytesOf, dialectOf, type EehForm, type SimFunctionConfig } from "./config.ts";
import { shapeOf } from "./device.ts";
import { littleOf, ValueErrors } from "./dialect-kernel.ts";
import { EehContainer } from "./eeh.ts";
import { ErrorQueueReader, type StepHook } from "./error-queue.ts";
import { encodeFactRegions } from "./fact-regions.ts";
import { CCDF_BYTES, CONFIG_BYTES, type HostArea, HostBlock, hostArea } from "./host-area.ts";
import { RequestPort } from "./host-requests.ts";
import { fixedRegion, type SpecialRegion, SpecialRegions } from "./special-regions.ts";
import { VfioInterrupts } from "./vfio-interrupts.ts";
import { VfioRegionIo } from "./vfio-region-io.ts";

export interface SimVfioOptions {
  /** Byte order of the structures; default: the CPU's own. */
  readonly byteOrder?: ByteOrder;
  /** Lets the platform work while VFIO_DEVICE_RESET blocks (single-threaded callers). */
  readonly whileBlocked?: () => void;
  /** Which process this is: only one at a time has the function open. 1 = the VM's own. */
  readonly opener?: number;
  /** Test hook of GET's numbered steps. */
  readonly hook?: StepHook;
}

/** How often VFIO_DEVICE_RESET looks for its answer before it gives the platform up. */
const RESET_LOOKS_MAX = 1_000_000;
const HEADER_BYTES = VfioDeviceFeature.size;
/** A later kernel's features and flags, of which no reader of today knows. */
const FUTURE_ERROR_FEATURE = 14;
const FUTURE_LENGTH_FEATURE = 15;
const FUTURE_INFO_FLAGS = 0x7000;

export class SimVfioDevice {
  readonly errors: ErrorQueueReader;
  readonly requests: RequestPort;
  readonly interrupts: VfioInterrupts;
  /** pread and pwrite of the device fd. */
  readonly regions: VfioRegionIo;
  readonly order: ByteOrder;
  /** The container's EEH calls, where the host is a powerpc one, and their form. */
  readonly eeh: EehContainer | undefined;
  readonly eehForm: string;
  readonly #area: HostArea;
  readonly #config: SimFunctionConfig;
  readonly #whileBlocked: () => void;
  readonly #dialect: ErrorDialect;
  readonly #values: ValueErrors;
  readonly #special: SpecialRegions;

  constructor(
    vm: VmMemory,
    functionIndex: number,
    config: SimFunctionConfig,
    options: SimVfioOptions = {},
  ) {
    this.order = options.byteOrder ?? "host";
    this.#area = hostArea(vm, functionIndex);
    this.#config = config;
    this.regions = new VfioRegionIo(vm, functionIndex);
    this.#whileBlocked = options.whileBlocked ?? (() => undefined);
    this.errors = new ErrorQueueReader(this.#area, options.hook);
    this.requests = new RequestPort(this.#area, config);
    this.interrupts = new VfioInterrupts(this.#area, config, this.order);
    this.#dialect = dialectOf(config);
    const { dialect, abi } = config.host;
    this.eehForm = abi;
    this.eeh =
      dialect === "eeh"
        ? new EehContainer(
            this.#area,
            this.requests,
            this.order,
            abi as EehForm,
            this.#whileBlocked,
            config.host.pe,
          )
        : undefined;
    this.#values = new ValueErrors(this.#area, this.errors, this.#dialect, this.order);
    this.#special = new SpecialRegions(this.#ownRegions(), this.order);
  }

  /** @returns 0, a positive payload or -errno; `buffer` is read and written in place */
  ioctl(request: number, buffer: Uint8Array = new Uint8Array(0)): number {
    switch (request) {
      case VFIO_DEVICE_GET_INFO:
        return this.#getInfo(buffer);
      case VFIO_DEVICE_GET_REGION_INFO:
        return this.#getRegionInfo(buffer);
      case VFIO_DEVICE_GET_IRQ_INFO:
        return this.interrupts.getInfo(buffer);
      case VFIO_DEVICE_SET_IRQS:
        return this.interrupts.set(buffer);
      case VFIO_DEVICE_FEATURE:
        return this.#feature(buffer);
      case VFIO_DEVICE_RESET:
        return this.#reset();
      default:
        return -ENOTTY;
    }
  }

  /** Current host handle, as ZPCI_BASE tells it. */
  handle(): number {
    return this.#area.get(HostBlock.handle) >>> 0;
  }

  #ownRegions(): SpecialRegion[] {
    const { carrier, number, size } = this.#dialect;
    if (carrier === "region") {
      const read = (start: number, target: Uint8Array): number =>
        start + target.length > size ? -EINVAL : this.#values.readRegion(start, target);
      return [{ subtype: number, size, read }];
    }
    return encodeFactRegions(this.#config, this.order).map(({ subtype, bytes }) =>
      fixedRegion(subtype, bytes),
    );
  }

  /** Device fd offset of the error region of posting v1, the first device specific one. */
  errorRegionOffset(): number {
    return VFIO_PCI_NUM_REGIONS * VFIO_REGION_STRIDE;
  }

  /** pread of the device fd: BAR 0, configuration space, and regions of the host's own. */
  pread(offset: number, target: Uint8Array): number {
    return this.#special.pread(offset, target) ?? this.regions.pread(offset, target);
  }

  #getInfo(buffer: Uint8Array): number {
    if (buffer.length < VFIO_DEVICE_INFO_MIN) return -EFAULT;
    const view = viewOf(buffer);
    const argsz = readField(view, 0, VfioDeviceInfo.fields.argsz, this.order);
    if (argsz < VFIO_DEVICE_INFO_MIN) return -EINVAL;
    if (argsz > buffer.length) return -EFAULT;
    const chain = encodeCapabilities(this.#config, this.handle(), this.order);
    const needed = VfioDeviceInfo.size + chain.length;
    const fits = argsz >= needed;
    if (fits) buffer.set(chain, VfioDeviceInfo.size);
    const head = new Uint8Array(VfioDeviceInfo.size);
    encodeInto(inOrder(VfioDeviceInfo, this.order), viewOf(head), 0, {
      argsz: fits ? argsz : needed,
      flags:
        VFIO_DEVICE_FLAGS_PCI |
        (chain.length > 0 ? VFIO_DEVICE_FLAGS_CAPS : 0) |
        (this.#config.host.future === true ? FUTURE_INFO_FLAGS : 0) |
        (this.#config.resettable ? VFIO_DEVICE_FLAGS_RESET : 0),
      numRegions: this.#special.count,
      numIrqs: VFIO_PCI_NUM_IRQS,
      capOffset: fits && chain.length > 0 ? VfioDeviceInfo.size : 0,
    });
    buffer.set(head.subarray(0, Math.min(argsz, head.length)));
    return 0;
  }

  #getRegionInfo(buffer: Uint8Array): number {
    if (buffer.length < VfioRegionInfo.size) return -EFAULT;
    const view = viewOf(buffer);
    const table = inOrder(VfioRegionInfo, this.order);
    const { argsz, index } = decode(table, view);
    if (argsz < VfioRegionInfo.size) return -EINVAL;
    if (argsz > buffer.length) return -EFAULT;
    if (index === VFIO_PCI_VGA_REGION_INDEX || index >= this.#special.count) return -EINVAL;
    if (index >= VFIO_PCI_NUM_REGIONS) return this.#special.info(index, view, argsz);
    const offset = BigInt(index) * BigInt(VFIO_REGION_STRIDE);
    const values = { flags: 0, size: 0n, offset, capOffset: 0 };
    const readWrite = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    if (index === VFIO_PCI_CONFIG_REGION_INDEX) {
      encodeInto(table, view, 0, { ...values, flags: readWrite, size: BigInt(CONFIG_BYTES) });
      return 0;
    }
    if (index !== VFIO_PCI_BAR0_REGION_INDEX) {
      encodeInto(table, view, 0, values);
      return 0;
    }
    // BAR 0 holds the MSI-X table: mappable all the same, which one capability says.
    const needed = VfioRegionInfo.size + VfioInfoCapHeader.size;
    const fits = argsz >= needed;
    encodeInto(table, view, 0, {
      argsz: fits ? argsz : needed,
      flags: readWrite | VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS,
      capOffset: fits ? VfioRegionInfo.size : 0,
      size: BigInt(2 ** shapeOf(this.#config).barSizeLog2),
      offset,
    });
    if (fits) {
      encodeInto(inOrder(VfioInfoCapHeader, this.order), view, VfioRegionInfo.size, {
        id: VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
        version: 1,
        next: 0,
      });
    }
    return 0;
  }

  /** The result ladders of 1.4 and 2.1, in evaluation order. */
  #feature(buffer: Uint8Array): number {
    if (buffer.length < HEADER_BYTES) return -EFAULT;
    const view = viewOf(buffer);
    const { argsz, flags } = decode(inOrder(VfioDeviceFeature, this.order), view);
    const known =
      VFIO_DEVICE_FEATURE_MASK |
      VFIO_DEVICE_FEATURE_GET |
      VFIO_DEVICE_FEATURE_SET |
      VFIO_DEVICE_FEATURE_PROBE;
    if (argsz < HEADER_BYTES || (flags & ~known) !== 0) return -EINVAL;
    const get = (flags & VFIO_DEVICE_FEATURE_GET) !== 0;
    const set = (flags & VFIO_DEVICE_FEATURE_SET) !== 0;
    const probe = (flags & VFIO_DEVICE_FEATURE_PROBE) !== 0;
    if (get && set && !probe) return -EINVAL;
    const feature = flags & VFIO_DEVICE_FEATURE_MASK;
    if (this.#dialect.carrier === "feature" && feature === this.#dialect.number) {
      if (set) return -EINVAL;
      if (probe) return 0;
      if (!get) return -EINVAL;
      return this.#errorGet(buffer, argsz);
    }
    const future = feature === FUTURE_ERROR_FEATURE || feature === FUTURE_LENGTH_FEATURE;
    if (future && this.#config.host.future === true) {
      return this.#futureFeature(feature, get, probe, buffer);
    }
    return otherFeature(feature, get, set, probe);
  }

  #errorGet(buffer: Uint8Array, argsz: number): number {
    const { size, byPointer } = this.#dialect;
    if (!byPointer) {
      if (argsz < HEADER_BYTES + size) return -EINVAL;
      if (buffer.length < HEADER_BYTES + size) return -EFAULT;
      return this.#values.get(buffer.subarray(HEADER_BYTES, HEADER_BYTES + size));
    }
    if (argsz < ZpciErrorFeature.size) return -EINVAL;
    if (buffer.length < ZpciErrorFeature.size) return -EFAULT;
    const address = readField(viewOf(buffer), 0, ZpciErrorFeature.fields.data, this.order);
    if (this.#config.host.future === true) return this.#longGet(Number(address));
    // Above 2^53 nothing is mapped; the conversion may round, the answer stays -EFAULT.
    return this.errors.get(Number(address));
  }

  /** GET of a later kernel: the CCDF and what it has more than today's. */
  #longGet(address: number): number {
    const { bytes } = this.#area;
    const length = ccdfBytesOf(this.#config);
    if (address === 0) return -EINVAL;
    const fits = address > 0 && address + length <= bytes.length;
    const result = this.errors.take((from) => {
      if (!fits) return;
      bytes.copyWithin(address, from, from + CCDF_BYTES);
      bytes.fill(0xa5, address + CCDF_BYTES, address + length);
    });
    return result === 0 && !fits ? -EFAULT : result;
  }

  /** Numbers that a later kernel gave out: the error feature again, larger, and the CCDF's length. */
  #futureFeature(feature: number, get: boolean, probe: boolean, buffer: Uint8Array): number {
    if (!get) return -EINVAL;
    if (probe) return 0;
    if (feature === FUTURE_ERROR_FEATURE || buffer.length < HEADER_BYTES + 4) return -EINVAL;
    viewOf(buffer).setUint32(HEADER_BYTES, ccdfBytesOf(this.#config), littleOf(this.order));
    return 0;
  }

  #reset(): number {
    const started = this.requests.startReset();
    if (started !== 0) return started;
    for (let look = 0; look < RESET_LOOKS_MAX; look++) {
      const result = this.requests.pollReset();
      if (result !== HOST_PENDING) return result;
      this.#whileBlocked();
    }
    return -EIO;
  }
}

/** Features other than the error feature, as vfio-pci of 7.3 without migration answers them (1.4). */
function otherFeature(feature: number, get: boolean, set: boolean, probe: boolean): number {
  const lowPower =
    feature >= VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY && feature <= VFIO_DEVICE_FEATURE_LOW_POWER_EXIT;
  if (lowPower) {
    if (get) return -EINVAL;
    return probe || set ? 0 : -EINVAL;
  }
  // Known to the core, implemented by no driver here: every operation is refused.
  if (feature === VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFO_V2) return -EINVAL;
  return -ENOTTY;
}
