/** Builds the acting objects of a VM over its shared memory: the same ones for threads and for one thread. */
import { TraceKind } from "../abi/records.ts";
import {
  prepareHostArea,
  type SimFunctionConfig,
  SimHostFunction,
  SimHostRegions,
} from "../backend/sim/index.ts";
import { Cpu, CpuState, clearReset, HEAT_AFTER, PswBit, Signals, Vcpu } from "../cpu/index.ts";
import {
  createDevices,
  type Devices,
  type HostParts,
  plugFunction,
  reserveFunction,
} from "../devices/index.ts";
import type { Clock } from "../ports/clock.ts";
import type { InterceptTable } from "../ports/guest-cpu.ts";
import type { HostFunction } from "../ports/host-function.ts";
// Not through its index: a worker would load the parsers of policy files too, and its guest waits for it.
import { announceFunction, awaitFunction } from "../recovery/plug.ts";
import { ChannelReport } from "../shm/channel-report.ts";
import { FloatingInterrupts } from "../shm/floating.ts";
import { GuestErrorMailbox } from "../shm/guest-error.ts";
import { GuestRam } from "../shm/guest-ram.ts";
import { vcpuTraceRing } from "../shm/memory-map.ts";
import { TraceWriter } from "../shm/trace.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { Watchdog } from "../shm/watchdog.ts";
import { loadImage } from "./image.ts";
import { type LinuxBoot, placeLinux } from "./linux-boot.ts";
import type { VmSpec } from "./vm-spec.ts";

/** Once, before any thread starts: the host side of each function, its identity in the guest, the reset state. */
export function prepareVm(vm: VmMemory, spec: VmSpec): void {
  for (const [index, config] of spec.functions.entries()) {
    prepareHostArea(vm, index, config);
    const identity = { fid: config.fid, uid: config.uid };
    const regions = new SimHostRegions(vm, index);
    if (config.present) plugFunction(vm, index, identity, regions);
    else {
      reserveFunction(vm, index, identity, regions);
      awaitFunction(vm, index);
    }
  }
  new ChannelReport(vm, new FloatingInterrupts(vm)).reset();
  if (spec.watchdog !== undefined) Watchdog.install(vm);
}

/** Loads the image and points the first vCPU at it: a 64-bit PSW with DAT off and everything disabled. Others are stopped. */
export function bootVm(vm: VmMemory, image: Uint8Array, file: string, linux: LinuxBoot = {}): void {
  const ram = new GuestRam(vm);
  const loaded = loadImage(image, file, ram);
  placeLinux(ram, loaded, linux);
  for (const cpu of vm.map.vcpuAreas.keys()) clearReset(new CpuState(vm, cpu));
  Signals.prepare(vm);
  const state = new CpuState(vm, 0);
  state.setHalves(Cpu.pswMask, PswBit.ea64High, PswBit.ba31Low | 0);
  state.setHalves(Cpu.pswAddress, 0, loaded.entry);
}

/** What vCPU `index` reaches with its instructions: zPCI, channel subsystem, SCLP. */
export function buildDevices(
  vm: VmMemory,
  spec: VmSpec,
  index: number,
  clock: Clock,
  console: (bytes: Uint8Array) => void,
  trace = new TraceWriter(vm, vcpuTraceRing(vm.map, index), clock),
  hosts: readonly HostFunction[] = spec.functions.map(
    (config, n) => new SimHostFunction(vm, n, config),
  ),
): Devices {
  const floating = new FloatingInterrupts(vm);
  const mailbox = new GuestErrorMailbox(vm);
  return createDevices({
    vm,
    ram: new GuestRam(vm),
    regions: spec.functions.map((_, n) => new SimHostRegions(vm, n)),
    facts: hosts.map((host) => host.facts),
    clearError: hosts.map((host) => host.clearError),
    uidChecking: spec.uidChecking ?? true,
    floating,
    channelReport: new ChannelReport(vm, floating),
    trace,
    clock,
    console,
    sclpFacts: {
      ramBytes: vm.map.ramBytes,
      cpuCount: vm.map.vcpuCount,
      ...(spec.loadparm === undefined ? {} : { loadparm: spec.loadparm }),
    },
    raiseError: (functionIndex, pec, high, low, write) =>
      mailbox.post(functionIndex, pec, high, low, write),
  });
}

/** A vCPU with the devices that its instructions reach. */
export interface Processor {
  readonly vcpu: Vcpu;
  /** Machine reset of the devices: functions, channel report, pending interruptions. */
  readonly resetDevices: () => void;
  /** Another function stands in place `index`. Between instructions. */
  readonly plug: (index: number, config: SimFunctionConfig) => void;
}

/** After how many arrivals the CPUs of a machine translate an instruction; 0 = never. */
export function translateAfter(spec: VmSpec): number {
  return spec.accel === "jit" ? HEAT_AFTER : 0;
}

/**
 * @param guestClock time as the guest's clock and timers see it
 * @param module the interpreter, where the process has it compiled
 * @param watched puts somebody between the CPU and its devices
 */
export function buildProcessor(
  vm: VmMemory,
  spec: VmSpec,
  index: number,
  clock: Clock,
  console: (bytes: Uint8Array) => void,
  guestClock: Clock = clock,
  module?: WebAssembly.Module,
  watched: (table: InterceptTable) => InterceptTable = (table) => table,
): Processor {
  // One writer: a trace ring has one producer.
  const trace = new TraceWriter(vm, vcpuTraceRing(vm.map, index), clock);
  const devices = buildDevices(vm, spec, index, clock, console, trace);
  const vcpu = new Vcpu(vm, index, {
    intercepts: watched(devices.intercepts),
    floating: new FloatingInterrupts(vm),
    clock: guestClock,
    model: spec.cpuModel,
    translateAfter: translateAfter(spec),
    epochMs: spec.epochMs,
    ...(module === undefined ? {} : { module }),
    machineCheckTaken: () => trace.write(TraceKind.machineCheck, -1, 0, 0, 0, 0, 0, 0),
    notImplemented: (high, low, addressHigh, addressLow, opcode) =>
      trace.write(TraceKind.notImplemented, -1, 0, 0, high, low, addressLow, addressHigh, opcode),
  });
  return {
    vcpu,
    resetDevices: devices.reset,
    plug: (n, config) => devices.plug(n, hostParts(vm, n, config)),
  };
}

function hostParts(vm: VmMemory, index: number, config: SimFunctionConfig): HostParts {
  const { facts, clearError } = new SimHostFunction(vm, index, config);
  return { regions: new SimHostRegions(vm, index), facts, clearError };
}

/**
 * A function in a free place: its host side and its identity. The guest hears of it from the recovery worker, which
 * is to be started after the platform and the vCPUs know. Main thread.
 */
export function placeFunction(vm: VmMemory, index: number, config: SimFunctionConfig): void {
  prepareHostArea(vm, index, config);
  reserveFunction(vm, index, config, new SimHostRegions(vm, index));
  awaitFunction(vm, index);
  announceFunction(vm, index);
}
