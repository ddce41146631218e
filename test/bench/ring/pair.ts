/** The two pinned threads of the ring benchmarks, for whoever needs one of their exchanges as a peer. */
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { BUFFER_BYTES } from "./layout.ts";
import type { Task } from "./worker.ts";

/** Two threads that run one task each, at the same time. */
export class Pair {
  readonly #left = new Worker(new URL("./worker.js", import.meta.url), { workerData: 0 });
  readonly #right = new Worker(new URL("./worker.js", import.meta.url), { workerData: 1 });

  /** Both roles work on the same fresh buffer (and the two ports of one channel). */
  async run(
    left: Task["role"],
    right: Task["role"],
    count: number,
    batch = 1,
  ): Promise<[number, number]> {
    const buffer = sharedBuffer();
    const task = { buffer, count, batch };
    if (!left.startsWith("port")) {
      return Promise.all([
        ask(this.#left, { role: left, ...task }),
        ask(this.#right, { role: right, ...task }),
      ]);
    }
    const { port1, port2 } = new MessageChannel();
    return Promise.all([
      ask(this.#left, { role: left, ...task, port: port1 }, [port1]),
      ask(this.#right, { role: right, ...task, port: port2 }, [port2]),
    ]);
  }

  async end(): Promise<void> {
    await Promise.all([this.#left.terminate(), this.#right.terminate()]);
  }
}

/** Page-aligned, unlike `new SharedArrayBuffer`. */
function sharedBuffer(): SharedArrayBuffer {
  const pages = Math.ceil(BUFFER_BYTES / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  return memory.buffer as unknown as SharedArrayBuffer;
}

/** Sends a worker its task; the answer, or the error it died of. */
export function ask(
  worker: Worker,
  task: object,
  ports: readonly MessagePort[] = [],
): Promise<number> {
  return new Promise((resolve, reject) => {
    worker.once("error", reject);
    worker.once("message", (answer: number) => {
      worker.off("error", reject);
      resolve(answer);
    });
    worker.postMessage(task, ports);
  });
}
