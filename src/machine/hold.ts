/**
 * Stops a VM's threads where nothing is half done, and lets them go on: the vCPUs alone (QMP `stop`), or all of them
 * (reset, snapshot). The main thread stores who shall stand; each thread looks at that word between two steps,
 * says that it stands, and sleeps on the word. Guest time does not pass while the vCPUs stand: how long they have
 * stood is in shared memory and every vCPU subtracts it, as QEMU stops QEMU_CLOCK_VIRTUAL, which its s390x TOD
 * clock, clock comparator and CPU timer count by. The VM's own time (ledger, host, deadlines) goes on.
 *
 * A thread that leaves takes its mark back and looks once more: either it sees a new order to stand, or whoever
 * gave that order sees no mark (each stores its word, then loads the other's).
 */
import { and, load, notify, or, store, wait } from "../shm/atomics.ts";
import { VmBlock } from "../shm/blocks.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { COMMAND_STOP, commandOf } from "./loops.ts";

/** Who shall stand: bits of `VmBlock.hold`. */
export const HOLD_NOBODY = 0;
export const HOLD_VCPUS = 1;
/** Platform and recovery workers. */
const HOLD_OTHERS = 2;
export const HOLD_ALL = HOLD_VCPUS | HOLD_OTHERS;
const LEVELS = 3;
/** Above the bits: counts up with each order, so that a sleeper wakes even when the bits stay. */
const ORDER = 4;

/** How long a standing thread sleeps before it looks at the command word again. */
const LOOK_MS = 100;

function word(vm: VmMemory, name: number): number {
  return vm.map.vmBlock / 4 + name;
}

export function holdOf(vm: VmMemory): number {
  return load(vm.words, word(vm, VmBlock.hold)) & LEVELS;
}

/** Main thread: who shall stand from now on. Wakes those that stand; others have to be rung. */
export function orderHold(vm: VmMemory, level: number): void {
  const at = word(vm, VmBlock.hold);
  const count = load(vm.words, at) & ~LEVELS;
  store(vm.words, at, (count + ORDER) | level | 0);
  notify(vm.words, at);
}

export function standsStill(vm: VmMemory, actor: number): boolean {
  const bits = load(vm.words, word(vm, VmBlock.heldActors) + (actor >>> 5));
  return ((bits >>> (actor & 31)) & 1) === 1;
}

/** Main thread: `actor`'s thread is dead, whatever it said last. */
export function forgetActor(vm: VmMemory, actor: number): void {
  and(vm.words, word(vm, VmBlock.heldActors) + (actor >>> 5), ~(1 << (actor & 31)));
}

/** Sleeps until an order is given, or a while. For a vCPU whose guest has ended. */
export function awaitOrder(vm: VmMemory): void {
  const at = word(vm, VmBlock.hold);
  const seen = load(vm.words, at);
  if ((seen & LEVELS) === 0 && commandOf(vm) !== COMMAND_STOP) wait(vm.words, at, seen, LOOK_MS);
}

function held(vm: VmMemory, mine: number): boolean {
  return (holdOf(vm) & mine) !== 0 && commandOf(vm) !== COMMAND_STOP;
}

/**
 * Actor thread, between two steps: stands as long as it is ordered to.
 * @param meanwhile called when it begins to stand and at each further order
 * @returns whether it stood
 */
function stand(vm: VmMemory, actor: number, mine: number, meanwhile?: () => void): boolean {
  if (!held(vm, mine)) return false;
  const mark = word(vm, VmBlock.heldActors) + (actor >>> 5);
  const bit = 1 << (actor & 31);
  const at = word(vm, VmBlock.hold);
  do {
    or(vm.words, mark, bit);
    while (held(vm, mine)) {
      const seen = load(vm.words, at);
      meanwhile?.();
      if ((seen & mine) !== 0) wait(vm.words, at, seen, LOOK_MS);
    }
    and(vm.words, mark, ~bit);
  } while (held(vm, mine));
  return true;
}

export function standAsVcpu(vm: VmMemory, actor: number, meanwhile: () => void): boolean {
  return stand(vm, actor, HOLD_VCPUS, meanwhile);
}

/** Number of the last order to stand or go: counts up. */
export function holdCount(vm: VmMemory): number {
  return load(vm.words, word(vm, VmBlock.hold)) >>> 2;
}

/**
 * A recovery worker, between two passes: stands or goes on, without sleeping, because its thread may carry functions of
 * another VM too.
 * @returns whether it stands
 */
export function standOrGo(vm: VmMemory, actor: number): boolean {
  const mark = word(vm, VmBlock.heldActors) + (actor >>> 5);
  const bit = 1 << (actor & 31);
  const marked = standsStill(vm, actor);
  if (!held(vm, HOLD_OTHERS)) {
    if (!marked) return false;
    and(vm.words, mark, ~bit);
    if (!held(vm, HOLD_OTHERS)) return false;
    or(vm.words, mark, bit);
  } else if (!marked) or(vm.words, mark, bit);
  return true;
}

/** The platform, whose thread is its own. */
export function standAsOther(vm: VmMemory, actor: number, meanwhile?: () => void): boolean {
  return stand(vm, actor, HOLD_OTHERS, meanwhile);
}

/** Microseconds that the vCPUs have stood so far. */
export function frozenUs(vm: VmMemory): number {
  const high = load(vm.words, word(vm, VmBlock.frozenHigh)) >>> 0;
  return high * 0x1_0000_0000 + (load(vm.words, word(vm, VmBlock.frozenLow)) >>> 0);
}

/** Main thread, while every vCPU stands. */
export function addFrozen(vm: VmMemory, us: number): void {
  setFrozen(vm, frozenUs(vm) + Math.max(0, Math.floor(us)));
}

export function setFrozen(vm: VmMemory, total: number): void {
  store(vm.words, word(vm, VmBlock.frozenHigh), Math.floor(total / 0x1_0000_0000) | 0);
  store(vm.words, word(vm, VmBlock.frozenLow), total | 0);
}

/** Main thread, while every thread stands: the first vCPU shall reset the devices, which only it may touch. */
export function orderDeviceReset(vm: VmMemory): void {
  store(vm.words, word(vm, VmBlock.resetAsked), 1);
  orderHold(vm, HOLD_ALL);
}

/** First vCPU. */
export function takeDeviceReset(vm: VmMemory, reset: () => void): void {
  if (load(vm.words, word(vm, VmBlock.resetAsked)) === 0) return;
  reset();
  store(vm.words, word(vm, VmBlock.resetAsked), 0);
}

export function deviceResetDone(vm: VmMemory): boolean {
  return load(vm.words, word(vm, VmBlock.resetAsked)) === 0;
}
