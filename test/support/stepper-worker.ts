/**
 * A thread whose every access to the shared memory waits for the scheduler's permission. The genuine
 * `src/shm` code runs here: only the global `Atomics` and the Int32Array are wrapped, so that each atomic
 * operation and each plain load or store is one step. `Atomics.wait` blocks in the scheduler's sense.
 */
import { workerData } from "node:worker_threads";
import { Command, Control, logWord, State, type StepperData } from "./stepper-protocol.ts";

const { thread, control, memory, side } = workerData as StepperData;
const genuine = globalThis.Atomics;
const words = new Int32Array(control);
const shared = new Int32Array(memory);
const sideWords = new Int32Array(side);

class Death extends Error {}

/** Tells the scheduler where this thread stands and waits for its word. */
function stand(state: number): void {
  genuine.store(words, Control.state, state);
  genuine.notify(words, Control.state);
  for (;;) {
    const command = genuine.exchange(words, Control.command, Command.none);
    if (command === Command.die) throw new Death();
    if (command !== Command.none) return;
    genuine.wait(words, Control.command, Command.none);
  }
}

/** The shared words as the stepped code sees them. */
const stepped = new Proxy(shared, {
  get(target, key) {
    if (typeof key === "string" && /^-?\d+$/.test(key)) stand(State.ready);
    return Reflect.get(target, key, target);
  },
  set(target, key, value) {
    stand(State.ready);
    return Reflect.set(target, key, value, target);
  },
});

type Operation = (words: Int32Array, index: number, ...values: number[]) => number;

/** One step for the operation itself; the proxy stands for the genuine array. */
function gated(operation: Operation): Operation {
  return (_words, index, ...values) => {
    stand(State.ready);
    return operation(shared, index, ...values);
  };
}

Object.defineProperty(globalThis, "Atomics", {
  value: {
    load: gated((w, index) => genuine.load(w, index)),
    store: gated((w, index, value = 0) => genuine.store(w, index, value)),
    exchange: gated((w, index, value = 0) => genuine.exchange(w, index, value)),
    add: gated((w, index, value = 0) => genuine.add(w, index, value)),
    or: gated((w, index, value = 0) => genuine.or(w, index, value)),
    and: gated((w, index, value = 0) => genuine.and(w, index, value)),
    compareExchange: gated((w, index, expected = 0, next = 0) =>
      genuine.compareExchange(w, index, expected, next),
    ),
    wait: (_words: Int32Array, index: number, expected: number): string => {
      stand(State.ready);
      if (genuine.load(shared, index) !== expected) return "not-equal";
      genuine.store(words, Control.wordIndex, index);
      stand(State.blocked);
      return "ok";
    },
    notify: (_words: Int32Array, index: number): number => {
      stand(State.ready);
      genuine.store(words, Control.wordIndex, index);
      stand(State.notified);
      return 0;
    },
  },
});

/** The side memory and the log of this thread: no steps. */
export interface Stage {
  readonly thread: number;
  readonly words: Int32Array;
  /** The same memory without steps, for what the model treats as outside (the host). */
  readonly unstepped: Int32Array;
  readonly side: Int32Array;
  log(value: number): void;
}

const stage: Stage = {
  thread,
  words: stepped,
  unstepped: shared,
  side: sideWords,
  log(value) {
    const at = logWord(thread);
    const count = genuine.add(sideWords, at, 1);
    sideWords[at + 1 + count] = value;
  },
};

const { programs } = await import("./stepper-programs.ts");

/** Runs the program that was chosen; returns the state that its end leaves the thread in. */
function runProgram(): number {
  try {
    programs[words[Control.program] ?? 0]?.(stage);
    return State.idle;
  } catch (error) {
    if (error instanceof Death) return State.died;
    process.stderr.write(`${String(error instanceof Error ? error.stack : error)}\n`);
    return State.failed;
  }
}

for (let state: number = State.idle; ; state = runProgram()) stand(state);
