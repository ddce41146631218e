/** What a stepped thread and its scheduler share: word indices of the control block, states, commands. */

export const Control = {
  state: 0, //    written by the thread, awaited by the scheduler
  command: 1, //  written by the scheduler, awaited by the thread
  wordIndex: 2, // of the wait or notify in progress
  program: 3, //  index into `programs`
  words: 8,
} as const;

export const State = {
  idle: 0, //     no program, or the program has ended
  ready: 1, //    stands before a shared-memory access
  blocked: 2, //  inside Atomics.wait on `wordIndex`
  notified: 3, // stands after Atomics.notify on `wordIndex`
  died: 4, //     was told to die and did
  failed: 5, //   the program threw
  running: 6,
} as const;

export const Command = { none: 0, step: 1, die: 2, run: 3 } as const;

/** Words of the side memory, which no step is taken for: scripts in, results out. */
export const SIDE_WORDS = 4096;
/** Results of thread t begin at word 256 * (t + 1): a count, then the values. */
export function logWord(thread: number): number {
  return 256 * (thread + 1);
}

export interface StepperData {
  readonly thread: number;
  readonly control: SharedArrayBuffer;
  readonly memory: SharedArrayBuffer;
  readonly side: SharedArrayBuffer;
}
