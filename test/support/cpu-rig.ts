/** A vCPU with nothing around it: code and data at chosen addresses, PSW set by hand, stepped by tests. */
import { VirtualClock } from "../../src/base/clock.ts";
import {
  Cpu,
  type CpuModelName,
  CpuState,
  VCPU_AREA_BYTES,
  Vcpu,
  type VcpuOptions,
} from "../../src/cpu/index.ts";
import type { InterceptTable } from "../../src/ports/guest-cpu.ts";
import { FloatingInterrupts } from "../../src/shm/floating.ts";
import { GuestRam } from "../../src/shm/guest-ram.ts";
import { planMemory } from "../../src/shm/memory-map.ts";
import { createVmMemory, type VmMemory } from "../../src/shm/vm-memory.ts";

export interface CpuRig {
  readonly vm: VmMemory;
  readonly ram: GuestRam;
  readonly vcpu: Vcpu;
  readonly state: CpuState;
  readonly clock: VirtualClock;
  readonly floating: FloatingInterrupts;
  /** Puts hexadecimal text (blanks allowed) at an absolute address. */
  put(address: number, hex: string): void;
  hex(address: number, length: number): string;
  /** Points the PSW at `address`: 64-bit mode, DAT off, supervisor state, all masks zero. */
  start(address: number, maskHigh?: number, maskLow?: number): void;
}

export interface RigOptions {
  readonly ramBytes?: number;
  readonly model?: CpuModelName;
  readonly intercepts?: InterceptTable;
  readonly notImplemented?: VcpuOptions["notImplemented"];
  readonly translateAfter?: number;
}

export const MASK_64_HIGH = 0x00000001;
export const MASK_64_LOW = 0x80000000 | 0;

export function cpuRig(options: RigOptions = {}): CpuRig {
  const map = planMemory({
    vcpuCount: 1,
    functionCount: 0,
    ramBytes: options.ramBytes ?? 1 << 20,
    vcpuBytes: VCPU_AREA_BYTES,
    hostBytes: 0,
  });
  const vm = createVmMemory(map);
  const ram = new GuestRam(vm);
  const clock = new VirtualClock();
  const floating = new FloatingInterrupts(vm);
  const vcpu = new Vcpu(vm, 0, {
    intercepts: options.intercepts ?? new Map(),
    floating,
    clock,
    model: options.model ?? "zmend",
    translateAfter: options.translateAfter ?? 0,
    ...(options.notImplemented === undefined ? {} : { notImplemented: options.notImplemented }),
  });
  vcpu.reset();
  const state = new CpuState(vm, 0);
  return {
    vm,
    ram,
    vcpu,
    state,
    clock,
    floating,
    put(address, hex) {
      ram.write(address, Uint8Array.from(Buffer.from(hex.replace(/\s+/g, ""), "hex")));
    },
    hex(address, length) {
      const bytes = new Uint8Array(length);
      ram.read(address, bytes);
      return Buffer.from(bytes).toString("hex");
    },
    start(address, maskHigh = MASK_64_HIGH, maskLow = MASK_64_LOW) {
      state.setHalves(Cpu.pswMask, maskHigh, maskLow);
      state.setHalves(Cpu.pswAddress, 0, address);
      vcpu.purgeTlb();
    },
  };
}
