/**
 * VFIO's container side: type 1 v2 DMA mapping and the powerpc EEH operations, merged and as posted in 2014.
 * Source: Linux 7.3 include/uapi/linux/vfio.h; vfio-uapi.md 1.9, 6.
 */
import { layout, u32, u64 } from "./layout.ts";

const VFIO_H = "Linux 7.3 include/uapi/linux/vfio.h";

export const VFIO_IOMMU_MAP_DMA = 0x3b71;
export const VFIO_IOMMU_UNMAP_DMA = 0x3b72;
export const VFIO_IOMMU_GET_INFO = 0x3b70;
/** EEH operations; the 2014 SET_OPTION has the same number. */
export const VFIO_EEH_PE_OP = 0x3b79;

export const VfioIommuType1DmaMap = layout(
  "vfio_iommu_type1_dma_map",
  32,
  "host",
  `${VFIO_H} (1.9)`,
  {
    argsz: u32(0),
    flags: u32(4),
    vaddr: u64(8),
    iova: u64(16),
    size: u64(24),
  },
);
export const VfioIommuType1DmaUnmap = layout(
  "vfio_iommu_type1_dma_unmap",
  24,
  "host",
  `${VFIO_H} (1.9)`,
  { argsz: u32(0), flags: u32(4), iova: u64(8), size: u64(16) },
);
export const VfioIommuType1Info = layout("vfio_iommu_type1_info", 24, "host", `${VFIO_H} (1.9)`, {
  argsz: u32(0),
  flags: u32(4),
  iovaPgsizes: u64(8),
  capOffset: u32(16),
  pad: u32(20),
});
export const VfioIommuType1InfoDmaAvail = layout(
  "vfio_iommu_type1_info_dma_avail",
  12,
  "host",
  `${VFIO_H} (1.9)`,
  { avail: u32(8) },
);

export const VfioIommuType1InfoMigration = layout(
  "vfio_iommu_type1_info_cap_migration",
  32,
  "host",
  `${VFIO_H} (1.9)`,
  { flags: u32(8), pgsizeBitmap: u64(16), maxDirtyBitmapSize: u64(24) },
);
/** With one range; ends are inclusive. */
export const VfioIommuType1InfoIovaRange = layout(
  "vfio_iommu_type1_info_cap_iova_range",
  32,
  "host",
  `${VFIO_H} (1.9)`,
  { nrIovas: u32(8), reserved: u32(12), start: u64(16), end: u64(24) },
);

/** Operation structure; `err` is needed for an injection only, the shortest argsz is 12. */
export const VfioEehPeOp = layout("vfio_eeh_pe_op", 40, "host", `${VFIO_H} (6.1)`, {
  argsz: u32(0),
  flags: u32(4),
  op: u32(8), // a hole of 4 bytes follows
  errType: u32(16),
  errFunc: u32(20),
  errAddr: u64(24),
  errMask: u64(32),
});
export const VFIO_EEH_PE_OP_MIN = 12;

/** Operations; states have numbers of their own (6.1). */
export const EehOp = {
  DISABLE: 0,
  ENABLE: 1,
  UNFREEZE_IO: 2,
  UNFREEZE_DMA: 3,
  GET_STATE: 4,
  RESET_DEACTIVATE: 5,
  RESET_HOT: 6,
  RESET_FUNDAMENTAL: 7,
  CONFIGURE: 8,
  INJECT_ERR: 9,
} as const;
export const EehState = {
  NORMAL: 0,
  RESET: 1,
  STOPPED: 2,
  STOPPED_DMA: 4,
  UNAVAIL: 5,
} as const;

const V6 = "EEH for VFIO v6, posting of May 2014 (vfio-uapi.md 6.2)";
/** The two calls of the 2014 posting whose layouts are known. */
export const EehSetOption2014 = layout("vfio_eeh_pe_set_option 2014-v6", 8, "host", V6, {
  argsz: u32(0),
  option: u32(4),
});
export const EehGetAddr2014 = layout("vfio_eeh_pe_get_addr 2014-v6", 12, "host", V6, {
  argsz: u32(0),
  option: u32(4),
  info: u32(8),
});
