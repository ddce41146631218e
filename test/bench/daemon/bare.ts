/**
 * The peer: bare worker threads under the load of the daemon, in a process of their own. One thread per function sleeps on
 * a doorbell word and says when it woke; one per VM computes for the share of a CPU that a VM of the daemon took.
 * `bare.js WORKERS LOADS`: for each line {"share","seconds"} on standard input one round, and one line {"rss","us"} of the
 * latencies; between rounds every thread sleeps.
 */
import { createInterface } from "node:readline";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { oncePerSecond, pause, residentBytes } from "./load.ts";

/** Words per function: doorbell, answer, time of waking (2, a Float64). */
const WORDS = 4;

interface Task {
  readonly kind: "function" | "load";
  readonly index: number;
  readonly memory: SharedArrayBuffer;
  /** Share of a CPU that each load takes, in millionths; 0 = it sleeps. */
  readonly share: Int32Array;
}

export interface Round {
  readonly share: number;
  readonly seconds: number;
}

export interface RoundResult {
  readonly rss: number;
  readonly us: readonly number[];
}

/** Monotonic microseconds, the same in every thread. */
function nowUs(): number {
  const time = process.hrtime();
  return time[0] * 1e6 + time[1] / 1e3;
}

function functionLife({ memory, index }: Task): void {
  const words = new Int32Array(memory);
  const times = new Float64Array(memory);
  const bell = index * WORDS;
  for (let seen = 0; ; ) {
    Atomics.wait(words, bell, seen);
    times[(bell + 2) / 2] = nowUs();
    seen = Atomics.load(words, bell);
    Atomics.store(words, bell + 1, seen);
  }
}

/** Computes its share of every 4 ms, in the rhythm of a guest that wakes for its work and sleeps again. */
function loadLife({ share }: Task): void {
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    Atomics.wait(share, 0, 0);
    const part = Atomics.load(share, 0) / 1e6;
    const untilUs = nowUs() + part * 4000;
    while (nowUs() < untilUs);
    Atomics.wait(never, 0, 0, Math.max(0.05, (1 - part) * 4));
  }
}

async function main(workers: number, loads: number): Promise<void> {
  const memory = new SharedArrayBuffer(Math.max(1, workers) * WORDS * 4);
  const words = new Int32Array(memory);
  const times = new Float64Array(memory);
  const share = new Int32Array(new SharedArrayBuffer(4));
  const start = (kind: Task["kind"], index: number): Worker =>
    new Worker(new URL(import.meta.url), {
      workerData: { kind, index, memory, share } satisfies Task,
    });
  const threads = [
    ...Array.from({ length: workers }, (_, index) => start("function", index)),
    ...Array.from({ length: loads }, (_, index) => start("load", index)),
  ];
  await Promise.all(
    threads.map((thread) => new Promise((resolve) => thread.once("online", resolve))),
  );
  await pause(1000);
  const raisedUs = new Float64Array(workers);
  for await (const line of createInterface({ input: process.stdin })) {
    const round = JSON.parse(line) as Round;
    const us: number[] = [];
    const collect = (index: number): void => {
      const bell = index * WORDS;
      if (raisedUs[index] === 0) return;
      if (Atomics.load(words, bell + 1) !== Atomics.load(words, bell)) return;
      us.push((times[(bell + 2) / 2] ?? 0) - (raisedUs[index] ?? 0));
      raisedUs[index] = 0;
    };
    Atomics.store(share, 0, Math.round(round.share * 1e6));
    Atomics.notify(share, 0);
    await oncePerSecond(round.seconds, (index) => {
      collect(index);
      raisedUs[index] = nowUs();
      Atomics.add(words, index * WORDS, 1);
      Atomics.notify(words, index * WORDS);
    });
    await pause(100);
    for (let index = 0; index < workers; index++) collect(index);
    const rss = residentBytes(process.pid);
    Atomics.store(share, 0, 0);
    process.stdout.write(`${JSON.stringify({ rss, us } satisfies RoundResult)}\n`);
  }
  process.exit(0);
}

if (isMainThread) {
  const [workers = 0, loads = 0] = process.argv.slice(2).map(Number);
  await main(workers, loads);
} else {
  const task = workerData as Task;
  if (task.kind === "function") functionLife(task);
  else loadLife(task);
}
