/**
 * The machine that a log is played on: real devices, simulated hosts with an NVMe controller behind each, real
 * recovery machines, stepped on one thread; only the CPU is a double that holds the recorded operands.
 *
 * Guest storage has nothing of the recorded guest's but what the log tells: DMA tables are built at the recorded
 * address and map every page to one frame of zeros, so a doorbell makes the controller fetch commands that
 * it refuses, and nothing else is touched.
 */
import { CcdfErr } from "../../src/abi/ccdf.ts";
import { CcdfKind } from "../../src/abi/records.ts";
import { simFunctionConfig } from "../../src/backend/sim/index.ts";
import { VirtualClock } from "../../src/base/clock.ts";
import { CCDF_RING_SLOTS } from "../../src/base/limits.ts";
import type { Devices } from "../../src/devices/index.ts";
import type { PlatformUnit } from "../../src/machine/loops.ts";
import { buildDevices, prepareVm } from "../../src/machine/parts.ts";
import { buildPlatform } from "../../src/machine/platform-parts.ts";
import { buildRecovery } from "../../src/machine/recovery-parts.ts";
import { mapOf, type VmSpec } from "../../src/machine/vm-spec.ts";
import { loadPolicy, type RecoveryUnit } from "../../src/recovery/index.ts";
import { load } from "../../src/shm/atomics.ts";
import { FunctionBlock, generationOf, stateOf } from "../../src/shm/blocks.ts";
import { ChannelReport } from "../../src/shm/channel-report.ts";
import { FloatingInterrupts } from "../../src/shm/floating.ts";
import { GuestErrorMailbox } from "../../src/shm/guest-error.ts";
import { GuestRam } from "../../src/shm/guest-ram.ts";
import { RECORD_BODY, RingProducer } from "../../src/shm/ring.ts";
import { createVmMemory, type VmMemory } from "../../src/shm/vm-memory.ts";
import { GuestCpuDouble } from "../support/guest-cpu-double.ts";

/** The recorded guest had 512 MiB and kept its tables and bit vectors in the first 48. */
const RAM_BYTES = 64 * 1024 ** 2;
/** Segment table, page table and the frame that every page maps to. */
const SEGMENT_TABLE = 0x380_0000;
const PAGE_TABLE = SEGMENT_TABLE + 0x4000;
const FRAME = PAGE_TABLE + 0x1000;
/** Where instructions have their operands. */
export const BLOCK = 0x3c0_0000;
const TABLE_ENTRIES = 2048;
const PAGE_ENTRIES = 256;
/** A region-third or segment table entry: table of full length, region type, valid. */
const REGION_THIRD = 0x7;
/** Passes in which the host side comes to rest, or never will. */
const SETTLE_PASSES = 64;

export class ReplayMachine {
  readonly vm: VmMemory;
  readonly ram: GuestRam;
  readonly cpu: GuestCpuDouble;
  readonly devices: Devices;
  readonly clock = new VirtualClock();
  readonly floating: FloatingInterrupts;
  readonly #platform: PlatformUnit;
  readonly #spec: VmSpec;
  readonly #recoveries: RecoveryUnit[];
  readonly #channelReport: ChannelReport;
  readonly #mailbox: GuestErrorMailbox;

  constructor(functionCount: number) {
    const functions = Array.from({ length: functionCount }, (_, index) =>
      simFunctionConfig({ fid: index, uid: index + 1, device: "nvme" }, index),
    );
    const policy = loadPolicy("mediated");
    const spec: VmSpec = {
      name: "replay",
      ramBytes: RAM_BYTES,
      cpuModel: "zmend",
      functions,
      policy,
      epochMs: 0,
    };
    this.vm = createVmMemory(mapOf(spec));
    prepareVm(this.vm, spec);
    this.ram = new GuestRam(this.vm);
    this.floating = new FloatingInterrupts(this.vm);
    this.#channelReport = new ChannelReport(this.vm, this.floating);
    this.#mailbox = new GuestErrorMailbox(this.vm);
    this.#platform = buildPlatform(this.vm, spec, this.clock);
    this.#spec = spec;
    this.#recoveries = functions.map((_, index) => this.#recovery(index));
    this.devices = buildDevices(this.vm, spec, 0, this.clock, () => {});
    this.cpu = new GuestCpuDouble(this.ram);
    this.settle();
  }

  /** Lets platform and recovery machines do all that is due now. */
  settle(): void {
    for (let pass = 0; pass < SETTLE_PASSES; pass++) {
      const worked = this.#platform.step();
      for (const recovery of this.#recoveries) recovery.step();
      if (!worked && pass > 1) return;
    }
  }

  /** Time passes up to `timeUs`, with everything that falls due on the way. */
  passTo(timeUs: number): void {
    for (let pass = 0; pass < SETTLE_PASSES && this.#platform.nextEventUs() <= timeUs; pass++) {
      this.clock.advanceTo(Math.max(this.clock.nowUs(), this.#platform.nextEventUs()));
      this.settle();
    }
    this.clock.advanceTo(Math.max(this.clock.nowUs(), timeUs));
    this.settle();
  }

  handle(index: number): number {
    return (this.devices.zpci.all[index]?.handle() ?? 0) >>> 0;
  }

  state(index: number): number {
    const base = (this.vm.map.functionBlocks[index] as number) / 4;
    return stateOf(load(this.vm.words, base + FunctionBlock.stateWord));
  }

  /** An error of the function's hardware, as the platform tells the host kernel of it. */
  raise(index: number, pec: number, faddr: number): void {
    this.#mailbox.post(index, pec, 0, faddr, false);
  }

  /** An error event that leaves the function as it is: only the report, as the recorder queued it. */
  reportOnly(index: number, pec: number): void {
    const offset = this.vm.map.ccdfRings[index] as number;
    const ring = new RingProducer(this.vm.words, offset, CCDF_RING_SLOTS);
    const slot = ring.reserve();
    ring.clearBody(slot);
    ring.fillHeader(slot, CcdfKind.error, index, this.#generation(index), this.clock.nowUs(), 0);
    this.vm.view.setUint16(slot * 4 + RECORD_BODY + CcdfErr.fields.pec.offset, pec);
    ring.publish();
    this.#channelReport.post(index);
    // The machine that was there does not know of this record; its successor reads where the ring stands.
    this.#recoveries[index] = this.#recovery(index);
  }

  #recovery(index: number): RecoveryUnit {
    return buildRecovery(this.vm, this.#spec, index, this.clock, (step) => {
      throw new Error(`nobody asked for an end at step ${step}`);
    });
  }

  #generation(index: number): number {
    const base = (this.vm.map.functionBlocks[index] as number) / 4;
    return generationOf(load(this.vm.words, base + FunctionBlock.stateWord));
  }

  /** DMA tables at a recorded IOTA's place: every address of the aperture is one frame. */
  buildTables(iota: bigint): void {
    const root = Number(iota & 0xffff_f000n);
    if (root + TABLE_ENTRIES * 8 > SEGMENT_TABLE) return;
    this.#fillTable(root, TABLE_ENTRIES, SEGMENT_TABLE | REGION_THIRD);
    this.#fillTable(SEGMENT_TABLE, TABLE_ENTRIES, PAGE_TABLE);
    this.#fillTable(PAGE_TABLE, PAGE_ENTRIES, FRAME);
  }

  #fillTable(address: number, entries: number, entry: number): void {
    for (let n = 0; n < entries; n++) {
      this.ram.setU32(address + n * 8, 0);
      this.ram.setU32(address + n * 8 + 4, entry);
    }
  }
}
