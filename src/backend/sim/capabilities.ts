/**
 * The capability chain of VFIO_DEVICE_GET_INFO for a simulated function, written and read. The writer pads
 * entries to 8 bytes as Linux does; the reader trusts nothing: bounded offsets that must grow, unknown
 * ids skipped, versions compared with >= (vfio-uapi.md 1.5, 5.1).
 */
import {
  type ByteOrder,
  decode,
  encodeInto,
  type Field,
  type Layout,
  readField,
  type Values,
} from "../../abi/layout.ts";
import {
  inOrder,
  VFIO_DEVICE_INFO_CAP_ZPCI_BASE,
  VFIO_DEVICE_INFO_CAP_ZPCI_GROUP,
  VFIO_DEVICE_INFO_CAP_ZPCI_PFIP,
  VFIO_DEVICE_INFO_CAP_ZPCI_UTIL,
  VfioDeviceInfo,
  VfioInfoCapHeader,
  ZPCI_GROUP_FLAG_REFRESH,
  ZPCI_PFIP_BYTES,
  ZPCI_UTIL_BYTES,
  ZpciBaseV1,
  ZpciBaseV2,
  ZpciBaseV3,
  ZpciGroupV1,
  ZpciGroupV2,
  ZpciPfip,
  ZpciUtil,
} from "../../abi/vfio.ts";
import { alignUp } from "../../base/bits.ts";
import { viewOf } from "./ccdf-builder.ts";
import { ccdfBytesOf, dialectOf, type SimFunctionConfig } from "./config.ts";
import { type Profile, profileOf } from "./profiles.ts";

interface Entry {
  readonly id: number;
  readonly version: number;
  readonly size: number;
  write(view: DataView, base: number): void;
}

function entry<F extends Record<string, Field>>(
  id: number,
  version: number,
  table: Layout<F>,
  values: Partial<Values<F>>,
): Entry {
  return {
    id,
    version,
    size: alignUp(table.size, 8),
    write: (view, base) => encodeInto(table, view, base, values),
  };
}

/** Ids of a later kernel's capabilities: before, between and behind those that are known. */
const FOREIGN_IDS = [0x7f01, 0x7f02, 0x7f03];
/** Version 4 of ZPCI_BASE only appends, as each version before did (5.1). */
const FUTURE_BASE_BYTES = 56;

function foreign(id: number): Entry {
  const write = (view: DataView, base: number): void => {
    for (let at = base + 8; at < base + 24; at++) view.setUint8(at, 0xa5);
  };
  return { id, version: 9, size: 24, write };
}

function entries(config: SimFunctionConfig, handle: number, order: ByteOrder): Entry[] {
  // A host that tells by device regions has no capabilities of ours.
  if ((config.host.facts ?? "capabilities") !== "capabilities") return [];
  const list = knownEntries(config, handle, order);
  if (config.host.future !== true) return list;
  const [base, ...others] = list;
  if (base === undefined) return list;
  const longer = { ...base, version: 4, size: FUTURE_BASE_BYTES };
  const [first = 0, second = 0, last = 0] = FOREIGN_IDS;
  return [foreign(first), longer, foreign(second), ...others, foreign(last)];
}

function knownEntries(config: SimFunctionConfig, handle: number, order: ByteOrder): Entry[] {
  const profile = profileOf(config);
  const base = { ...profile, fh: handle, ccdfErrLength: ccdfBytesOf(config) };
  const group = { ...profile, flags: ZPCI_GROUP_FLAG_REFRESH, version: profile.groupVersion };
  const older = config.host.capabilities;
  const baseVersion = Math.min(dialectOf(config).baseVersion, older?.base ?? 3);
  const baseTable = [ZpciBaseV1, ZpciBaseV2, ZpciBaseV3][baseVersion - 1] ?? ZpciBaseV3;
  const groupTable = older?.group === 1 ? ZpciGroupV1 : ZpciGroupV2;
  const list = [
    entry(
      VFIO_DEVICE_INFO_CAP_ZPCI_BASE,
      baseVersion,
      inOrder<Record<string, Field>>(baseTable, order),
      pick(baseTable, base),
    ),
    entry(
      VFIO_DEVICE_INFO_CAP_ZPCI_GROUP,
      older?.group ?? 2,
      inOrder<Record<string, Field>>(groupTable, order),
      pick(groupTable, group),
    ),
  ];
  if (profile.utilityString.length > 0) {
    const utilStr = sized(profile.utilityString, ZPCI_UTIL_BYTES);
    const values = { size: ZPCI_UTIL_BYTES, utilStr };
    list.push(entry(VFIO_DEVICE_INFO_CAP_ZPCI_UTIL, 1, inOrder(ZpciUtil, order), values));
  }
  const pfip = sized(profile.pfip, ZPCI_PFIP_BYTES);
  const values = { size: ZPCI_PFIP_BYTES, pfip };
  list.push(entry(VFIO_DEVICE_INFO_CAP_ZPCI_PFIP, 1, inOrder(ZpciPfip, order), values));
  return list;
}

/** The chain as it stands behind the 24 bytes of vfio_device_info; `next` counts from their start. */
export function encodeCapabilities(
  config: SimFunctionConfig,
  handle: number,
  order: ByteOrder,
): Uint8Array {
  const list = entries(config, handle, order);
  const bytes = new Uint8Array(list.reduce((sum, item) => sum + item.size, 0));
  const view = viewOf(bytes);
  const header = inOrder(VfioInfoCapHeader, order);
  let at = 0;
  for (const [index, item] of list.entries()) {
    const end = at + item.size;
    const next = index + 1 < list.length ? VfioDeviceInfo.size + end : 0;
    encodeInto(header, view, at, { id: item.id, version: item.version, next });
    item.write(view, at);
    at = end;
  }
  return bytes;
}

/** What the chain tells about a zPCI function; fields of absent capabilities keep their defaults. */
export interface ZpciFacts extends Omit<Profile, "msixVectors"> {
  readonly baseVersion: number;
  readonly handle: number;
  /** 0 when the host is too old to tell. */
  readonly ccdfErrLength: number;
  readonly refresh: boolean;
}

const noFacts: ZpciFacts = {
  baseVersion: 0,
  handle: 0,
  ccdfErrLength: 0,
  startDma: 0n,
  endDma: 0n,
  pchid: 0,
  vfn: 0,
  fmbLength: 0,
  pft: 0,
  gid: 0xff,
  dasm: 0n,
  msiAddr: 0n,
  mui: 0,
  noi: 0,
  maxstbl: 128,
  groupVersion: 0,
  imaxstbl: 0,
  refresh: false,
  utilityString: [],
  pfip: [],
};

/** Longest chain that is believed. */
const HOPS_MAX = 32;

/** Reads the chain of a whole GET_INFO answer. */
export function decodeCapabilities(info: Uint8Array, order: ByteOrder): ZpciFacts {
  let facts = noFacts;
  const view = viewOf(info);
  if (info.length < VfioDeviceInfo.size) return facts;
  let at = readField(view, 0, VfioDeviceInfo.fields.capOffset, order);
  for (let hop = 0; hop < HOPS_MAX && at >= VfioDeviceInfo.size && at + 8 <= info.length; hop++) {
    const header = decode(inOrder(VfioInfoCapHeader, order), view, at);
    const end = header.next > at ? Math.min(header.next, info.length) : info.length;
    facts = { ...facts, ...readEntry(header.id, header.version, view, at, end - at, order) };
    if (header.next <= at) break;
    at = header.next;
  }
  return facts;
}

/** Facts of one entry; a region's entries have the same form (5.6). */
export function readEntry(
  id: number,
  version: number,
  view: DataView,
  at: number,
  room: number,
  order: ByteOrder,
): Partial<ZpciFacts> {
  if (id === VFIO_DEVICE_INFO_CAP_ZPCI_BASE && room >= ZpciBaseV1.size) {
    const { fh, ccdfErrLength } = ZpciBaseV3.fields;
    const whole = room >= ZpciBaseV2.size;
    return {
      ...decode(inOrder(ZpciBaseV1, order), view, at),
      baseVersion: version,
      handle: version >= 2 && whole ? readField(view, at, fh, order) : 0,
      ccdfErrLength: version >= 3 && whole ? readField(view, at, ccdfErrLength, order) : 0,
    };
  }
  if (id === VFIO_DEVICE_INFO_CAP_ZPCI_GROUP && room >= ZpciGroupV1.size) {
    const { flags, version: groupVersion, ...rest } = decode(inOrder(ZpciGroupV1, order), view, at);
    const { imaxstbl } = ZpciGroupV2.fields;
    return {
      ...rest,
      groupVersion,
      refresh: (flags & ZPCI_GROUP_FLAG_REFRESH) !== 0n,
      imaxstbl: version >= 2 && room >= 42 ? readField(view, at, imaxstbl, order) : 0,
    };
  }
  const sizeAt = ZpciUtil.fields.size;
  if (id === VFIO_DEVICE_INFO_CAP_ZPCI_UTIL || id === VFIO_DEVICE_INFO_CAP_ZPCI_PFIP) {
    const most = id === VFIO_DEVICE_INFO_CAP_ZPCI_UTIL ? ZPCI_UTIL_BYTES : ZPCI_PFIP_BYTES;
    if (room < 12) return {};
    const size = readField(view, at, sizeAt, order);
    if (size > most || 12 + size > room) return {};
    const bytes = Array.from({ length: size }, (_, i) => view.getUint8(at + 12 + i));
    return id === VFIO_DEVICE_INFO_CAP_ZPCI_UTIL ? { utilityString: bytes } : { pfip: bytes };
  }
  return {};
}

/** The members of `values` that `table` has fields for. */
function pick<F extends Record<string, Field>>(
  table: Layout<F>,
  values: Readonly<Record<string, unknown>>,
): Partial<Values<F>> {
  const known = Object.entries(values).filter(([name]) => name in table.fields);
  return Object.fromEntries(known) as Partial<Values<F>>;
}

function sized(values: readonly number[], length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => values[i] ?? 0);
}
