/**
 * The NVM command set: read, write, flush, compare, write zeroes, dataset management (NVMe 1.4, chapter 6).
 * Ranges are checked before data moves; one buffer of MDTS bytes serves all transfers. Thread: platform only.
 */
import {
  CC_CSS_SHIFT,
  CSS_ADMIN_ONLY,
  DSM_DEALLOCATE,
  NSID_ALL,
  NvmeDsmRange,
  NvmeFeature,
  NvmeIo,
  NvmeStatus,
  RW_FUA,
  STATUS_DNR,
} from "../../../abi/nvme.ts";
import { NvmeBlock } from "./block.ts";
import type { NvmeCommand } from "./command.ts";
import type { Features } from "./features.ts";
import type { Namespace } from "./namespace.ts";
import type { NvmeParts } from "./parts.ts";
import { TRANSFER_MAX_BYTES } from "./prp.ts";

const INVALID_FIELD = NvmeStatus.invalidField | STATUS_DNR;
const INVALID_OPCODE = NvmeStatus.invalidOpcode | STATUS_DNR;
const dsm = NvmeDsmRange.fields;

export class IoCommands {
  readonly #parts: NvmeParts;
  readonly #features: Features;
  readonly #buffer = new Uint8Array(TRANSFER_MAX_BYTES);
  readonly #medium = new Uint8Array(TRANSFER_MAX_BYTES);

  constructor(parts: NvmeParts, features: Features) {
    this.#parts = parts;
    this.#features = features;
  }

  execute(command: NvmeCommand): number {
    const css = (this.#parts.state.get(NvmeBlock.cc) >>> CC_CSS_SHIFT) & 7;
    if (css === CSS_ADMIN_ONLY) return INVALID_OPCODE;
    const { opcode, nsid } = command;
    if (opcode === NvmeIo.flush && nsid === NSID_ALL) return this.flushAll();
    const namespace = this.#parts.namespaces[nsid - 1];
    if (namespace === undefined) return NvmeStatus.invalidNamespace | STATUS_DNR;
    switch (opcode) {
      case NvmeIo.flush:
        return namespace.store.flush();
      case NvmeIo.read:
        return this.#read(command, namespace);
      case NvmeIo.write:
        return this.#write(command, namespace);
      case NvmeIo.compare:
        return this.#compare(command, namespace);
      case NvmeIo.writeZeroes:
        return this.#writeZeroes(command, namespace);
      case NvmeIo.dsm:
        return this.#datasetManagement(command, namespace);
      default:
        return INVALID_OPCODE;
    }
  }

  /** Writes back every namespace; the first failure is the answer. */
  flushAll(): number {
    let status = 0;
    for (const { store } of this.#parts.namespaces) {
      const result = store.flush();
      if (status === 0) status = result;
    }
    return status;
  }

  #read(command: NvmeCommand, namespace: Namespace): number {
    const length = command.blocks * 2 ** namespace.blockShift;
    const status = transferable(command, namespace, length);
    if (status !== 0) return status;
    const { prp, faults, state } = this.#parts;
    const data = this.#buffer.subarray(0, length);
    const read = this.#counted(namespace.store.read(offsetOf(command, namespace), data));
    if (read !== 0) return read;
    faults.corrupt(data);
    const moved = prp.move(command.prp1, command.prp2, data, true);
    if (moved !== 0) return moved;
    state.addWide(NvmeBlock.readsLow, 1);
    state.addWide(NvmeBlock.blocksReadLow, length / 512);
    return 0;
  }

  #write(command: NvmeCommand, namespace: Namespace): number {
    const length = command.blocks * 2 ** namespace.blockShift;
    const status = transferable(command, namespace, length) || writable(namespace);
    if (status !== 0) return status;
    const { prp, faults, state } = this.#parts;
    const data = this.#buffer.subarray(0, length);
    const moved = prp.move(command.prp1, command.prp2, data, false);
    if (moved !== 0) return moved;
    faults.corrupt(data);
    const written = this.#counted(namespace.store.write(offsetOf(command, namespace), data));
    if (written !== 0) return written;
    state.addWide(NvmeBlock.writesLow, 1);
    state.addWide(NvmeBlock.blocksWrittenLow, length / 512);
    return this.#settle(command, namespace);
  }

  #compare(command: NvmeCommand, namespace: Namespace): number {
    const length = command.blocks * 2 ** namespace.blockShift;
    const status = transferable(command, namespace, length);
    if (status !== 0) return status;
    const data = this.#buffer.subarray(0, length);
    const medium = this.#medium.subarray(0, length);
    const moved = this.#parts.prp.move(command.prp1, command.prp2, data, false);
    if (moved !== 0) return moved;
    const read = this.#counted(namespace.store.read(offsetOf(command, namespace), medium));
    if (read !== 0) return read;
    return Buffer.compare(data, medium) === 0 ? 0 : NvmeStatus.compareFailure | STATUS_DNR;
  }

  /** Not bound by MDTS: no data moves. At most 65536 blocks. */
  #writeZeroes(command: NvmeCommand, namespace: Namespace): number {
    const status = inRange(command.slba, command.blocks, namespace) || writable(namespace);
    if (status !== 0) return status;
    const length = command.blocks * 2 ** namespace.blockShift;
    const done = this.#counted(namespace.store.zero(offsetOf(command, namespace), length));
    return done === 0 ? this.#settle(command, namespace) : done;
  }

  #datasetManagement(command: NvmeCommand, namespace: Namespace): number {
    const ranges = (command.cdw10 & 0xff) + 1;
    const deallocate = (command.cdw11 & DSM_DEALLOCATE) !== 0;
    const protectedStatus = deallocate ? writable(namespace) : 0;
    if (protectedStatus !== 0) return protectedStatus;
    const data = this.#buffer.subarray(0, ranges * NvmeDsmRange.size);
    const moved = this.#parts.prp.move(command.prp1, command.prp2, data, false);
    if (moved !== 0 || !deallocate) return moved;
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    for (const pass of ["check", "act"]) {
      for (let i = 0; i < ranges; i++) {
        const base = i * NvmeDsmRange.size;
        const blocks = view.getUint32(base + dsm.blocks.offset, true);
        const slba = Number(view.getBigUint64(base + dsm.slba.offset, true));
        if (blocks === 0) continue;
        if (pass === "check") {
          const status = inRange(slba, blocks, namespace);
          if (status !== 0) return status;
          continue;
        }
        const block = 2 ** namespace.blockShift;
        const status = this.#counted(namespace.store.deallocate(slba * block, blocks * block));
        if (status !== 0) return status;
      }
    }
    return 0;
  }

  /** Counts what the medium did wrong. */
  #counted(status: number): number {
    if (status !== 0) this.#parts.state.addWide(NvmeBlock.mediaErrorsLow, 1);
    return status;
  }

  /** Force unit access, or no write cache: on the medium before the completion. */
  #settle(command: NvmeCommand, namespace: Namespace): number {
    const cached = (this.#features.value(NvmeFeature.volatileWriteCache) & 1) === 1;
    if (cached && (command.cdw12 & RW_FUA) === 0) return 0;
    return this.#counted(namespace.store.flush());
  }
}

function offsetOf(command: NvmeCommand, namespace: Namespace): number {
  return command.slba * 2 ** namespace.blockShift;
}

function transferable(command: NvmeCommand, namespace: Namespace, length: number): number {
  if (length > TRANSFER_MAX_BYTES) return INVALID_FIELD;
  return inRange(command.slba, command.blocks, namespace);
}

function inRange(slba: number, blocks: number, namespace: Namespace): number {
  return slba + blocks > namespace.blocks ? NvmeStatus.lbaOutOfRange | STATUS_DNR : 0;
}

function writable(namespace: Namespace): number {
  return namespace.readOnly ? NvmeStatus.namespaceWriteProtected | STATUS_DNR : 0;
}
