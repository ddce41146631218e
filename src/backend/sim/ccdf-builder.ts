/**
 * Builds the 32 bytes of an error CCDF from a fault script's words. Layout: vfio-uapi.md 2.2. Never
 * throws: digits that are missing or wrong count as zero.
 */
import { CcdfErr, isFmbCode, isPermanentCode, Pec } from "../../abi/ccdf.ts";
import { readField, writeField } from "../../abi/layout.ts";
import type { CcdfSpec, FaultAction } from "./config.ts";

const { fh, fid, ett, pec, rw, faddr } = CcdfErr.fields;
const INSTANCE_MASK = 0x7f000000;
const INSTANCE_ONE = 0x01000000;

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function ccdfPec(ccdf: Uint8Array): number {
  return readField(viewOf(ccdf), 0, pec, "big");
}

export function ccdfHandle(ccdf: Uint8Array): number {
  return readField(viewOf(ccdf), 0, fh, "big");
}

export function ccdfFid(ccdf: Uint8Array): number {
  return readField(viewOf(ccdf), 0, fid, "big");
}

/** The handle with the next (or, with -1, the previous) instance number (zpci-guest.md 4.1). */
export function otherInstance(handle: number, step: 1 | -1): number {
  const instance = (handle + step * INSTANCE_ONE) & INSTANCE_MASK;
  return ((handle & ~INSTANCE_MASK) | instance) >>> 0;
}

/** The event that `spec` describes, for a function whose current host handle and FID are given. */
export function buildCcdf(spec: CcdfSpec, handle: number, hostFid: number): Uint8Array {
  const bytes = new Uint8Array(CcdfErr.size);
  const view = viewOf(bytes);
  if (typeof spec.ccdf === "string") {
    const digits = spec.ccdf.replace(/[^0-9a-fA-F]/g, "");
    for (let i = 0; i < bytes.length; i++) {
      bytes[i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2).padEnd(2, "0"), 16);
    }
  } else {
    writeField(view, 0, pec, spec.pec ?? Pec.SERVAC, "big");
    writeField(view, 0, rw, spec.rw === true ? 1 : 0, "big");
    writeField(view, 0, faddr, toAddress(spec.faddr), "big");
  }
  if (spec.literal === true) return bytes;
  writeField(view, 0, fid, hostFid, "big");
  writeField(view, 0, fh, spec.stale === true ? otherInstance(handle, -1) : handle, "big");
  return bytes;
}

/** An access of the function that met a fault. */
export interface AccessFault {
  readonly pec: number;
  readonly faddr: bigint;
  readonly write: boolean;
  /** Table level at which the translation stopped; 0 = none. */
  readonly level: number;
}

/** The event of a faulting access. */
export function buildAccessFault(fault: AccessFault, handle: number, hostFid: number): Uint8Array {
  const bytes = buildCcdf({ pec: fault.pec, rw: fault.write }, handle, hostFid);
  const view = viewOf(bytes);
  writeField(view, 0, faddr, fault.faddr, "big");
  writeField(view, 0, ett, fault.level & 0xf, "big");
  return bytes;
}

export function specsOf(action: FaultAction): readonly CcdfSpec[] {
  if (action.type === "ccdf") return [action];
  if (action.type === "burst" && Array.isArray(action.ccdfs)) {
    return action.ccdfs.filter((spec) => typeof spec === "object" && spec !== null);
  }
  return [];
}

/** What an event does to the hardware behind it: nothing, an error, or a permanent one. */
export function severity(code: number): "none" | "error" | "permanent" {
  if (isFmbCode(code)) return "none";
  return isPermanentCode(code) ? "permanent" : "error";
}

function toAddress(value: number | undefined): bigint {
  return typeof value === "number" && Number.isFinite(value) ? BigInt(Math.trunc(value)) : 0n;
}
