/**
 * The peer: bare worker threads under the load of the daemon, in a process of their own. One thread per function sleeps on
 * a doorbell word and says when it woke; one per VM computes for the share of a CPU that a VM of the daemon took.
 * `bare.js WORKERS LOADS SHARE SECONDS` prints {"rss","p99","count"}.
 */
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { quantile } from "../harness.ts";
import { oncePerSecond, pause, residentBytes } from "./load.ts";

/** Words per function: doorbell, time of waking (2, a Float64). */
const WORDS = 4;

interface Task {
  readonly kind: "function" | "load";
  readonly index: number;
  readonly memory: SharedArrayBuffer;
  readonly share: number;
}

/** Monotonic microseconds, the same in every thread. */
function nowUs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1e3;
}

function functionLife({ memory, index }: Task): void {
  const words = new Int32Array(memory);
  const times = new Float64Array(memory);
  const bell = index * WORDS;
  for (let seen = 0; ; ) {
    Atomics.wait(words, bell, seen);
    times[(bell + 2) / 2] = nowUs();
    seen = Atomics.load(words, bell);
    if (seen < 0) return;
    Atomics.store(words, bell + 1, seen);
  }
}

/** Computes `share` of every 4 ms, in the rhythm of a guest that wakes for its work and sleeps again. */
function loadLife({ memory, share }: Task): void {
  const words = new Int32Array(memory);
  const never = new Int32Array(new SharedArrayBuffer(4));
  while (Atomics.load(words, 0) >= 0) {
    const untilUs = nowUs() + share * 4000;
    while (nowUs() < untilUs);
    Atomics.wait(never, 0, 0, Math.max(0.05, (1 - share) * 4));
  }
}

async function main(workers: number, loads: number, share: number, seconds: number): Promise<void> {
  const memory = new SharedArrayBuffer(Math.max(1, workers) * WORDS * 4);
  const words = new Int32Array(memory);
  const times = new Float64Array(memory);
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
  const latencies: number[] = [];
  const raisedUs = new Float64Array(workers);
  const collect = (index: number): void => {
    const bell = index * WORDS;
    if (raisedUs[index] === 0 || Atomics.load(words, bell + 1) !== Atomics.load(words, bell))
      return;
    latencies.push((times[(bell + 2) / 2] ?? 0) - (raisedUs[index] ?? 0));
  };
  if (seconds > 0) {
    await oncePerSecond(seconds, (index) => {
      collect(index);
      raisedUs[index] = nowUs();
      Atomics.add(words, index * WORDS, 1);
      Atomics.notify(words, index * WORDS);
    });
  }
  const rss = residentBytes(process.pid);
  for (let index = 0; index < workers; index++) Atomics.store(words, index * WORDS, -1);
  process.stdout.write(
    `${JSON.stringify({ rss, p99: quantile(latencies, 0.99), count: latencies.length })}\n`,
  );
  process.exit(0);
}

if (isMainThread) {
  const [workers = 0, loads = 0, share = 0, seconds = 0] = process.argv.slice(2).map(Number);
  await main(workers, loads, share, seconds);
} else {
  const task = workerData as Task;
  if (task.kind === "function") functionLife(task);
  else loadLife(task);
}
