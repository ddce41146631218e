/**
 * Ring and doorbells between two threads at full speed: what no stepped test can show is that the hardware and
 * the engine keep the order that the memory model promises.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { load } from "../../../src/shm/atomics.ts";
import { resetRing } from "../../../src/shm/ring.ts";
import { type Report, Threads, type ThreadsData } from "../../support/shm-threads.ts";

/** A wake-up that is lost holds the run up for this long, beyond the test's time limit. */
const FOR_EVER_MS = 600_000;

let memory: WebAssembly.Memory;
/** What a thread died of that nobody terminated. */
let failure: unknown;
beforeEach(() => {
  failure = undefined;
  memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
});

function thread(role: ThreadsData["role"], count: number, sleepMs: number): Worker {
  const workerData: ThreadsData = { role, memory, count, sleepMs };
  const url = new URL("../../../dist/test/support/shm-threads.js", import.meta.url);
  const worker = new Worker(url, { workerData });
  worker.once("error", (error) => {
    failure = error;
  });
  return worker;
}

/** Until the source has handed out `target` records; a thread that fails or a consumer that gives up ends it. */
async function handedOut(target: number, over: () => boolean): Promise<void> {
  while (load(new Int32Array(memory.buffer), Threads.source) < target && !over()) {
    if (failure !== undefined) throw failure;
    await new Promise(setImmediate);
  }
}

async function reportOf(consumer: Worker): Promise<Report> {
  const [report] = await once(consumer, "message"); // rejects on "error"
  return report as Report;
}

describe("a ring between two threads", () => {
  test("delivers 200,000 records whole, in order and without a lost wake-up, across the index wrap", async () => {
    resetRing(new Int32Array(memory.buffer), Threads.ring, Threads.slots, -100_000);
    const report = reportOf(thread("consume", 200_000, FOR_EVER_MS));
    const producer = thread("produce", 200_000, FOR_EVER_MS);
    expect(await report).toEqual({ inOrder: 200_000, wrong: false });
    await producer.terminate();
  });

  test("delivers every record of a destructive source once, however often its thread is terminated", async () => {
    const total = 30_000;
    const words = new Int32Array(memory.buffer);
    let reported = false;
    const report = reportOf(thread("consume", total, 2)).finally(() => {
      reported = true;
    });
    const targets = fc.sample(fc.integer({ min: 1, max: total - 1 }), 12).sort((a, b) => a - b);
    for (const target of targets) {
      const producer = thread("drain", total, 2);
      await handedOut(target, () => reported);
      await producer.terminate();
    }
    const last = thread("drain", total, 2);
    expect(await report).toEqual({ inOrder: total, wrong: false });
    expect(words[Threads.source]).toBe(total);
    await last.terminate();
  });
});
