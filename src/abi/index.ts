/**
 * Public surface of the binary interfaces (`zmend/abi`): the layout engine, every table with its codes, and
 * `allLayouts`, the tables as one list for tests, documentation and tools.
 */
import { CcdfAvail, CcdfErr } from "./ccdf.ts";
import { ChscRequest, ChscResponse, ChscSeiResponse } from "./chsc.ts";
import {
  ClpHeader,
  ClpListEntry,
  ClpListRequest,
  ClpListResponse,
  ClpQueryFunctionRequest,
  ClpQueryFunctionResponse,
  ClpQueryGroupRequest,
  ClpQueryGroupResponse,
  ClpSetFunctionRequest,
  ClpSetFunctionResponse,
} from "./clp.ts";
import { Fib } from "./fib.ts";
import { Fmb } from "./fmb.ts";
import type { Layout } from "./layout.ts";
import { Lowcore } from "./lowcore.ts";
import {
  NvmeCqe,
  NvmeDsmRange,
  NvmeErrorEntry,
  NvmeFirmwareLog,
  NvmeIdentifyController,
  NvmeIdentifyNamespace,
  NvmeSmartLog,
  NvmeSqe,
} from "./nvme.ts";
import {
  AdapterSccb,
  CpuInfo,
  EventHeader,
  EventMaskSccb,
  ReportEvent,
  Sccb,
  ScpInfo,
} from "./sclp.ts";
import {
  VfioDeviceFeature,
  VfioDeviceInfo,
  VfioInfoCapHeader,
  VfioIrqInfo,
  VfioIrqSet,
  VfioRegionInfo,
  VfioRegionInfoCapType,
  ZpciBaseV1,
  ZpciBaseV2,
  ZpciBaseV3,
  ZpciErrorFeature,
  ZpciGroupV1,
  ZpciGroupV2,
  ZpciPfip,
  ZpciUtil,
} from "./vfio.ts";
import {
  EehGetAddr2014,
  EehSetOption2014,
  VfioEehPeOp,
  VfioIommuType1DmaMap,
  VfioIommuType1DmaUnmap,
  VfioIommuType1Info,
  VfioIommuType1InfoDmaAvail,
  VfioIommuType1InfoIovaRange,
  VfioIommuType1InfoMigration,
} from "./vfio-iommu.ts";
import { ZpciErr } from "./zpci-err.ts";
import {
  ZpciRegion2019,
  ZpciRegion2019V3,
  ZpciRegion2020,
  ZpciRegionBase2020,
  ZpciRegionGroup2020,
  ZpciRegionHdr2020,
  ZpciRegionPfip2020,
  ZpciRegionUtil2020,
} from "./zpci-region.ts";

export * from "./ccdf.ts";
export * from "./chsc.ts";
export * from "./clp.ts";
export * from "./ebcdic.ts";
export * from "./fib.ts";
export * from "./fmb.ts";
export * from "./layout.ts";
export * from "./lowcore.ts";
export * from "./nvme.ts";
export * from "./pci-insn.ts";
export * from "./records.ts";
export * from "./registry.ts";
export * from "./sclp.ts";
export * from "./test-function.ts";
export * from "./vfio.ts";
export * from "./vfio-iommu.ts";
export * from "./vfio-open.ts";
export * from "./zpci-err.ts";
export * from "./zpci-region.ts";

/** Every structure, grouped by border: events, CPU, channel subsystem, zPCI, SCLP, VFIO. */
export const allLayouts: readonly Layout[] = [
  CcdfErr,
  CcdfAvail,
  Lowcore,
  ChscRequest,
  ChscResponse,
  ChscSeiResponse,
  ClpHeader,
  ClpListRequest,
  ClpListResponse,
  ClpListEntry,
  ClpQueryFunctionRequest,
  ClpQueryFunctionResponse,
  ClpQueryGroupRequest,
  ClpQueryGroupResponse,
  ClpSetFunctionRequest,
  ClpSetFunctionResponse,
  Fib,
  Fmb,
  Sccb,
  ScpInfo,
  CpuInfo,
  EventMaskSccb,
  EventHeader,
  ReportEvent,
  AdapterSccb,
  VfioDeviceInfo,
  VfioInfoCapHeader,
  ZpciBaseV1,
  ZpciBaseV2,
  ZpciBaseV3,
  ZpciGroupV1,
  ZpciGroupV2,
  ZpciUtil,
  ZpciPfip,
  VfioRegionInfo,
  VfioRegionInfoCapType,
  VfioIrqInfo,
  VfioIrqSet,
  VfioDeviceFeature,
  ZpciErrorFeature,
  ...Object.values(ZpciErr),
  VfioIommuType1DmaMap,
  VfioIommuType1DmaUnmap,
  VfioIommuType1Info,
  VfioIommuType1InfoDmaAvail,
  VfioIommuType1InfoIovaRange,
  VfioIommuType1InfoMigration,
  VfioEehPeOp,
  EehSetOption2014,
  EehGetAddr2014,
  ZpciRegion2019,
  ZpciRegion2019V3,
  ZpciRegion2020,
  ZpciRegionHdr2020,
  ZpciRegionBase2020,
  ZpciRegionGroup2020,
  ZpciRegionUtil2020,
  ZpciRegionPfip2020,
  NvmeCqe,
  NvmeDsmRange,
  NvmeErrorEntry,
  NvmeFirmwareLog,
  NvmeIdentifyController,
  NvmeIdentifyNamespace,
  NvmeSmartLog,
  NvmeSqe,
];
