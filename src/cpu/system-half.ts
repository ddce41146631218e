/** Builds the system half of one vCPU: what the core needs beside its interpreter. */
import type { Clock } from "../ports/clock.ts";
import type { FloatingInterrupts } from "../shm/floating.ts";
import { GuestRam } from "../shm/guest-ram.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { Watchdog } from "../shm/watchdog.ts";
import { Dat } from "./dat.ts";
import type { StateGuestCpu } from "./guest-cpu.ts";
import { Interrupts } from "./interrupts.ts";
import { type CpuModel, FACILITY_EDAT1, FACILITY_EDAT2, FACILITY_NO_EXECUTE } from "./model.ts";
import { Psw } from "./psw.ts";
import type { CoreHooks } from "./seam.ts";
import { Signals } from "./signals.ts";
import { CpuState } from "./state.ts";
import { StorageKeys } from "./storage-keys.ts";
import { type RemoteCpu, SystemContext } from "./system/index.ts";
import { Timing, type TodValue } from "./timing.ts";

export interface SystemHalfOptions {
  readonly vm: VmMemory;
  /** Index of the vCPU; also its CPU address. */
  readonly vcpu: number;
  readonly floating: FloatingInterrupts;
  readonly clock: Clock;
  /** TOD value at clock time 0. */
  readonly epoch: TodValue;
  readonly model: CpuModel;
  readonly hooks: CoreHooks;
  /** Told when the channel-report machine check has been taken. */
  readonly machineCheckTaken?: () => void;
}

export interface SystemHalf {
  readonly state: CpuState;
  readonly ram: GuestRam;
  readonly keys: StorageKeys;
  readonly dat: Dat;
  readonly psw: Psw;
  readonly timing: Timing;
  readonly interrupts: Interrupts;
  readonly signals: Signals;
  /** What the functions of `systemInstructions` take. */
  readonly context: SystemContext;
  /** The CPU as intercept handlers see it. */
  readonly guest: StateGuestCpu;
}

export function buildSystemHalf(options: SystemHalfOptions): SystemHalf {
  const { vm, vcpu, floating, clock, epoch, model, hooks, machineCheckTaken } = options;
  const state = new CpuState(vm, vcpu);
  const ram = new GuestRam(vm);
  const keys = new StorageKeys(vm);
  const features = {
    edat1: model.has(FACILITY_EDAT1),
    edat2: model.has(FACILITY_EDAT2),
    noExecute: model.has(FACILITY_NO_EXECUTE),
  };
  const dat = new Dat(state, ram, keys, features, () => hooks.purgeTlb());
  const psw = new Psw(state, () => hooks.pswChanged());
  const timing = new Timing(state, clock, epoch);
  const signals = new Signals(vm, vcpu);
  const parts = { state, ram, psw, timing, floating, model, hooks, signals };
  const interrupts = new Interrupts(
    machineCheckTaken === undefined ? parts : { ...parts, machineCheckTaken },
  );
  const context = new SystemContext({
    state,
    ram,
    keys,
    dat,
    psw,
    interrupts,
    timing,
    model,
    hooks,
    signals,
    watchdog: new Watchdog(vm, clock),
    remote: (cpu) => remoteCpu(vm, cpu, clock, epoch),
  });
  return { state, ram, keys, dat, psw, timing, interrupts, signals, context, guest: context.guest };
}

/** Another CPU while it is stopped. */
function remoteCpu(vm: VmMemory, cpu: number, clock: Clock, epoch: TodValue): RemoteCpu {
  const state = new CpuState(vm, cpu);
  return { state, psw: new Psw(state, () => {}), timing: new Timing(state, clock, epoch) };
}
