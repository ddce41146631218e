/** The simulated host: what the machine and the workers' doorways use of it. */
export { errorsWait, workDone } from "./activity.ts";
export {
  type CcdfSpec,
  defaultTiming,
  type FaultAction,
  type FaultRule,
  type FaultTrigger,
  type HostDialect,
  hostDialectNames,
  RECORDED_HANDLE,
  type SimFunctionConfig,
  type SimHostInterface,
  type SimTiming,
  simFunctionConfig,
} from "./config.ts";
export { completeInterruptedGet, GET_STEPS } from "./error-queue.ts";
export { pciFaultProblems, plugForms, unplugForms } from "./fault-plan.ts";
export { HOST_AREA_BYTES, HOST_LAYOUT, prepareHostArea } from "./host-area.ts";
export { SimHostFunction } from "./host-function.ts";
export { SimHostRegions } from "./host-regions.ts";
export { hostAreaBytes } from "./iommu-pages.ts";
export {
  type NvmeConfig,
  type NvmeInput,
  type NvmeNamespaceConfig,
  nvmeConfig,
  nvmeProblems,
} from "./nvme/config.ts";
export {
  faultCommands,
  faultProblems,
  type NvmeFaultAction,
  type NvmeFaultRule,
  type NvmeFaultTrigger,
} from "./nvme/fault-plan.ts";
export type { ArmedFault } from "./nvme/faults.ts";
export { checkDisks, DiskUses, diskProblem } from "./nvme/namespace.ts";
export { translationOf } from "./pinned-dma.ts";
export { type PlatformFunctionState, SimPlatform } from "./platform.ts";
export { SimVfioDevice } from "./vfio-device.ts";
