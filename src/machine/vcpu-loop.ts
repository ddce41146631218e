/** The life of a vCPU's thread: run in slices, sleep in enabled waits, say how it ended. */
import { VCPU_SLICE_INSTRUCTIONS } from "../base/limits.ts";
import { type Vcpu, VcpuExit } from "../cpu/index.ts";
import { load, store } from "../shm/atomics.ts";
import { VmBlock } from "../shm/blocks.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import {
  COMMAND_POLICY_STOP,
  COMMAND_RUN,
  commandOf,
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

/** Returns when the guest has stopped or the VM was told to. */
export function runVcpu(vcpu: Vcpu, vm: VmMemory): void {
  for (;;) {
    const command = commandOf(vm);
    if (command !== COMMAND_RUN) {
      setStopped(vm, command === COMMAND_POLICY_STOP ? VCPU_POLICY_STOP : VCPU_COMMAND);
      return;
    }
    const exit = vcpu.run(VCPU_SLICE_INSTRUCTIONS);
    if (recordVcpuEnd(vm, exit)) return;
    if (exit === VcpuExit.wait) vcpu.sleep(SLEEP_MAX_MS);
  }
}

const stopOf: readonly (readonly [number, number])[] = [
  [VcpuExit.disabledWait, VCPU_DISABLED_WAIT],
  [VcpuExit.checkStop, VCPU_CHECK_STOP],
  [VcpuExit.powerOff, VCPU_POWER_OFF],
  [VcpuExit.reset, VCPU_RESET],
];

/** Publishes how the guest ended, if `exit` ended it. */
export function recordVcpuEnd(vm: VmMemory, exit: number): boolean {
  for (const [ended, stopped] of stopOf) {
    if (exit !== ended) continue;
    setStopped(vm, stopped);
    return true;
  }
  return false;
}

function setStopped(vm: VmMemory, value: number): void {
  const word = vm.map.vmBlock / 4 + VmBlock.vcpuStopped;
  if (load(vm.words, word) === VCPU_RUNNING) store(vm.words, word, value);
}
