/**
 * A VM under fuzzing: real CPU, devices, recovery machines, platform and simulated hosts on one thread, with guard
 * areas of a known pattern before and behind guest storage. A store that hits them, or their pattern turning
 * up in guest storage, is a guard hit.
 */

import { type SimFunctionConfig, SimHostFunction } from "../../src/backend/sim/index.ts";
import { VirtualClock } from "../../src/base/clock.ts";
import { Cpu, CpuState, clearReset, PswBit, Vcpu, VcpuExit } from "../../src/cpu/index.ts";
import type { PlatformUnit } from "../../src/machine/loops.ts";
import { buildDevices, prepareVm } from "../../src/machine/parts.ts";
import { buildPlatform } from "../../src/machine/platform-parts.ts";
import { recoveryOptions } from "../../src/machine/recovery-parts.ts";
import { mapOf, type VmSpec } from "../../src/machine/vm-spec.ts";
import type { HostFunction } from "../../src/ports/host-function.ts";
import { loadPolicy, State } from "../../src/recovery/index.ts";
import { announceFunction } from "../../src/recovery/plug.ts";
import { RecoveryUnit } from "../../src/recovery/unit.ts";
import { load, store } from "../../src/shm/atomics.ts";
import { FunctionBlock, stateOf, VmBlock } from "../../src/shm/blocks.ts";
import { FloatingInterrupts } from "../../src/shm/floating.ts";
import { GuestErrorMailbox } from "../../src/shm/guest-error.ts";
import { GuestRam } from "../../src/shm/guest-ram.ts";
import { vcpuTraceRing } from "../../src/shm/memory-map.ts";
import { TraceWriter } from "../../src/shm/trace.ts";
import { createVmMemory, type VmMemory } from "../../src/shm/vm-memory.ts";
import { Operands } from "./operands.ts";
import {
  CODE,
  CODE_END,
  ENTRIES,
  INTERRUPTED,
  NOT_EXECUTED,
  RAM_BYTES,
  RESULTS,
  writeHandlers,
} from "./program.ts";
import type { Random } from "./random.ts";

const GUARD_BYTES = 65536;
const CANARY = Buffer.from("5ca1ab1e0ddba11c", "hex");
const SLICE = 5000;
/** Batches for which wrong entries of the DMA tables stay, on average. */
const TABLES_KEPT = 6;
const INSTRUCTIONS_PER_US = 100;
/** A batch is some 5,000 instructions; what lies far beyond is a guest that lost its way. */
const BATCH_SLICES_MAX = 40;
const LONGEST_JUMP_US = 10_000;
const SHAKEN_PECS = [0x01, 0x08, 0x2a, 0x3a];
const PERMANENT = 0x3b;

export interface BatchCounts {
  executed: number;
  accepted: number;
  derailed: boolean;
}

export interface RailsOptions {
  readonly functions: readonly SimFunctionConfig[];
  readonly policy: string;
  readonly random: Random;
  /** Puts something hostile before a host function. */
  readonly host?: (inner: HostFunction, vm: VmMemory, index: number) => HostFunction;
  /** The host as the devices see its facts. */
  readonly facts?: (vm: VmMemory, index: number, config: SimFunctionConfig) => HostFunction;
}

export class Rails {
  readonly vm: VmMemory;
  readonly #ram: GuestRam;
  readonly #clock = new VirtualClock();
  readonly #platform: PlatformUnit;
  readonly #recoveries: readonly RecoveryUnit[];
  readonly #vcpu: Vcpu;
  readonly #state: CpuState;
  readonly #random: Random;
  readonly #operands: Operands;
  readonly #guards: readonly Buffer[];

  constructor({ functions, policy, random, host, facts }: RailsOptions) {
    const spec: VmSpec = {
      name: "fuzz",
      ramBytes: RAM_BYTES,
      cpuModel: "zmend",
      functions,
      policy: loadPolicy(policy),
      epochMs: 0,
    };
    const plain = mapOf(spec);
    const ramOffset = plain.ramOffset + GUARD_BYTES;
    const totalBytes = ramOffset + RAM_BYTES + GUARD_BYTES;
    this.vm = createVmMemory({ ...plain, ramOffset, totalBytes });
    this.#guards = [plain.ramOffset, ramOffset + RAM_BYTES].map((offset) => {
      const guard = Buffer.from(this.vm.buffer as unknown as ArrayBuffer, offset, GUARD_BYTES);
      return guard.fill(CANARY);
    });
    prepareVm(this.vm, spec);
    this.#ram = new GuestRam(this.vm);
    this.#random = random;
    this.#platform = buildPlatform(this.vm, spec, this.#clock);
    this.#recoveries = functions.map((_, index) => {
      const options = recoveryOptions(this.vm, spec, index, this.#clock);
      const inner = options.host;
      return new RecoveryUnit({ ...options, host: host?.(inner, this.vm, index) ?? inner });
    });
    const hosts = functions.map(
      (config, index) =>
        facts?.(this.vm, index, config) ?? new SimHostFunction(this.vm, index, config),
    );
    const trace = new TraceWriter(this.vm, vcpuTraceRing(this.vm.map, 0), this.#clock);
    const devices = buildDevices(this.vm, spec, 0, this.#clock, () => {}, trace, hosts);
    const floating = new FloatingInterrupts(this.vm);
    this.#vcpu = new Vcpu(this.vm, 0, {
      intercepts: devices.intercepts,
      floating,
      clock: this.#clock,
      model: spec.cpuModel,
    });
    this.#state = new CpuState(this.vm, 0);
    this.#operands = new Operands(this.#ram, random, functions.length, (index) => ({
      handle: this.word(index, FunctionBlock.guestHandle),
      state: stateOf(this.word(index, FunctionBlock.stateWord)),
      fibFlags: this.word(index, FunctionBlock.fibFlags),
    }));
    this.#operands.tables();
  }

  word(index: number, name: number): number {
    return load(this.vm.words, (this.vm.map.functionBlocks[index] as number) / 4 + name) >>> 0;
  }

  /**
   * Writes a batch of instructions, executes it, and reads what became of each.
   * @param amend changes the program before it runs
   */
  batch(amend?: (ram: GuestRam) => void): BatchCounts {
    this.#lay();
    this.#operands.blocks();
    if (this.#random.chance(TABLES_KEPT)) this.#operands.tables();
    const driven = this.#operands.driver();
    for (let index = 0; index < ENTRIES; index++) {
      if (index >= driven) this.#operands.entry(index);
      this.#ram.setU32(RESULTS + index * 4, NOT_EXECUTED);
    }
    amend?.(this.#ram);
    let derailed = true;
    for (let slice = 0; slice < BATCH_SLICES_MAX; slice++) {
      if (!this.#turn()) break;
      if (this.#state.u64(Cpu.pswAddress) === BigInt(CODE_END)) {
        derailed = false;
        break;
      }
    }
    let [executed, accepted] = [0, 0];
    for (let index = 0; index < ENTRIES; index++) {
      const result = this.#ram.u32(RESULTS + index * 4);
      if (result === NOT_EXECUTED) continue;
      executed += 1;
      if (result !== INTERRUPTED && result >>> 28 === 0) accepted += 1;
    }
    return { executed, accepted, derailed };
  }

  /**
   * Errors and time without a guest: each turn may break a function or bring it back, then the host's side works and
   * time goes to what is due next.
   */
  shake(turns: number): void {
    const mailbox = new GuestErrorMailbox(this.vm);
    for (let turn = 0; turn < turns; turn++) {
      const index = this.#random.below(this.#recoveries.length);
      if (this.#random.chance(16)) {
        const pec = this.#random.chance(50) ? PERMANENT : this.#random.pick(SHAKEN_PECS);
        mailbox.post(index, pec, 0, this.#random.u32() | 0, false);
      }
      // A function that a lie has cost comes back: one that is away hears no more lies.
      const away = this.#recoveries[index]?.state === State.detached;
      if (away && this.#random.chance(8)) announceFunction(this.vm, index, this.#random.chance(2));
      this.#platform.step();
      let dueUs = Math.min(this.#platform.nextEventUs(), this.#clock.nowUs() + LONGEST_JUMP_US);
      for (const recovery of this.#recoveries) dueUs = Math.min(dueUs, recovery.step());
      this.#clock.advanceTo(Math.max(dueUs, this.#clock.nowUs() + 1));
    }
  }

  /** Guard areas that are no longer as they were; mended at once. */
  guardHits(): number {
    let hits = 0;
    for (const guard of this.#guards) {
      const whole = Buffer.alloc(GUARD_BYTES, CANARY);
      if (guard.equals(whole)) continue;
      hits += 1;
      guard.fill(CANARY);
    }
    return hits;
  }

  /** Places in guest storage where the pattern of the guards stands: somebody read them. */
  leaks(): number {
    const { buffer, map } = this.vm;
    const ram = Buffer.from(buffer as unknown as ArrayBuffer, map.ramOffset, RAM_BYTES);
    const at = ram.indexOf(CANARY);
    if (at < 0) return 0;
    ram.fill(0, at, at + CANARY.length);
    return 1;
  }

  storage(): Uint8Array {
    return this.vm.bytes.subarray(this.vm.map.ramOffset, this.vm.map.ramOffset + RAM_BYTES);
  }

  /** Program and CPU as at the start of a batch; functions, rings and storage elsewhere stay as they are. */
  #lay(): void {
    const { vm } = this;
    const state = this.#state;
    store(vm.words, vm.map.vmBlock / 4 + VmBlock.command, 0);
    store(vm.words, vm.map.vmBlock / 4 + VmBlock.vcpuStopped, 0);
    clearReset(state);
    this.#vcpu.reset();
    writeHandlers(this.#ram);
    const interruptions = PswBit.ioHigh | PswBit.externalHigh | PswBit.machineCheckHigh;
    const problem = this.#random.chance(12) ? PswBit.problemHigh : 0;
    const enabled = this.#random.chance(4) ? 0 : interruptions;
    state.setHalves(Cpu.pswMask, PswBit.ea64High | enabled | problem, PswBit.ba31Low | 0);
    state.setHalves(Cpu.pswAddress, 0, CODE);
    state.setHalves(Cpu.cr, 0, 0x200);
    state.setHalves(Cpu.cr + 6 * 8, 0, 0xff000000 | 0);
    state.setHalves(Cpu.cr + 14 * 8, 0, 0x10000000);
    state.setI32(Cpu.running, 1);
  }

  /** Platform, recovery machines, a slice of the guest. @returns false when the guest has stopped */
  #turn(): boolean {
    const nowUs = this.#clock.nowUs();
    this.#platform.step();
    let dueUs = this.#platform.nextEventUs();
    for (const recovery of this.#recoveries) dueUs = Math.min(dueUs, recovery.step());
    const before = this.#vcpu.instructions();
    const exit = this.#vcpu.run(SLICE);
    const executedUs = (this.#vcpu.instructions() - before) / INSTRUCTIONS_PER_US;
    const jumpUs = exit === VcpuExit.wait ? Math.min(dueUs, nowUs + LONGEST_JUMP_US) : 0;
    this.#clock.advanceTo(Math.max(nowUs + executedUs + 1, jumpUs));
    return exit === VcpuExit.budget || exit === VcpuExit.wait || exit === VcpuExit.command;
  }
}
