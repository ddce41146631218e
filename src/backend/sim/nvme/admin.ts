/**
 * Admin commands (NVMe 1.4, chapter 5): queues are made and deleted here, the rest goes to Identify, features,
 * logs and events. Commands that are not announced are answered with Invalid Command Opcode. Thread:
 * platform only.
 */
import {
  CC_IOCQES_SHIFT,
  CC_IOSQES_SHIFT,
  NVME_MQES,
  NVME_MSIX_VECTORS,
  NvmeAdmin,
  NvmeStatus,
  STATUS_DNR,
} from "../../../abi/nvme.ts";
import { Cq, NvmeBlock, QUEUES, Sq } from "./block.ts";
import type { NvmeCommand } from "./command.ts";
import { Features } from "./features.ts";
import { Identify } from "./identify.ts";
import { Logs } from "./logs.ts";
import { NO_COMPLETION, type NvmeParts } from "./parts.ts";

/** log2 of the sizes of queue entries that CC must have chosen before I/O queues are made. */
const SQ_ENTRY_LOG2 = 6;
const CQ_ENTRY_LOG2 = 4;
const INVALID_FIELD = NvmeStatus.invalidField | STATUS_DNR;
const INVALID_QUEUE = NvmeStatus.invalidQueueId | STATUS_DNR;

export class AdminCommands {
  readonly #parts: NvmeParts;
  readonly #identify: Identify;
  readonly features: Features;
  readonly logs: Logs;

  constructor(parts: NvmeParts) {
    this.#parts = parts;
    this.#identify = new Identify(parts);
    this.features = new Features(parts);
    this.logs = new Logs(parts, this.features);
  }

  /** Returns the status, or NO_COMPLETION. */
  execute(command: NvmeCommand, nowUs: number): number {
    switch (command.opcode) {
      case NvmeAdmin.deleteSq:
        return this.#deleteSq(command.cdw10 & 0xffff);
      case NvmeAdmin.createSq:
        return this.#createSq(command);
      case NvmeAdmin.getLogPage:
        return this.logs.execute(command, nowUs);
      case NvmeAdmin.deleteCq:
        return this.#deleteCq(command.cdw10 & 0xffff);
      case NvmeAdmin.createCq:
        return this.#createCq(command);
      case NvmeAdmin.identify:
        return this.#identify.execute(command);
      case NvmeAdmin.abort:
        return this.#abort(command);
      case NvmeAdmin.setFeatures:
        return this.features.set(command);
      case NvmeAdmin.getFeatures:
        return this.features.get(command);
      case NvmeAdmin.asyncEvent: {
        const status = this.#parts.events.request(command.cid);
        return status === 0 ? NO_COMPLETION : status;
      }
      default:
        return NvmeStatus.invalidOpcode | STATUS_DNR;
    }
  }

  #createCq(command: NvmeCommand): number {
    const { state } = this.#parts;
    const qid = command.cdw10 & 0xffff;
    const size = (command.cdw10 >>> 16) + 1;
    const { cdw11 } = command;
    if (qid === 0 || qid >= QUEUES || state.cq(qid, Cq.size) !== 0) return INVALID_QUEUE;
    if (!this.#sizeFits(size, CC_IOCQES_SHIFT, CQ_ENTRY_LOG2)) {
      return NvmeStatus.invalidQueueSize | STATUS_DNR;
    }
    if (!this.#aligned(command.prp1)) return NvmeStatus.invalidPrpOffset | STATUS_DNR;
    const vector = cdw11 >>> 16;
    const interrupts = (cdw11 & 2) !== 0;
    if (vector >= NVME_MSIX_VECTORS) return NvmeStatus.invalidVector | STATUS_DNR;
    if ((cdw11 & 1) === 0) return INVALID_FIELD; // not contiguous, which CAP.CQR forbids
    createCq(this.#parts, qid, size, command.prp1, interrupts ? vector + 1 : 0);
    return 0;
  }

  #createSq(command: NvmeCommand): number {
    const { state } = this.#parts;
    const qid = command.cdw10 & 0xffff;
    const size = (command.cdw10 >>> 16) + 1;
    const { cdw11 } = command;
    const cqid = cdw11 >>> 16;
    if (cqid === 0 || cqid >= QUEUES || state.cq(cqid, Cq.size) === 0) {
      return NvmeStatus.invalidCq | STATUS_DNR;
    }
    if (qid === 0 || qid >= QUEUES || state.sq(qid, Sq.size) !== 0) return INVALID_QUEUE;
    if (!this.#sizeFits(size, CC_IOSQES_SHIFT, SQ_ENTRY_LOG2)) {
      return NvmeStatus.invalidQueueSize | STATUS_DNR;
    }
    if (!this.#aligned(command.prp1)) return NvmeStatus.invalidPrpOffset | STATUS_DNR;
    if ((cdw11 & 1) === 0) return INVALID_FIELD;
    createSq(this.#parts, qid, size, command.prp1, cqid);
    return 0;
  }

  #deleteSq(qid: number): number {
    const { state, completions } = this.#parts;
    if (qid === 0 || qid >= QUEUES || state.sq(qid, Sq.size) === 0) return INVALID_QUEUE;
    completions.abortQueue(qid, NvmeStatus.abortedSqDeletion);
    state.setSq(qid, Sq.size, 0);
    return 0;
  }

  #deleteCq(qid: number): number {
    const { state, completions } = this.#parts;
    if (qid === 0 || qid >= QUEUES || state.cq(qid, Cq.size) === 0) return INVALID_QUEUE;
    for (let sqid = 1; sqid < QUEUES; sqid++) {
      if (state.sq(sqid, Sq.size) !== 0 && state.sq(sqid, Sq.cqid) === qid) {
        return NvmeStatus.invalidQueueDeletion | STATUS_DNR;
      }
    }
    completions.dropQueue(qid);
    state.setCq(qid, Cq.size, 0);
    state.setCq(qid, Cq.owed, 0);
    return 0;
  }

  /** Dword 0, bit 0: 1 = the command was not aborted. */
  #abort(command: NvmeCommand): number {
    const { state, completions, events } = this.#parts;
    const sqid = command.cdw10 & 0xffff;
    const cid = command.cdw10 >>> 16;
    if (sqid >= QUEUES || state.sq(sqid, Sq.size) === 0) return INVALID_FIELD;
    command.dw0 = 1;
    if (completions.abort(sqid, cid, NvmeStatus.abortRequested)) command.dw0 = 0;
    else if (sqid === 0 && completions.canTake(0) && events.withdraw(cid)) {
      completions.complete(0, cid, NvmeStatus.abortRequested, 0);
      command.dw0 = 0;
    }
    return 0;
  }

  #sizeFits(size: number, shift: number, entryLog2: number): boolean {
    const chosen = (this.#parts.state.get(NvmeBlock.cc) >>> shift) & 15;
    return size >= 2 && size <= NVME_MQES + 1 && chosen === entryLog2;
  }

  #aligned(address: bigint): boolean {
    const pageBytes = 1n << BigInt(12 + this.#parts.state.get(NvmeBlock.pageShift));
    return (address & (pageBytes - 1n)) === 0n;
  }
}

export function createCq(
  { state }: Pick<NvmeParts, "state">,
  qid: number,
  size: number,
  address: bigint,
  interrupt: number,
): void {
  state.setCq(qid, Cq.baseLow, Number(address & 0xffffffffn) | 0);
  state.setCq(qid, Cq.baseHigh, Number(address >> 32n) | 0);
  state.setCq(qid, Cq.head, 0);
  state.setCq(qid, Cq.tail, 0);
  state.setCq(qid, Cq.phase, 1);
  state.setCq(qid, Cq.interrupt, interrupt);
  state.setCq(qid, Cq.owed, 0);
  state.setCq(qid, Cq.size, size);
}

export function createSq(
  { state }: Pick<NvmeParts, "state">,
  qid: number,
  size: number,
  address: bigint,
  cqid: number,
): void {
  state.setSq(qid, Sq.baseLow, Number(address & 0xffffffffn) | 0);
  state.setSq(qid, Sq.baseHigh, Number(address >> 32n) | 0);
  state.setSq(qid, Sq.head, 0);
  state.setSq(qid, Sq.tail, 0);
  state.setSq(qid, Sq.cqid, cqid);
  state.setSq(qid, Sq.size, size);
}
