/**
 * Functions that come and go while the VM runs, as the machine arranges them: words of the recovery machine, written
 * while no worker of that function runs. Main thread.
 *
 * To plug: prepare the host area, give the function a slot (`reserveFunction` of src/devices), `awaitFunction`, let
 * the platform and the vCPUs know of it, `announceFunction`, start its worker. To unplug: the command `unplug`; the
 * worker ends when the guest has given the function up, or has lost it.
 */
import { store } from "../shm/atomics.ts";
import { FunctionBlock, RecoveryCommand } from "../shm/blocks.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { State } from "./vocabulary.ts";

/** The function in this slot is not the guest's: its worker ends at once, until it is announced. */
export function awaitFunction(vm: VmMemory, index: number): void {
  const base = (vm.map.functionBlocks[index] as number) / 4;
  store(vm.words, base + FunctionBlock.recoveryState, State.detached);
}

/** The worker opens the host function and tells the guest: 0x0301, configured, or 0x0302, standby. */
export function announceFunction(vm: VmMemory, index: number, standby = false): void {
  const base = (vm.map.functionBlocks[index] as number) / 4;
  const command = standby ? RecoveryCommand.hostBackStandby : RecoveryCommand.hostBack;
  store(vm.words, base + FunctionBlock.recoveryCommand, command);
}
