/**
 * A machine of devices alone: shared memory, guest storage, three plugged functions over a scripted host
 * side, one vCPU double. Instructions are executed by name; the recovery worker's side of the rings is
 * played by the test.
 */
import { CcdfKind } from "../../src/abi/records.ts";
import { VirtualClock } from "../../src/base/clock.ts";
import { CCDF_RING_SLOTS, REQUEST_RING_SLOTS, TRACE_RING_SLOTS } from "../../src/base/limits.ts";
import { createDevices, plugFunction, ZpciDma } from "../../src/devices/index.ts";
import { DmaTlb } from "../../src/devices/zpci/tlb.ts";
import type { HostFacts, HostRegions } from "../../src/ports/host-function.ts";
import { load, peek, store } from "../../src/shm/atomics.ts";
import {
  FunctionBlock,
  type FunctionState,
  generationOf,
  stateOf,
  stateWord,
  VmBlock,
} from "../../src/shm/blocks.ts";
import { ChannelReport } from "../../src/shm/channel-report.ts";
import { FloatingInterrupts } from "../../src/shm/floating.ts";
import { GuestRam } from "../../src/shm/guest-ram.ts";
import { planMemory, vcpuTraceRing } from "../../src/shm/memory-map.ts";
import { Lane, RECORD_BODY, RingConsumer, RingProducer } from "../../src/shm/ring.ts";
import { TraceWriter } from "../../src/shm/trace.ts";
import { createVmMemory } from "../../src/shm/vm-memory.ts";
import { issueInstruction, type Mnemonic, runInstruction } from "./device-instructions.ts";
import { GuestCpuDouble } from "./guest-cpu-double.ts";

export const RAM_BYTES = 4 * 1024 ** 2;
export const FIDS = [0x11, 0x22, 0x33] as const;
export const BLOCK = 0x8000; // scratch area of instructions in guest storage
export const TABLES = 0x20_0000; // DMA translation tables
export const DMA_START = 0x1_0000_0000n;

export const facts: HostFacts = {
  startDma: DMA_START,
  endDma: 0x01ff_ffff_ffff_ffffn,
  pchid: 0x1c0,
  vfn: 0,
  fmbLength: 0,
  pft: 0x0b,
  gid: 0x0a,
  ccdfErrLength: 32,
  dasm: 0n,
  msiAddress: 0xfe00_0000_0000_0000n,
  refresh: true,
  mui: 4000,
  noi: 65,
  maxstbl: 128,
  groupVersion: 1,
  pfip: [],
  utilityString: [],
  barSizeLog2: [14, 0, 0, 0, 0, 0],
  msixVectors: 65,
};

/** Config space of 256 bytes and a 16 KiB BAR 0 of plain bytes. */
export class ScriptedRegions implements HostRegions {
  readonly config = new Uint8Array(256);
  readonly bar = new Uint8Array(1 << 14);
  valueHigh = 0;
  valueLow = 0;

  constructor() {
    // 1b36:0010, the NVMe controller of the recording; BAR 0 is 64-bit memory.
    this.config.set([0x36, 0x1b, 0x10, 0x00]);
    this.config[0x10] = 0x04;
  }

  #region(space: number): Uint8Array | undefined {
    if (space === 15) return this.config;
    return space === 0 ? this.bar : undefined;
  }

  load(space: number, offset: number, length: number): number {
    const region = this.#region(space);
    if (region === undefined || offset + length > region.length) return -22;
    let image = 0n;
    for (let n = 0; n < length; n++) image = (image << 8n) | BigInt(region[offset + n] as number);
    this.valueHigh = Number(BigInt.asIntN(32, image >> 32n));
    this.valueLow = Number(BigInt.asIntN(32, image));
    return 0;
  }

  store(space: number, offset: number, length: number, high: number, low: number): number {
    const region = this.#region(space);
    if (region === undefined || offset + length > region.length) return -22;
    const image = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    for (let n = 0; n < length; n++) {
      region[offset + n] = Number((image >> BigInt(8 * (length - 1 - n))) & 0xffn);
    }
    return 0;
  }
}

export interface RaisedError {
  index: number;
  pec: number;
  faddr: bigint;
  write: boolean;
}

export interface MachineOptions {
  clearError?: boolean;
  lineMode?: boolean;
  loadparm?: string;
  uidChecking?: boolean;
  /** The host maps page by page, so many of them. */
  dmaAvail?: number;
  vcpuCount?: number;
}

export function deviceMachine(options: MachineOptions = {}) {
  const map = planMemory({
    vcpuCount: options.vcpuCount ?? 1,
    functionCount: FIDS.length,
    ramBytes: RAM_BYTES,
    vcpuBytes: 4096,
    hostBytes: 4096,
  });
  const vm = createVmMemory(map);
  const ram = new GuestRam(vm);
  const floating = new FloatingInterrupts(vm);
  const channelReport = new ChannelReport(vm, floating);
  const clock = new VirtualClock();
  const regions = FIDS.map(() => new ScriptedRegions());
  const raised: RaisedError[] = [];
  const text: number[] = [];
  const devices = createDevices({
    vm,
    ram,
    regions,
    facts: FIDS.map(() =>
      options.dmaAvail === undefined ? facts : { ...facts, dmaAvail: options.dmaAvail },
    ),
    clearError: FIDS.map(() => options.clearError ?? false),
    uidChecking: options.uidChecking ?? true,
    floating,
    channelReport,
    trace: new TraceWriter(vm, vcpuTraceRing(map, 0), clock),
    clock,
    console: (bytes) => text.push(...bytes),
    sclpFacts: {
      ramBytes: RAM_BYTES,
      cpuCount: 2,
      lineMode: options.lineMode ?? false,
      loadparm: options.loadparm ?? "",
    },
    raiseError: (index, pec, high, low, write) => {
      const faddr = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
      raised.push({ index, pec, faddr, write });
    },
  });
  FIDS.forEach((fid, index) => {
    plugFunction(vm, index, { fid, uid: index + 1 }, regions[index] as ScriptedRegions);
  });
  channelReport.reset();
  const cpu = new GuestCpuDouble(ram);
  const base = (index: number): number => (map.functionBlocks[index] as number) / 4;
  const word = (index: number, name: number): number => load(vm.words, base(index) + name);
  const setWord = (index: number, name: number, value: number): void =>
    store(vm.words, base(index) + name, value);
  const ccdfRings = map.ccdfRings.map(
    (offset) => new RingProducer(vm.words, offset, CCDF_RING_SLOTS),
  );
  const requestRings = map.requestRings.map(
    (offset) => new RingConsumer(vm.words, offset, REQUEST_RING_SLOTS),
  );
  const traces = new RingConsumer(vm.words, vcpuTraceRing(map, 0), TRACE_RING_SLOTS);

  const tlb = new DmaTlb(ram);
  const machine = {
    vm,
    ram,
    cpu,
    clock,
    devices,
    floating,
    channelReport,
    regions,
    raised,
    word,
    setWord,
    dma: FIDS.map((_, index) => new ZpciDma(vm, ram, tlb, index, floating)),
    consoleText: (): string => String.fromCharCode(...text),
    vmWord: (name: number): number => load(vm.words, map.vmBlock / 4 + name),
    state: (index: number): FunctionState => stateOf(word(index, FunctionBlock.stateWord)),
    generation: (index: number): number => generationOf(word(index, FunctionBlock.stateWord)),
    /** The worker's or platform's doing: another state in the same generation. */
    setState(index: number, state: FunctionState): void {
      const seen = word(index, FunctionBlock.stateWord);
      setWord(index, FunctionBlock.stateWord, stateWord(generationOf(seen), state));
    },
    handle: (index: number): number => (devices.zpci.all[index]?.handle() ?? 0) >>> 0,
    /** Executes an instruction with R1 = 2, R2 or R3 = 4 and the operand at `address`. */
    execute(name: Mnemonic, r1: bigint, r2: bigint, r3: bigint, address: bigint): void {
      issueInstruction(devices.intercepts, cpu, name, r1, r2, r3, address);
    },
    /** Executes with the registers as they are. */
    run(name: Mnemonic): void {
      runInstruction(devices.intercepts, cpu, name);
    },
    bytes(address: number, length: number): Uint8Array {
      const target = new Uint8Array(length);
      ram.read(address, target);
      return target;
    },
    /** What the guest asked of the worker since the last call. */
    requests(index: number): { kind: number; b0: number }[] {
      const found: { kind: number; b0: number }[] = [];
      const ring = requestRings[index];
      for (let slot = ring?.front() ?? -1; slot >= 0; slot = ring?.front() ?? -1) {
        found.push({
          kind: peek(vm.words, slot + Lane.kind),
          b0: peek(vm.words, slot + Lane.body),
        });
        ring?.release();
      }
      return found;
    },
    traced(): { kind: number; functionIndex: number; b0: number; b1: number; b2: number }[] {
      const found = [];
      for (let slot = traces.front(); slot >= 0; slot = traces.front()) {
        found.push({
          kind: peek(vm.words, slot + Lane.kind),
          functionIndex: peek(vm.words, slot + Lane.functionIndex),
          b0: peek(vm.words, slot + Lane.body),
          b1: peek(vm.words, slot + Lane.body + 1),
          b2: peek(vm.words, slot + Lane.body + 2),
        });
        traces.release();
      }
      return found;
    },
    /** The worker's publish: one CCDF record in the ring of function `index`, then the channel report. */
    publish(index: number, pec: number, at: { generation?: number; kind?: number } = {}): void {
      const ring = ccdfRings[index] as RingProducer;
      const slot = ring.reserve();
      ring.clearBody(slot);
      const generation = at.generation ?? machine.generation(index);
      ring.fillHeader(slot, at.kind ?? 1, index, generation, clock.nowUs(), pec);
      vm.view.setUint16(slot * 4 + RECORD_BODY + 30, pec);
      if (at.kind === CcdfKind.availability) {
        vm.view.setUint32(slot * 4 + RECORD_BODY + 4, machine.handle(index));
        vm.view.setInt32(slot * 4 + RECORD_BODY + 8, word(index, FunctionBlock.fid));
      }
      ring.publish();
      channelReport.post(index);
    },
    ringFree: (index: number): number => (ccdfRings[index] as RingProducer).free(),
    /** CLP enable and MPCIFC 4 as a driver does them; returns the handle. */
    bringUp(index: number): number {
      machine.clpSet(index, 0);
      machine.buildTables();
      machine.registerIoat(index);
      machine.requests(index);
      machine.traced();
      return machine.handle(index);
    },
    /** CLP Set PCI function with the current handle; returns the response code. */
    clpSet(index: number, operation: number): number {
      ram.fill(BLOCK, 64, 0);
      ram.setU16(BLOCK, 32);
      ram.setU16(BLOCK + 2, 5);
      ram.setU32(BLOCK + 16, machine.handle(index));
      ram.setU8(BLOCK + 22, operation);
      ram.setU8(BLOCK + 23, 1);
      ram.setU16(BLOCK + 32, 32);
      machine.execute("clp", 0n, BigInt(BLOCK), 0n, 0n);
      return ram.u16(BLOCK + 34);
    },
    /** MPCIFC with the FIB that stands at BLOCK; leaves cc and status in the double. */
    mpcifc(index: number, operation: number): void {
      const request = (BigInt(machine.handle(index)) << 32n) | BigInt(operation);
      machine.execute("mpcifc", request, 0n, 0n, BigInt(BLOCK));
    },
    /** A FIB at BLOCK with the aperture of guest storage and the tables of `buildTables`. */
    fillFib(): void {
      ram.fill(BLOCK, 80, 0);
      const view = machine.fibView();
      view.setBigUint64(16, DMA_START);
      view.setBigUint64(24, DMA_START + BigInt(RAM_BYTES) - 1n);
      view.setBigUint64(32, BigInt(TABLES) | 0x804n);
      // ISC 2, noi 65, aibvo 0, sum 1, aisbo 0: the word the recording shows.
      view.setUint32(40, 0x20410080);
      view.setBigUint64(48, 0x9000n);
      view.setBigUint64(56, 0x9100n);
    },
    fibView: (): DataView => new DataView(vm.buffer, map.ramOffset + BLOCK, 80),
    registerIoat(index: number): void {
      machine.fillFib();
      machine.mpcifc(index, 4);
    },
    /** Region-third, segment and page tables that map IOVA DMA_START + a to guest storage a, 4 MiB. */
    buildTables(): void {
      const write = (address: number, entry: number): void => {
        ram.setU32(address, 0);
        ram.setU32(address + 4, entry);
      };
      for (let n = 0; n < 2048; n++) {
        write(TABLES + n * 8, 0x20);
        write(TABLES + 0x4000 + n * 8, 0x20);
      }
      // DMA_START = 2^32: region-third index 2, segment 0.
      write(TABLES + 2 * 8, (TABLES + 0x4000) | 0x7);
      for (let segment = 0; segment < 4; segment++) {
        const pages = TABLES + 0x8000 + segment * 0x800;
        write(TABLES + 0x4000 + segment * 8, pages);
        for (let page = 0; page < 256; page++) {
          write(pages + page * 8, segment * 0x10_0000 + page * 0x1000 || 0x1000);
        }
      }
    },
    pageEntry: (address: number): number =>
      TABLES + 0x8000 + Math.floor(address / 0x10_0000) * 0x800 + ((address >>> 12) & 0xff) * 8,
    pendingMachineCheck: (): boolean => floating.machineCheckPending(),
    serviceParameter: (): number =>
      load(vm.words, map.vmBlock / 4 + VmBlock.serviceParameter) >>> 0,
  };
  return machine;
}

export type DeviceMachine = ReturnType<typeof deviceMachine>;
