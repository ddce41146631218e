/**
 * Get Log Page: errors, SMART, firmware slots, changed namespaces, commands supported (NVMe 1.4, section 5.14.1),
 * and the error log's own entries. Thread: platform only.
 */
import { encode } from "../../../abi/layout.ts";
import {
  NSID_ALL,
  NvmeAdmin,
  NvmeErrorEntry,
  NvmeEvent,
  NvmeFirmwareLog,
  NvmeIo,
  NvmeLog,
  NvmeSmartLog,
  NvmeStatus,
  STATUS_DNR,
} from "../../../abi/nvme.ts";
import { ERROR_ENTRIES, NvmeBlock } from "./block.ts";
import type { NvmeCommand } from "./command.ts";
import type { Features } from "./features.ts";
import { FIRMWARE } from "./identify.ts";
import { type NvmeParts, TEMPERATURE } from "./parts.ts";
import { TRANSFER_MAX_BYTES } from "./prp.ts";

const INVALID_FIELD = NvmeStatus.invalidField | STATUS_DNR;
const ERROR_WORDS = NvmeErrorEntry.size / 4;
/** Data units of the SMART log: 1000 times 512 bytes, rounded up. */
const UNIT_BLOCKS = 1000;
const US_PER_HOUR = 3_600_000_000;
/** Commands Supported and Effects: supported; contents of logical blocks may change. */
const SUPPORTED = 1;
const CHANGES_BLOCKS = 2;

export class Logs {
  readonly #parts: NvmeParts;
  readonly #features: Features;

  constructor(parts: NvmeParts, features: Features) {
    this.#parts = parts;
    this.#features = features;
  }

  execute(command: NvmeCommand, nowUs: number): number {
    const { cdw10, cdw11, cdw12, cdw13 } = command;
    const page = cdw10 & 0xff;
    const length = ((cdw11 & 0xffff) * 0x10000 + (cdw10 >>> 16) + 1) * 4;
    const offset = cdw13 * 0x1_0000_0000 + cdw12;
    if (length > TRANSFER_MAX_BYTES || (offset & 3) !== 0) return INVALID_FIELD;
    const data = this.#page(command, page, nowUs);
    if (data === undefined) return NvmeStatus.invalidLogPage | STATUS_DNR;
    if (offset > data.length) return INVALID_FIELD;
    const part = data.subarray(offset, offset + Math.min(length, data.length - offset));
    const status =
      part.length === 0 ? 0 : this.#parts.prp.move(command.prp1, command.prp2, part, true);
    // Bit 15: Retain Asynchronous Event
    if (status === 0 && (cdw10 & 0x8000) === 0) this.#read(page);
    return status;
  }

  #page(command: NvmeCommand, page: number, nowUs: number): Uint8Array | undefined {
    switch (page) {
      case NvmeLog.error:
        return this.#errors();
      case NvmeLog.smart:
        // One log for the whole controller
        return command.nsid === 0 || command.nsid === NSID_ALL ? this.#smart(nowUs) : undefined;
      case NvmeLog.firmware: {
        const slot1 = Uint8Array.from({ length: 8 }, (_, i) => FIRMWARE.charCodeAt(i) || 0x20);
        return encode(NvmeFirmwareLog, { activeSlot: 1, slot1 });
      }
      case NvmeLog.changedNamespaces:
        return this.#changed();
      case NvmeLog.commandEffects:
        return effects();
      default:
        return undefined;
    }
  }

  #read(page: number): void {
    const { events, state } = this.#parts;
    if (page === NvmeLog.error) events.cleared(NvmeEvent.error);
    else if (page === NvmeLog.smart) events.cleared(NvmeEvent.smart);
    else if (page === NvmeLog.changedNamespaces) {
      state.set(NvmeBlock.changedNamespaces, 0);
      events.cleared(NvmeEvent.notice);
    }
  }

  /** Remembers a command that failed. */
  addError(command: NvmeCommand, status: number, io: boolean): void {
    const { state } = this.#parts;
    const count = state.wide(NvmeBlock.errorCountLow) + 1;
    const entry = encode(NvmeErrorEntry, {
      errorCount: BigInt(count),
      sqid: command.sqid,
      cid: command.cid,
      status: (status << 1) & 0xffff,
      parameterLocation: 0xffff,
      lba: io ? BigInt(command.slba) : 0n,
      nsid: command.nsid,
    });
    const view = new DataView(entry.buffer);
    const slot = NvmeBlock.errorLog + (count % ERROR_ENTRIES) * ERROR_WORDS;
    for (let word = 0; word < ERROR_WORDS; word++) {
      state.set(slot + word, view.getInt32(word * 4, true));
    }
    state.setWide(NvmeBlock.errorCountLow, count);
  }

  /** Newest first; entries that never were have count 0. */
  #errors(): Uint8Array {
    const { state } = this.#parts;
    const data = new Uint8Array(ERROR_ENTRIES * NvmeErrorEntry.size);
    const view = new DataView(data.buffer);
    const count = state.wide(NvmeBlock.errorCountLow);
    for (let n = 0; n < Math.min(count, ERROR_ENTRIES); n++) {
      const slot = NvmeBlock.errorLog + ((count - n) % ERROR_ENTRIES) * ERROR_WORDS;
      for (let word = 0; word < ERROR_WORDS; word++) {
        view.setInt32(n * NvmeErrorEntry.size + word * 4, state.get(slot + word), true);
      }
    }
    return data;
  }

  #smart(nowUs: number): Uint8Array {
    const { state } = this.#parts;
    const units = (low: number): bigint => BigInt(Math.ceil(state.wide(low) / UNIT_BLOCKS));
    return encode(NvmeSmartLog, {
      criticalWarning: this.#features.temperatureWarning ? 2 : 0,
      temperature: TEMPERATURE,
      availableSpare: 100,
      spareThreshold: 10,
      dataUnitsRead: units(NvmeBlock.blocksReadLow),
      dataUnitsWritten: units(NvmeBlock.blocksWrittenLow),
      hostReads: BigInt(state.wide(NvmeBlock.readsLow)),
      hostWrites: BigInt(state.wide(NvmeBlock.writesLow)),
      powerCycles: BigInt(state.get(NvmeBlock.powerCycles) >>> 0),
      powerOnHours: BigInt(Math.floor(nowUs / US_PER_HOUR)),
      unsafeShutdowns: BigInt(state.get(NvmeBlock.unsafeShutdowns) >>> 0),
      mediaErrors: BigInt(state.wide(NvmeBlock.mediaErrorsLow)),
      errorLogEntries: BigInt(state.wide(NvmeBlock.errorCountLow)),
    });
  }

  #changed(): Uint8Array {
    const data = new Uint8Array(4096);
    const view = new DataView(data.buffer);
    const changed = this.#parts.state.get(NvmeBlock.changedNamespaces);
    let at = 0;
    for (const { nsid } of this.#parts.namespaces) {
      if (((changed >>> (nsid - 1)) & 1) === 0) continue;
      view.setUint32(at, nsid, true);
      at += 4;
    }
    return data;
  }
}

function effects(): Uint8Array {
  const data = new Uint8Array(4096);
  const view = new DataView(data.buffer);
  for (const opcode of Object.values(NvmeAdmin)) view.setUint32(opcode * 4, SUPPORTED, true);
  const changing: readonly number[] = [NvmeIo.write, NvmeIo.writeZeroes, NvmeIo.dsm];
  for (const opcode of Object.values(NvmeIo)) {
    const value = SUPPORTED | (changing.includes(opcode) ? CHANGES_BLOCKS : 0);
    view.setUint32(1024 + opcode * 4, value, true);
  }
  return data;
}
