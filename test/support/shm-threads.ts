/**
 * Threads at full speed over one shared buffer: a producer and a consumer that sleep on doorbells when there
 * is nothing to do. Word indices: two doorbells, a word in which the source counts what it handed out, the
 * ring. The consumer reports how many records came in order and the first that did not.
 */
import { parentPort, workerData } from "node:worker_threads";
import { load, peek, poke, store } from "../../src/shm/atomics.ts";
import { Doorbell } from "../../src/shm/doorbell.ts";
import { Lane, RingConsumer, RingProducer } from "../../src/shm/ring.ts";

export const Threads = {
  slots: 16,
  recordBell: 0, //  word indices: sleeping, and summary 32 words on
  creditBell: 64,
  source: 128,
  ring: 1024, //     byte offset
} as const;

export interface ThreadsData {
  readonly role: "produce" | "drain" | "consume";
  readonly memory: WebAssembly.Memory;
  readonly count: number;
  /** Longest sleep. */
  readonly sleepMs: number;
}

/** Records that came whole and in order, and whether something else came then. */
export interface Report {
  readonly inOrder: number;
  readonly wrong: boolean;
}

function bells(words: Int32Array): { record: Doorbell; credit: Doorbell } {
  return {
    record: new Doorbell(words, Threads.recordBell, Threads.recordBell + 32),
    credit: new Doorbell(words, Threads.creditBell, Threads.creditBell + 32),
  };
}

function fill(words: Int32Array, slot: number, value: number): void {
  for (let lane: number = Lane.kind; lane < 16; lane++) {
    if (lane !== Lane.batch) poke(words, slot + lane, value + lane);
  }
}

function whole(words: Int32Array, slot: number, value: number): boolean {
  for (let lane: number = Lane.kind; lane < 16; lane++) {
    if (lane !== Lane.batch && peek(words, slot + lane) !== ((value + lane) | 0)) return false;
  }
  return true;
}

/** Records 0 to count - 1, in batches of 1 to 7. */
function produce(words: Int32Array, count: number, sleepMs: number): void {
  const ring = new RingProducer(words, Threads.ring, Threads.slots);
  const { record, credit } = bells(words);
  for (let done = 0; done < count; ) {
    const room = ring.reserveMany(Math.min(1 + (done % 7), count - done));
    if (room === 0) {
      credit.take();
      if (ring.free() === 0) credit.sleep(sleepMs);
      continue;
    }
    for (let n = 0; n < room; n++) fill(words, ring.slotAhead(n), done + n);
    ring.publishMany(room);
    record.ring(1);
    done += room;
  }
}

/** As `produce`, one record at a time out of a source that forgets them, through an armed slot. */
function drain(words: Int32Array, count: number): void {
  const ring = new RingProducer(words, Threads.ring, Threads.slots);
  const { record, credit } = bells(words);
  for (;;) {
    const slot = ring.reserve();
    if (slot < 0) {
      credit.take();
      if (ring.free() === 0) credit.sleep(1);
      continue;
    }
    if (ring.armed() && load(words, slot + Lane.body) !== 0) {
      store(words, Threads.source, load(words, slot + Lane.body) - Lane.body + 1);
    } else {
      if (load(words, Threads.source) >= count) break;
      ring.arm(slot);
      hostGet(words, slot);
    }
    fill(words, slot, load(words, slot + Lane.body) - Lane.body);
    ring.publish();
    record.ring(1);
  }
  record.ring(1);
}

/** Hands out the next value. The store of the body decides: a successor derives the count from it. */
function hostGet(words: Int32Array, slot: number): void {
  const next = load(words, Threads.source) + 1;
  store(words, slot + Lane.body, next + Lane.body - 1);
  store(words, Threads.source, next);
}

function consume(words: Int32Array, count: number, sleepMs: number): Report {
  const ring = new RingConsumer(words, Threads.ring, Threads.slots);
  const { record, credit } = bells(words);
  let inOrder = 0;
  while (inOrder < count) {
    const slot = ring.front();
    if (slot < 0) {
      ring.flush();
      credit.ring(1);
      record.take();
      if (ring.front() < 0) record.sleep(sleepMs);
      continue;
    }
    if (!whole(words, slot, inOrder)) return { inOrder, wrong: true };
    inOrder += 1;
    ring.skip();
    if (inOrder % 5 === 0) {
      ring.flush();
      credit.ring(1);
    }
  }
  ring.flush();
  return { inOrder, wrong: ring.front() >= 0 };
}

if (parentPort !== null) {
  const { role, memory, count, sleepMs } = workerData as ThreadsData;
  const words = new Int32Array(memory.buffer);
  if (role === "produce") produce(words, count, sleepMs);
  else if (role === "drain") drain(words, count);
  else parentPort.postMessage(consume(words, count, sleepMs));
}
