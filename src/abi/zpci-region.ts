/**
 * Device regions that were proposed as carriers of a zPCI function's facts before GET_INFO took them:
 * the packed structure of 2019 and the capability chain in a region of 2020.
 * Source: vfio-uapi.md 5.6; linux-s390 list postings named there.
 */
import { bytes, layout, u8, u16, u32, u64 } from "./layout.ts";

const R2019 = "linux-s390 list, region v4 of 6 Sep 2019 (vfio-uapi.md 5.6)";
const R2019V3 = "linux-s390 list, region v3 of 23 May 2019 (vfio-uapi.md 5.6)";
const R2020 = "linux-s390 list, region v2 of 2 Oct 2020 (vfio-uapi.md 5.6)";

/** Subtypes of the IBM vendor region type: 1 in May 2019, 2 from September 2019 on. */
export const VFIO_REGION_SUBTYPE_ZDEV_CLP = 1;
export const VFIO_REGION_SUBTYPE_IBM_ZPCI_CLP = 2;

/** The utility string (EBCDIC) follows: its length is the region's size - 50. */
export const ZpciRegion2019 = layout("vfio_region_zpci_info 2019", 50, "host", R2019, {
  dasm: u64(0),
  startDma: u64(8),
  endDma: u64(16),
  msiAddr: u64(24),
  flags: u64(32),
  pchid: u16(40),
  mui: u16(42),
  noi: u16(44),
  maxstbl: u16(46),
  version: u8(48),
  gid: u8(49),
});

export const ZpciRegion2019V3 = layout("vfio_region_zpci_info 2019-v3", 112, "host", R2019V3, {
  dasm: u64(0),
  startDma: u64(8),
  endDma: u64(16),
  msiAddr: u64(24),
  flags: u64(32),
  pchid: u16(40),
  mui: u16(42),
  noi: u16(44),
  gid: u8(46),
  version: u8(47),
  utilStr: bytes(48, 64),
});

/** Start of the region: its whole size, and where the first entry is. */
export const ZpciRegion2020 = layout("vfio_region_zpci_info 2020", 8, "host", R2020, {
  argsz: u32(0),
  offset: u32(4),
});
/** Head of an entry. `next` counts from the region's start; the last one points at the end, not to 0. */
export const ZpciRegionHdr2020 = layout("vfio_region_zpci_info_hdr 2020", 8, "host", R2020, {
  id: u16(0),
  version: u16(2),
  next: u32(4),
});
export const ZpciRegionBase2020 = layout("vfio_region_zpci_info_base 2020", 32, "host", R2020, {
  startDma: u64(8),
  endDma: u64(16),
  pchid: u16(24),
  vfn: u16(26),
  fmbLength: u16(28),
  pft: u8(30),
  gid: u8(31),
});
export const ZpciRegionGroup2020 = layout("vfio_region_zpci_info_group 2020", 40, "host", R2020, {
  dasm: u64(8),
  msiAddr: u64(16),
  flags: u64(24),
  mui: u16(32),
  noi: u16(34),
  maxstbl: u16(36),
  version: u8(38),
});
/** The string follows `size`. */
export const ZpciRegionUtil2020 = layout("vfio_region_zpci_info_util 2020", 12, "host", R2020, {
  size: u32(8),
});
export const ZpciRegionPfip2020 = layout("vfio_region_zpci_info_pfip 2020", 12, "host", R2020, {
  size: u32(8),
});
