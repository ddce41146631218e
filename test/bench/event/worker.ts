/**
 * One thread of the event benchmark. `ring` is the platform with a guest that fetches at once: it raises an
 * error, watches the machine check become pending, fetches the record, lets the worker fall asleep, and
 * begins again. `recover` is the recovery worker as the product runs it.
 */

import { getHeapStatistics } from "node:v8";
import { parentPort, workerData } from "node:worker_threads";
import { RequestKind } from "../../../src/abi/records.ts";
import {
  type SimFunctionConfig,
  SimHostFunction,
  SimPlatform,
} from "../../../src/backend/sim/index.ts";
import { HostClock, monotonicNowUs } from "../../../src/base/clock.ts";
import { CCDF_RING_SLOTS, REQUEST_RING_SLOTS } from "../../../src/base/limits.ts";
import { DMA_REFUSED, type GuestDma } from "../../../src/ports/host-function.ts";
import { type Policy, RecoveryUnit, runRecoveryLoop } from "../../../src/recovery/index.ts";
import { type Carried, Load, passOf } from "../../../src/recovery/loop.ts";
import { load, store } from "../../../src/shm/atomics.ts";
import { FunctionBlock, VmBlock, WORK_CREDIT, WORK_REQUEST } from "../../../src/shm/blocks.ts";
import { ChannelReport } from "../../../src/shm/channel-report.ts";
import { Doorbell } from "../../../src/shm/doorbell.ts";
import { FloatingInterrupts } from "../../../src/shm/floating.ts";
import {
  type MemoryMap,
  platformTraceRing,
  recoveryTraceRing,
} from "../../../src/shm/memory-map.ts";
import { RingConsumer, RingProducer } from "../../../src/shm/ring.ts";
import { TraceWriter, traceConsumer } from "../../../src/shm/trace.ts";
import { attachVmMemory, type VmMemory } from "../../../src/shm/vm-memory.ts";
import { median, pin } from "../harness.ts";

export interface EventTask {
  readonly role: "ring" | "recover" | "recoverCounting";
  readonly map: MemoryMap;
  readonly memory: WebAssembly.Memory;
  readonly config: SimFunctionConfig;
  readonly policy: Policy;
  /** The 32 bytes of the error that is raised again and again. */
  readonly ccdf: Uint8Array;
  readonly count: number;
}

/** Events between two looks at the heap. */
const SLICE = 500;

const noDma: GuestDma = { transfer: () => DMA_REFUSED, faultAddress: 0n, msi() {} };

/** Takes and forgets what a thread traced, as the main thread does. */
function emptyTrace(ring: RingConsumer): void {
  while (ring.front() >= 0) ring.release();
}

/** @returns microseconds from the platform's raising of the error to the pending machine check, median */
function ring(task: EventTask, vm: VmMemory): number {
  const clock = new HostClock().start(monotonicNowUs());
  const block = vm.map.vmBlock / 4;
  const base = (vm.map.functionBlocks[0] as number) / 4;
  const trace = new TraceWriter(vm, platformTraceRing(vm.map), clock);
  const platform = new SimPlatform(vm, [task.config], clock, () => noDma, trace);
  const traces = [platformTraceRing(vm.map), recoveryTraceRing(vm.map, 0)].map((offset) =>
    traceConsumer(vm, offset),
  );
  const guest = new Guest(vm);
  const events = [task.ccdf];
  const samples: number[] = [];
  while (load(vm.words, base + FunctionBlock.workerSleeping) !== 1);
  for (let n = 0; n < task.count; n++) {
    const start = performance.now();
    platform.channelReport(events);
    platform.step();
    while (load(vm.words, block + VmBlock.machineCheckPending) !== 1);
    samples.push((performance.now() - start) * 1e3);
    guest.fetch();
    for (const each of traces) emptyTrace(each);
    while (load(vm.words, base + FunctionBlock.workerSleeping) !== 1);
  }
  store(vm.words, block + VmBlock.command, 1);
  guest.wakeWorker();
  return median(samples);
}

/** What the guest does with a channel report: STCRW, store event information, STCRW again. */
class Guest {
  readonly #floating: FloatingInterrupts;
  readonly #report: ChannelReport;
  readonly #records: RingConsumer;
  readonly #requests: RingProducer;
  readonly #bell: Doorbell;

  constructor(vm: VmMemory) {
    this.#floating = new FloatingInterrupts(vm);
    this.#report = new ChannelReport(vm, this.#floating);
    this.#records = new RingConsumer(vm.words, vm.map.ccdfRings[0] as number, CCDF_RING_SLOTS);
    this.#requests = new RingProducer(
      vm.words,
      vm.map.requestRings[0] as number,
      REQUEST_RING_SLOTS,
    );
    const base = (vm.map.functionBlocks[0] as number) / 4;
    this.#bell = new Doorbell(
      vm.words,
      base + FunctionBlock.workerSleeping,
      base + FunctionBlock.workerSummary,
    );
  }

  fetch(): void {
    this.#floating.claimMachineCheck();
    while (this.#report.takeCrw()) {
      this.#report.beginScan();
      this.#report.clearSummary(0);
      while (this.#records.front() >= 0) this.#records.release();
    }
    const slot = this.#requests.reserve();
    if (slot >= 0) {
      this.#requests.fillHeader(slot, RequestKind.guestFetched, 0, 0, 0, 0);
      this.#requests.clearBody(slot);
      this.#requests.publish();
    }
    this.wakeWorker();
  }

  wakeWorker(): void {
    this.#bell.ring(WORK_REQUEST | WORK_CREDIT);
  }
}

function unitOf(task: EventTask, vm: VmMemory, clock: HostClock): RecoveryUnit {
  const floating = new FloatingInterrupts(vm);
  return new RecoveryUnit({
    vm,
    index: 0,
    host: new SimHostFunction(vm, 0, task.config),
    policy: task.policy,
    clock,
    trace: new TraceWriter(vm, recoveryTraceRing(vm.map, 0), clock),
    channelReport: new ChannelReport(vm, floating),
    floating,
  });
}

function recover(task: EventTask, vm: VmMemory): number {
  const clock = new HostClock().start(monotonicNowUs());
  runRecoveryLoop(unitOf(task, vm, clock));
  return 0;
}

/**
 * As a recovery thread runs, with a look at the heap every `SLICE` events.
 * @returns bytes of heap per event, median slice
 */
function recoverCounting(task: EventTask, vm: VmMemory): number {
  const clock = new HostClock().start(monotonicNowUs());
  const unit = unitOf(task, vm, clock);
  const read = (vm.map.functionBlocks[0] as number) / 4 + FunctionBlock.readByWorker;
  const slices: number[] = [];
  let heap = getHeapStatistics().used_heap_size;
  const all = new Load<Carried>();
  all.add({ rung: () => unit.rung(), pass: () => passOf(unit) });
  const ended = (): void => {};
  for (let next = SLICE; all.size > 0; ) {
    const idleMs = all.pass(ended);
    if (load(vm.words, read) >= next) {
      slices.push((getHeapStatistics().used_heap_size - heap) / SLICE);
      heap = getHeapStatistics().used_heap_size;
      next += SLICE;
    }
    if (all.size > 0) unit.sleep(idleMs);
  }
  return median(slices);
}

const roles = { ring, recover, recoverCounting } as const;

pin(workerData as number);
parentPort?.on("message", (task: EventTask) => {
  parentPort?.postMessage(roles[task.role](task, attachVmMemory(task.map, task.memory)));
});
