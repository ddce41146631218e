/** QMP and the human monitor: what other modules may use. */
export { type Chardev, Chardevs, RingBuffer } from "./chardevs.ts";
export type { BlockNode, CommandLineParameter } from "./command.ts";
export {
  builtinCatalogue,
  builtinModels,
  type DeviceCatalogue,
  type DeviceModel,
  type DeviceProperty,
  type Identity,
} from "./device-catalogue.ts";
export type { ZpciDevice } from "./devices.ts";
export { QmpError } from "./errors.ts";
export type { ShutdownReason } from "./event-table.ts";
export { type ListenAddress, listenOn, shownAddress } from "./listener.ts";
export { MACHINE_TYPE, MACHINE_VERSIONED } from "./machine-type.ts";
export {
  type Client,
  createQmpServer,
  type MonitorMode,
  type QmpServer,
  type QmpServerOptions,
} from "./server.ts";
export type { EndRules } from "./vm-events.ts";
