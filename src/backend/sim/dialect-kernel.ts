/**
 * The kernel's side of GET where events are handed out by value: one row of `errorDialects` says where PEC, count
 * and the CCDF's parts go and what an empty queue answers; there is no code per dialect. Reserved fields
 * are zero, as the field-by-field copy of the postings left them. Thread: recovery worker (its ioctls).
 * Source: vfio-uapi.md 2.4.
 */
import { type ByteOrder, isLittle } from "../../abi/layout.ts";
import type { ErrorDialect } from "../../abi/zpci-err.ts";
import { ENOENT, ENOMSG } from "../../ports/host-function.ts";
import type { ErrorQueueReader } from "./error-queue.ts";
import { type HostArea, HostBlock } from "./host-area.ts";

const hostLittle = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
/** Bits of word e that have a meaning (vfio-uapi.md 2.2). */
const WORD_E_KEPT = 0xffffff03;
const FORMAT_VERSION = 1;

export function littleOf(order: ByteOrder): boolean {
  return isLittle(order, hostLittle);
}

/** Stores `value` in `size` bytes; nothing when the dialect has no such field. */
function put(view: DataView, at: number, size: number, value: number, little: boolean): void {
  if (at < 0) return;
  if (size === 1) view.setUint8(at, value);
  else if (size === 2) view.setUint16(at, value, little);
  else view.setUint32(at, value, little);
}

export class ValueErrors {
  readonly #area: HostArea;
  readonly #errors: ErrorQueueReader;
  readonly #row: ErrorDialect;
  readonly #little: boolean;
  readonly #source: DataView;
  #target: DataView = new DataView(new ArrayBuffer(0));
  /** What a read of the region gets of the record, and from where in it. */
  #reader: Uint8Array = new Uint8Array(0);
  #position = 0;
  readonly #copyOut = (from: number, left: number): void => this.#encode(from, left);

  constructor(area: HostArea, errors: ErrorQueueReader, row: ErrorDialect, order: ByteOrder) {
    this.#area = area;
    this.#errors = errors;
    this.#row = row;
    this.#little = littleOf(order);
    this.#source = new DataView(area.bytes.buffer, area.bytes.byteOffset, area.bytes.byteLength);
  }

  /** Hands the oldest event out into `target`, the data part. @returns 0 or -errno */
  get(target: Uint8Array): number {
    this.#target = new DataView(target.buffer, target.byteOffset, target.byteLength);
    const result = this.#errors.take(this.#copyOut);
    return result === -ENOMSG ? this.#empty(target) : result;
  }

  /**
   * Reads from the device region of v1: any read, also a short one or one from its middle, takes an event; an
   * empty queue leaves the record before in place. @returns target.length
   */
  readRegion(position: number, target: Uint8Array): number {
    const { bytes, host } = this.#area;
    const record = (host + HostBlock.regionRecord) * 4;
    const whole = bytes.subarray(record, record + this.#row.size);
    this.#reader = target;
    this.#position = position;
    this.get(whole);
    this.#copyFromRegion(whole);
    this.#reader = target.subarray(0, 0);
    return target.length;
  }

  #copyFromRegion(record: Uint8Array): void {
    const from = this.#position;
    this.#reader.set(record.subarray(from, from + this.#reader.length));
  }

  #encode(from: number, left: number): void {
    const row = this.#row;
    const target = this.#target;
    const source = this.#source;
    const little = this.#little;
    for (let at = 0; at < row.size; at++) target.setUint8(at, 0);
    put(target, row.version, 1, FORMAT_VERSION, little);
    put(target, row.pending, row.pendingBytes, left, little);
    put(target, row.fh, 4, source.getUint32(from + 4), little);
    put(target, row.fid, 4, source.getUint32(from + 8), little);
    put(target, row.wordE, 4, source.getUint32(from + 12) & WORD_E_KEPT, little);
    if (row.faddr >= 0) {
      const high = source.getUint32(from + 16);
      const low = source.getUint32(from + 20);
      put(target, row.faddr, 4, little ? low : high, little);
      put(target, row.faddr + 4, 4, little ? high : low, little);
    }
    put(target, row.pec, 2, source.getUint16(from + 30), little);
    // Before the event leaves the queue: it is in one place or the other.
    if (this.#reader.length > 0) {
      this.#copyFromRegion(new Uint8Array(target.buffer, target.byteOffset, row.size));
    }
  }

  #empty(target: Uint8Array): number {
    switch (this.#row.empty) {
      case "ENOENT":
        return -ENOENT;
      case "previous":
        return 0;
      case "zero":
        target.fill(0, 0, this.#row.size);
        break;
      case "garbage":
        this.#uninitialised(target);
        break;
      default:
        return -ENOMSG;
    }
    put(this.#target, this.#row.version, 1, FORMAT_VERSION, this.#little);
    return 0;
  }

  /** Bytes as a kernel stack may have left them: arbitrary, yet the same in every run. */
  #uninitialised(target: Uint8Array): void {
    let state = this.#area.get(HostBlock.garbage) || 0x2545f491;
    for (let at = 0; at < this.#row.size; at++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      target[at] = state >>> 11;
    }
    this.#area.set(HostBlock.garbage, state);
  }
}
