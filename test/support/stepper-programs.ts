/**
 * What the stepped threads run: small users of `src/shm`, each a function of the stage. Scripts (numbers of
 * the test's choosing) stand in the side memory from word 0 on.
 */

import { CCDF_RING_SLOTS } from "../../src/base/limits.ts";
import { add, exchange, peek, poke } from "../../src/shm/atomics.ts";
import { VcpuHeader } from "../../src/shm/blocks.ts";
import { ChannelReport } from "../../src/shm/channel-report.ts";
import { Doorbell } from "../../src/shm/doorbell.ts";
import { FloatingInterrupts } from "../../src/shm/floating.ts";
import { type MemoryMap, planMemory } from "../../src/shm/memory-map.ts";
import { Lane, RingConsumer, RingProducer, ringBytes } from "../../src/shm/ring.ts";
import type { VmMemory } from "../../src/shm/vm-memory.ts";
import type { Stage } from "./stepper-worker.ts";

export const RING_SLOTS = 4;
/** Side words of the ring programs. */
export const Script = {
  first: 0, //    index of the ring's first record
  source: 1, //   records the host has handed out
  total: 2, //    records the host has
  life: 3, //     how often the producer was begun
  producer: 8, // count, then operations
  consumer: 64, // count, then operations
} as const;

/** Producer operations: 0 a single record, n = a batch of n. Consumer operations by name. */
export const Consume = { release: 0, skip: 1, flush: 2, batch: 3, successor: 4 } as const;

/** Tells a record of a successor from one that its predecessor left unpublished. */
export const LIFE = 1000;

function fill(words: Int32Array, slot: number, value: number): void {
  poke(words, slot + Lane.kind, value);
  poke(words, slot + Lane.correlation, value);
  poke(words, slot + Lane.body, value);
  poke(words, slot + Lane.body + 7, value);
}

/** The record's value, or -1 when its lanes disagree. */
function read(words: Int32Array, slot: number): number {
  const value = peek(words, slot + Lane.kind);
  const same =
    peek(words, slot + Lane.correlation) === value &&
    peek(words, slot + Lane.body) === value &&
    peek(words, slot + Lane.body + 7) === value;
  return same ? value : -1;
}

function script(stage: Stage, at: number): number[] {
  return [...stage.side.subarray(at + 1, at + 1 + (stage.side[at] ?? 0))];
}

/**
 * Publishes what the script says; record values count from 1, plus `LIFE` for each earlier life. A successor
 * goes on where the ring ends.
 */
function produce(stage: Stage): void {
  const { words, side } = stage;
  const life = LIFE * (side[Script.life] ?? 0);
  side[Script.life] = (side[Script.life] ?? 0) + 1;
  const ring = new RingProducer(words, 0, RING_SLOTS);
  const first = side[Script.first] ?? 0;
  for (const operation of script(stage, Script.producer)) {
    const value = life + ((ring.tail - first) | 0) + 1;
    if (operation === 0) {
      const slot = ring.reserve();
      if (slot < 0) continue;
      fill(words, slot, value);
      ring.publish();
    } else {
      const count = ring.reserveMany(operation);
      for (let n = 0; n < count; n++) fill(words, ring.slotAhead(n), value + n);
      if (count > 0) ring.publishMany(count);
    }
  }
}

/** Moves records from a source that forgets them to the ring, as the recovery worker does. */
function drain(stage: Stage): void {
  const { words, side } = stage;
  const ring = new RingProducer(words, 0, RING_SLOTS);
  const total = side[Script.total] ?? 0;
  for (;;) {
    const slot = ring.reserve();
    if (slot < 0) return;
    const left = ring.armed() && peek(words, slot + Lane.body) !== 0;
    if (!left) {
      ring.arm(slot);
      if ((side[Script.source] ?? 0) >= total) return;
      hostGet(stage, slot);
    }
    const value = peek(words, slot + Lane.body);
    poke(words, slot + Lane.kind, value);
    poke(words, slot + Lane.correlation, value);
    ring.publish();
  }
}

/** The kernel's side of a feature GET: no death of the caller falls inside it. */
function hostGet({ side, unstepped }: Stage, slot: number): void {
  const value = (side[Script.source] ?? 0) + 1;
  unstepped[slot + Lane.body] = value;
  unstepped[slot + Lane.body + 7] = value;
  side[Script.source] = value;
}

function consume(stage: Stage): void {
  const { words } = stage;
  let ring = new RingConsumer(words, 0, RING_SLOTS);
  for (const operation of script(stage, Script.consumer)) {
    if (operation === Consume.flush) ring.flush();
    else if (operation === Consume.batch) consumeBatch(stage, ring);
    else if (operation === Consume.successor) {
      ring.flush();
      ring = new RingConsumer(words, 0, RING_SLOTS);
    } else {
      const slot = ring.front();
      if (slot < 0) continue;
      stage.log(read(words, slot));
      if (operation === Consume.skip) ring.skip();
      else ring.release();
    }
  }
  ring.flush();
}

function consumeBatch(stage: Stage, ring: RingConsumer): void {
  const count = ring.ready();
  for (let n = 0; n < count; n++) stage.log(read(stage.words, ring.slotAhead(n)));
  if (count > 0) ring.releaseMany(count);
}

/** Everything that is in the ring. */
function consumeRest(stage: Stage): void {
  const ring = new RingConsumer(stage.words, 0, RING_SLOTS);
  for (let slot = ring.front(); slot >= 0; slot = ring.front()) {
    stage.log(read(stage.words, slot));
    ring.release();
  }
}

// ---- doorbell --------------------------------------------------------------------------------------

/** Word indices of the doorbell programs: work words 64, 96; bells 0 (sleeping) and 32 (summary). */
const WORK = [64, 96] as const;

function ringer(stage: Stage, which: 0 | 1, bits: number): void {
  const bell = new Doorbell(stage.words, 0, 32);
  add(stage.words, WORK[which], 1);
  bell.ring(bits);
}

/** Sleeps until `side[0]` pieces of work are seen; `side[1]` = 1 when both ringers use bit 1. */
function sleeper(stage: Stage): void {
  const bell = new Doorbell(stage.words, 0, 32);
  const wanted = stage.side[0] ?? 0;
  let seen = 0;
  for (;;) {
    const bits = bell.take();
    if (bits & 1) seen += exchange(stage.words, WORK[0], 0);
    if (bits & (stage.side[1] === 1 ? 1 : 2)) seen += exchange(stage.words, WORK[1], 0);
    stage.log(seen);
    if (seen >= wanted) return;
    bell.sleep(1);
  }
}

// ---- channel report ----------------------------------------------------------------------------------

export const channelMap: MemoryMap = planMemory({
  vcpuCount: 1,
  functionCount: 2,
  ramBytes: 65536,
  vcpuBytes: 4096,
  hostBytes: 64,
});

function vmOf(stage: Stage): VmMemory {
  const { buffer } = stage.unstepped;
  const view = new DataView(buffer);
  const bytes = new Uint8Array(buffer);
  return { map: channelMap, words: stage.words, bytes, view } as unknown as VmMemory;
}

/** Publishes `side[0]` events of one function and posts each; `side[2 + f]` counts them across deaths. */
function poster(stage: Stage, functionIndex: 0 | 1, successor: boolean): void {
  const vm = vmOf(stage);
  const report = new ChannelReport(vm, new FloatingInterrupts(vm));
  const offset = channelMap.ccdfRings[functionIndex] ?? 0;
  const ring = new RingProducer(stage.words, offset, CCDF_RING_SLOTS);
  if (successor) report.repost(functionIndex);
  while (ring.tail < (stage.side[0] ?? 0)) {
    poke(stage.words, ring.reserve() + Lane.kind, ring.tail + 1);
    ring.publish();
    report.post(functionIndex);
  }
}

/** The guest: enabled wait, machine check, STCRW until cc 1, store event information until P is off. */
function guest(stage: Stage): void {
  const vm = vmOf(stage);
  const floating = new FloatingInterrupts(vm);
  const report = new ChannelReport(vm, floating);
  const rings = channelMap.ccdfRings.map(
    (at) => new RingConsumer(stage.words, at, CCDF_RING_SLOTS),
  );
  const header = (channelMap.vcpuAreas[0] ?? 0) / 4;
  const bell = new Doorbell(stage.words, header + VcpuHeader.sleeping, header + VcpuHeader.pending);
  const wanted = 2 * (stage.side[0] ?? 0);
  for (let fetched = 0; ; ) {
    bell.take();
    if (floating.claimMachineCheck()) {
      while (report.takeCrw()) fetched += fetchAll(stage, report, rings);
    } else if (fetched >= wanted) return;
    else bell.sleep(1);
  }
}

/** CHSC store event information until the P flag is off, as `src/devices/css/events.ts` scans. */
function fetchAll(stage: Stage, report: ChannelReport, rings: readonly RingConsumer[]): number {
  for (let fetched = 0; ; fetched++) {
    report.beginScan();
    const bits = report.summary(0);
    const filled = rings.flatMap((ring, index) => {
      if (((bits >>> index) & 1) === 0) return [];
      report.clearSummary(index);
      if (ring.front() < 0) return [];
      report.setSummary(index);
      return [index];
    });
    const chosen = filled[0];
    const ring = chosen === undefined ? undefined : rings[chosen];
    if (chosen === undefined || ring === undefined) return fetched;
    stage.log(chosen * 100 + peek(stage.words, ring.front() + Lane.kind));
    ring.release();
    const more = filled.length > 1 || ring.front() >= 0;
    if (more) report.keepPending();
    report.clearSummary(chosen);
    if (ring.front() >= 0) report.setSummary(chosen);
    if (!more) return fetched + 1;
  }
}

export const Program = {
  produce: 0,
  drain: 1,
  consume: 2,
  consumeRest: 3,
  ringFirst: 4,
  ringSecond: 5,
  ringShared: 6,
  sleeper: 7,
  postFirst: 8,
  postSecond: 9,
  postFirstAgain: 10,
  guest: 11,
} as const;

export const programs: readonly ((stage: Stage) => void)[] = [
  produce,
  drain,
  consume,
  consumeRest,
  (stage) => ringer(stage, 0, 1),
  (stage) => ringer(stage, 1, 2),
  (stage) => ringer(stage, 1, 1),
  sleeper,
  (stage) => poster(stage, 0, false),
  (stage) => poster(stage, 1, false),
  (stage) => poster(stage, 0, true),
  guest,
];

/** Bytes that the programs use. */
export const STEPPED_BYTES = Math.max(channelMap.ramOffset, ringBytes(RING_SLOTS));
