/**
 * A zPCI function's facts in device regions, as they were proposed before GET_INFO's capabilities took them: the
 * packed structure of 2019, the same with fields appended behind its string, the capability chain in a
 * region of 2020, and the four separate regions that its reviewer suggested. Written for the simulated host
 * and read back without trust. The separate regions were given no numbers: 16 + the entry's id is ours.
 * Source: vfio-uapi.md 5.6.
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
import { inOrder, ZPCI_GROUP_FLAG_REFRESH, ZPCI_UTIL_BYTES } from "../../abi/vfio.ts";
import {
  VFIO_REGION_SUBTYPE_IBM_ZPCI_CLP,
  ZpciRegion2019,
  ZpciRegion2020,
  ZpciRegionBase2020,
  ZpciRegionGroup2020,
  ZpciRegionHdr2020,
  ZpciRegionPfip2020,
  ZpciRegionUtil2020,
} from "../../abi/zpci-region.ts";
import { readEntry, type ZpciFacts } from "./capabilities.ts";
import { viewOf } from "./ccdf-builder.ts";
import type { FactCarrier, SimFunctionConfig } from "./config.ts";
import { profileOf } from "./profiles.ts";

export interface FactRegion {
  readonly subtype: number;
  readonly bytes: Uint8Array;
}

const SEPARATE_SUBTYPE = 16;
/** What a later form might append: nothing that today's reader may take for a string. */
const APPENDED_BYTES = 24;
const HOPS_MAX = 32;

function entry<F extends Record<string, Field>>(
  order: ByteOrder,
  id: number,
  table: Layout<F>,
  values: Partial<Values<F>>,
  tail: readonly number[] = [],
): Uint8Array {
  const bytes = new Uint8Array(table.size + tail.length);
  encodeInto(inOrder(table, order), viewOf(bytes), 0, values);
  encodeInto(inOrder(ZpciRegionHdr2020, order), viewOf(bytes), 0, { id, version: 1 });
  bytes.set(tail, table.size);
  return bytes;
}

function entries(config: SimFunctionConfig, order: ByteOrder): Uint8Array[] {
  const profile = profileOf(config);
  const { startDma, endDma, pchid, vfn, fmbLength, pft, gid } = profile;
  const { dasm, msiAddr, mui, noi, maxstbl, groupVersion: version, utilityString, pfip } = profile;
  const base = { startDma, endDma, pchid, vfn, fmbLength, pft, gid };
  const flags = ZPCI_GROUP_FLAG_REFRESH;
  const group = { dasm, msiAddr, flags, mui, noi, maxstbl, version };
  return [
    entry(order, 1, ZpciRegionBase2020, base),
    entry(order, 2, ZpciRegionGroup2020, group),
    entry(order, 3, ZpciRegionUtil2020, { size: utilityString.length }, utilityString),
    entry(order, 4, ZpciRegionPfip2020, { size: pfip.length }, pfip),
  ];
}

/** `next` of the last entry points at the end of the data, as the posted code had it. */
function chain(list: readonly Uint8Array[], order: ByteOrder): Uint8Array {
  const argsz = list.reduce((sum, item) => sum + item.length, ZpciRegion2020.size);
  const bytes = new Uint8Array(argsz);
  const offset = ZpciRegion2020.size;
  encodeInto(inOrder(ZpciRegion2020, order), viewOf(bytes), 0, { argsz, offset });
  let at = offset;
  for (const item of list) {
    bytes.set(item, at);
    const next = at + item.length;
    encodeInto(inOrder(ZpciRegionHdr2020, order), viewOf(bytes), at, { next });
    at = next;
  }
  return bytes;
}

function packed(config: SimFunctionConfig, order: ByteOrder, appended: number): Uint8Array {
  const profile = profileOf(config);
  const string = profile.utilityString;
  const bytes = new Uint8Array(ZpciRegion2019.size + string.length + appended).fill(0xa5);
  encodeInto(inOrder(ZpciRegion2019, order), viewOf(bytes), 0, {
    dasm: profile.dasm,
    startDma: profile.startDma,
    endDma: profile.endDma,
    msiAddr: profile.msiAddr,
    flags: ZPCI_GROUP_FLAG_REFRESH,
    pchid: profile.pchid,
    mui: profile.mui,
    noi: profile.noi,
    maxstbl: profile.maxstbl,
    version: profile.groupVersion,
    gid: profile.gid,
  });
  bytes.set(string, ZpciRegion2019.size);
  return bytes;
}

/** The regions of a host that tells its facts by them; none where capabilities do. */
export function encodeFactRegions(config: SimFunctionConfig, order: ByteOrder): FactRegion[] {
  const carrier: FactCarrier = config.host.facts ?? "capabilities";
  const subtype = VFIO_REGION_SUBTYPE_IBM_ZPCI_CLP;
  switch (carrier) {
    case "capabilities":
      return [];
    case "region-2019":
      return [{ subtype, bytes: packed(config, order, 0) }];
    case "region-2019-growable":
      return [{ subtype, bytes: packed(config, order, APPENDED_BYTES) }];
    case "region-2020":
      return [{ subtype, bytes: chain(entries(config, order), order) }];
    case "regions-2020":
      return entries(config, order).map((bytes, index) => ({
        subtype: SEPARATE_SUBTYPE + index + 1,
        bytes,
      }));
  }
}

/** What regions of the IBM vendor type tell; fields that they lack stay as they are in `facts`. */
export function decodeFactRegions(
  facts: ZpciFacts,
  regions: readonly FactRegion[],
  order: ByteOrder,
): ZpciFacts {
  return Object.assign({}, facts, ...regions.map((region) => decodeRegion(region, order)));
}

function decodeRegion({ subtype, bytes }: FactRegion, order: ByteOrder): Partial<ZpciFacts> {
  const view = viewOf(bytes);
  if (subtype > SEPARATE_SUBTYPE && subtype <= SEPARATE_SUBTYPE + 4) {
    return decodeEntry(view, 0, bytes.length, order);
  }
  if (subtype !== VFIO_REGION_SUBTYPE_IBM_ZPCI_CLP || bytes.length < ZpciRegion2020.size) return {};
  // Both forms have this subtype: a chain begins with its own size.
  const { argsz, offset } = decode(inOrder(ZpciRegion2020, order), view);
  if (argsz === bytes.length && offset === ZpciRegion2020.size) {
    return decodeChain(view, offset, argsz, order);
  }
  return bytes.length < ZpciRegion2019.size ? {} : decodePacked(bytes, order);
}

/** Stops at the region's end and where `next` does not grow: the last entry has no 0 (5.6). */
function decodeChain(
  view: DataView,
  offset: number,
  argsz: number,
  order: ByteOrder,
): Partial<ZpciFacts> {
  let facts: Partial<ZpciFacts> = {};
  let at = offset;
  for (let hop = 0; hop < HOPS_MAX && at + ZpciRegionHdr2020.size <= argsz; hop++) {
    const next = readField(view, at, ZpciRegionHdr2020.fields.next, order);
    const end = next > at ? Math.min(next, argsz) : argsz;
    facts = { ...facts, ...decodeEntry(view, at, end - at, order) };
    if (next <= at) break;
    at = next;
  }
  return facts;
}

/** An entry has the form of the capability that came of it. */
function decodeEntry(
  view: DataView,
  at: number,
  room: number,
  order: ByteOrder,
): Partial<ZpciFacts> {
  if (room < ZpciRegionHdr2020.size) return {};
  const { id, version } = decode(inOrder(ZpciRegionHdr2020, order), view, at);
  return readEntry(id, version, view, at, room, order);
}

function decodePacked(bytes: Uint8Array, order: ByteOrder): Partial<ZpciFacts> {
  const table = inOrder(ZpciRegion2019, order);
  const { flags, version, ...rest } = decode(table, viewOf(bytes));
  const end = Math.min(bytes.length, table.size + ZPCI_UTIL_BYTES);
  return {
    ...rest,
    groupVersion: version,
    refresh: (flags & ZPCI_GROUP_FLAG_REFRESH) !== 0n,
    utilityString: Array.from(bytes.subarray(table.size, end)),
  };
}
