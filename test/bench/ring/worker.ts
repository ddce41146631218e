/**
 * One end of the ring benchmarks on a thread of its own: takes a task, runs its loop to the end, answers
 * with a figure. Two of these make a pair. The loops use `src/shm` as the product does.
 */

import { getHeapStatistics } from "node:v8";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { at } from "../../../src/base/bits.ts";
import { Doorbell } from "../../../src/shm/doorbell.ts";
import { RingConsumer, RingProducer } from "../../../src/shm/ring.ts";
import { median, pin } from "../harness.ts";
import { BACK, BELL_BACK, BELL_THERE, SLOTS, THERE } from "./layout.ts";

export interface Task {
  readonly role: keyof typeof roles;
  readonly buffer: SharedArrayBuffer;
  readonly count: number;
  readonly batch: number;
  readonly port?: MessagePort;
}

/** Round trips in one latency sample of `hop`: a clock reading costs as much as a quarter of a trip. */
const HOP_GROUP = 64;
/** Records after which the spinning consumer returns its credits. */
const LAZY_CREDITS = 32;

function writeRecord(words: Int32Array, slot: number, value: number): void {
  words[slot + 1] = value + 1;
  words[slot + 2] = value + 2;
  words[slot + 3] = value + 3;
  words[slot + 4] = value + 4;
  words[slot + 5] = value + 5;
  words[slot + 6] = value + 6;
  words[slot + 8] = value + 8;
  words[slot + 9] = value + 9;
  words[slot + 10] = value + 10;
  words[slot + 11] = value + 11;
  words[slot + 12] = value + 12;
  words[slot + 13] = value + 13;
  words[slot + 14] = value + 14;
  words[slot + 15] = value + 15;
}

/** Sum of all lanes but the batch count, so that a record from another lap cannot go unnoticed. */
function readRecord(words: Int32Array, slot: number): number {
  const a = (at(words, slot) + at(words, slot + 1)) | 0;
  const b = (at(words, slot + 2) + at(words, slot + 3)) | 0;
  const c = (at(words, slot + 4) + at(words, slot + 5)) | 0;
  const d = (at(words, slot + 6) + at(words, slot + 8)) | 0;
  const e = (at(words, slot + 9) + at(words, slot + 10)) | 0;
  const f = (at(words, slot + 11) + at(words, slot + 12)) | 0;
  const g = (at(words, slot + 13) + at(words, slot + 14)) | 0;
  return (a + b + c + d + e + f + g + at(words, slot + 15)) | 0;
}

/** What `readRecord` makes of record `value`: 14 x value + (1 + … + 15 - 7), plus the sequence word. */
function recordSum(value: number): number {
  return (14 * value + 113 + value + 1) | 0;
}

function writeBatches(words: Int32Array, ring: RingProducer, count: number, batch: number): void {
  for (let done = 0; done < count; ) {
    if (ring.reserveMany(batch) < batch) continue;
    for (let n = 0; n < batch; n++) writeRecord(words, ring.slotAhead(n), done + n);
    ring.publishMany(batch);
    done += batch;
  }
}

function readBatches(words: Int32Array, ring: RingConsumer, count: number): number {
  let sum = 0;
  for (let done = 0; done < count; ) {
    const ready = ring.ready();
    if (ready === 0) continue;
    for (let n = 0; n < ready; n++) sum = (sum + readRecord(words, ring.slotAhead(n))) | 0;
    ring.releaseMany(ready);
    done += ready;
  }
  return sum;
}

/** @returns bytes of heap per record */
function produce({ buffer, count, batch }: Task): number {
  const words = new Int32Array(buffer);
  const ring = new RingProducer(words, THERE, SLOTS);
  const before = getHeapStatistics().used_heap_size;
  writeBatches(words, ring, count, batch);
  return (getHeapStatistics().used_heap_size - before) / count;
}

/** One record per publish with the header's own methods. @returns bytes of heap per record */
function produceOne({ buffer, count }: Task): number {
  const words = new Int32Array(buffer);
  const ring = new RingProducer(words, THERE, SLOTS);
  const before = getHeapStatistics().used_heap_size;
  for (let n = 0; n < count; n++) spinPush(words, ring, n);
  return (getHeapStatistics().used_heap_size - before) / count;
}

/** @returns million records per second */
function consume({ buffer, count }: Task): number {
  const words = new Int32Array(buffer);
  const ring = new RingConsumer(words, THERE, SLOTS);
  while (ring.front() < 0);
  const start = performance.now();
  const sum = readBatches(words, ring, count);
  const seconds = (performance.now() - start) / 1e3;
  let expected = 0;
  for (let n = 0; n < count; n++) expected = (expected + recordSum(n)) | 0;
  if (sum !== expected) throw new Error("the ring delivered other records than were written");
  return count / seconds / 1e6;
}

function spinPush(words: Int32Array, ring: RingProducer, value: number): void {
  let slot = ring.reserve();
  while (slot < 0) slot = ring.reserve();
  writeRecord(words, slot, value);
  ring.publish();
}

function spinPop(words: Int32Array, ring: RingConsumer, count: number): number {
  let slot = ring.front();
  while (slot < 0) slot = ring.front();
  const sum = readRecord(words, slot);
  ring.skip();
  if ((count & (LAZY_CREDITS - 1)) === 0) ring.flush();
  return sum;
}

/** @returns nanoseconds of one way, median over groups of round trips */
function hopPing({ buffer, count }: Task): number {
  const words = new Int32Array(buffer);
  const out = new RingProducer(words, THERE, SLOTS);
  const back = new RingConsumer(words, BACK, SLOTS);
  const samples: number[] = [];
  for (let n = 0; n < count; n += HOP_GROUP) {
    const start = performance.now();
    hopGroup(words, out, back, n);
    samples.push(((performance.now() - start) * 1e6) / HOP_GROUP / 2);
  }
  back.flush();
  return median(samples);
}

function hopGroup(words: Int32Array, out: RingProducer, back: RingConsumer, first: number): void {
  for (let k = 0; k < HOP_GROUP; k++) {
    spinPush(words, out, first + k);
    const sum = spinPop(words, back, first + k);
    if (sum !== recordSum(first + k)) throw new Error("the echo is not the record that was sent");
  }
}

function hopPong({ buffer, count }: Task): number {
  const words = new Int32Array(buffer);
  const back = new RingProducer(words, BACK, SLOTS);
  const out = new RingConsumer(words, THERE, SLOTS);
  for (let n = 0; n < count; n += HOP_GROUP) echoGroup(words, out, back, n);
  out.flush();
  return 0;
}

function echoGroup(words: Int32Array, out: RingConsumer, back: RingProducer, first: number): void {
  for (let k = 0; k < HOP_GROUP; k++) {
    spinPop(words, out, first + k);
    spinPush(words, back, first + k);
  }
}

/** @returns microseconds of one way, median */
function wakePing({ buffer, count }: Task): number {
  const words = new Int32Array(buffer);
  const out = new RingProducer(words, THERE, SLOTS);
  const back = new RingConsumer(words, BACK, SLOTS);
  const there = new Doorbell(words, BELL_THERE.sleeping, BELL_THERE.summary);
  const here = new Doorbell(words, BELL_BACK.sleeping, BELL_BACK.summary);
  const samples: number[] = [];
  for (let n = 0; n < count; n++) {
    const start = performance.now();
    spinPush(words, out, n);
    there.ring(1);
    sleepPop(words, back, here);
    samples.push(((performance.now() - start) * 1e3) / 2);
  }
  return median(samples);
}

function wakePong({ buffer, count }: Task): number {
  const words = new Int32Array(buffer);
  const back = new RingProducer(words, BACK, SLOTS);
  const out = new RingConsumer(words, THERE, SLOTS);
  const here = new Doorbell(words, BELL_THERE.sleeping, BELL_THERE.summary);
  const there = new Doorbell(words, BELL_BACK.sleeping, BELL_BACK.summary);
  for (let n = 0; n < count; n++) {
    sleepPop(words, out, here);
    spinPush(words, back, n);
    there.ring(1);
  }
  return 0;
}

function sleepPop(words: Int32Array, ring: RingConsumer, bell: Doorbell): number {
  let slot = ring.front();
  while (slot < 0) {
    bell.sleep(1000);
    bell.take();
    slot = ring.front();
  }
  const sum = readRecord(words, slot);
  ring.release();
  return sum;
}

/** @returns bytes of heap per message */
function portSend({ port, count }: Task): number {
  const before = getHeapStatistics().used_heap_size;
  for (let n = 0; n < count; n++) {
    port?.postMessage({
      kind: n,
      functionIndex: n + 1,
      generation: n + 2,
      timeLow: n + 3,
      timeHigh: n + 4,
      correlation: n + 5,
      flags: n + 6,
      body: n + 7,
    });
  }
  return (getHeapStatistics().used_heap_size - before) / count;
}

/** @returns million messages per second */
function portReceive({ port, count }: Task): Promise<number> {
  return new Promise((resolve) => {
    let seen = 0;
    let start = 0;
    port?.on("message", () => {
      if (seen === 0) start = performance.now();
      seen += 1;
      if (seen < count) return;
      port.close();
      resolve(count / ((performance.now() - start) / 1e3) / 1e6);
    });
  });
}

const roles = {
  produce,
  produceOne,
  consume,
  hopPing,
  hopPong,
  wakePing,
  wakePong,
  portSend,
  portReceive,
} as const;

pin(workerData as number);
parentPort?.on("message", async (task: Task) => {
  parentPort?.postMessage(await roles[task.role](task));
});
