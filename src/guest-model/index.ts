/** The model of a Linux guest's zPCI error handling. */
export {
  type ComparedDriver,
  type ComparedKernel,
  comparedDrivers,
  comparedKernels,
  type Difference,
  differences,
} from "./compared.ts";
export {
  type DriverVariant,
  driverNames,
  drivers,
  Stage,
  type StageName,
  stages,
} from "./drivers.ts";
export { GuestModel } from "./guest.ts";
export type { Instruction } from "./instructions.ts";
export { type KernelFlavour, type KernelName, kernelNames, kernels } from "./kernels.ts";
export {
  type Answer,
  type GuestEvent,
  type GuestPort,
  type GuestTimes,
  type GuestWatcher,
  Mark,
} from "./port.ts";
