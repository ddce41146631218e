/** What a guest starts from, and how a machine begins with it: at first, and again after each reset. */
import { store } from "../shm/atomics.ts";
import { VmBlock } from "../shm/blocks.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { clearGuestStorage } from "./clear-storage.ts";
import type { LinuxBoot } from "./linux-boot.ts";
import { COMMAND_RUN, VCPU_RUNNING } from "./loops.ts";
import { bootVm } from "./parts.ts";

export interface BootSource {
  readonly image: Uint8Array;
  /** Its name, for messages. */
  readonly file: string;
  readonly linux?: LinuxBoot;
}

/** @throws ZmendError IMAGE_INVALID for an image that cannot be loaded */
export function boot(vm: VmMemory, { image, file, linux }: BootSource): void {
  bootVm(vm, image, file, linux);
}

/** Storage cleared, the image loaded again, the CPU started. While nobody acts, after the devices' reset. */
export function bootAgain(vm: VmMemory, source: BootSource): void {
  clearGuestStorage(vm);
  boot(vm, source);
  store(vm.words, vm.map.vmBlock / 4 + VmBlock.watchdogDue, 0);
  store(vm.words, vm.map.vmBlock / 4 + VmBlock.command, COMMAND_RUN);
  store(vm.words, vm.map.vmBlock / 4 + VmBlock.vcpuStopped, VCPU_RUNNING);
}
