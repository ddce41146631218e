/**
 * A VM on one thread under virtual time: the same objects as on threads, stepped in a fixed order. Executed
 * instructions are time; in an enabled wait time jumps to the next thing that is due. Same spec, same run.
 */
import { SimHostFunction } from "../backend/sim/index.ts";
import { VirtualClock } from "../base/clock.ts";
import { Cpu, CpuState, Signals, type Vcpu, VcpuExit } from "../cpu/index.ts";
import type { Clock } from "../ports/clock.ts";
import type { InterceptTable } from "../ports/guest-cpu.ts";
import type { HostFunction } from "../ports/host-function.ts";
// Past the index: threads that run trials would load the parsers of policy files too.
import type { Policy } from "../recovery/policy.ts";
import { repairAfterDeath } from "../recovery/repair.ts";
import type { RecoveryUnit } from "../recovery/unit.ts";
import { WorkerKilled } from "../recovery/words.ts";
import { store } from "../shm/atomics.ts";
import { FunctionBlock, RecoveryCommand } from "../shm/blocks.ts";
import { voidTranslations } from "../shm/dma-activity.ts";
import { FloatingInterrupts } from "../shm/floating.ts";
import { SclpEvents } from "../shm/sclp-events.ts";
import { createVmMemory, type VmMemory } from "../shm/vm-memory.ts";
import { Watchdog } from "../shm/watchdog.ts";
import { type BootSource, bootAgain } from "./boot.ts";
import {
  COMMAND_RUN,
  commandOf,
  type PlatformOrder,
  type PlatformUnit,
  stoppedOf,
} from "./loops.ts";
import { buildProcessor, type Processor, prepareVm } from "./parts.ts";
import { buildPlatform } from "./platform-parts.ts";
import { buildRecovery, RecoveryTraces, recoveryOptions } from "./recovery-parts.ts";
import { forgetThreads } from "./restore.ts";
import { type Snapshot, writeSnapshot } from "./snapshot.ts";

import { recordVcpuEnd, rests } from "./vcpu-loop.ts";
import { configOf, mapOf, type VmSpec, withPolicy } from "./vm-spec.ts";

/** Virtual speed of the CPU, unless told otherwise: 10 ns an instruction. */
export const INSTRUCTIONS_PER_US = 100;
/** Longest stretch of instructions before the other objects are stepped again: 50 us of virtual time. */
const SLICE_INSTRUCTIONS = 5000;
/** Virtual time passes even when everything waits for ever, so that a deadline comes. */
const IDLE_JUMP_US = 10_000;

/** What a caller puts in the place of a part of the machine, or beside it. */
export interface DeterministicParts {
  /** Memory of an earlier machine with the same plan, which is not stepped any more. Only with a snapshot. */
  readonly memory?: VmMemory;
  /** Stands between a recovery machine and its host. */
  readonly host?: (index: number, host: HostFunction) => HostFunction;
  /** Stands between a CPU and its devices. */
  readonly intercepts?: (table: InterceptTable) => InterceptTable;
  /** Called before each step of a recovery machine. */
  readonly beforeRecovery?: (index: number) => void;
}

export class DeterministicVm {
  #spec: VmSpec;
  readonly vm: VmMemory;
  readonly clock = new VirtualClock();
  /** Virtual speed of the CPU; a replay sets the recorded one before the first step. */
  instructionsPerUs = INSTRUCTIONS_PER_US;
  /** Virtual time as the vCPU sees it. */
  readonly guestClock: Clock;
  readonly #watchdog: Watchdog;
  readonly #platform: PlatformUnit;
  readonly #recoveries: RecoveryUnit[];
  readonly #traces: RecoveryTraces;
  readonly #cpus: readonly CpuTurn[];
  /** Whose slice runs. */
  #current: CpuTurn | undefined;
  readonly #continued: boolean;
  readonly #held = new Set<number>();
  readonly #parts: DeterministicParts;
  readonly #hosts: HostFunction[] = [];

  /** @param snapshot the machine goes on from there; `spec` is the snapshot's then, but for policies and faults */
  constructor(
    spec: VmSpec,
    onConsole: (bytes: Uint8Array) => void,
    snapshot?: Snapshot,
    parts: DeterministicParts = {},
  ) {
    this.#spec = spec;
    this.#parts = parts;
    this.vm = parts.memory ?? createVmMemory(mapOf(spec));
    this.#traces = new RecoveryTraces(this.vm);
    if (snapshot === undefined) prepareVm(this.vm, spec);
    else {
      if (parts.memory === undefined) snapshot.fillNow(this.vm);
      else snapshot.refill(this.vm);
      forgetThreads(this.vm, snapshot.head.frozenUs);
      this.clock.advanceTo(snapshot.head.timeUs);
    }
    this.#continued = snapshot !== undefined;
    this.#platform = buildPlatform(this.vm, spec, this.clock);
    if (snapshot !== undefined) this.#platform.load(snapshot.head.platform);
    this.#recoveries = spec.functions.map((_, index) => this.#recovery(index, this.#continued));
    // Inside a slice the guest's time goes on with each instruction.
    this.#watchdog = new Watchdog(this.vm, this.clock);
    this.guestClock = { nowUs: () => this.clock.nowUs() + this.#sliceUs() };
    this.#cpus = this.vm.map.vcpuAreas.map((_, cpu) => {
      const { vm, guestClock: time } = this;
      const watched = parts.intercepts;
      const processor = buildProcessor(vm, spec, cpu, time, onConsole, time, undefined, watched);
      const at = snapshot?.head.cpus[cpu];
      return {
        processor,
        vcpu: processor.vcpu,
        waiting: at === "waiting",
        resting: at === "resting",
        sliceStart: processor.vcpu.instructions(),
      };
    });
    if (this.#continued) return;
    // As on threads (start-gate.ts), each host function is open before the platform plays anything.
    for (let index = 0; index < this.#recoveries.length; index++) this.#stepRecovery(index);
  }

  /** With the policies that are in force now. */
  get spec(): VmSpec {
    return this.#spec;
  }

  /** What operators ask of the platform, as on threads. */
  order(order: PlatformOrder): unknown {
    return this.#platform.carryOut(order);
  }

  /** A recovery machine that is held does not step, as a thread that is not run. */
  holdRecovery(index: number, held: boolean): void {
    if (held) this.#held.add(index);
    else this.#held.delete(index);
  }

  /** Another policy for one function, from its next step on. */
  setPolicy(index: number, policy: Policy): void {
    this.#spec = withPolicy(this.#spec, index, policy);
    this.#recoveries[index] = this.#recovery(index, true);
  }

  instructions(): number {
    return this.#cpus.reduce((sum, { vcpu }) => sum + vcpu.instructions(), 0);
  }

  requestQuiesce(): void {
    new SclpEvents(this.vm, new FloatingInterrupts(this.vm)).requestQuiesce();
  }

  /** How the guest's CPU stands: a `VCPU_…` value of `loops.ts`. */
  stopped(): number {
    return stoppedOf(this.vm);
  }

  /** No CPU of the guest has anything to do. */
  idle(): boolean {
    return !this.#cpus.some(busy);
  }

  pswAddress(): bigint {
    return new CpuState(this.vm, 0).u64(Cpu.pswAddress);
  }

  pushInput(bytes: Uint8Array): number {
    return new SclpEvents(this.vm, new FloatingInterrupts(this.vm)).pushInput(bytes);
  }

  /** Machine reset and IPL, as a re-IPL asks for it; the hosts hear of it from their recovery machines. */
  reset(source: BootSource): void {
    this.#cpus[0]?.processor.resetDevices();
    bootAgain(this.vm, source);
    for (const cpu of this.#cpus) {
      cpu.vcpu.reload();
      cpu.waiting = false;
      cpu.resting = false;
    }
    for (const block of this.vm.map.functionBlocks) {
      const command = block / 4 + FunctionBlock.recoveryCommand;
      store(this.vm.words, command, RecoveryCommand.systemReset);
    }
  }

  /**
   * Writes a snapshot; the machine is not stepped until it is written. What it has only cached is forgotten, here as
   * in the machine that is restored, so that both go on alike.
   */
  async save(file: string): Promise<void> {
    for (const block of this.vm.map.functionBlocks) {
      voidTranslations(this.vm.words, block / 4);
    }
    for (const { vcpu } of this.#cpus) vcpu.reload();
    await writeSnapshot(file, this.vm, {
      spec: this.#spec,
      timeUs: this.clock.nowUs(),
      frozenUs: 0,
      paused: false,
      cpus: this.#cpus.map(({ waiting, resting }) =>
        waiting ? "waiting" : resting ? "resting" : "going",
      ),
      platform: this.#platform.save(),
    });
  }

  /** Closes what the simulated hardware holds open; the VM is not stepped afterwards. */
  close(): void {
    this.#platform.close();
  }

  /**
   * One round: platform, recovery machines by index, then the vCPU until something else is due.
   * @param horizonUs when something of the caller's is due
   */
  step(horizonUs = Number.POSITIVE_INFINITY): void {
    if (this.#watchdog.takeExpiry()) this.#watchdogFired();
    this.#platform.step();
    let dueUs = Math.min(horizonUs, this.#platform.nextEventUs());
    for (let index = 0; index < this.#recoveries.length; index++) {
      if (!this.#held.has(index)) dueUs = Math.min(dueUs, this.#stepRecovery(index));
    }
    if (commandOf(this.vm) !== COMMAND_RUN) return;
    let timerUs = Number.POSITIVE_INFINITY;
    for (const { vcpu, resting } of this.#cpus) {
      if (!resting) timerUs = Math.min(timerUs, vcpu.nextTimerUs());
    }
    if (this.idle()) this.#jump(Math.min(dueUs, timerUs));
    else this.#execute(Math.min(dueUs, timerUs));
  }

  /** Nobody watches a run under virtual time, so a watchdog that would pause the machine or tell somebody only ends. */
  #watchdogFired(): void {
    if (this.#spec.watchdog === "reset") recordVcpuEnd(this.vm, VcpuExit.reset);
    if (this.#spec.watchdog === "poweroff") recordVcpuEnd(this.vm, VcpuExit.powerOff);
    if (this.#spec.watchdog === "shutdown") this.requestQuiesce();
    if (this.#spec.watchdog === "inject-nmi") Signals.restart(this.vm, 0);
  }

  #recovery(index: number, continued = false): RecoveryUnit {
    return buildRecovery(
      this.vm,
      this.#spec,
      index,
      this.clock,
      killedHere,
      continued,
      this.#traces,
      this.#host(index),
    );
  }

  /** Who stands before the host keeps its state over all recovery machines of a function. */
  #host(index: number): HostFunction | undefined {
    const { host } = this.#parts;
    if (host === undefined) return undefined;
    const real = new SimHostFunction(this.vm, index, configOf(this.#spec, index));
    this.#hosts[index] ??= host(index, real);
    return this.#hosts[index];
  }

  /** One pass; a machine that `FunctionBlock.killAtStep` ended is repaired and replaced, as its supervisor does on threads. */
  #stepRecovery(index: number): number {
    this.#parts.beforeRecovery?.(index);
    try {
      return (this.#recoveries[index] as RecoveryUnit).step();
    } catch (error) {
      if (!(error instanceof WorkerKilled)) throw error;
      const options = [this.vm, this.#spec, index, this.clock, this.#traces] as const;
      repairAfterDeath(recoveryOptions(...options, this.#host(index)));
      this.#recoveries[index] = this.#recovery(index);
      return this.clock.nowUs();
    }
  }

  /** A slice of every CPU that has something to do, as if they ran at the same time. */
  #execute(dueUs: number): void {
    const nowUs = this.clock.nowUs();
    const untilDue = Math.ceil((dueUs - nowUs) * this.instructionsPerUs);
    const budget = Math.max(1, Math.min(SLICE_INSTRUCTIONS, untilDue));
    let executedUs = 1 / this.instructionsPerUs;
    for (const cpu of this.#cpus) {
      if (!busy(cpu)) continue;
      this.#current = cpu;
      const exit = cpu.vcpu.run(budget);
      executedUs = Math.max(executedUs, this.#sliceUs());
      cpu.sliceStart = cpu.vcpu.instructions();
      this.#current = undefined;
      cpu.waiting = exit === VcpuExit.wait;
      cpu.resting = rests(exit) && !cpu.vcpu.halt();
      if (!cpu.resting) recordVcpuEnd(this.vm, exit);
    }
    this.clock.advanceTo(nowUs + executedUs);
  }

  #sliceUs(): number {
    const cpu = this.#current;
    if (cpu === undefined) return 0;
    return (cpu.vcpu.instructions() - cpu.sliceStart) / this.instructionsPerUs;
  }

  #jump(targetUs: number): void {
    const nowUs = this.clock.nowUs();
    // Not further, however far away the next thing is: whoever watches the run may want to end it before.
    const target = Math.min(targetUs, nowUs + IDLE_JUMP_US);
    this.clock.advanceTo(Math.max(target, nowUs + 1 / this.instructionsPerUs));
  }
}

/** One CPU between its slices. */
interface CpuTurn {
  readonly processor: Processor;
  readonly vcpu: Vcpu;
  /** In an enabled wait. */
  waiting: boolean;
  /** Stopped, or in a disabled wait, while others go on. */
  resting: boolean;
  /** Instructions at the start of the slice that runs. */
  sliceStart: number;
}

function busy({ vcpu, waiting, resting }: CpuTurn): boolean {
  if (resting) return vcpu.signalled();
  return !waiting || vcpu.interruptionPending();
}

function killedHere(step: number): never {
  throw new WorkerKilled(step);
}
