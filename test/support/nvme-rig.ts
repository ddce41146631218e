/**
 * One simulated NVMe function with guest storage of a flat array behind its DMA, and a driver for it that does
 * what Linux's does: one command at a time unless told otherwise. No CPU, no zPCI instructions.
 */
import { type HostArea, HostBlock, hostArea } from "../../src/backend/sim/host-area.ts";
import {
  HOST_AREA_BYTES,
  type NvmeInput,
  type SimFunctionConfig,
  SimHostFunction,
  SimHostRegions,
  SimPlatform,
  simFunctionConfig,
} from "../../src/backend/sim/index.ts";
import { VirtualClock } from "../../src/base/clock.ts";
import { DMA_REFUSED, type GuestDma } from "../../src/ports/host-function.ts";
import { load, store } from "../../src/shm/atomics.ts";
import { FunctionBlock } from "../../src/shm/blocks.ts";
import { planMemory, platformTraceRing } from "../../src/shm/memory-map.ts";
import { TraceWriter } from "../../src/shm/trace.ts";
import { createVmMemory, type VmMemory } from "../../src/shm/vm-memory.ts";

/** Where the device's view of guest storage begins. */
export const IOVA = 0x1_0000_0000n;

/** A flat piece of guest storage; everything outside, and every page in `unmapped`, faults. */
export class FlatDma implements GuestDma {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly unmapped = new Set<number>();
  readonly vectors: number[] = [];
  /** Bytes that the device has written, by page. */
  readonly written = new Set<number>();
  refused = false;
  faultAddress = 0n;
  faultLevel = 0;
  transfers = 0;

  constructor(storage: number | Uint8Array) {
    this.bytes = typeof storage === "number" ? new Uint8Array(storage) : storage;
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
  }

  transfer(iova: bigint, target: Uint8Array, write: boolean): number {
    this.transfers += 1;
    if (this.refused) return DMA_REFUSED;
    const start = iova - IOVA;
    for (let page = start >> 12n; page <= (start + BigInt(target.length) - 1n) >> 12n; page++) {
      const inside = page >= 0n && page < BigInt(this.bytes.length / 4096);
      if (inside && !this.unmapped.has(Number(page))) {
        if (write) this.written.add(Number(page));
        continue;
      }
      this.faultAddress = page === start >> 12n ? iova : IOVA + (page << 12n);
      return inside ? 0x0007 : 0x0002;
    }
    const at = Number(start);
    if (write) this.bytes.set(target, at);
    else target.set(this.bytes.subarray(at, at + target.length));
    return 0;
  }

  msi(vector: number): void {
    this.vectors.push(vector);
  }
}

export class NvmeRig {
  readonly vm: VmMemory;
  readonly clock = new VirtualClock();
  readonly config: SimFunctionConfig;
  readonly dma: FlatDma;
  readonly platform: SimPlatform;
  readonly regions: SimHostRegions;
  readonly area: HostArea;

  constructor(
    nvme: NvmeInput = {},
    config: Partial<Omit<SimFunctionConfig, "nvme">> = {},
    storage: number | FlatDma = 4 * 1024 * 1024,
  ) {
    const timing = { deviceLockUs: 0, stateLockUs: 0, resetUs: 0 };
    this.config = simFunctionConfig({ fid: 2, timing, ...config, device: "nvme", nvme });
    const map = planMemory({
      vcpuCount: 1,
      functionCount: 1,
      ramBytes: 65536,
      vcpuBytes: 4096,
      hostBytes: HOST_AREA_BYTES,
    });
    this.vm = createVmMemory(map);
    this.dma = typeof storage === "number" ? new FlatDma(storage) : storage;
    const trace = new TraceWriter(this.vm, platformTraceRing(map), this.clock);
    this.platform = new SimPlatform(this.vm, [this.config], this.clock, () => this.dma, trace);
    this.regions = new SimHostRegions(this.vm, 0);
    this.area = hostArea(this.vm, 0);
    const block = (map.functionBlocks[0] as number) / 4;
    const end = IOVA + BigInt(this.dma.bytes.length) - 1n;
    store(this.vm.words, block + FunctionBlock.pbaHigh, 1);
    store(this.vm.words, block + FunctionBlock.palHigh, Number(end >> 32n));
    store(this.vm.words, block + FunctionBlock.palLow, Number(end & 0xffffffffn) | 0);
  }

  host(): SimHostFunction {
    return new SimHostFunction(this.vm, 0, this.config);
  }

  hardware(): number {
    return this.area.get(HostBlock.hardware);
  }

  book(word: keyof typeof FunctionBlock): number {
    const base = (this.vm.map.functionBlocks[0] as number) / 4;
    return load(this.vm.words, base + FunctionBlock[word]) >>> 0;
  }

  /** Steps until nothing more is due now. */
  run(): void {
    for (let i = 0; i < 10_000 && this.platform.step(); i++);
  }

  /** Lets time pass until the platform wants nothing more, `untilUs` at most. */
  settle(untilUs: number): void {
    for (let i = 0; i < 1000; i++) {
      this.run();
      const next = this.platform.nextEventUs();
      if (next > untilUs) return;
      this.clock.advanceTo(Math.max(next, this.clock.nowUs()));
    }
  }

  /** Little-endian loads and stores of BAR 0 or, with `space` 15, of configuration space. */
  get(offset: number, length: 1 | 2 | 4 = 4, space = 0): number {
    this.regions.load(space, offset, length);
    const bytes = new DataView(new ArrayBuffer(4));
    bytes.setUint32(0, this.regions.valueLow >>> 0);
    let value = 0;
    for (let i = 0; i < length; i++) value += bytes.getUint8(4 - length + i) * 2 ** (8 * i);
    return value;
  }

  set(offset: number, value: number, length: 1 | 2 | 4 = 4, space = 0): void {
    let image = 0;
    for (let i = 0; i < length; i++) image = (image << 8) | ((value >>> (8 * i)) & 0xff);
    this.regions.store(space, offset, length, 0, image);
  }
}
