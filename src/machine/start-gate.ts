/**
 * The start of a VM on threads. Platform and vCPUs take their time to come up: each builds its objects, says that it is
 * ready and waits; when all are ready the main thread sets the VM's time 0 and opens the gate. Recovery workers come
 * after that, for there may be many and the guest need not wait for them: until a function's worker says that it is
 * ready, the platform keeps the function's errors back, which nobody would hear (`SimPlatform`). A successor of a dead
 * worker finds it said.
 */
import { type HostClock, monotonicNowUs } from "../base/clock.ts";
import { load, notify, or, store, wait } from "../shm/atomics.ts";
import { VmBlock } from "../shm/blocks.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { COMMAND_STOP, commandOf } from "./loops.ts";

/** How long a thread waits before it looks at the command word again. */
const LOOK_MS = 100;

function word(vm: VmMemory, name: number): number {
  return vm.map.vmBlock / 4 + name;
}

/** Numbers of the actors: the platform, then the vCPUs, then the recovery workers by function index. */
export const PLATFORM_ACTOR = 0;

export function vcpuActor(index: number): number {
  return 1 + index;
}

export function recoveryActor(vm: VmMemory, functionIndex: number): number {
  return 1 + vm.map.vcpuCount + functionIndex;
}

/** Actor thread: ready. */
export function declareReady(vm: VmMemory, actor: number): void {
  or(vm.words, word(vm, VmBlock.actorsReady) + (actor >>> 5), 1 << (actor & 31));
}

/** Actor thread: ready; returns when the VM runs, with `clock` started. */
export function passGate(vm: VmMemory, clock: HostClock, actor: number): void {
  declareReady(vm, actor);
  while (load(vm.words, word(vm, VmBlock.gateOpen)) === 0) {
    if (commandOf(vm) === COMMAND_STOP) return;
    wait(vm.words, word(vm, VmBlock.gateOpen), 0, LOOK_MS);
  }
  joinTime(vm, clock);
}

/**
 * Actor thread, before it looks at anything: a successor joins a VM whose time runs already, and must not take
 * it to be 0, for then every deadline it set would have passed.
 * @returns false, and leaves `clock` at 0, when the gate is still closed
 */
export function joinTime(vm: VmMemory, clock: HostClock): boolean {
  if (!gateIsOpen(vm)) return false;
  // Signed: a restored machine may be older than the host's uptime, and its time 0 lies before the boot then.
  const high = load(vm.words, word(vm, VmBlock.gateOriginHigh));
  const low = load(vm.words, word(vm, VmBlock.gateOriginLow)) >>> 0;
  clock.start(high * 0x1_0000_0000 + low);
  return true;
}

/** The VM's time runs. */
export function gateIsOpen(vm: VmMemory): boolean {
  return load(vm.words, word(vm, VmBlock.gateOpen)) !== 0;
}

/** Whether an actor's thread has been ready once in this life of the VM. */
export function isReady(vm: VmMemory, actor: number): boolean {
  const bits = load(vm.words, word(vm, VmBlock.actorsReady) + (actor >>> 5));
  return ((bits >>> (actor & 31)) & 1) === 1;
}

/** Main thread: whether the gate may be opened. */
export function mayStart(vm: VmMemory): boolean {
  if (!isReady(vm, PLATFORM_ACTOR)) return false;
  for (let cpu = 0; cpu < vm.map.vcpuCount; cpu++) if (!isReady(vm, vcpuActor(cpu))) return false;
  return true;
}

/** Main thread: the VM's time begins now, at 0 or, for a restored machine, where it stood. */
export function openGate(vm: VmMemory, clock: HostClock, timeUs = 0): void {
  const originUs = Math.floor(monotonicNowUs() - timeUs);
  store(vm.words, word(vm, VmBlock.gateOriginHigh), Math.floor(originUs / 0x1_0000_0000) | 0);
  store(vm.words, word(vm, VmBlock.gateOriginLow), originUs | 0);
  store(vm.words, word(vm, VmBlock.gateOpen), 1);
  notify(vm.words, word(vm, VmBlock.gateOpen));
  clock.start(originUs);
}
