/**
 * The NVMe controller at work: follows CC, takes doorbells, fetches commands in turn from all submission queues
 * and carries them out (NVMe 1.4, chapters 3, 4 and 7). All of its state stands in the host area; this object
 * may be built anew at any time. Thread: platform only.
 *
 * Nothing a guest stores can throw, hang or reach beyond its own memory: a bad command ends with its status,
 * an address that the guest has not mapped with an error event of the function, an unusable queue with
 * CSTS.CFS. While the function is in error no command is fetched.
 */
import {
  CC_AMS_SHIFT,
  CC_CSS_SHIFT,
  CC_EN,
  CC_MPS_SHIFT,
  CC_SHN_SHIFT,
  CSS_ADMIN_ONLY,
  CSS_ALL_IO,
  CSS_NVM,
  CSTS_CFS,
  CSTS_RDY,
  CSTS_SHST_COMPLETE,
  CSTS_SHST_MASK,
  EVENT_INVALID_DOORBELL_REGISTER,
  EVENT_INVALID_DOORBELL_VALUE,
  EVENT_NAMESPACE_CHANGED,
  NVME_MPS_MAX,
  NvmeEvent,
  NvmeIo,
  NvmeLog,
  NvmeSqe,
  NvmeStatus,
  STATUS_DNR,
} from "../../../abi/nvme.ts";
import type { BusMaster } from "../bus-master.ts";
import { MSIX_CONTROL } from "../config-space.ts";
import type { SimDevice } from "../device.ts";
import { Hardware, type HostArea, HostBlock, MSIX_VECTORS_MAX } from "../host-area.ts";
import { AdminCommands, createCq, createSq } from "./admin.ts";
import { Cq, DIRTY_WORDS, NvmeBlock, QUEUES, Sq } from "./block.ts";
import { NvmeCommand } from "./command.ts";
import { Completions } from "./completions.ts";
import type { NvmeConfig } from "./config.ts";
import { AsyncEvents } from "./events.ts";
import { type FaultSubject, NvmeFaults, type NvmeFaultsState } from "./faults.ts";
import { IoCommands } from "./io.ts";
import { type BlockStoreState, openNamespace } from "./namespace.ts";
import { NO_COMPLETION, type NvmeParts } from "./parts.ts";
import { PrpTransfer } from "./prp.ts";
import { NvmeState } from "./state.ts";

/** Commands one step carries out, so that a busy guest cannot hold the platform's thread. */
const COMMANDS_PER_STEP = 64;
/** Pauses between tries while the guest's side refuses DMA: doubled up to a second. */
const RETRY_MIN_US = 1000;
const RETRY_MAX_US = 1_000_000;
/** What a snapshot keeps of a controller beyond its words in shared memory. */
export interface NvmeControllerState {
  readonly faults: NvmeFaultsState;
  readonly retryUs: number;
  readonly retryAtUs: number;
  readonly namespaces: readonly { readonly readOnly: boolean; readonly store: BlockStoreState }[];
}

/** "Until the function is reset", as a time. */
const FOREVER_US = 2 ** 52;

export class NvmeController implements SimDevice {
  readonly #area: HostArea;
  readonly #bus: BusMaster;
  readonly #state: NvmeState;
  readonly #parts: NvmeParts;
  readonly #admin: AdminCommands;
  readonly #io: IoCommands;
  readonly #command = new NvmeCommand();
  readonly #busy = new Uint8Array(QUEUES);
  readonly faults: NvmeFaults;
  #more = false;
  #retryUs = 0;
  #retryAtUs = Number.POSITIVE_INFINITY;
  #refused = false;

  /** @throws ZmendError CONFIG_INVALID when a disk image cannot be used */
  constructor(bus: BusMaster, config: NvmeConfig) {
    this.#area = bus.area;
    this.#bus = bus;
    const state = new NvmeState(bus.area);
    const completions = new Completions(bus, state);
    this.#state = state;
    this.faults = new NvmeFaults(config.faults, config.seed);
    this.#parts = {
      state,
      config,
      namespaces: config.namespaces.map((entry, index) => openNamespace(entry, index + 1)),
      prp: new PrpTransfer(bus, state),
      completions,
      events: new AsyncEvents(state, completions),
      faults: this.faults,
    };
    this.#admin = new AdminCommands(this.#parts);
    this.#io = new IoCommands(this.#parts, this.#admin.features);
    if (state.get(NvmeBlock.powerCycles) === 0) state.set(NvmeBlock.powerCycles, 1);
  }

  step(nowUs: number): boolean {
    this.#more = false;
    this.#refused = false;
    this.#parts.completions.refused = false;
    const hardware = this.#area.get(HostBlock.hardware);
    if (hardware !== Hardware.NORMAL && hardware !== Hardware.BLOCKED) return false;
    let worked = this.#functionLevelReset();
    if (this.#followControl(nowUs)) worked = true;
    if (this.#state.ready && this.#bus.passes) {
      this.#takeDoorbells();
      if (this.#work(nowUs)) worked = true;
      this.#parts.completions.announce();
    }
    this.#planRetry(nowUs);
    return this.#bus.deliverPending() || worked;
  }

  nextEventUs(): number {
    const held = this.#state.wide(NvmeBlock.heldUntilLow);
    const control = held === 0 || held >= FOREVER_US ? Number.POSITIVE_INFINITY : held;
    if (!this.#bus.passes || !this.#state.ready) return control;
    if (this.#more) return 0;
    return Math.min(control, this.#retryAtUs, this.#parts.completions.nextDueUs);
  }

  /** The function was reset by the host. */
  reset(): void {
    this.#state.resetFunction();
    this.#parts.completions.nextDueUs = Number.POSITIVE_INFINITY;
    this.#retryAtUs = Number.POSITIVE_INFINITY;
    this.#retryUs = 0;
  }

  /** Makes a namespace read-only or writable, and tells a driver that wants to know. */
  setReadOnly(nsid: number, readOnly: boolean): boolean {
    const namespace = this.#parts.namespaces[nsid - 1];
    if (namespace === undefined) return false;
    namespace.readOnly = readOnly;
    const changed = this.#state.get(NvmeBlock.changedNamespaces);
    this.#state.set(NvmeBlock.changedNamespaces, changed | (1 << (nsid - 1)));
    if (this.#parts.events.wanted(8)) {
      const log = NvmeLog.changedNamespaces;
      this.#parts.events.raise(NvmeEvent.notice, EVENT_NAMESPACE_CHANGED, log);
    }
    return true;
  }

  save(): NvmeControllerState {
    return {
      faults: this.faults.save(),
      retryUs: this.#retryUs,
      retryAtUs: this.#retryAtUs,
      namespaces: this.#parts.namespaces.map(({ readOnly, store }) => ({
        readOnly,
        store: store.save(),
      })),
    };
  }

  /** @returns undefined, or why this controller cannot go on where that one stood */
  load({ faults, retryUs, retryAtUs, namespaces }: NvmeControllerState): string | undefined {
    this.faults.load(faults);
    this.#retryUs = retryUs;
    this.#retryAtUs = retryAtUs;
    for (const [index, namespace] of this.#parts.namespaces.entries()) {
      const saved = namespaces[index];
      if (saved === undefined) return `namespace ${index + 1} is not in the snapshot`;
      namespace.readOnly = saved.readOnly;
      const problem = namespace.store.load(saved.store);
      if (problem !== undefined) return `namespace ${index + 1}: ${problem}`;
    }
    return undefined;
  }

  /** Flushes and closes the disk images; the controller is not used afterwards. */
  close(): void {
    for (const { store } of this.#parts.namespaces) {
      store.flush();
      store.close();
    }
  }

  // Control

  /** The guest asked for a reset through its PCI Express capability. */
  #functionLevelReset(): boolean {
    const state = this.#state;
    if (state.get(NvmeBlock.functionResets) === state.get(NvmeBlock.functionResetsSeen)) {
      return false;
    }
    this.reset();
    const area = this.#area;
    area.configSpace.fill(0, 4, 6);
    area.configSpace[MSIX_CONTROL + 1] = (area.configSpace[MSIX_CONTROL + 1] ?? 0) & 0x3f;
    for (let vector = 0; vector < MSIX_VECTORS_MAX; vector++) area.msixTable[vector * 16 + 12] = 1;
    for (let word = 0; word < 4; word++) area.set(HostBlock.msixPending + word, 0);
    return true;
  }

  #followControl(nowUs: number): boolean {
    const state = this.#state;
    // In this order: a CC that is older than the count only means another look at the next ring.
    const disables = state.get(NvmeBlock.disables);
    const cc = state.get(NvmeBlock.cc);
    const csts = state.get(NvmeBlock.csts);
    const enabled = (cc & CC_EN) !== 0;
    const reset =
      disables !== state.get(NvmeBlock.disablesSeen) ||
      (!enabled && (csts & (CSTS_RDY | CSTS_CFS)) !== 0);
    const enable = enabled && (reset || (csts & (CSTS_RDY | CSTS_CFS)) === 0);
    if (reset || enable) {
      if (this.#held(nowUs)) return false;
      if (reset) {
        state.resetController();
        state.set(NvmeBlock.disablesSeen, disables);
      }
      if (enable) this.#enable(cc);
      return true;
    }
    return this.#shutDown(cc, csts);
  }

  /** Fault "stuckReady": CSTS stays as it is. Each change asks once. */
  #held(nowUs: number): boolean {
    const state = this.#state;
    const until = state.wide(NvmeBlock.heldUntilLow);
    if (until !== 0) {
      if (nowUs < until) return true;
      state.setWide(NvmeBlock.heldUntilLow, 0);
      return false;
    }
    const us = this.faults.stuckUs(nowUs);
    if (us === 0) return false;
    state.setWide(NvmeBlock.heldUntilLow, Math.min(Math.ceil(nowUs + us), FOREVER_US));
    return true;
  }

  #enable(cc: number): void {
    const state = this.#state;
    const aqa = state.get(NvmeBlock.aqa);
    const submission = (aqa & 0xfff) + 1;
    const completion = ((aqa >>> 16) & 0xfff) + 1;
    const css = (cc >>> CC_CSS_SHIFT) & 7;
    const pageShift = (cc >>> CC_MPS_SHIFT) & 15;
    const aligned = (word: number): boolean => state.get(word) % 2 ** (12 + pageShift) === 0;
    const valid =
      submission >= 2 &&
      completion >= 2 &&
      (css === CSS_NVM || css === CSS_ALL_IO || css === CSS_ADMIN_ONLY) &&
      pageShift <= NVME_MPS_MAX &&
      ((cc >>> CC_AMS_SHIFT) & 7) === 0 &&
      aligned(NvmeBlock.asqLow) &&
      aligned(NvmeBlock.acqLow);
    if (!valid) {
      state.fatal();
      return;
    }
    const address = (low: number, high: number): bigint =>
      (BigInt(state.get(high) >>> 0) << 32n) | BigInt(state.get(low) >>> 0);
    state.set(NvmeBlock.pageShift, pageShift);
    const acq = address(NvmeBlock.acqLow, NvmeBlock.acqHigh);
    const asq = address(NvmeBlock.asqLow, NvmeBlock.asqHigh);
    createCq(this.#parts, 0, completion, acq, 1);
    createSq(this.#parts, 0, submission, asq, 0);
    state.set(NvmeBlock.csts, CSTS_RDY);
  }

  /** CC.SHN: everything cached goes to the media; the queues rest until the next reset. */
  #shutDown(cc: number, csts: number): boolean {
    if (((cc >>> CC_SHN_SHIFT) & 3) === 0 || (csts & CSTS_SHST_MASK) !== 0) return false;
    this.#io.flushAll();
    this.#state.set(NvmeBlock.csts, csts | CSTS_SHST_COMPLETE);
    return true;
  }

  // Doorbells

  #takeDoorbells(): void {
    const state = this.#state;
    if (state.take(NvmeBlock.badDoorbell) !== 0) this.#doorbellError(false);
    for (let word = 0; word < DIRTY_WORDS; word++) {
      const dirty = state.take(NvmeBlock.dirty + word);
      if (dirty === 0) continue;
      for (let bit = 0; bit < 32; bit++) {
        if (((dirty >>> bit) & 1) === 1) this.#doorbell(word * 32 + bit);
      }
    }
  }

  #doorbell(number: number): void {
    const state = this.#state;
    const qid = number >>> 1;
    const value = state.get(NvmeBlock.doorbells + number) >>> 0;
    if ((number & 1) === 0) {
      const size = state.sq(qid, Sq.size);
      if (size === 0 || value >= size) this.#doorbellError(size !== 0);
      else state.setSq(qid, Sq.tail, value);
      return;
    }
    const size = state.cq(qid, Cq.size);
    const head = state.cq(qid, Cq.head);
    const used = size === 0 ? 0 : (state.cq(qid, Cq.tail) - head + size) % size;
    if (size === 0 || value >= size || (value - head + size) % size > used) {
      this.#doorbellError(size !== 0);
    } else state.setCq(qid, Cq.head, value);
  }

  #doorbellError(exists: boolean): void {
    const information = exists ? EVENT_INVALID_DOORBELL_VALUE : EVENT_INVALID_DOORBELL_REGISTER;
    this.#parts.events.raise(NvmeEvent.error, information, NvmeLog.error);
  }

  // Commands

  #work(nowUs: number): boolean {
    const { completions, events } = this.#parts;
    let worked = completions.flush(nowUs);
    if (events.flush()) worked = true;
    const resting = (this.#state.get(NvmeBlock.csts) & CSTS_SHST_MASK) !== 0;
    if (resting) return worked;
    let budget = COMMANDS_PER_STEP;
    const busy = this.#findBusy();
    for (let served = 1; served > 0 && budget > 0; ) {
      served = this.#serve(0, nowUs) ? 1 : 0;
      for (let n = 0; n < busy && served < budget; n++) {
        if (this.#serve(this.#busy[n] as number, nowUs)) served += 1;
      }
      budget -= served;
      if (served > 0) worked = true;
    }
    this.#more = budget <= 0;
    if (events.flush()) worked = true;
    return worked;
  }

  /**
   * I/O queues with commands, in the order of their turns: each step begins with another one. Tails move only
   * between steps.
   */
  #findBusy(): number {
    const state = this.#state;
    const first = state.get(NvmeBlock.nextQueue);
    state.set(NvmeBlock.nextQueue, (first + 1) % (QUEUES - 1));
    let count = 0;
    for (let n = 0; n < QUEUES - 1; n++) {
      const qid = 1 + ((first + n) % (QUEUES - 1));
      if (state.sq(qid, Sq.size) === 0 || state.sq(qid, Sq.head) === state.sq(qid, Sq.tail))
        continue;
      this.#busy[count] = qid;
      count += 1;
    }
    return count;
  }

  /** Takes one command of a queue. Returns whether there was one that could be taken. */
  #serve(qid: number, nowUs: number): boolean {
    const state = this.#state;
    const size = state.sq(qid, Sq.size);
    const head = state.sq(qid, Sq.head);
    if (size === 0 || head === state.sq(qid, Sq.tail)) return false;
    if (!state.ready || !this.#parts.completions.canTake(qid)) return false;
    const command = this.#command;
    const address = state.sqAddress(qid) + BigInt(head * NvmeSqe.size);
    const result = this.#bus.transfer(address, command.bytes, false);
    if (result > 0) state.fatal();
    if (result < 0) this.#refused = true;
    if (result !== 0) return false;
    state.setSq(qid, Sq.head, (head + 1) % size);
    command.sqid = qid;
    this.#carryOut(command, nowUs);
    return true;
  }

  #carryOut(command: NvmeCommand, nowUs: number): void {
    const { completions } = this.#parts;
    const { faults } = this;
    const io = command.sqid !== 0;
    faults.match(subjectOf(command, io), nowUs);
    // Execution may match nothing again: what happens to this command is settled here.
    const { delayUs, drop } = faults;
    command.dw0 = 0;
    const status = this.#execute(command, io, nowUs);
    if (status > 0) this.#admin.logs.addError(command, status, io);
    if (status === NO_COMPLETION || drop) return;
    const due = delayUs === 0 ? 0 : Math.ceil(nowUs + delayUs);
    completions.complete(command.sqid, command.cid, status, command.dw0, due);
  }

  #execute(command: NvmeCommand, io: boolean, nowUs: number): number {
    if (this.faults.status !== 0) return this.faults.status;
    // Fused operations (bits 0-1) and SGLs (bits 6-7) are not announced.
    if ((command.flags & 0xc3) !== 0) return NvmeStatus.invalidField | STATUS_DNR;
    return io ? this.#io.execute(command) : this.#admin.execute(command, nowUs);
  }

  #planRetry(nowUs: number): void {
    if (!this.#refused && !this.#parts.completions.refused) {
      this.#retryUs = 0;
      this.#retryAtUs = Number.POSITIVE_INFINITY;
      return;
    }
    this.#retryUs = Math.min(Math.max(this.#retryUs * 2, RETRY_MIN_US), RETRY_MAX_US);
    this.#retryAtUs = nowUs + this.#retryUs;
  }
}

const subject: { -readonly [K in keyof FaultSubject]: FaultSubject[K] } = {
  io: false,
  opcode: 0,
  nsid: 0,
  lba: 0,
  blocks: 0,
};

/** The command for the fault triggers. One object for all: it is looked at before the next is made. */
function subjectOf(command: NvmeCommand, io: boolean): FaultSubject {
  const { opcode } = command;
  const addressed =
    io &&
    (opcode === NvmeIo.read ||
      opcode === NvmeIo.write ||
      opcode === NvmeIo.compare ||
      opcode === NvmeIo.writeZeroes);
  subject.io = io;
  subject.opcode = opcode;
  subject.nsid = command.nsid;
  subject.lba = addressed ? command.slba : 0;
  subject.blocks = addressed ? command.blocks : 0;
  return subject;
}
