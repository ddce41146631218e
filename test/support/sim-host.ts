/** A VM's memory with simulated functions, stepped by hand under virtual time. No CPU, no guest. */
import { TraceKind } from "../../src/abi/records.ts";
import type { StepHook } from "../../src/backend/sim/error-queue.ts";
import { type HostArea, HostBlock, hostArea } from "../../src/backend/sim/host-area.ts";
import {
  HOST_AREA_BYTES,
  type SimFunctionConfig,
  SimHostFunction,
  SimHostRegions,
  SimPlatform,
  simFunctionConfig,
} from "../../src/backend/sim/index.ts";
import type { SimVfioOptions } from "../../src/backend/sim/vfio-device.ts";
import { VirtualClock } from "../../src/base/clock.ts";
import { TRACE_RING_SLOTS } from "../../src/base/limits.ts";
import { DMA_REFUSED, type GuestDma } from "../../src/ports/host-function.ts";
import { load, store } from "../../src/shm/atomics.ts";
import { FunctionBlock } from "../../src/shm/blocks.ts";
import { planMemory, platformTraceRing } from "../../src/shm/memory-map.ts";
import { Lane, RingConsumer } from "../../src/shm/ring.ts";
import { TraceWriter } from "../../src/shm/trace.ts";
import { createVmMemory, type VmMemory } from "../../src/shm/vm-memory.ts";

/** Guest storage behind an aperture [pba, pal]; everything inside is mapped unless listed. */
export class FakeDma implements GuestDma {
  pba = 0x1_0000_0000n;
  pal = 0x1_1fff_ffffn;
  refused = false;
  /** Page numbers inside the aperture that the guest has not mapped. */
  readonly unmapped = new Set<bigint>();
  readonly storage = new Map<bigint, number>();
  readonly vectors: number[] = [];
  faultAddress = 0n;
  faultLevel = 0;

  transfer(iova: bigint, target: Uint8Array, write: boolean): number {
    if (this.refused) return DMA_REFUSED;
    for (let i = 0; i < target.length; i++) {
      const address = iova + BigInt(i);
      const fault = this.#fault(address);
      if (fault !== 0) {
        this.faultAddress = address;
        return fault;
      }
      if (write) this.storage.set(address, target[i] ?? 0);
      else target[i] = this.storage.get(address) ?? 0;
    }
    return 0;
  }

  #fault(address: bigint): number {
    if (address < this.pba || address > this.pal) return 0x0002;
    return this.unmapped.has(address >> 12n) ? 0x0007 : 0;
  }

  msi(vector: number): void {
    this.vectors.push(vector);
  }
}

export interface TraceRecord {
  readonly kind: number;
  readonly functionIndex: number;
  readonly correlation: number;
  readonly body: readonly number[];
}

export class SimHost {
  readonly vm: VmMemory;
  readonly clock = new VirtualClock();
  readonly configs: readonly SimFunctionConfig[];
  readonly dma: readonly FakeDma[];
  readonly platform: SimPlatform;
  readonly #trace: RingConsumer;

  constructor(
    configs: readonly (Partial<SimFunctionConfig> & { fid: number })[],
    listens?: (index: number) => boolean,
  ) {
    this.configs = configs.map((config, index) => simFunctionConfig(config, index));
    const plan = {
      vcpuCount: 1,
      functionCount: configs.length,
      ramBytes: 65536,
      vcpuBytes: 4096,
      hostBytes: HOST_AREA_BYTES,
    };
    this.vm = createVmMemory(planMemory(plan));
    this.dma = configs.map(() => new FakeDma());
    const ring = platformTraceRing(this.vm.map);
    const trace = new TraceWriter(this.vm, ring, this.clock);
    this.platform = new SimPlatform(
      this.vm,
      this.configs,
      this.clock,
      (index) => this.dma[index] ?? new FakeDma(),
      trace,
      listens,
    );
    this.#trace = new RingConsumer(this.vm.words, ring, TRACE_RING_SLOTS);
  }

  config(index = 0): SimFunctionConfig {
    return this.configs[index] as SimFunctionConfig;
  }

  function(index = 0, hook?: StepHook, extra: SimVfioOptions = {}): SimHostFunction {
    const options = hook === undefined ? extra : { ...extra, hook };
    return new SimHostFunction(this.vm, index, this.config(index), options);
  }

  /** Opened: mediation on, ERR armed. */
  open(index = 0): SimHostFunction {
    const host = this.function(index);
    host.open();
    return host;
  }

  regions(index = 0): SimHostRegions {
    return new SimHostRegions(this.vm, index);
  }

  area(index = 0): HostArea {
    return hostArea(this.vm, index);
  }

  hardware(index = 0): number {
    return this.area(index).get(HostBlock.hardware);
  }

  /** Moves time and steps until nothing more is due. */
  runTo(timeUs: number): void {
    this.clock.advanceTo(timeUs);
    for (let i = 0; i < 1000 && this.platform.step(); i++);
  }

  run(): void {
    this.runTo(this.clock.nowUs());
  }

  /** Lets time pass until the platform wants nothing more. */
  settle(): void {
    for (let i = 0; i < 1000; i++) {
      this.run();
      const next = this.platform.nextEventUs();
      if (next === Number.POSITIVE_INFINITY) return;
      this.clock.advanceTo(next);
    }
  }

  book(word: keyof typeof FunctionBlock, index = 0): number {
    const base = (this.vm.map.functionBlocks[index] as number) / 4;
    return load(this.vm.words, base + FunctionBlock[word]) >>> 0;
  }

  setWord(word: keyof typeof FunctionBlock, value: number, index = 0): void {
    store(
      this.vm.words,
      (this.vm.map.functionBlocks[index] as number) / 4 + FunctionBlock[word],
      value,
    );
  }

  /** Byte offset of 32 bytes nobody else uses: the first page of guest RAM. */
  slot(n = 0): number {
    return this.vm.map.ramOffset + 64 * n;
  }

  bytesAt(offset: number): string {
    return Buffer.from(this.vm.bytes.slice(offset, offset + 32)).toString("hex");
  }

  traces(): TraceRecord[] {
    const records: TraceRecord[] = [];
    const lane = (slot: number, n: number): number => load(this.vm.words, slot + n);
    for (let slot = this.#trace.front(); slot >= 0; slot = this.#trace.front()) {
      records.push({
        kind: lane(slot, Lane.kind),
        functionIndex: lane(slot, Lane.functionIndex),
        correlation: lane(slot, Lane.correlation),
        body: [0, 1, 2, 3].map((n) => lane(slot, Lane.body + n)),
      });
      this.#trace.release();
    }
    return records;
  }

  /** Dispositions of the errors raised since the last call. */
  dispositions(): number[] {
    return this.traces()
      .filter((record) => record.kind === TraceKind.errorRaised)
      .map((record) => record.body[1] ?? -1);
  }
}

/** No lock windows, resets at once. */
export const instant = { deviceLockUs: 0, stateLockUs: 0, resetUs: 0 };
