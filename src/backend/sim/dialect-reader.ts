/**
 * User space's side of the dialects that hand events out by value: finds out which one a kernel speaks, asks
 * for an event only when the answer can be believed, and turns what came into a 32-byte CCDF in the same
 * call. The machine above never knows which dialect it was. Source: vfio-uapi.md 2.4, 2.5.
 *
 * *Belief.* Where an empty queue answers with garbage or the record before, GET is issued only after a signal that
 * no record read so far explains, and while the last record said that more are left. Signals coalesce
 * but never get lost, and a record may be read before its own signal: so signals taken minus records
 * read is kept, and what is left over when the queue says it is empty is forgotten (a full queue signals
 * without storing). A record without a handle is taken for an error of the function only while the function is in
 * error, which its configuration space shows; otherwise, and when it makes no sense, its PEC becomes 0
 * and the machine counts it as unverifiable.
 *
 * *A worker that dies.* The answer arrives in shared memory. inFlight 2: a GET; nothing has happened while the
 * host's head stands where it stood, else the buffer holds the event. inFlight 3: the record that
 * detection took. Both are finished by doing the conversion again. The test hook's steps, in this order: 2 and
 * 3 around the journal's mark, 1, 4 and 6 in the kernel (error-queue.ts), 5 converted, 7 journal closed.
 */
import { Pec } from "../../abi/ccdf.ts";
import { encode, encodeInto } from "../../abi/layout.ts";
import {
  inOrder,
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_ZPCI_ERROR,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_REGION_STRIDE,
  VfioDeviceFeature,
  ZpciErrorFeature,
} from "../../abi/vfio.ts";
import {
  EehOp,
  EehState,
  VFIO_EEH_PE_OP,
  VFIO_EEH_PE_OP_MIN,
  VfioEehPeOp,
} from "../../abi/vfio-iommu.ts";
import { type ErrorDialect, errorDialects, hostDialects } from "../../abi/zpci-err.ts";
import { EINVAL, ENOENT, ENOMSG, ENOTTY } from "../../ports/host-function.ts";
import { add, load } from "../../shm/atomics.ts";
import { FunctionBlock } from "../../shm/blocks.ts";
import { littleOf } from "./dialect-kernel.ts";
import type { StepHook } from "./error-queue.ts";
import { CCDF_BYTES, type HostArea, HostBlock, READER_BUFFER_BYTES } from "./host-area.ts";
import type { SimVfioDevice } from "./vfio-device.ts";

const HEADER = VfioDeviceFeature.size;
/** A GET by value, and the conversion of a held record, in `HostBlock.getInFlight`. */
const IN_FLIGHT_VALUE = 2;
const IN_FLIGHT_HELD = 3;
/** Dialects by the shortest answer that they can give: what detection tries, shortest first. */
const detectable = ["pec-only", "v13", "v19", "v18"];

/** What the reader remembers while the function is open. */
const readerWords = [
  HostBlock.dialect,
  HostBlock.readerWoken,
  HostBlock.readerCredit,
  HostBlock.readerLeft,
  HostBlock.readerHeld,
  HostBlock.onesBell,
];

export class DialectReader {
  readonly #area: HostArea;
  readonly #device: SimVfioDevice;
  readonly #fid: number;
  readonly #little: boolean;
  readonly #buffer: Uint8Array;
  readonly #view: DataView;
  readonly #memory: DataView;
  readonly #probe = new Uint8Array(4);
  readonly #hook: StepHook | undefined;

  constructor(area: HostArea, device: SimVfioDevice, fid: number, hook?: StepHook) {
    this.#hook = hook;
    this.#area = area;
    this.#device = device;
    this.#fid = fid;
    this.#little = littleOf(device.order);
    const { bytes, readerBytes } = area;
    this.#buffer = bytes.subarray(readerBytes, readerBytes + READER_BUFFER_BYTES);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset + readerBytes, READER_BUFFER_BYTES);
    this.#memory = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The dialect found at open; undefined before. */
  row(): ErrorDialect | undefined {
    return hostDialects[this.#area.get(HostBlock.dialect) - 1];
  }

  remember(row: ErrorDialect): void {
    this.#area.set(HostBlock.dialect, hostDialects.indexOf(row) + 1);
  }

  forget(): void {
    for (const word of readerWords) this.#area.set(word, 0);
  }

  /**
   * Which dialect of feature 13 it is, by the shortest argsz that is not refused: too short a GET takes
   * nothing. An event that a long enough one took is held for the first `get`.
   * @returns the row, or -errno; -ENOTTY when none fits (the merged form refuses the address 0)
   */
  detect(): ErrorDialect | number {
    for (const abi of detectable) {
      const row = errorDialects.find((candidate) => candidate.abi === abi);
      if (row === undefined) continue;
      const result = this.#ask(row);
      if (result === -EINVAL) continue;
      if (result !== 0 && result !== -ENOMSG && result !== -ENOENT) return result;
      if (result === 0 && !this.#meansEmpty(row)) this.#area.set(HostBlock.readerHeld, 1);
      return row;
    }
    return -ENOTTY;
  }

  /**
   * The error signal has just been armed: what was stored before it was signalled to nobody. Where GET needs a signal to
   * be believed, a function that is in error now stands for one; a healthy one has nothing to tell.
   */
  armed(): void {
    const row = this.row();
    if (row === undefined || !gated(row) || !this.#inError()) return;
    this.#area.set(HostBlock.readerWoken, 1);
    this.#area.set(HostBlock.readerCredit, this.#area.get(HostBlock.readerCredit) + 1);
  }

  /** Signals taken from the eventfd; counted before they are taken, so that none is forgotten. */
  takeSignals(): number {
    const { words, block } = this.#area;
    const count = load(words, block + FunctionBlock.errSignals);
    if (count === 0) return 0;
    this.#area.set(HostBlock.readerWoken, 1);
    this.#area.set(HostBlock.readerCredit, this.#area.get(HostBlock.readerCredit) + count);
    add(words, block + FunctionBlock.errSignals, -count);
    return count;
  }

  /** One event as a CCDF at byte offset `slot` of the shared memory. @returns 0, -ENOMSG or -errno */
  get(slot: number): number {
    const row = this.row();
    if (row === undefined || slot === 0) return -EINVAL;
    const area = this.#area;
    if (area.get(HostBlock.readerHeld) === 1) {
      area.set(HostBlock.getSlot, slot);
      area.set(HostBlock.getInFlight, IN_FLIGHT_HELD);
      this.#finishHeld(row, slot);
      return 0;
    }
    if (gated(row) && !this.#believable()) return -ENOMSG;
    area.set(HostBlock.getSlot, slot);
    area.set(HostBlock.getIndex, area.get(HostBlock.queueHead));
    area.set(HostBlock.readerCreditBefore, area.get(HostBlock.readerCredit));
    this.#hook?.(2);
    area.set(HostBlock.getInFlight, IN_FLIGHT_VALUE);
    this.#hook?.(3);
    const result = this.#ask(row);
    if (result !== 0 || this.#meansEmpty(row)) {
      area.set(HostBlock.getInFlight, 0);
      return result === 0 || result === -ENOENT ? -ENOMSG : result;
    }
    // An answer without an event behind it is accounted for as if it had been raised.
    if (area.get(HostBlock.queueHead) === area.get(HostBlock.getIndex)) {
      area.count(FunctionBlock.errorsRaised);
    }
    this.#finish(row, slot);
    return 0;
  }

  /** Ends what a dead worker was in; true when it was a call of this reader. */
  complete(): boolean {
    const area = this.#area;
    const mark = area.get(HostBlock.getInFlight);
    const row = this.row();
    if (row === undefined || mark < IN_FLIGHT_VALUE) return false;
    const slot = area.get(HostBlock.getSlot) >>> 0;
    if (mark === IN_FLIGHT_HELD) this.#finishHeld(row, slot);
    else if (area.get(HostBlock.queueHead) !== area.get(HostBlock.getIndex)) {
      this.#finish(row, slot);
    } else area.set(HostBlock.getInFlight, 0);
    return true;
  }

  #finishHeld(row: ErrorDialect, slot: number): void {
    this.#convert(row, slot);
    this.#area.set(HostBlock.readerHeld, 0);
    this.#area.set(HostBlock.getInFlight, 0);
  }

  /** From the buffer to the slot; every store is of a value that doing it again would store too. */
  #finish(row: ErrorDialect, slot: number): void {
    const area = this.#area;
    const left = this.#convert(row, slot);
    this.#hook?.(5);
    if (row.carrier === "signal") {
      // The signals are the events: k of them say that there were k.
      area.set(HostBlock.readerCredit, area.get(HostBlock.readerCreditBefore) - 1);
    } else if (gated(row)) {
      const credit = area.get(HostBlock.readerCreditBefore) - 1;
      area.set(HostBlock.readerLeft, left);
      area.set(HostBlock.readerCredit, left === 0 ? Math.min(credit, 0) : credit);
      if (left === 0) area.set(HostBlock.readerWoken, 0);
    }
    area.set(HostBlock.getInFlight, 0);
    this.#hook?.(7);
  }

  #believable(): boolean {
    const area = this.#area;
    if (this.row()?.carrier === "signal") return area.get(HostBlock.readerCredit) > 0;
    if (area.get(HostBlock.readerLeft) > 0) return true;
    return area.get(HostBlock.readerWoken) === 1 && area.get(HostBlock.readerCredit) > 0;
  }

  /** The kernel's answer into the buffer: behind a feature header, or read from the device region. */
  #ask(row: ErrorDialect): number {
    if (row.carrier === "signal") return this.#device.errors.take(nothing);
    if (row.carrier === "eeh") return this.#frozen() ? this.#device.errors.take(nothing) : -ENOMSG;
    if (row.byPointer) return this.#askByPointer();
    const data = this.#buffer.subarray(0, HEADER + row.size);
    // Nothing that an earlier call left: a kernel that takes this for an address must find none.
    data.fill(0, HEADER);
    if (row.carrier === "region") {
      const read = this.#device.pread(this.#device.errorRegionOffset(), data.subarray(HEADER));
      return read === row.size ? 0 : read;
    }
    const flags = VFIO_DEVICE_FEATURE_GET | row.number;
    encodeInto(inOrder(VfioDeviceFeature, this.#device.order), this.#view, 0, {
      argsz: data.length,
      flags,
    });
    return this.#device.ioctl(VFIO_DEVICE_FEATURE, data);
  }

  /** The merged form into the reader's own buffer, which takes CCDFs of any length that is believed. */
  #askByPointer(): number {
    const request = encode(inOrder(ZpciErrorFeature, this.#device.order), {
      argsz: ZpciErrorFeature.size,
      flags: VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_ZPCI_ERROR,
      data: BigInt(this.#area.readerBytes),
    });
    return this.#device.ioctl(VFIO_DEVICE_FEATURE, request);
  }

  #field(at: number, size: number): number {
    if (at < 0) return 0;
    const view = this.#view;
    if (size === 1) return view.getUint8(HEADER + at);
    return size === 2
      ? view.getUint16(HEADER + at, this.#little)
      : view.getUint32(HEADER + at, this.#little);
  }

  /** The empty answer that is no error: PEC 0 and nothing pending. */
  #meansEmpty(row: ErrorDialect): boolean {
    if (row.empty !== "zero") return false;
    return this.#field(row.pec, 2) === 0 && this.#field(row.pending, row.pendingBytes) === 0;
  }

  /** Builds the CCDF. @returns how many events the answer says are left; 0 when it makes no sense */
  #convert(row: ErrorDialect, slot: number): number {
    if (row.byPointer) return this.#copyWhole(slot);
    const left = this.#field(row.pending, row.pendingBytes);
    const sound = left < row.ringSlots && (row.version < 0 || this.#field(row.version, 1) === 1);
    const known = row.fh >= 0 || (sound && this.#inError());
    const memory = this.#memory;
    this.#area.bytes.fill(0, slot, slot + CCDF_BYTES);
    memory.setUint32(slot + 8, row.fid >= 0 ? this.#field(row.fid, 4) : this.#fid);
    memory.setUint32(slot + 12, this.#field(row.wordE, 4));
    if (row.faddr >= 0) {
      const first = this.#field(row.faddr, 4);
      const second = this.#field(row.faddr + 4, 4);
      memory.setUint32(slot + 16, this.#little ? second : first);
      memory.setUint32(slot + 20, this.#little ? first : second);
    }
    memory.setUint16(slot + 30, known ? this.#code(row) : 0);
    // The handle last: a slot with a handle is a whole one.
    memory.setUint32(slot + 4, row.fh >= 0 ? this.#field(row.fh, 4) : this.#device.handle());
    return sound ? left : 0;
  }

  /** The first 32 bytes of a CCDF that may be longer; the handle last. */
  #copyWhole(slot: number): number {
    const { bytes, readerBytes } = this.#area;
    bytes.fill(0, slot + 4, slot + 8);
    bytes.copyWithin(slot, readerBytes, readerBytes + 4);
    bytes.copyWithin(slot + 8, readerBytes + 8, readerBytes + CCDF_BYTES);
    this.#memory.setUint32(slot + 4, this.#memory.getUint32(readerBytes + 4));
    return 0;
  }

  /** Where the host has no code: an error, or the end of the function. */
  #code(row: ErrorDialect): number {
    if (row.pec >= 0) return this.#field(row.pec, 2);
    const given = row.carrier === "eeh" && this.#device.eeh?.state() === EehState.UNAVAIL;
    return given ? Pec.PERMERR : Pec.SERVAC;
  }

  /**
   * Whether the PE has stopped: by its state, or in the 2014 forms, whose state
   * call is not known, by what its configuration space reads as.
   */
  #frozen(): boolean {
    if (this.#device.eehForm !== "merged") return this.#inError();
    const table = inOrder(VfioEehPeOp, this.#device.order);
    const request = { argsz: VFIO_EEH_PE_OP_MIN, flags: 0, op: EehOp.GET_STATE };
    encodeInto(table, this.#view, 0, request);
    const buffer = this.#buffer.subarray(0, VFIO_EEH_PE_OP_MIN);
    const state = this.#device.eeh?.ioctl(VFIO_EEH_PE_OP, buffer);
    return state === EehState.STOPPED || state === EehState.UNAVAIL;
  }

  /** Whether the function is in error, as its configuration space tells (vfio-uapi.md 3.12). */
  #inError(): boolean {
    const offset = VFIO_PCI_CONFIG_REGION_INDEX * VFIO_REGION_STRIDE;
    return this.#device.pread(offset, this.#probe) !== this.#probe.length;
  }
}

/** A host that hands nothing out but the fact. */
const nothing = (): void => undefined;

/** Dialects whose answer to a GET of an empty queue looks like an event. */
export function gated(row: ErrorDialect): boolean {
  return row.carrier === "signal" || row.empty === "garbage" || row.empty === "previous";
}
