/** What the parts of a `VmController` share: each decides about its own, and meets the others here. */
import type { CommandQueue } from "./command-queue.ts";
import type { RunStates } from "./run-states.ts";
import type { ThreadedVm } from "./threaded-vm.ts";
import type { VmListeners } from "./vm-listeners.ts";

export interface ControllerParts {
  readonly machine: ThreadedVm;
  readonly states: RunStates;
  readonly listeners: VmListeners;
  readonly commands: CommandQueue;
  /** How often the VM is looked after, milliseconds. */
  readonly pumpMs: number;
}
