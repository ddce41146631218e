/**
 * Every structure of the host's interface by the kernel's name and the version it had: what `zmend abi` lists,
 * shows, compares, decodes and checks. Fields carry the kernel's names; a capability's common head is one field.
 */
import { CcdfErr } from "./ccdf.ts";
import { bytes, type Field, type Layout, u8 } from "./layout.ts";
import * as vfio from "./vfio.ts";
import * as iommu from "./vfio-iommu.ts";
import { describedStructures } from "./vfio-open.ts";
import { errorDialects, ZpciErr } from "./zpci-err.ts";
import * as region from "./zpci-region.ts";

export interface AbiEntry {
  readonly name: string;
  readonly version: string;
  /** Offsets, sizes and byte order, with the kernel's field names. */
  readonly layout: Layout;
  readonly source: string;
  /** Bytes of no fixed number that follow the structure. */
  readonly tail?: string;
}

/** `ccdfErrLength` -> `ccdf_err_length`; members of a union have a dot. */
function kernelName(key: string): string {
  const union = /^err([A-Z].*)$/.exec(key);
  if (union?.[1] !== undefined) return `err.${union[1].toLowerCase()}`;
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function entry(
  name: string,
  version: string,
  table: Layout,
  extra: Readonly<Record<string, Field>> = {},
): AbiEntry {
  const named = Object.entries(table.fields).map(([key, field]) => [kernelName(key), field]);
  const fields: Record<string, Field> = { ...extra, ...Object.fromEntries(named) };
  return { name, version, layout: { ...table, name, fields }, source: table.source };
}

/** The structure with a string of no fixed length behind it. */
function withTail(item: AbiEntry, tail: string): AbiEntry {
  return { ...item, tail };
}

/** A structure as an older kernel has it, without its last member. */
function without(item: AbiEntry, field: string, size: number, kernel: string): AbiEntry {
  const kept = Object.entries(item.layout.fields).filter(([name]) => name !== field);
  const source = `Linux ${kernel} include/uapi/linux/vfio.h`;
  const table = { ...item.layout, size, source, fields: Object.fromEntries(kept) };
  return { name: item.name, version: kernel, layout: table, source };
}

/** What follows such a structure, by its name. */
const tails: Readonly<Record<string, string>> = {
  vfio_pci_hot_reset_info: "devices",
  vfio_pci_hot_reset: "group_fds",
  vfio_region_info_cap_sparse_mmap: "areas",
  vfio_iommu_type1_info_cap_iova_range: "iova_ranges",
};

function described(table: Layout): readonly AbiEntry[] {
  const item = entry(table.name, "merged", table);
  const tail = tails[table.name];
  if (tail !== undefined) return [withTail(item, tail)];
  if (table.name !== "vfio_device_bind_iommufd") return [item];
  return [without(item, "token_uuid_ptr", 16, "6.6"), item];
}

/** The head that each capability and each entry of a chain begins with. */
const header = { header: bytes(0, 8) };
const hdr = { hdr: bytes(0, 8) };

const cap = "vfio_device_info_cap_zpci";
const clp = "vfio_region_zpci_info";

export const abiRegistry: readonly AbiEntry[] = [
  ...errorDialects.map((row) => entry("vfio_device_feature_zpci_err", row.abi, row.layout)),
  entry("vfio_device_zpci_err_region", "v1", ZpciErr.v1),
  entry("zpci_ccdf_err", "v20", CcdfErr),
  entry("zpci_ccdf_err", "merged", CcdfErr),
  entry(`${cap}_base`, "1", vfio.ZpciBaseV1, header),
  entry(`${cap}_base`, "2", vfio.ZpciBaseV2, header),
  entry(`${cap}_base`, "3", vfio.ZpciBaseV3, header),
  entry(`${cap}_group`, "1", vfio.ZpciGroupV1, header),
  entry(`${cap}_group`, "2", vfio.ZpciGroupV2, { ...header, reserved: u8(39) }),
  entry(`${cap}_util`, "1", vfio.ZpciUtil, header),
  entry(`${cap}_pfip`, "1", vfio.ZpciPfip, header),
  entry(clp, "2019-v3", region.ZpciRegion2019V3),
  withTail(entry(clp, "2019", region.ZpciRegion2019), "util_str"),
  entry(clp, "2020", region.ZpciRegion2020),
  entry(`${clp}_hdr`, "2020", region.ZpciRegionHdr2020),
  entry(`${clp}_base`, "2020", region.ZpciRegionBase2020, hdr),
  entry(`${clp}_group`, "2020", region.ZpciRegionGroup2020, hdr),
  // The posting of 19 Sep 2020: the same, packed, and named after CLP.
  entry(`${clp}_qpci`, "2020-v1", region.ZpciRegionBase2020, hdr),
  entry(`${clp}_qpcifg`, "2020-v1", { ...region.ZpciRegionGroup2020, size: 39 }, hdr),
  withTail(entry(`${clp}_util`, "2020", region.ZpciRegionUtil2020, hdr), "util_str"),
  withTail(entry(`${clp}_pfip`, "2020", region.ZpciRegionPfip2020, hdr), "pfip"),
  without(entry("vfio_device_info", "", vfio.VfioDeviceInfo), "pad", 20, "6.1"),
  entry("vfio_device_info", "merged", vfio.VfioDeviceInfo),
  entry("vfio_info_cap_header", "merged", vfio.VfioInfoCapHeader),
  entry("vfio_region_info", "merged", vfio.VfioRegionInfo),
  entry("vfio_region_info_cap_type", "merged", vfio.VfioRegionInfoCapType, header),
  entry("vfio_irq_info", "merged", vfio.VfioIrqInfo),
  entry("vfio_irq_set", "merged", vfio.VfioIrqSet),
  entry("vfio_device_feature", "merged", vfio.VfioDeviceFeature),
  entry("vfio_iommu_type1_dma_map", "merged", iommu.VfioIommuType1DmaMap),
  entry("vfio_iommu_type1_dma_unmap", "merged", iommu.VfioIommuType1DmaUnmap),
  without(entry("vfio_iommu_type1_info", "", iommu.VfioIommuType1Info), "pad", 24, "6.1"),
  entry("vfio_iommu_type1_info", "merged", iommu.VfioIommuType1Info),
  entry("vfio_iommu_type1_info_dma_avail", "merged", iommu.VfioIommuType1InfoDmaAvail, header),
  entry("vfio_iommu_type1_info_cap_migration", "merged", iommu.VfioIommuType1InfoMigration, header),
  ...describedStructures.flatMap((table) => described(table)),
  entry("vfio_eeh_pe_op", "merged", iommu.VfioEehPeOp),
  entry("vfio_eeh_pe_set_option", "2014-v6", iommu.EehSetOption2014),
  entry("vfio_eeh_pe_get_addr", "2014-v6", iommu.EehGetAddr2014),
];

/** All versions of a structure, oldest first. */
export function abiVersions(name: string): readonly AbiEntry[] {
  return abiRegistry.filter((item) => item.name === name);
}

export function abiEntry(name: string, version: string): AbiEntry | undefined {
  return abiRegistry.find((item) => item.name === name && item.version === version);
}

/** The version meant when none is named: what was merged, or the newest. */
export function abiNewest(name: string): AbiEntry | undefined {
  return abiEntry(name, "merged") ?? abiVersions(name).at(-1);
}
