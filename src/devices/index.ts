/**
 * What the guest can see of the machine besides its CPUs: zPCI functions, the channel subsystem, SCLP.
 * One set of handler objects per vCPU thread, all over the same shared words; with several vCPUs one
 * device lock makes instructions take turns (rings have one producer and one consumer at a time).
 */
import { PciOpcode } from "../abi/pci-insn.ts";
import type { Clock } from "../ports/clock.ts";
import type { GuestCpu, InterceptHandler, InterceptTable } from "../ports/guest-cpu.ts";
import type { GuestMemory } from "../ports/guest-memory.ts";
import type { HostFacts, HostRegions } from "../ports/host-function.ts";
import { store } from "../shm/atomics.ts";
import { VmBlock } from "../shm/blocks.ts";
import type { ChannelReport } from "../shm/channel-report.ts";
import type { FloatingInterrupts } from "../shm/floating.ts";
import { Lock } from "../shm/lock.ts";
import { SclpEvents } from "../shm/sclp-events.ts";
import type { TraceWriter } from "../shm/trace.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { type ChannelSubsystem, createChannelSubsystem } from "./css/index.ts";
import { EventFacility } from "./sclp/event-facility.ts";
import type { SclpFacts } from "./sclp/info.ts";
import { ServiceCall } from "./sclp/service-call.ts";
import { CallLogicalProcessor } from "./zpci/clp.ts";
import { resetFunction } from "./zpci/configure.ts";
import { FunctionTable, type HostParts, ZpciFunction } from "./zpci/function.ts";
import { LoadStore, PciStoreBlock } from "./zpci/load-store.ts";
import { ModifyFunctionControls, StoreFunctionControls } from "./zpci/mpcifc.ts";
import { type RaiseError, RefreshTranslations } from "./zpci/rpcit.ts";
import { SetInterruptionControls } from "./zpci/sic.ts";

export { EventQueue } from "./css/events.ts";
export { conditionCode, statusOf } from "./outcome.ts";
export { disableFunction, enableFunction } from "./zpci/clp-set.ts";
export { deconfigureFunction } from "./zpci/configure.ts";
export { ZpciDma } from "./zpci/dma.ts";
export { FunctionTable, type HostParts, ZpciFunction } from "./zpci/function.ts";
export { prove } from "./zpci/load-store.ts";
export { Measurement } from "./zpci/measurement.ts";
export { modifyFunction } from "./zpci/mpcifc.ts";
export type { RaiseError } from "./zpci/rpcit.ts";
export {
  type FunctionIdentity,
  identityProblem,
  plugFunction,
  reserveFunction,
  slotIsFree,
} from "./zpci/slots.ts";
export type { SclpFacts };

export interface DevicesOptions {
  readonly vm: VmMemory;
  readonly ram: GuestMemory;
  /** By function index, as the three following; slots beyond have no function yet. */
  readonly regions: readonly HostRegions[];
  readonly facts: readonly HostFacts[];
  /** `HostFunction.clearError` of each function; absent = false. */
  readonly clearError?: readonly boolean[];
  /** Whether CLP says that UIDs are unique; absent = yes. */
  readonly uidChecking?: boolean;
  readonly floating: FloatingInterrupts;
  readonly channelReport: ChannelReport;
  readonly trace: TraceWriter;
  readonly clock: Clock;
  /** Console text of the guest; the bytes are the receiver's. */
  readonly console: (bytes: Uint8Array) => void;
  readonly sclpFacts: SclpFacts;
  /** An error that an instruction found: raised through the platform like every other. */
  readonly raiseError: RaiseError;
}

export interface Devices {
  readonly intercepts: InterceptTable;
  /** Quiesce requests and console input; `requestQuiesce` and `pushInput` are safe from any one thread. */
  readonly sclp: SclpEvents;
  readonly zpci: FunctionTable;
  readonly css: ChannelSubsystem;
  /** Another function stands in slot `index`, or none any more. Thread: the vCPU's, between instructions. */
  plug(index: number, host: HostParts | undefined): void;
  /** Machine reset (also once at build): functions, channel report, suppression, pending interruptions. */
  reset(): void;
}

/** Serves opcode SERVC. */
const SERVC = 0xb220;

export function createDevices(options: DevicesOptions): Devices {
  const { vm, ram, floating } = options;
  const functions = new FunctionTable(
    vm.map.functionBlocks.map(
      (_, index) =>
        new ZpciFunction(vm, index, {
          host: hostParts(options, index),
          trace: options.trace,
          clock: options.clock,
        }),
    ),
    options.uidChecking ?? true,
  );
  const css = createChannelSubsystem(vm, ram, functions, options.channelReport, floating);
  const sclp = new SclpEvents(vm, floating);
  const facility = new EventFacility(
    sclp,
    functions,
    options.console,
    options.sclpFacts.lineMode ?? false,
  );
  const handlers: (readonly [number, InterceptHandler])[] = [
    [PciOpcode.CLP, new CallLogicalProcessor(functions)],
    [PciOpcode.PCILG, new LoadStore(functions, false)],
    [PciOpcode.PCISTG, new LoadStore(functions, true)],
    [PciOpcode.PCISTB, new PciStoreBlock(functions)],
    [PciOpcode.RPCIT, new RefreshTranslations(functions, ram, options.raiseError)],
    [PciOpcode.MPCIFC, new ModifyFunctionControls(functions, ram, options.raiseError)],
    [PciOpcode.STPCIFC, new StoreFunctionControls(functions)],
    [PciOpcode.SIC, new SetInterruptionControls(vm)],
    [SERVC, new ServiceCall(vm, ram, floating, facility, functions, options.sclpFacts)],
    ...css.handlers,
  ];
  return {
    intercepts: new Map(vm.map.vcpuCount > 1 ? locked(vm, handlers) : handlers),
    sclp,
    zpci: functions,
    css,
    plug: (index, host) => functions.all[index]?.plug(host),
    reset: () => {
      for (const target of functions.all) resetFunction(target);
      resetWords(vm);
      css.reset();
    },
  };
}

function hostParts(options: DevicesOptions, index: number): HostParts | undefined {
  const regions = options.regions[index];
  const facts = options.facts[index];
  if (regions === undefined || facts === undefined) return undefined;
  return { regions, facts, clearError: options.clearError?.[index] ?? false };
}

/** Pending interruptions and SCLP's masks. Before the channel report, which may announce events anew. */
function resetWords(vm: VmMemory): void {
  const base = vm.map.vmBlock / 4;
  store(vm.words, base + VmBlock.machineCheckPending, 0);
  store(vm.words, base + VmBlock.ioPending, 0);
  store(vm.words, base + VmBlock.servicePending, 0);
  store(vm.words, base + VmBlock.serviceParameter, 0);
  store(vm.words, base + VmBlock.suppression, 0);
  store(vm.words, base + VmBlock.sclpReceiveMask, 0);
  store(vm.words, base + VmBlock.quiesceRequested, 0);
}

class LockedHandler implements InterceptHandler {
  readonly #inner: InterceptHandler;
  readonly #lock: Lock;
  readonly direct?: (cpu: GuestCpu) => (high: number) => void;

  constructor(inner: InterceptHandler, lock: Lock) {
    this.#inner = inner;
    this.#lock = lock;
    if (inner.direct !== undefined) this.direct = (cpu) => (high) => this.execute(cpu, high, 0);
  }

  execute(cpu: GuestCpu, high: number, low: number): void {
    this.#lock.acquire();
    try {
      this.#inner.execute(cpu, high, low);
    } finally {
      this.#lock.release();
    }
  }
}

function locked(
  vm: VmMemory,
  handlers: readonly (readonly [number, InterceptHandler])[],
): (readonly [number, InterceptHandler])[] {
  const lock = new Lock(vm.words, vm.map.vmBlock / 4 + VmBlock.deviceLock);
  return handlers.map(([key, inner]) => [key, new LockedHandler(inner, lock)] as const);
}
