/**
 * The doorbell of a function's recovery: its summary word is the function's own, and so is the word that its worker
 * sleeps by, unless one worker serves many functions, of several VMs: then that worker has a buffer of its own, and
 * every thread of those VMs knows it (`VmMemory.recoveryWords`).
 */
import { FunctionBlock } from "./blocks.ts";
import { Doorbell } from "./doorbell.ts";
import type { VmMemory } from "./vm-memory.ts";

/** Words of a recovery thread's own buffer, 128 bytes apart. */
export const RecoveryThreadWords = {
  /** It sleeps by this word, if it is shared. */
  sleeping: 0,
  /** Orders that its port holds or held; counts up. Main thread. */
  orders: 32,
  /** Number of the function that it is at, 0 = none. */
  at: 64,
} as const;
const RECOVERY_THREAD_BYTES = 3 * 128;

export function recoveryThreadWords(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(RECOVERY_THREAD_BYTES));
}

/** The array and index of the word that the recovery worker of function `index` sleeps by. */
export function recoverySleepWord(vm: VmMemory, index: number): readonly [Int32Array, number] {
  if (vm.recoveryWords !== undefined) return [vm.recoveryWords, RecoveryThreadWords.sleeping];
  return [vm.words, (vm.map.functionBlocks[index] as number) / 4 + FunctionBlock.workerSleeping];
}

export function recoveryBell(vm: VmMemory, index: number): Doorbell {
  const [sleepers, sleeping] = recoverySleepWord(vm, index);
  const summary = (vm.map.functionBlocks[index] as number) / 4 + FunctionBlock.workerSummary;
  return new Doorbell(vm.words, sleeping, summary, sleepers);
}
