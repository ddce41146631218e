/**
 * Register images in the lowcore save areas: of a machine check, and of SIGP store status. Source:
 * zpci-guest.md 7.7 (an operating system rebuilds the interrupted context from these), SA22-7832
 * chapter 4, "Store Status".
 */
import { Lowcore } from "../abi/lowcore.ts";
import type { GuestRam } from "../shm/guest-ram.ts";
import type { Psw } from "./psw.ts";
import { Cpu, type CpuState } from "./state.ts";
import type { Timing } from "./timing.ts";

const field = Lowcore.fields;
const FPR = field.fprSaveArea.offset;
const GR = field.grSaveArea.offset;
const PSW = field.pswSaveArea.offset;
const PREFIX = field.prefixSaveArea.offset;
const FPC = field.fpcSaveArea.offset;
const TOD_PROGRAMMABLE = field.todProgrammableSaveArea.offset;
const CPU_TIMER = field.cpuTimerSaveArea.offset;
const CLOCK_COMPARATOR = field.clockComparatorSaveArea.offset;
const AR = field.arSaveArea.offset;
const CR = field.crSaveArea.offset;
const ARCHITECTURE_MODE = field.architectureMode.offset;

/** Area of the vector registers, and what it is aligned to. */
export const VECTOR_AREA_BYTES = 1024;

/** Stores the register images into the lowcore at absolute `lowcore`, which the caller has checked. */
export function storeStatusRegisters(
  state: CpuState,
  ram: GuestRam,
  timing: Timing,
  lowcore: number,
): void {
  for (let n = 0; n < 16; n++) {
    put64(state, ram, lowcore + FPR + n * 8, Cpu.vr + n * 16);
    put64(state, ram, lowcore + GR + n * 8, Cpu.gr + n * 8);
    put64(state, ram, lowcore + CR + n * 8, Cpu.cr + n * 8);
    ram.setU32(lowcore + AR + n * 4, state.i32(Cpu.ar + n * 4));
  }
  ram.setU32(lowcore + PREFIX, state.i32(Cpu.prefix));
  ram.setU32(lowcore + FPC, state.i32(Cpu.fpc));
  ram.setU32(lowcore + TOD_PROGRAMMABLE, state.i32(Cpu.todProgrammable));
  timing.readCpuTimer();
  ram.setU32(lowcore + CPU_TIMER, timing.high);
  ram.setU32(lowcore + CPU_TIMER + 4, timing.low);
  const high = state.high(Cpu.clockComparator);
  const low = state.low(Cpu.clockComparator);
  ram.setU32(lowcore + CLOCK_COMPARATOR, high >>> 8);
  ram.setU32(lowcore + CLOCK_COMPARATOR + 4, (high << 24) | (low >>> 8));
}

/** SIGP store status at address: the save areas alone, as they stand from 0x1200 of a prefix area on. */
export function storeStatusAt(
  state: CpuState,
  ram: GuestRam,
  timing: Timing,
  psw: Psw,
  area: number,
): void {
  const lowcore = area - FPR;
  storeStatusRegisters(state, ram, timing, lowcore);
  psw.storeTo(ram, lowcore + PSW);
}

/** SIGP stop and store status: the registers, the PSW and the architecture mode. */
export function storeStatus(
  state: CpuState,
  ram: GuestRam,
  timing: Timing,
  psw: Psw,
  lowcore: number,
): void {
  storeStatusRegisters(state, ram, timing, lowcore);
  psw.storeTo(ram, lowcore + PSW);
  ram.setU8(lowcore + ARCHITECTURE_MODE, 1);
}

/**
 * Stores the 32 vector registers into the machine-check extended save area that the designation at
 * absolute `designation` names: address with the rightmost ten bits zero; none when it is zero or
 * outside storage.
 */
export function storeVectorRegisters(state: CpuState, ram: GuestRam, designation: number): void {
  const area = ram.u32(designation) * 0x1_0000_0000 + ((ram.u32(designation + 4) & ~0x3ff) >>> 0);
  if (area === 0 || !ram.contains(area, VECTOR_AREA_BYTES)) return;
  storeVectorsAt(state, ram, area);
}

/** SIGP store additional status at address: the vector registers; the rest of the area stays as it is. */
export function storeVectorsAt(state: CpuState, ram: GuestRam, area: number): void {
  for (let n = 0; n < 64; n++) put64(state, ram, area + n * 8, Cpu.vr + n * 8);
}

function put64(state: CpuState, ram: GuestRam, address: number, offset: number): void {
  ram.setU32(address, state.high(offset));
  ram.setU32(address + 4, state.low(offset));
}
