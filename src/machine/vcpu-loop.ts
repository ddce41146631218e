/**
 * The life of a vCPU's thread: run in slices, sleep in enabled waits, stand when told to, say how the guest ended.
 * The thread outlives its guest: a reset of the machine begins another one.
 */
import { VCPU_SLICE_INSTRUCTIONS } from "../base/limits.ts";
import { type Vcpu, VcpuExit } from "../cpu/index.ts";
import { store } from "../shm/atomics.ts";
import { VmBlock } from "../shm/blocks.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { awaitOrder, standAsVcpu, takeDeviceReset } from "./hold.ts";
import {
  COMMAND_POLICY_STOP,
  COMMAND_STOP,
  commandOf,
  stoppedOf,
  VCPU_CHECK_STOP,
  VCPU_COMMAND,
  VCPU_DISABLED_WAIT,
  VCPU_POLICY_STOP,
  VCPU_POWER_OFF,
  VCPU_RESET,
  VCPU_RUNNING,
} from "./loops.ts";

/** The longest sleep of an enabled wait, in case a wake-up was lost with a thread that died. */
const SLEEP_MAX_MS = 100;

export interface VcpuLife {
  readonly vcpu: Vcpu;
  /** Number of this thread in the start gate and in holds. */
  readonly actor: number;
  readonly resetDevices: () => void;
  /** After the CPU stood: its time and its storage may have changed. */
  readonly resumed: () => void;
}

/** Returns when the VM is told to stop. */
export function runVcpu({ vcpu, actor, resetDevices, resumed }: VcpuLife, vm: VmMemory): void {
  const meanwhile = (): void => takeDeviceReset(vm, resetDevices);
  for (;;) {
    const command = commandOf(vm);
    if (command === COMMAND_STOP) {
      setStopped(vm, VCPU_COMMAND);
      return;
    }
    if (command === COMMAND_POLICY_STOP) setStopped(vm, VCPU_POLICY_STOP);
    if (standAsVcpu(vm, actor, meanwhile)) {
      resumed();
      continue;
    }
    if (stoppedOf(vm) !== VCPU_RUNNING) {
      awaitOrder(vm);
      continue;
    }
    const exit = vcpu.run(VCPU_SLICE_INSTRUCTIONS);
    if (exit === VcpuExit.wait) vcpu.sleep(SLEEP_MAX_MS);
    else if (rests(exit) && !vcpu.halt()) vcpu.rest(SLEEP_MAX_MS);
    else recordVcpuEnd(vm, exit);
  }
}

/** A CPU that has come to rest; the guest has ended when all have. */
export function rests(exit: number): boolean {
  return exit === VcpuExit.stopped || exit === VcpuExit.disabledWait || exit === VcpuExit.checkStop;
}

const stopOf: readonly (readonly [number, number])[] = [
  [VcpuExit.disabledWait, VCPU_DISABLED_WAIT],
  [VcpuExit.checkStop, VCPU_CHECK_STOP],
  [VcpuExit.powerOff, VCPU_POWER_OFF],
  [VcpuExit.stopped, VCPU_POWER_OFF],
  [VcpuExit.reset, VCPU_RESET],
];

/** Publishes how the guest ended, if `exit` ended it. */
export function recordVcpuEnd(vm: VmMemory, exit: number): void {
  for (const [ended, stopped] of stopOf) if (exit === ended) setStopped(vm, stopped);
}

function setStopped(vm: VmMemory, value: number): void {
  if (stoppedOf(vm) !== VCPU_RUNNING) return;
  store(vm.words, vm.map.vmBlock / 4 + VmBlock.vcpuStopped, value);
}
