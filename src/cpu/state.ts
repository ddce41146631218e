/**
 * The architected and working state of one vCPU in shared memory: byte offsets from the start of its
 * area. Written by the vCPU's thread only (others read counters). Numbers are little-endian as wasm
 * keeps them; 64-bit registers are i64 in wasm and are read here through DataView.
 */
import type { VmMemory } from "../shm/vm-memory.ts";

/** Byte offsets; the first 0x200 bytes are `VcpuHeader` of `src/shm/blocks.ts`. */
export const Cpu = {
  gr: 0x200, //        16 x i64
  cr: 0x280, //        16 x i64
  vr: 0x300, //        32 x {i64 bits 0-63, i64 bits 64-127}; FPR n = bits 0-63 of VR n
  ar: 0x500, //        16 x i32
  pswAddress: 0x540, // i64
  pswMask: 0x548, //   i64; bits 18-19 (cc) are stale while `cc` below is authoritative
  cc: 0x550, //        i32 0..3
  fpc: 0x554, //       i32
  prefix: 0x558, //    i32, absolute address of the prefix area
  todProgrammable: 0x55c, // i32
  clockComparator: 0x560, // i64, TOD units
  cpuTimer: 0x568, //  i64, value when `cpuTimerBase` was taken; decrements with time
  cpuTimerBase: 0x570, // i64, TOD units
  todOffset: 0x578, // i64, guest TOD - host TOD base (SCK, epoch)
  instructionHigh: 0x588, // i32: bytes 0-3 of the instruction in progress
  instructionLow: 0x58c, //  i32: bytes 4-5 in the upper half
  ilc: 0x590, //       i32, length of the instruction in progress in bytes: 2, 4, 6
  programCode: 0x594, // i32, 0 = none; else a program interruption is to be delivered
  teid: 0x598, //      i64 translation-exception identification
  excAccessId: 0x5a0, // i32 exception access identification (lowcore 0xA0)
  dxc: 0x5a4, //       i32 data-exception code
  monitorClass: 0x5a8, // i32
  nullify: 0x5ac, //   i32: 1 = the old PSW points at the instruction (nullification), 0 = past it
  monitorCode: 0x5b0, // i64
  breakingEvent: 0x5b8, // i64
  localPending: 0x5c0, // i32: bits LOCAL_*, interruptions of this CPU only
  externalCallCpu: 0x5c4, // i32: sender of the external call that is pending, + 1; 0 = none
  emergencyCpus: 0x5c8, // i32 bit per source CPU
  running: 0x5cc, //   i32: 1 operating, 0 stopped (SIGP)
  stopReason: 0x5d8, // i32: STOP_*, why `running` became 0
  programLoops: 0x5dc, // i32: program interruptions in a row that changed nothing (interrupts.ts)
  lastTod: 0x5e0, //   i64: last value that STORE CLOCK gave out: the next is higher
  perAddress: 0x5e8, // i64: address of the instruction that caused the PER event
  perCode: 0x5f0, //   i32: PER code << 8 | ATMID
  /** Where the core's own words, TLB and decode cache begin. */
  core: 0x600,
} as const;

export const LOCAL_EXTERNAL_CALL = 1;
export const LOCAL_EMERGENCY = 2;
export const LOCAL_RESTART = 4;
export const LOCAL_STOP = 8;
/** With LOCAL_STOP: store the status first. */
export const LOCAL_STORE_STATUS = 16;
/** Resets end in the stopped state. */
export const LOCAL_CPU_RESET = 32;
export const LOCAL_INITIAL_RESET = 64;

/** Why a CPU stopped by itself (`Cpu.stopReason`). */
export const STOP_NONE = 0;
export const STOP_CHECK = 1; //  check stop: a program new PSW that cannot be used
export const STOP_SIGP = 2; //   SIGP stop, or stop and store status: power off when it is the last CPU
export const STOP_QUIT = 3; //   the program asked to end the VM (DIAG 0x500)
export const STOP_RESET = 4; //  the program asked for a re-IPL (DIAG 0x308)

/** PSW mask bits as they stand in the upper (bits 0-31) and lower (bits 32-63) half. */
export const PswBit = {
  perHigh: 0x40000000,
  datHigh: 0x04000000,
  ioHigh: 0x02000000,
  externalHigh: 0x01000000,
  keyHigh: 0x00f00000,
  machineCheckHigh: 0x00040000,
  waitHigh: 0x00020000,
  problemHigh: 0x00010000,
  spaceHigh: 0x0000c000, // bits 16-17
  ccHigh: 0x00003000, //    bits 18-19
  ea64High: 0x00000001, //  bit 31
  ba31Low: 0x80000000, //   bit 32
} as const;

/** Accessors over one vCPU's area for cold TypeScript code (interruptions, control instructions). */
export class CpuState {
  readonly base: number;
  readonly view: DataView;

  constructor(vm: VmMemory, vcpu: number) {
    this.base = vm.map.vcpuAreas[vcpu] as number;
    this.view = vm.view;
  }

  i32(offset: number): number {
    return this.view.getInt32(this.base + offset, true);
  }

  setI32(offset: number, value: number): void {
    this.view.setInt32(this.base + offset, value, true);
  }

  u64(offset: number): bigint {
    return this.view.getBigUint64(this.base + offset, true);
  }

  setU64(offset: number, value: bigint): void {
    this.view.setBigUint64(this.base + offset, BigInt.asUintN(64, value), true);
  }

  /** Bits 0-31 of the 64-bit word at `offset`. */
  high(offset: number): number {
    return this.view.getInt32(this.base + offset + 4, true);
  }

  /** Bits 32-63. */
  low(offset: number): number {
    return this.view.getInt32(this.base + offset, true);
  }

  setHalves(offset: number, high: number, low: number): void {
    this.view.setInt32(this.base + offset, low, true);
    this.view.setInt32(this.base + offset + 4, high, true);
  }

  gr(n: number): bigint {
    return this.u64(Cpu.gr + n * 8);
  }

  setGr(n: number, value: bigint): void {
    this.setU64(Cpu.gr + n * 8, value);
  }

  cr(n: number): bigint {
    return this.u64(Cpu.cr + n * 8);
  }

  setCr(n: number, value: bigint): void {
    this.setU64(Cpu.cr + n * 8, value);
  }

  fpr(n: number): bigint {
    return this.u64(Cpu.vr + n * 16);
  }

  setFpr(n: number, value: bigint): void {
    this.setU64(Cpu.vr + n * 16, value);
  }
}
