/**
 * VFIO structures that zmend describes and does not speak: how a device is opened by group or by iommufd, hot reset, and
 * capabilities whose number of entries varies. `zmend abi` lists, decodes and checks them. Native byte order.
 * Source: Linux 7.3 include/uapi/linux/vfio.h and iommufd.h; vfio-uapi.md 1.2, 1.3, 1.6, 1.8, 1.9, 5.1.
 */
import { bytes, type Layout, layout, s32, u8, u16, u32, u64 } from "./layout.ts";

const VFIO_H = "Linux 7.3 include/uapi/linux/vfio.h";
const IOMMUFD_H = "Linux 7.3 include/uapi/linux/iommufd.h";

export const describedStructures: readonly Layout[] = [
  layout("vfio_group_status", 8, "host", `${VFIO_H} (1.2)`, {
    argsz: u32(0),
    flags: u32(4),
  }),

  // By iommufd

  layout("vfio_device_bind_iommufd", 24, "host", `${VFIO_H} (1.3)`, {
    argsz: u32(0),
    flags: u32(4),
    iommufd: s32(8),
    outDevid: u32(12),
    tokenUuidPtr: u64(16),
  }),
  layout("vfio_device_attach_iommufd_pt", 16, "host", `${VFIO_H} (1.3)`, {
    argsz: u32(0),
    flags: u32(4),
    ptId: u32(8),
    pasid: u32(12),
  }),
  layout("iommu_ioas_alloc", 12, "host", `${IOMMUFD_H} (1.3)`, {
    size: u32(0),
    flags: u32(4),
    outIoasId: u32(8),
  }),
  layout("iommu_ioas_map", 40, "host", `${IOMMUFD_H} (1.3)`, {
    size: u32(0),
    flags: u32(4),
    ioasId: u32(8),
    __reserved: u32(12),
    userVa: u64(16),
    length: u64(24),
    iova: u64(32),
  }),
  layout("iommu_ioas_unmap", 24, "host", `${IOMMUFD_H} (1.3)`, {
    size: u32(0),
    ioasId: u32(4),
    iova: u64(8),
    length: u64(16),
  }),

  // Hot reset

  /** Entries of `VfioPciDependentDevice` follow. */
  layout("vfio_pci_hot_reset_info", 12, "host", `${VFIO_H} (1.8)`, {
    argsz: u32(0),
    flags: u32(4),
    count: u32(8),
  }),
  /** `group_id`, which is a device ID where the flags of the answer say so. */
  layout("vfio_pci_dependent_device", 8, "host", `${VFIO_H} (1.8)`, {
    groupId: u32(0),
    segment: u16(4),
    bus: u8(6),
    devfn: u8(7),
  }),
  /** File descriptors of groups follow, as s32. */
  layout("vfio_pci_hot_reset", 12, "host", `${VFIO_H} (1.8)`, {
    argsz: u32(0),
    flags: u32(4),
    count: u32(8),
  }),

  // Capabilities, behind the head of 8 bytes

  /** Entries of `VfioRegionSparseMmapArea` follow. */
  layout("vfio_region_info_cap_sparse_mmap", 16, "host", `${VFIO_H} (1.6)`, {
    header: bytes(0, 8),
    nrAreas: u32(8),
    reserved: u32(12),
  }),
  layout("vfio_region_sparse_mmap_area", 16, "host", `${VFIO_H} (1.6)`, {
    offset: u64(0),
    size: u64(8),
  }),
  /** Entries of `VfioIovaRange` follow; ends are inclusive. */
  layout("vfio_iommu_type1_info_cap_iova_range", 16, "host", `${VFIO_H} (1.9)`, {
    header: bytes(0, 8),
    nrIovas: u32(8),
    reserved: u32(12),
  }),
  layout("vfio_iova_range", 16, "host", `${VFIO_H} (1.9)`, {
    start: u64(0),
    end: u64(8),
  }),
  layout("vfio_device_info_cap_pci_atomic_comp", 16, "host", `${VFIO_H} (5.1)`, {
    header: bytes(0, 8),
    flags: u32(8),
    reserved: u32(12),
  }),
];
