/**
 * CPU resets. Source: SA22-7832 chapter 4, "Resets" (figure 4-13): initial CPU reset sets CR0 to X'E0' and
 * CR14 to X'C2000000' and clears the rest of the CPU but general, access and floating-point registers.
 */
import { Cpu, type CpuState } from "./state.ts";

/** CPU reset: what is pending for this CPU alone is gone. */
export function cpuReset(state: CpuState): void {
  state.setI32(Cpu.localPending, 0);
  state.setI32(Cpu.emergencyCpus, 0);
  state.setI32(Cpu.externalCallCpu, 0);
  state.setI32(Cpu.programCode, 0);
  state.setI32(Cpu.nullify, 0);
}

/** The caller purges the TLB (`Dat.purge`) and refreshes the timers (`Timing.refresh`). */
export function initialCpuReset(state: CpuState): void {
  cpuReset(state);
  for (let n = 0; n < 16; n++) state.setHalves(Cpu.cr + n * 8, 0, 0);
  state.setHalves(Cpu.cr, 0, 0xe0);
  state.setHalves(Cpu.cr + 14 * 8, 0, 0xc2000000);
  state.setHalves(Cpu.pswMask, 0, 0);
  state.setHalves(Cpu.pswAddress, 0, 0);
  state.setI32(Cpu.cc, 0);
  state.setI32(Cpu.fpc, 0);
  state.setI32(Cpu.prefix, 0);
  state.setI32(Cpu.todProgrammable, 0);
  state.setHalves(Cpu.clockComparator, 0, 0);
  state.setHalves(Cpu.cpuTimer, 0, 0);
  state.setHalves(Cpu.cpuTimerBase, 0, 0);
  state.setHalves(Cpu.breakingEvent, 0, 1);
}

/** Clear reset: general, access, floating-point and vector registers as well. */
export function clearReset(state: CpuState): void {
  initialCpuReset(state);
  for (let n = 0; n < 16; n++) {
    state.setHalves(Cpu.gr + n * 8, 0, 0);
    state.setI32(Cpu.ar + n * 4, 0);
  }
  for (let n = 0; n < 64; n++) state.setHalves(Cpu.vr + n * 8, 0, 0);
  state.setHalves(Cpu.lastTod, 0, 0);
  state.setI32(Cpu.programLoops, 0);
  state.setHalves(Cpu.todOffset, 0, 0);
}
