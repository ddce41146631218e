/**
 * The start of a VM on threads. Threads take their time to come up, and a platform that plays errors before the
 * recovery workers listen would play them to nobody. So each thread builds its objects, counts itself ready and
 * waits; when all are ready the main thread sets the VM's time 0 and opens the gate. A successor of a dead
 * worker finds it open.
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

/** Actor thread: ready. A successor says so for its predecessor as well: a bit each, not a count. */
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
  const high = load(vm.words, word(vm, VmBlock.gateOriginHigh)) >>> 0;
  const low = load(vm.words, word(vm, VmBlock.gateOriginLow)) >>> 0;
  clock.start(high * 0x1_0000_0000 + low);
  return true;
}

/** The VM's time runs. */
export function gateIsOpen(vm: VmMemory): boolean {
  return load(vm.words, word(vm, VmBlock.gateOpen)) !== 0;
}

/** Main thread: how many actors are ready. */
export function actorsReady(vm: VmMemory): number {
  const actors = 1 + vm.map.vcpuCount + vm.map.functionCount;
  let count = 0;
  for (let actor = 0; actor < actors; actor++) {
    const bits = load(vm.words, word(vm, VmBlock.actorsReady) + (actor >>> 5));
    count += (bits >>> (actor & 31)) & 1;
  }
  return count;
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
