/** One CPU's system half over 2 MiB of RAM, without an interpreter: what the tests here work on. */
import { VirtualClock } from "../../../src/base/clock.ts";
import { Dat } from "../../../src/cpu/dat.ts";
import { CpuModel, type CpuModelName, type ModelOptions } from "../../../src/cpu/model.ts";
import { initialCpuReset } from "../../../src/cpu/reset.ts";
import { Cpu } from "../../../src/cpu/state.ts";
import { systemInstructions } from "../../../src/cpu/system/index.ts";
import { buildSystemHalf } from "../../../src/cpu/system-half.ts";
import type { TodValue } from "../../../src/cpu/timing.ts";
import { FloatingInterrupts } from "../../../src/shm/floating.ts";
import { planMemory } from "../../../src/shm/memory-map.ts";
import { createVmMemory } from "../../../src/shm/vm-memory.ts";

export const RAM_BYTES = 0x200000;
/** Where the instruction under test stands. */
export const AT = 0x10000;

export interface MachineOptions extends ModelOptions {
  readonly model?: CpuModelName;
  readonly edat1?: boolean;
  readonly cpus?: number;
  readonly epoch?: TodValue;
}

export function createMachine(options: MachineOptions = {}) {
  const map = planMemory({
    vcpuCount: options.cpus ?? 1,
    functionCount: 0,
    ramBytes: RAM_BYTES,
    vcpuBytes: 8192,
    hostBytes: 0,
  });
  const vm = createVmMemory(map);
  const clock = new VirtualClock();
  const model = new CpuModel(options.model, options);
  const counts = { purge: 0, changed: 0, exit: 0, machineChecks: 0 };
  const hooks = {
    purgeTlb: () => void counts.purge++,
    pswChanged: () => void counts.changed++,
    requestExit: () => void counts.exit++,
  };
  const floating = new FloatingInterrupts(vm);
  const built = buildSystemHalf({
    vm,
    vcpu: 0,
    floating,
    clock,
    epoch: options.epoch ?? { high: 0, low: 0 },
    model,
    hooks,
    machineCheckTaken: () => void counts.machineChecks++,
  });
  const { state, ram, keys, psw, timing, interrupts, context: sys } = built;
  // The default model does not announce EDAT: a translation that knows it stands beside the built one.
  const dat = options.edat1
    ? new Dat(state, ram, keys, { edat1: true, edat2: true, noExecute: true }, hooks.purgeTlb)
    : built.dat;
  initialCpuReset(state);
  timing.refresh();
  state.setI32(Cpu.running, 1);

  const machine = {
    vm,
    state,
    ram,
    keys,
    clock,
    model,
    counts,
    dat,
    psw,
    timing,
    floating,
    interrupts,
    sys,

    u64(address: number): bigint {
      return (BigInt(ram.u32(address)) << 32n) | BigInt(ram.u32(address + 4));
    },

    setU64(address: number, value: bigint): void {
      ram.setU32(address, Number(BigInt.asUintN(64, value) >> 32n));
      ram.setU32(address + 4, Number(value & 0xffffffffn));
    },

    setPsw(mask: bigint, address: bigint): boolean {
      return psw.load(half(mask >> 32n), half(mask), half(address >> 32n), half(address));
    },

    pswMask(): bigint {
      return (BigInt(psw.maskHigh >>> 0) << 32n) | BigInt(psw.maskLow >>> 0);
    },

    /** Executes one control instruction as the core does; returns the program-interruption code. */
    execute(hex: string, instructionAddress = BigInt(AT)): number {
      const bytes = hex.replaceAll(" ", "").padEnd(12, "0");
      const high = Number.parseInt(bytes.slice(0, 8), 16) | 0;
      const low = Number.parseInt(bytes.slice(8, 12), 16) << 16;
      const length = hex.replaceAll(" ", "").length / 2;
      state.setI32(Cpu.instructionHigh, high);
      state.setI32(Cpu.instructionLow, low);
      state.setI32(Cpu.ilc, length);
      state.setI32(Cpu.programCode, 0);
      state.setU64(Cpu.pswAddress, instructionAddress + BigInt(length));
      const body = systemInstructions.get(keyOf(high, low));
      if (body === undefined) throw new Error(`no control instruction ${hex}`);
      body(sys);
      return state.i32(Cpu.programCode);
    },

    translate(address: bigint, kind: 0 | 1 | 2): number {
      return dat.translate(half(address >> 32n), half(address), kind);
    },
  };
  return machine;
}

export type Machine = ReturnType<typeof createMachine>;

export function half(value: bigint): number {
  return Number(BigInt.asIntN(32, value));
}

/** Opcode key as `src/cpu/seam.ts` defines it, for the formats that control instructions have. */
function keyOf(high: number, low: number): number {
  const first = high >>> 24;
  if (first === 0xe3 || first === 0xeb) return (first << 8) | ((low >>> 16) & 0xff);
  if (first === 0xc8) return (first << 4) | ((high >>> 16) & 15);
  if (first === 0x01 || first === 0xb2 || first === 0xb9 || first === 0xe5) return high >>> 16;
  return first;
}

export const MASK64 = 0x0000000180000000n;
export const DAT_ON = 0x0400000000000000n;
export const PROBLEM = 0x0001000000000000n;
