/**
 * Public surface of the package (`zmend`): the binary interfaces, the recovery machine, and what a program needs
 * to run that machine over a host of its own: the VM's shared memory, the ports, a clock, the simulated host.
 * Named exports only; what stands here only grows, `zmend/abi` and `zmend/recovery` are the same objects.
 */
export * as abi from "./abi/index.ts";
export {
  type FaultAction,
  type FaultRule,
  HOST_AREA_BYTES,
  prepareHostArea,
  type SimFunctionConfig,
  SimHostFunction,
  SimPlatform,
  simFunctionConfig,
} from "./backend/sim/index.ts";
export { HostClock, monotonicNowUs, VirtualClock } from "./base/clock.ts";
export { type ErrorCode, errorCatalogue, ZmendError } from "./base/errors.ts";
export { zmendVersion } from "./base/version.ts";
export type { Clock } from "./ports/clock.ts";
export * from "./ports/host-function.ts"; // and the errno numbers that its calls answer with
export type { InterruptSink } from "./ports/interrupt-sink.ts";
export * as recovery from "./recovery/index.ts";
export { load as loadWord, store as storeWord } from "./shm/atomics.ts";
export {
  FunctionBlock,
  FunctionState,
  generationOf,
  RecoveryCommand,
  stateOf,
  stateWord,
  VmBlock,
} from "./shm/blocks.ts";
export { ChannelReport } from "./shm/channel-report.ts";
export { FloatingInterrupts } from "./shm/floating.ts";
export {
  type MemoryMap,
  type MemoryPlan,
  planMemory,
  platformTraceRing,
  recoveryTraceRing,
} from "./shm/memory-map.ts";
export { TraceWriter } from "./shm/trace.ts";
export { attachVmMemory, createVmMemory, type VmMemory } from "./shm/vm-memory.ts";
