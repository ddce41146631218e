/**
 * Get Features and Set Features (NVMe 1.4, sections 5.14 and 5.21). Values are kept xor their defaults, so that
 * zeroed words are a reset controller. Nothing is saveable. Thread: platform only.
 */
import {
  CC_CSS_SHIFT,
  CSS_ALL_IO,
  EVENT_TEMPERATURE,
  NSID_ALL,
  NVME_IO_QUEUES_MAX,
  NVME_MSIX_VECTORS,
  NvmeEvent,
  NvmeFeature,
  NvmeLog,
  NvmeStatus,
  STATUS_DNR,
} from "../../../abi/nvme.ts";
import { Cq, NvmeBlock, QUEUES, Sq } from "./block.ts";
import type { NvmeCommand } from "./command.ts";
import { type NvmeParts, TEMPERATURE, WARNING_TEMPERATURE } from "./parts.ts";

interface FeatureRow {
  readonly initial: number;
  /** Bits of dword 11 that a Set Features stores. */
  readonly mask: number;
}

const QUEUE_COUNT = ((NVME_IO_QUEUES_MAX - 1) << 16) | (NVME_IO_QUEUES_MAX - 1);
const rows: Readonly<Record<number, FeatureRow>> = {
  [NvmeFeature.arbitration]: { initial: 7, mask: -1 },
  [NvmeFeature.powerManagement]: { initial: 0, mask: 0xff },
  [NvmeFeature.temperatureThreshold]: { initial: WARNING_TEMPERATURE, mask: 0xffff },
  [NvmeFeature.errorRecovery]: { initial: 0, mask: 0xffff },
  [NvmeFeature.volatileWriteCache]: { initial: 1, mask: 1 },
  [NvmeFeature.numberOfQueues]: { initial: QUEUE_COUNT, mask: 0 },
  [NvmeFeature.interruptCoalescing]: { initial: 0, mask: 0xffff },
  [NvmeFeature.interruptVector]: { initial: 0, mask: 0 },
  [NvmeFeature.writeAtomicity]: { initial: 0, mask: 1 },
  [NvmeFeature.asyncEvents]: { initial: 0, mask: 0x1ff },
  [NvmeFeature.ioCommandSets]: { initial: 0, mask: 0 },
};

const INVALID_FIELD = NvmeStatus.invalidField | STATUS_DNR;
/** Select: what Get Features is asked for. */
const SELECT_DEFAULT = 1;
const SELECT_SAVED = 2;
const SELECT_CAPABILITIES = 3;
const CAPABILITY_CHANGEABLE = 4;
const SAVE = 0x80000000;
/** Threshold select: which sensor, and which end of the scale. */
const SENSOR_ALL = 15;

export class Features {
  readonly #parts: NvmeParts;

  constructor(parts: NvmeParts) {
    this.#parts = parts;
  }

  get(command: NvmeCommand): number {
    const fid = command.cdw10 & 0xff;
    const select = (command.cdw10 >>> 8) & 7;
    const row = this.#row(fid);
    if (row === undefined || select > SELECT_CAPABILITIES) return INVALID_FIELD;
    if (select === SELECT_CAPABILITIES) {
      command.dw0 = CAPABILITY_CHANGEABLE;
      return 0;
    }
    const initial = select === SELECT_DEFAULT || select === SELECT_SAVED;
    if (fid === NvmeFeature.temperatureThreshold) return this.#getThreshold(command, initial);
    if (fid === NvmeFeature.interruptVector) return this.#getVector(command, initial);
    command.dw0 = initial ? row.initial : this.value(fid);
    return 0;
  }

  set(command: NvmeCommand): number {
    const fid = command.cdw10 & 0xff;
    const row = this.#row(fid);
    if (row === undefined) return INVALID_FIELD;
    if ((command.cdw10 & SAVE) !== 0) return NvmeStatus.featureNotSaveable | STATUS_DNR;
    const { nsid, cdw11 } = command;
    if (nsid !== 0 && nsid !== NSID_ALL) {
      const known = nsid <= this.#parts.namespaces.length;
      const status = known ? NvmeStatus.featureNotNamespaceSpecific : NvmeStatus.invalidNamespace;
      return status | STATUS_DNR;
    }
    switch (fid) {
      case NvmeFeature.numberOfQueues:
        return this.#setQueues(command);
      case NvmeFeature.temperatureThreshold:
        return this.#setThreshold(cdw11);
      case NvmeFeature.interruptVector:
        return this.#setVector(cdw11);
      case NvmeFeature.powerManagement:
        if ((cdw11 & 0x1f) !== 0) return INVALID_FIELD; // power state 0 is the only one
        break;
      case NvmeFeature.ioCommandSets:
        if ((cdw11 & 0x1ff) !== 0) return INVALID_FIELD; // combination 0 is the only one
        break;
      case NvmeFeature.volatileWriteCache:
        if ((cdw11 & 1) === 0) {
          for (const { store } of this.#parts.namespaces) store.flush();
        }
        break;
      default:
        break;
    }
    this.#store(fid, row, cdw11);
    return 0;
  }

  /** Current value of a feature with a plain value. */
  value(fid: number): number {
    return this.#parts.state.get(NvmeBlock.features + fid) ^ (rows[fid]?.initial ?? 0);
  }

  /** Whether the temperature lies beyond a threshold. */
  get temperatureWarning(): boolean {
    const over = this.#parts.state.get(NvmeBlock.temperatureOver) ^ WARNING_TEMPERATURE;
    return TEMPERATURE >= over || TEMPERATURE <= this.#parts.state.get(NvmeBlock.temperatureUnder);
  }

  #row(fid: number): FeatureRow | undefined {
    // The profile of I/O command sets exists only where the driver chose "all supported" of them.
    const css = (this.#parts.state.get(NvmeBlock.cc) >>> CC_CSS_SHIFT) & 7;
    if (fid === NvmeFeature.ioCommandSets && css !== CSS_ALL_IO) return undefined;
    return rows[fid];
  }

  #store(fid: number, row: FeatureRow, value: number): void {
    this.#parts.state.set(NvmeBlock.features + fid, (value & row.mask) ^ row.initial);
  }

  #setQueues(command: NvmeCommand): number {
    const { state } = this.#parts;
    const submission = command.cdw11 & 0xffff;
    const completion = command.cdw11 >>> 16;
    if (submission === 0xffff || completion === 0xffff) return INVALID_FIELD;
    for (let qid = 1; qid < QUEUES; qid++) {
      if (state.sq(qid, Sq.size) !== 0 || state.cq(qid, Cq.size) !== 0) {
        return NvmeStatus.commandSequenceError | STATUS_DNR;
      }
    }
    command.dw0 = QUEUE_COUNT; // as many as there are, however many were asked for
    return 0;
  }

  #setThreshold(cdw11: number): number {
    const { state, events } = this.#parts;
    const sensor = (cdw11 >>> 16) & 15;
    const end = (cdw11 >>> 20) & 3;
    if (end > 1) return INVALID_FIELD;
    if (sensor === 0 || sensor === SENSOR_ALL) {
      const kelvins = cdw11 & 0xffff;
      if (end === 0) state.set(NvmeBlock.temperatureOver, kelvins ^ WARNING_TEMPERATURE);
      else state.set(NvmeBlock.temperatureUnder, kelvins);
    }
    if (this.temperatureWarning && events.wanted(1)) {
      events.raise(NvmeEvent.smart, EVENT_TEMPERATURE, NvmeLog.smart);
    }
    return 0;
  }

  #getThreshold(command: NvmeCommand, initial: boolean): number {
    const sensor = (command.cdw11 >>> 16) & 15;
    const end = (command.cdw11 >>> 20) & 3;
    if (end > 1) return INVALID_FIELD;
    const { state } = this.#parts;
    const over = initial ? 0 : state.get(NvmeBlock.temperatureOver);
    const under = initial ? 0 : state.get(NvmeBlock.temperatureUnder);
    // Sensors other than the composite one do not exist: their thresholds stay at the ends of the scale.
    if (sensor !== 0) command.dw0 = end === 0 ? 0xffff : 0;
    else command.dw0 = end === 0 ? over ^ WARNING_TEMPERATURE : under;
    return 0;
  }

  /** Interrupt Vector Configuration: coalescing switched off, one bit per vector. */
  #setVector(cdw11: number): number {
    const vector = cdw11 & 0xffff;
    if (vector >= NVME_MSIX_VECTORS) return INVALID_FIELD;
    const { state } = this.#parts;
    const word = NvmeBlock.coalescingOff + (vector >>> 5);
    const bit = 1 << (vector & 31);
    const off = (cdw11 & 0x10000) !== 0;
    state.set(word, off ? state.get(word) | bit : state.get(word) & ~bit);
    return 0;
  }

  #getVector(command: NvmeCommand, initial: boolean): number {
    const vector = command.cdw11 & 0xffff;
    if (vector >= NVME_MSIX_VECTORS) return INVALID_FIELD;
    const word = initial ? 0 : this.#parts.state.get(NvmeBlock.coalescingOff + (vector >>> 5));
    command.dw0 = vector | (((word >>> (vector & 31)) & 1) << 16);
    return 0;
  }
}
