/**
 * A driver that behaves like Linux's nvme: disable, admin queue, enable, identify, features, queues, I/O by PRP
 * lists, reset, shutdown. It runs over an `NvmeRig` and steps its platform.
 */
import { IOVA, type NvmeRig } from "./nvme-rig.ts";

export interface Sqe {
  readonly opcode: number;
  readonly flags?: number;
  readonly cid?: number;
  readonly nsid?: number;
  readonly prp1?: bigint;
  readonly prp2?: bigint;
  readonly cdw10?: number;
  readonly cdw11?: number;
  readonly cdw12?: number;
  readonly cdw13?: number;
}

export interface Completion {
  readonly dw0: number;
  readonly sqHead: number;
  readonly sqid: number;
  readonly cid: number;
  /** Status field without the phase tag. */
  readonly status: number;
}

interface Queue {
  readonly sq: number; //   byte offsets in guest storage
  readonly cq: number;
  readonly size: number;
  tail: number;
  head: number;
  phase: number;
  /** Head that the last completion of this queue reported. */
  sqHead: number;
}

const PAGE = 4096;
/** MPS 4 KiB, 64-byte and 16-byte entries, all I/O command sets: what 6.1 wrote, without EN. */
export const LINUX_CC = 0x00460060;

export class NvmeDriver {
  readonly rig: NvmeRig;
  readonly queues = new Map<number, Queue>();
  #next = 0;
  #cid = 0;

  constructor(rig: NvmeRig) {
    this.rig = rig;
  }

  /** Fresh pages of guest storage; returns the byte offset. */
  pages(count: number): number {
    const at = this.#next;
    this.#next += count * PAGE;
    if (this.#next > this.rig.dma.bytes.length) throw new Error("guest storage is used up");
    return at;
  }

  /** Forgets all pages but the first `keep` bytes. */
  rewind(keep: number): void {
    this.#next = keep;
  }

  iova(offset: number): bigint {
    return IOVA + BigInt(offset);
  }

  /** Storage, MSI-X and bus mastering as pci_enable_device and pci_alloc_irq_vectors leave them. */
  enableFunction(vectors = 65): void {
    const { rig } = this;
    rig.set(0x04, 0x0406, 2, 15);
    rig.set(0x42, 0xc000, 2, 15);
    for (let vector = 0; vector < vectors; vector++) {
      rig.set(0x2000 + vector * 16, 0);
      rig.set(0x2004 + vector * 16, 0xfe000000);
      rig.set(0x2008 + vector * 16, vector);
      rig.set(0x200c + vector * 16, 0);
    }
    rig.set(0x42, 0x8000, 2, 15);
  }

  /** CC.EN = 0, admin queue, CC.EN = 1. Returns CSTS. */
  start(depth = 32, cc = LINUX_CC): number {
    const { rig } = this;
    this.stop();
    const sq = this.pages(1);
    const cq = this.pages(1);
    rig.dma.bytes.fill(0, cq, cq + PAGE);
    this.queues.clear();
    this.queues.set(0, { sq, cq, size: depth, tail: 0, head: 0, phase: 1, sqHead: 0 });
    rig.set(0x24, ((depth - 1) << 16) | (depth - 1));
    rig.set(0x28, Number(this.iova(sq) & 0xffffffffn));
    rig.set(0x2c, Number(this.iova(sq) >> 32n));
    rig.set(0x30, Number(this.iova(cq) & 0xffffffffn));
    rig.set(0x34, Number(this.iova(cq) >> 32n));
    rig.set(0x14, cc);
    rig.set(0x14, cc | 1);
    rig.run();
    return rig.get(0x1c);
  }

  /** CC.EN = 0, CC.SHN = 0. Returns CSTS. */
  stop(): number {
    this.rig.set(0x14, this.rig.get(0x14) & ~0xc001);
    this.rig.run();
    return this.rig.get(0x1c);
  }

  /** CC.SHN = 01b. Returns CSTS. */
  shutDown(): number {
    this.rig.set(0x14, (this.rig.get(0x14) & ~0xc000) | 0x4000);
    this.rig.run();
    return this.rig.get(0x1c);
  }

  /** Puts a command into a queue without ringing; returns its CID. */
  push(qid: number, sqe: Sqe): number {
    const queue = this.queue(qid);
    const cid = sqe.cid ?? this.#cid++ & 0xffff;
    const view = this.rig.dma.view;
    const at = queue.sq + queue.tail * 64;
    this.rig.dma.bytes.fill(0, at, at + 64);
    view.setUint8(at, sqe.opcode);
    view.setUint8(at + 1, sqe.flags ?? 0);
    view.setUint16(at + 2, cid, true);
    view.setUint32(at + 4, sqe.nsid ?? 0, true);
    view.setBigUint64(at + 24, sqe.prp1 ?? 0n, true);
    view.setBigUint64(at + 32, sqe.prp2 ?? 0n, true);
    view.setUint32(at + 40, sqe.cdw10 ?? 0, true);
    view.setUint32(at + 44, sqe.cdw11 ?? 0, true);
    view.setUint32(at + 48, sqe.cdw12 ?? 0, true);
    view.setUint32(at + 52, sqe.cdw13 ?? 0, true);
    queue.tail = (queue.tail + 1) % queue.size;
    return cid;
  }

  ring(qid: number): void {
    this.rig.set(0x1000 + qid * 8, this.queue(qid).tail);
  }

  /** Takes what has completed, by phase tag, and moves the head doorbell. */
  reap(qid: number, ringHead = true): Completion[] {
    const queue = this.queue(qid);
    const view = this.rig.dma.view;
    const found: Completion[] = [];
    for (let i = 0; i < queue.size; i++) {
      const at = queue.cq + queue.head * 16;
      const status = view.getUint16(at + 14, true);
      if ((status & 1) !== queue.phase) break;
      queue.sqHead = view.getUint16(at + 8, true);
      found.push({
        dw0: view.getUint32(at, true),
        sqHead: queue.sqHead,
        sqid: view.getUint16(at + 10, true),
        cid: view.getUint16(at + 12, true),
        status: status >>> 1,
      });
      queue.head = (queue.head + 1) % queue.size;
      if (queue.head === 0) queue.phase ^= 1;
    }
    if (ringHead && found.length > 0) this.rig.set(0x1004 + qid * 8, queue.head);
    return found;
  }

  /** One command, carried out; its completion must be the only one. */
  command(qid: number, sqe: Sqe): Completion {
    const cid = this.push(qid, sqe);
    this.ring(qid);
    this.rig.run();
    const done = this.reap(qid);
    const only = done[0];
    if (done.length !== 1 || only === undefined || only.cid !== cid) {
      throw new Error(`expected the completion of ${cid}, found ${JSON.stringify(done)}`);
    }
    return only;
  }

  admin(sqe: Sqe): Completion {
    return this.command(0, sqe);
  }

  identify(cns: number, nsid = 0, cdw11 = 0): { status: number; data: DataView } {
    const at = this.pages(1);
    const { status } = this.admin({ opcode: 6, nsid, prp1: this.iova(at), cdw10: cns, cdw11 });
    return { status, data: this.#window(at, PAGE) };
  }

  logPage(page: number, bytes: number, options: { retain?: boolean; nsid?: number } = {}) {
    const at = this.pages(Math.ceil(bytes / PAGE));
    const dwords = bytes / 4 - 1;
    const { status } = this.admin({
      opcode: 2,
      nsid: options.nsid ?? 0xffffffff,
      prp1: this.iova(at),
      prp2: this.iova(at + PAGE),
      cdw10: page | (options.retain === true ? 0x8000 : 0) | ((dwords & 0xffff) << 16),
      cdw11: dwords >>> 16,
    });
    return { status, data: this.#window(at, bytes) };
  }

  setFeature(fid: number, cdw11: number, nsid = 0): Completion {
    return this.admin({ opcode: 9, nsid, cdw10: fid, cdw11 });
  }

  getFeature(fid: number, select = 0, cdw11 = 0): Completion {
    return this.admin({ opcode: 0x0a, cdw10: fid | (select << 8), cdw11 });
  }

  /** A completion and a submission queue with the same number. */
  createQueue(qid: number, depth = 64, vector = qid): void {
    const sq = this.pages(Math.ceil((depth * 64) / PAGE));
    const cq = this.pages(Math.ceil((depth * 16) / PAGE));
    this.rig.dma.bytes.fill(0, cq, cq + depth * 16);
    const size = (depth - 1) * 0x10000;
    const made = [
      this.admin({
        opcode: 5,
        prp1: this.iova(cq),
        cdw10: size + qid,
        cdw11: vector * 0x10000 + 3,
      }),
      this.admin({ opcode: 1, prp1: this.iova(sq), cdw10: size + qid, cdw11: qid * 0x10000 + 1 }),
    ];
    for (const { status } of made) if (status !== 0) throw new Error(`status ${status}`);
    this.queues.set(qid, { sq, cq, size: depth, tail: 0, head: 0, phase: 1, sqHead: 0 });
  }

  /** nvme_probe with one I/O queue. */
  probe(): void {
    this.enableFunction();
    if (this.start() !== 1) throw new Error("not ready");
    this.identify(1);
    this.setFeature(7, 0);
    this.createQueue(1);
  }

  /** PRP1 and PRP2 for `bytes` at a byte offset of guest storage; lists are made as Linux makes them. */
  prps(offset: number, bytes: number): { prp1: bigint; prp2: bigint } {
    const prp1 = this.iova(offset);
    const first = PAGE - (offset % PAGE);
    const rest: bigint[] = [];
    for (let done = first; done < bytes; done += PAGE) rest.push(this.iova(offset + done));
    if (rest.length <= 1) return { prp1, prp2: rest[0] ?? 0n };
    return { prp1, prp2: this.iova(this.prpList(rest)) };
  }

  /** A list of entries in fresh pages, chained by their last entries. Returns its offset. */
  prpList(entries: readonly bigint[]): number {
    const view = this.rig.dma.view;
    const start = this.pages(1);
    let page = start;
    let index = 0;
    for (const [n, entry] of entries.entries()) {
      if (index === PAGE / 8 - 1 && n < entries.length - 1) {
        const next = this.pages(1);
        view.setBigUint64(page + index * 8, this.iova(next), true);
        page = next;
        index = 0;
      }
      view.setBigUint64(page + index * 8, entry, true);
      index += 1;
    }
    return start;
  }

  /** Read (2), write (1) or compare (5) of whole blocks at a byte offset of guest storage. */
  io(opcode: number, slba: number, blocks: number, offset: number, blockBytes = 512): Completion {
    return this.command(1, {
      opcode,
      nsid: 1,
      ...this.prps(offset, blocks * blockBytes),
      cdw10: slba >>> 0,
      cdw11: Math.floor(slba / 2 ** 32),
      cdw12: blocks - 1,
    });
  }

  #window(at: number, bytes: number): DataView {
    const storage = this.rig.dma.bytes;
    return new DataView(storage.buffer, storage.byteOffset + at, bytes);
  }

  queue(qid: number): Queue {
    const queue = this.queues.get(qid);
    if (queue === undefined) throw new Error(`no queue ${qid}`);
    return queue;
  }
}
