/**
 * VFIO's user interface as zmend speaks and simulates it: ioctl numbers, structures, capability chain and
 * the merged zPCI error feature. All structures are in the host CPU's byte order
 * ("host"); an s390x host is big-endian, which `inOrder` asks for explicitly.
 * Source: Linux 7.3-rc7 include/uapi/linux/vfio.h and vfio_zdev.h; vfio-uapi.md 1, 2 and 5.
 */
import {
  type ByteOrder,
  bytes,
  type Field,
  type Layout,
  layout,
  u8,
  u16,
  u32,
  u64,
} from "./layout.ts";

const VFIO_H = "Linux 7.3 include/uapi/linux/vfio.h";
const ZDEV_H = "Linux 7.3 include/uapi/linux/vfio_zdev.h";

/** Device ioctl requests: _IO(';', 100 + n), no size inside (vfio-uapi.md 1.1). */
export const VFIO_DEVICE_GET_INFO = 0x3b6b;
export const VFIO_DEVICE_GET_REGION_INFO = 0x3b6c;
export const VFIO_DEVICE_GET_IRQ_INFO = 0x3b6d;
export const VFIO_DEVICE_SET_IRQS = 0x3b6e;
export const VFIO_DEVICE_RESET = 0x3b6f;
export const VFIO_DEVICE_FEATURE = 0x3b75;

/** The same layout with another byte order, e.g. to talk like a big-endian host. */
export function inOrder<F extends Record<string, Field>>(
  table: Layout<F>,
  byteOrder: ByteOrder,
): Layout<F> {
  const known = ordered.get(table) ?? {};
  known[byteOrder] ??= { ...table, byteOrder };
  ordered.set(table, known);
  return known[byteOrder] as Layout<F>;
}

/** Tables in an order that was asked for: each of a VM's functions asks for the same ones. */
const ordered = new WeakMap<object, { [order in ByteOrder]?: object }>();

// Device

export const VfioDeviceInfo = layout("vfio_device_info", 24, "host", `${VFIO_H} (1.5)`, {
  argsz: u32(0),
  flags: u32(4),
  numRegions: u32(8),
  numIrqs: u32(12),
  capOffset: u32(16),
  pad: u32(20),
});
/** Shortest argsz of GET_INFO: the structure as it was before capabilities. */
export const VFIO_DEVICE_INFO_MIN = 16;
export const VFIO_DEVICE_FLAGS_RESET = 0x01;
export const VFIO_DEVICE_FLAGS_PCI = 0x02;
export const VFIO_DEVICE_FLAGS_CAPS = 0x80;

/** Head of each entry of a capability chain; `next` counts from the start of the info buffer. */
export const VfioInfoCapHeader = layout("vfio_info_cap_header", 8, "host", `${VFIO_H} (1.5)`, {
  id: u16(0),
  version: u16(2),
  next: u32(4),
});

export const VFIO_DEVICE_INFO_CAP_ZPCI_BASE = 1;
export const VFIO_DEVICE_INFO_CAP_ZPCI_GROUP = 2;
export const VFIO_DEVICE_INFO_CAP_ZPCI_UTIL = 3;
export const VFIO_DEVICE_INFO_CAP_ZPCI_PFIP = 4;
export const VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP = 5;

const baseV1 = {
  startDma: u64(8),
  endDma: u64(16), // inclusive
  pchid: u16(24),
  vfn: u16(26),
  fmbLength: u16(28), // bytes
  pft: u8(30),
  gid: u8(31),
};
export const ZpciBaseV1 = layout("vfio_device_info_cap_zpci_base v1", 32, "host", ZDEV_H, baseV1);
/** Version 2: bytes 36..39 are padding. */
export const ZpciBaseV2 = layout("vfio_device_info_cap_zpci_base v2", 40, "host", ZDEV_H, {
  ...baseV1,
  fh: u32(32),
});
/** Version 3 has the size of version 2: only the header's version tells them apart. */
export const ZpciBaseV3 = layout("vfio_device_info_cap_zpci_base v3", 40, "host", ZDEV_H, {
  ...baseV1,
  fh: u32(32),
  ccdfErrLength: u32(36),
});

const groupV1 = {
  dasm: u64(8),
  msiAddr: u64(16),
  flags: u64(24),
  mui: u16(32),
  noi: u16(34),
  maxstbl: u16(36),
  version: u8(38),
};
export const ZpciGroupV1 = layout(
  "vfio_device_info_cap_zpci_group v1",
  40,
  "host",
  ZDEV_H,
  groupV1,
);
export const ZpciGroupV2 = layout("vfio_device_info_cap_zpci_group v2", 48, "host", ZDEV_H, {
  ...groupV1,
  imaxstbl: u16(40),
});
export const ZPCI_GROUP_FLAG_REFRESH = 1n;

/** The string (EBCDIC, 64 bytes) follows `size`; the entry is padded to 80. */
export const ZpciUtil = layout("vfio_device_info_cap_zpci_util", 76, "host", ZDEV_H, {
  size: u32(8),
  utilStr: bytes(12, 64),
});
export const ZPCI_UTIL_BYTES = 64;

export const ZpciPfip = layout("vfio_device_info_cap_zpci_pfip", 16, "host", ZDEV_H, {
  size: u32(8),
  pfip: bytes(12, 4),
});
export const ZPCI_PFIP_BYTES = 4;

// Regions

export const VfioRegionInfo = layout("vfio_region_info", 32, "host", `${VFIO_H} (1.6)`, {
  argsz: u32(0),
  flags: u32(4),
  index: u32(8),
  capOffset: u32(12),
  size: u64(16),
  offset: u64(24),
});
export const VFIO_REGION_INFO_FLAG_READ = 1;
export const VFIO_REGION_INFO_FLAG_WRITE = 2;
export const VFIO_REGION_INFO_FLAG_MMAP = 4;
export const VFIO_REGION_INFO_FLAG_CAPS = 8;
export const VFIO_REGION_INFO_CAP_TYPE = 2;
export const VFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 3;
/** What a device specific region is (index 9 and above). */
export const VfioRegionInfoCapType = layout(
  "vfio_region_info_cap_type",
  16,
  "host",
  `${VFIO_H} (1.6)`,
  { type: u32(8), subtype: u32(12) },
);
export const VFIO_PCI_BAR0_REGION_INDEX = 0;
export const VFIO_PCI_ROM_REGION_INDEX = 6;
export const VFIO_PCI_CONFIG_REGION_INDEX = 7;
export const VFIO_PCI_VGA_REGION_INDEX = 8;
export const VFIO_PCI_NUM_REGIONS = 9;
/** Device fd offset of region n is n * 2^40: above 32 bits, below 2^53. */
export const VFIO_REGION_STRIDE = 2 ** 40;

// Interrupts

export const VfioIrqInfo = layout("vfio_irq_info", 16, "host", `${VFIO_H} (1.7)`, {
  argsz: u32(0),
  flags: u32(4),
  index: u32(8),
  count: u32(12),
});
export const VFIO_IRQ_INFO_EVENTFD = 1;
export const VFIO_IRQ_INFO_MASKABLE = 2;
export const VFIO_IRQ_INFO_AUTOMASKED = 4;
export const VFIO_IRQ_INFO_NORESIZE = 8;

/** Data (u8 or s32 each) follow at 20. */
export const VfioIrqSet = layout("vfio_irq_set", 20, "host", `${VFIO_H} (1.7)`, {
  argsz: u32(0),
  flags: u32(4),
  index: u32(8),
  start: u32(12),
  count: u32(16),
});
export const VFIO_IRQ_SET_DATA_NONE = 1;
export const VFIO_IRQ_SET_DATA_BOOL = 2;
export const VFIO_IRQ_SET_DATA_EVENTFD = 4;
export const VFIO_IRQ_SET_ACTION_MASK = 8;
export const VFIO_IRQ_SET_ACTION_UNMASK = 16;
export const VFIO_IRQ_SET_ACTION_TRIGGER = 32;
export const VFIO_PCI_INTX_IRQ_INDEX = 0;
export const VFIO_PCI_MSI_IRQ_INDEX = 1;
export const VFIO_PCI_MSIX_IRQ_INDEX = 2;
export const VFIO_PCI_ERR_IRQ_INDEX = 3;
export const VFIO_PCI_REQ_IRQ_INDEX = 4;
export const VFIO_PCI_NUM_IRQS = 5;

// Features

/** Data follow at 8. The kernel never writes this header back. */
export const VfioDeviceFeature = layout("vfio_device_feature", 8, "host", `${VFIO_H} (1.4)`, {
  argsz: u32(0),
  flags: u32(4),
});
export const VFIO_DEVICE_FEATURE_MASK = 0xffff;
export const VFIO_DEVICE_FEATURE_GET = 0x10000;
export const VFIO_DEVICE_FEATURE_SET = 0x20000;
export const VFIO_DEVICE_FEATURE_PROBE = 0x40000;
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 3;
export const VFIO_DEVICE_FEATURE_LOW_POWER_EXIT = 5;
export const VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFO_V2 = 12;
export const VFIO_DEVICE_FEATURE_ZPCI_ERROR = 13;

/** GET of the merged error feature: the address of a buffer of `ccdfErrLength` bytes. */
export const ZpciErrorFeature = layout(
  "vfio_device_feature_zpci_err",
  16,
  "host",
  `${ZDEV_H} (2.1)`,
  {
    argsz: u32(0),
    flags: u32(4),
    data: u64(8),
  },
);
