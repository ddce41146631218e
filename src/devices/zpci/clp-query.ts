/** CLP commands that describe: List PCI, Query PCI function, Query PCI function group (zpci-guest.md 2.2-2.4). */
import {
  ClpListEntry,
  ClpListRequest,
  ClpListResponse,
  ClpQueryFunctionRequest,
  ClpQueryFunctionResponse,
  ClpQueryGroupRequest,
  ClpQueryGroupResponse,
  ClpResponse,
} from "../../abi/clp.ts";
import { encodeInto } from "../../abi/layout.ts";
import { PCIAS_CONFIG } from "../../abi/pci-insn.ts";
import type { HostFacts } from "../../ports/host-function.ts";
import { FunctionBlock, FunctionState } from "../../shm/blocks.ts";
import { GO } from "../outcome.ts";
import type { ClpBlocks } from "./clp.ts";
import type { FunctionTable, ZpciFunction } from "./function.ts";
import { cellOf, REFUSED, stateTable } from "./state-table.ts";

const FUNCTIONS_ADVERTISED = 4096;
const UID_CHECKING = 0x01;
const UTILITY_STRING_VALID = 0x01;
const GROUP_REFRESH = 0x01;
/** dtsm: region-third tables. */
const DESIGNATION_REGION_THIRD = 0x40;
/** Groups from here on are not handed out; their functions are in the default group. */
const GROUP_RESERVED_FIRST = 0xf0;
const GROUP_DEFAULT = 0xff;
const ALL_ONES = -1;
/** QEMU's default group. */
const defaultGroup = {
  noi: 128,
  groupVersion: 0,
  refresh: true,
  maxstbl: 128,
  mui: 4000,
  dasm: 0n,
  msiAddress: 0xfe00000000000000n,
} as const;

export function listFunctions(functions: FunctionTable, blocks: ClpBlocks): number {
  const { view } = blocks;
  const format = view.getUint32(4);
  if (format >>> 28 !== 0) return ClpResponse.badFormat;
  if (format !== 0 || view.getBigUint64(8) !== 0n) return ClpResponse.reservedNotZero;
  const listed = functions.all.filter(
    (candidate) => cellOf(stateTable.list, candidate.state()) !== REFUSED,
  );
  const token = view.getBigUint64(ClpListRequest.fields.resumeToken.offset);
  const first = token === 0n ? 0 : listed.findIndex(({ index }) => BigInt(index) === token);
  if (first < 0) return ClpResponse.badResumeToken;
  if (blocks.length < 48) return ClpResponse.blockTooSmall;
  if ((blocks.length - ClpListResponse.size) % ClpListEntry.size !== 0) {
    blocks.cc = 3;
    return ClpResponse.badLength;
  }
  const room = (blocks.length - ClpListResponse.size) / ClpListEntry.size;
  const shown = listed.slice(first, first + room);
  const next = listed[first + shown.length];
  encodeInto(ClpListResponse, view, blocks.at, {
    resumeToken: next === undefined ? 0n : BigInt(next.index),
    mdd: 0x00ff0000,
    maxFunctions: FUNCTIONS_ADVERTISED,
    flags: functions.uidChecking ? UID_CHECKING : 0,
    entrySize: ClpListEntry.size,
  });
  shown.forEach((target, position) => {
    const id = configWord(target, 0);
    encodeInto(
      ClpListEntry,
      view,
      blocks.at + ClpListResponse.size + position * ClpListEntry.size,
      {
        deviceId: swap16(id & 0xffff),
        vendorId: swap16(id >>> 16),
        config: cellOf(stateTable.list, target.state()),
        fid: target.get(FunctionBlock.fid),
        fh: target.handle(),
      },
    );
  });
  view.setUint16(blocks.at, ClpListResponse.size + shown.length * ClpListEntry.size);
  return ClpResponse.ok;
}

export function queryFunction(functions: FunctionTable, blocks: ClpBlocks): number {
  const { view, at } = blocks;
  const target = functions.byHandle(view.getUint32(ClpQueryFunctionRequest.fields.fh.offset));
  if (target === undefined) return ClpResponse.invalidHandle;
  const cell = cellOf(stateTable.query, target.state());
  if (cell !== GO) return cell;
  const { facts } = target;
  const fields = ClpQueryFunctionResponse.fields;
  blocks.bytes.fill(0, at + 16, at + ClpQueryFunctionResponse.size);
  encodeInto(ClpQueryFunctionResponse, view, at, {
    vfn: facts.vfn,
    flags: facts.utilityString.length > 0 ? UTILITY_STRING_VALID : 0,
    pfgid: groupOf(facts),
    fid: target.get(FunctionBlock.fid),
    barSize: padded(facts.barSizeLog2, fields.barSize.size),
    pchid: facts.pchid,
    pfip: padded(facts.pfip, fields.pfip.size),
    pft: facts.pft,
    sdma: facts.startDma,
    edma: facts.endDma,
    uid: target.get(FunctionBlock.uid),
    utilityString: padded(facts.utilityString, fields.utilityString.size),
  });
  for (let bar = 0; bar < 6; bar++) {
    view.setUint32(at + fields.bar.offset + bar * 4, configWord(target, 0x10 + bar * 4));
  }
  return ClpResponse.ok;
}

export function queryGroup(functions: FunctionTable, blocks: ClpBlocks): number {
  const { view, at } = blocks;
  const id = view.getUint8(ClpQueryGroupRequest.fields.pfgid.offset);
  const member = functions.all.find(
    (candidate) =>
      cellOf(stateTable.list, candidate.state()) !== REFUSED && groupOf(candidate.facts) === id,
  );
  if (member === undefined && id !== GROUP_DEFAULT) return ClpResponse.unknownGroup;
  const group = member === undefined || id === GROUP_DEFAULT ? defaultGroup : member.facts;
  blocks.bytes.fill(0, at + 16, at + ClpQueryGroupResponse.size);
  encodeInto(ClpQueryGroupResponse, view, at, {
    noi: group.noi,
    version: group.groupVersion,
    fr: group.refresh ? GROUP_REFRESH : 0,
    maxstbl: group.maxstbl,
    mui: group.mui,
    dtsm: DESIGNATION_REGION_THIRD,
    dasm: group.dasm,
    msia: group.msiAddress,
  });
  return ClpResponse.ok;
}

function groupOf(facts: HostFacts): number {
  return facts.gid >= GROUP_RESERVED_FIRST ? GROUP_DEFAULT : facts.gid;
}

/** FMB update interval of the function's group. */
export function updateIntervalMs(facts: HostFacts): number {
  return groupOf(facts) === GROUP_DEFAULT ? defaultGroup.mui : facts.mui;
}

/** Longest store block of the function's group. */
export function maxStoreBlock(facts: HostFacts): number {
  return groupOf(facts) === GROUP_DEFAULT ? defaultGroup.maxstbl : facts.maxstbl;
}

/**
 * Four bytes of the config header in PCI order (unsigned). A function in error reads as all ones; its
 * identity and BARs are then what they were before.
 */
function configWord(target: ZpciFunction, offset: number): number {
  const word = FunctionBlock.configHeader + offset / 4;
  const state = target.state();
  const inError = state === FunctionState.ERROR || state === FunctionState.PERMANENT_ERROR;
  const { regions } = target;
  if (!inError && regions.load(PCIAS_CONFIG, offset, 4) === 0 && regions.valueLow !== ALL_ONES) {
    target.set(word, regions.valueLow);
  }
  return target.get(word) >>> 0;
}

function padded(values: readonly number[], size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes.set(values.slice(0, size));
  return bytes;
}

function swap16(value: number): number {
  return ((value & 0xff) << 8) | ((value >>> 8) & 0xff);
}
