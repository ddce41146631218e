/**
 * Identify: controller, namespaces, lists and descriptors (NVMe 1.4, section 5.15). What is announced here is what
 * the controller does. Thread: platform only.
 */
import { createHash } from "node:crypto";
import { encode, type Layout } from "../../../abi/layout.ts";
import {
  NSID_ALL,
  NVME_AERL,
  NVME_ELPE,
  NVME_MDTS,
  NVME_VERSION,
  NvmeCns,
  NvmeIdentifyController,
  NvmeIdentifyNamespace,
  NvmeStatus,
  STATUS_DNR,
} from "../../../abi/nvme.ts";
import type { NvmeCommand } from "./command.ts";
import type { Namespace } from "./namespace.ts";
import { CRITICAL_TEMPERATURE, type NvmeParts, WARNING_TEMPERATURE } from "./parts.ts";

const IDENTIFY_BYTES = 4096;
const INVALID_FIELD = NvmeStatus.invalidField | STATUS_DNR;
const INVALID_NAMESPACE = NvmeStatus.invalidNamespace | STATUS_DNR;
export const MODEL = "zmend NVMe controller";
export const FIRMWARE = "1.0";

export class Identify {
  readonly #parts: NvmeParts;
  readonly #controller: Uint8Array;

  constructor(parts: NvmeParts) {
    this.#parts = parts;
    this.#controller = controllerData(parts);
  }

  execute(command: NvmeCommand): number {
    const cns = command.cdw10 & 0xff;
    const nvmCommandSet = command.cdw11 >>> 24 === 0;
    switch (cns) {
      case NvmeCns.controller:
        return this.#send(command, this.#controller);
      case NvmeCns.namespace:
        return this.#namespace(command, namespaceData);
      case NvmeCns.activeNamespaces:
        return this.#list(command);
      case NvmeCns.descriptors:
        return this.#namespace(command, (entry) => descriptors(entry, this.#parts.config.serial));
      // The NVM command set adds nothing to its namespaces and controller: zeros.
      case NvmeCns.ioNamespace:
        return nvmCommandSet ? this.#namespace(command, blank) : INVALID_FIELD;
      case NvmeCns.ioController:
        return nvmCommandSet ? this.#send(command, blank()) : INVALID_FIELD;
      case NvmeCns.ioActiveNamespaces:
        return nvmCommandSet ? this.#list(command) : INVALID_FIELD;
      case NvmeCns.ioCommandSets: {
        const data = blank();
        data[0] = 1; // combination 0: the NVM command set
        return this.#send(command, data);
      }
      default:
        return INVALID_FIELD;
    }
  }

  #send(command: NvmeCommand, data: Uint8Array): number {
    return this.#parts.prp.move(command.prp1, command.prp2, data, true);
  }

  #namespace(command: NvmeCommand, build: (entry: Namespace) => Uint8Array): number {
    const entry = this.#parts.namespaces[command.nsid - 1];
    return entry === undefined ? INVALID_NAMESPACE : this.#send(command, build(entry));
  }

  /** Identifiers above the given one, ascending; at most 1024 fit and fewer exist. */
  #list(command: NvmeCommand): number {
    if (command.nsid >= NSID_ALL - 1) return INVALID_NAMESPACE;
    const data = blank();
    const view = new DataView(data.buffer);
    let at = 0;
    for (const { nsid } of this.#parts.namespaces) {
      if (nsid <= command.nsid) continue;
      view.setUint32(at, nsid, true);
      at += 4;
    }
    return this.#send(command, data);
  }
}

function blank(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(IDENTIFY_BYTES);
}

function ascii(text: string, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i < text.length ? text.charCodeAt(i) : 0x20));
}

function littleEndian(value: number, length: number): Uint8Array {
  let left = BigInt(value);
  return Uint8Array.from({ length }, () => {
    const byte = Number(left & 0xffn);
    left >>= 8n;
    return byte;
  });
}

function controllerData({ config, namespaces }: NvmeParts): Uint8Array {
  const table: Layout<typeof NvmeIdentifyController.fields> = NvmeIdentifyController;
  const capacity = namespaces.reduce((sum, { store }) => sum + store.sizeBytes, 0);
  const subsystem = `nqn.2014-08.org.nvmexpress:uuid:${uuidText(uuid(config.serial))}`;
  const subnqn = new Uint8Array(256);
  subnqn.set(new TextEncoder().encode(subsystem));
  return encode(table, {
    vid: 0x1b36,
    ssvid: 0x1af4,
    sn: ascii(config.serial, 20),
    mn: ascii(MODEL, 40),
    fr: ascii(FIRMWARE, 8),
    rab: 6,
    mdts: NVME_MDTS,
    ver: NVME_VERSION,
    oaes: 0x100, //    Namespace Attribute Changed
    cntrltype: 1, //   I/O controller
    acl: 3,
    aerl: NVME_AERL,
    frmw: 0x03, //     one slot, read-only
    lpa: 0x06, //      commands supported log, log page offsets
    elpe: NVME_ELPE,
    wctemp: WARNING_TEMPERATURE,
    cctemp: CRITICAL_TEMPERATURE,
    tnvmcap: littleEndian(capacity, 16),
    sqes: 0x66,
    cqes: 0x44,
    nn: namespaces.length,
    oncs: 0x1d, //     Compare, Dataset Management, Write Zeroes, Save and Select
    vwc: 0x07, //      volatile write cache; Flush knows NSID FFFFFFFFh
    subnqn,
    psd0MaxPower: 2500,
    psd0EntryLatency: 16,
    psd0ExitLatency: 4,
  });
}

function namespaceData(entry: Namespace): Uint8Array {
  const blocks = BigInt(entry.blocks);
  return encode(NvmeIdentifyNamespace, {
    nsze: blocks,
    ncap: blocks,
    nuse: blocks,
    nlbaf: 1,
    flbas: entry.blockShift === 12 ? 1 : 0,
    dlfeat: entry.store.deallocates ? 0x09 : 0, // reads zeros; Write Zeroes may deallocate
    nsattr: entry.readOnly ? 1 : 0,
    lbaf0: 9 << 16,
    lbaf1: 12 << 16,
  });
}

/** Namespace Identification Descriptors: UUID (3) and command set (4, NVM = 0). Figure 250. */
function descriptors(entry: Namespace, serial: string): Uint8Array {
  const data = blank();
  data[0] = 3;
  data[1] = 16;
  data.set(uuid(`${serial}:${entry.nsid}`), 4);
  data[20] = 4;
  data[21] = 1;
  return data;
}

/** A UUID (RFC 9562, version 8) that follows from a name, so that it is the same in every run. */
function uuid(name: string): Uint8Array {
  const bytes = new Uint8Array(createHash("sha256").update(name).digest().subarray(0, 16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes;
}

function uuidText(bytes: Uint8Array): string {
  const digits = Buffer.from(bytes).toString("hex");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
