/**
 * VFIO_DEVICE_GET_IRQ_INFO and VFIO_DEVICE_SET_IRQS of a simulated function (vfio-uapi.md 1.7, 3.12): the ERR
 * and REQ triggers, MSI-X enablement, and every refusal. An eventfd is any number >= 0: the count of
 * ERR is the function's `errSignals` word, MSI-X signals go straight to the guest.
 */
import { type ByteOrder, decode, encodeInto, readField, s32 } from "../../abi/layout.ts";
import {
  inOrder,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_REQ_IRQ_INDEX,
  VfioIrqInfo,
  VfioIrqSet,
} from "../../abi/vfio.ts";
import { EFAULT, EINVAL, ENOTTY } from "../../ports/host-function.ts";
import { add } from "../../shm/atomics.ts";
import { FunctionBlock, WORK_ERR, WORK_REQ } from "../../shm/blocks.ts";
import { viewOf } from "./ccdf-builder.ts";
import type { SimFunctionConfig } from "./config.ts";
import { Hardware, type HostArea, HostBlock } from "./host-area.ts";
import { msixVectors } from "./profiles.ts";

const DATA_TYPES = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_DATA_EVENTFD;
const ACTIONS = VFIO_IRQ_SET_ACTION_MASK | VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_ACTION_TRIGGER;
/** The MSI-X table size field read as ones (3.12). */
const MSIX_COUNT_IN_ERROR = 2048;

interface Request {
  readonly flags: number;
  readonly index: number;
  readonly start: number;
  readonly count: number;
  readonly view: DataView;
}

export class VfioInterrupts {
  readonly #area: HostArea;
  readonly #config: SimFunctionConfig;
  readonly #order: ByteOrder;

  constructor(area: HostArea, config: SimFunctionConfig, order: ByteOrder) {
    this.#area = area;
    this.#config = config;
    this.#order = order;
  }

  getInfo(buffer: Uint8Array): number {
    if (buffer.length < VfioIrqInfo.size) return -EFAULT;
    const table = inOrder(VfioIrqInfo, this.#order);
    const view = viewOf(buffer);
    const { argsz, index } = decode(table, view);
    if (argsz < VfioIrqInfo.size || index >= VFIO_PCI_NUM_IRQS) return -EINVAL;
    const flags =
      index === VFIO_PCI_INTX_IRQ_INDEX
        ? VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED
        : VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE;
    encodeInto(table, view, 0, { flags, count: this.#count(index) });
    return 0;
  }

  /** Vectors of an index, read live from the function as the kernel does. */
  #count(index: number): number {
    if (index === VFIO_PCI_ERR_IRQ_INDEX || index === VFIO_PCI_REQ_IRQ_INDEX) return 1;
    if (index !== VFIO_PCI_MSIX_IRQ_INDEX) return 0; // no INTx on s390, no MSI capability
    const hardware = this.#area.get(HostBlock.hardware);
    const answers = hardware === Hardware.NORMAL || hardware === Hardware.BLOCKED;
    return answers ? msixVectors(this.#config) : MSIX_COUNT_IN_ERROR;
  }

  set(buffer: Uint8Array): number {
    if (buffer.length < VfioIrqSet.size) return -EFAULT;
    const view = viewOf(buffer);
    const head = decode(inOrder(VfioIrqSet, this.#order), view);
    const { argsz, flags, index, start, count } = head;
    if (argsz < VfioIrqSet.size || index >= VFIO_PCI_NUM_IRQS) return -EINVAL;
    if ((flags & ~(DATA_TYPES | ACTIONS)) !== 0) return -EINVAL;
    const available = this.#count(index);
    if (start >= available || start + count > available) return -EINVAL;
    const itemBytes = dataBytes(flags & DATA_TYPES);
    if (itemBytes < 0 || argsz - VfioIrqSet.size < count * itemBytes) return -EINVAL;
    if (buffer.length - VfioIrqSet.size < count * itemBytes) return -EFAULT;
    const request = { flags, index, start, count, view };
    const action = flags & ACTIONS;
    if (action !== VFIO_IRQ_SET_ACTION_TRIGGER) return -ENOTTY; // INTx, the only maskable one, has count 0
    if (index === VFIO_PCI_ERR_IRQ_INDEX) return this.#setSingle(request, HostBlock.errArmed);
    if (index === VFIO_PCI_REQ_IRQ_INDEX) return this.#setSingle(request, HostBlock.reqArmed);
    if (index === VFIO_PCI_MSI_IRQ_INDEX || index === VFIO_PCI_MSIX_IRQ_INDEX) {
      return this.#setVectors(request);
    }
    return -ENOTTY;
  }

  /** ERR and REQ: one trigger, armed by an eventfd; the loopback forms signal it. */
  #setSingle(request: Request, armedWord: number): number {
    const area = this.#area;
    const armed = area.get(armedWord) === 1;
    const type = request.flags & DATA_TYPES;
    if (type === VFIO_IRQ_SET_DATA_NONE) {
      if (!armed) return -EINVAL;
      if (request.count === 0) area.set(armedWord, 0);
      else this.#signal(armedWord);
      return 0;
    }
    if (request.count === 0) return -EINVAL;
    if (type === VFIO_IRQ_SET_DATA_BOOL) {
      if (armed && request.view.getUint8(VfioIrqSet.size) !== 0) this.#signal(armedWord);
      return 0;
    }
    const fd = readField(request.view, 0, s32(VfioIrqSet.size), this.#order);
    if (fd >= 0) area.set(armedWord, 1);
    else if (fd === -1) area.set(armedWord, 0);
    return 0;
  }

  #signal(armedWord: number): void {
    const area = this.#area;
    if (armedWord === HostBlock.reqArmed) {
      add(area.words, area.host + HostBlock.reqSignals, 1);
      area.workerBell.ring(WORK_REQ);
      return;
    }
    add(area.words, area.block + FunctionBlock.errSignals, 1);
    area.workerBell.ring(WORK_ERR);
  }

  /** MSI-X as one block; another type must be disabled first. */
  #setVectors({ flags, index, start, count }: Request): number {
    const area = this.#area;
    const type = flags & DATA_TYPES;
    const enabled = area.get(HostBlock.irqType);
    const mine = enabled === index + 1;
    if (mine && count === 0 && type === VFIO_IRQ_SET_DATA_NONE) {
      area.set(HostBlock.irqType, 0);
      area.set(HostBlock.irqVectors, 0);
      return 0;
    }
    if (enabled !== 0 && !mine) return -EINVAL;
    if (type === VFIO_IRQ_SET_DATA_EVENTFD) {
      // One block for good (NORESIZE): vectors beyond the enabled ones need a disable first.
      if (mine) return start + count > area.get(HostBlock.irqVectors) ? -EINVAL : 0;
      area.set(HostBlock.irqVectors, start + count);
      area.set(HostBlock.irqType, index + 1);
      return 0;
    }
    return mine ? 0 : -EINVAL;
  }
}

/** Bytes per item of a data type, -1 unless exactly one type is chosen. */
function dataBytes(type: number): number {
  if (type === VFIO_IRQ_SET_DATA_NONE) return 0;
  if (type === VFIO_IRQ_SET_DATA_BOOL) return 1;
  return type === VFIO_IRQ_SET_DATA_EVENTFD ? 4 : -1;
}
