/**
 * One vCPU: the generated interpreter, its caches, and the system half, over the VM's shared memory. A
 * steppable object: `run(budget)` executes at most so many instructions and says why it stopped. The state
 * is in shared memory; this object holds views and caches of it, except the count of instructions.
 *
 * Order in `run`: stop and command, one pending interruption, wait state, instructions. Every turn of that
 * loop costs at least one unit of the budget, so a guest whose interruption handlers fail for ever, or
 * whose interruptions never end, still returns.
 */
import { ProgramCode } from "../abi/lowcore.ts";
import { PciOpcode } from "../abi/pci-insn.ts";
import { assert } from "../base/assert.ts";
import type { Clock } from "../ports/clock.ts";
import type { InterceptTable } from "../ports/guest-cpu.ts";
import { exchange, load, peek, poke, store, wait } from "../shm/atomics.ts";
import { type ExitKind, exitKinds, PENDING_COMMAND, VcpuHeader } from "../shm/blocks.ts";
import type { FloatingInterrupts } from "../shm/floating.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { Core, RunEnd, TLB_BYTES } from "./core-layout.ts";
import { DecodeCache, type SlowHandler } from "./interpreter/decode-cache.ts";
import { CoreFlags, copyDoubleword, HostCalls } from "./interpreter/host-calls.ts";
import {
  buildInterpreterModule,
  directInstructions,
  HANDLER_DIRECT,
  HANDLER_SLOW,
} from "./interpreter/module.ts";
import { Translator } from "./jit/translator.ts";
import { CpuModel, isCpuModelName } from "./model.ts";
import { clearReset } from "./reset.ts";
import { SlowContext, slowInstructions } from "./slow/index.ts";
import {
  Cpu,
  type CpuState,
  LOCAL_RESTART,
  PswBit,
  STOP_CHECK,
  STOP_NONE,
  STOP_RESET,
  STOP_SIGP,
} from "./state.ts";
import { systemInstructions } from "./system/index.ts";
import { buildSystemHalf, type SystemHalf } from "./system-half.ts";
import { opcodeKey } from "./table/row.ts";
import { todOfUnixMs } from "./timing.ts";

/** How `run` ended. */
export const VcpuExit = {
  /** The budget is used up. */
  budget: 0,
  /** Enabled wait: nothing to do until an interruption. */
  wait: 1,
  /** Wait with all interruptions disabled: the guest has stopped. */
  disabledWait: 2,
  /** The guest's interruption handling is broken beyond delivery. */
  checkStop: 3,
  /** The guest stopped its last CPU or asked to be switched off. */
  powerOff: 4,
  /** The guest asked for a re-IPL. */
  reset: 5,
  /** PENDING_COMMAND was set: look at the VM's command word. */
  command: 6,
  /** Of several CPUs, this one was stopped: it waits for orders. */
  stopped: 7,
} as const;
export type VcpuExit = (typeof VcpuExit)[keyof typeof VcpuExit];

/** Intercepted instructions that are counted under a name of their own, by key of the intercept table. */
const exitKindOfKey: Readonly<Record<number, ExitKind>> = {
  [PciOpcode.CLP]: "clp",
  [PciOpcode.PCILG]: "pcilg",
  [PciOpcode.PCISTG]: "pcistg",
  [PciOpcode.PCISTB]: "pcistb",
  [PciOpcode.RPCIT]: "rpcit",
  [PciOpcode.MPCIFC]: "mpcifc",
  [PciOpcode.STPCIFC]: "stpcifc",
  [PciOpcode.SIC]: "sic",
  [0xb220]: "servc",
  [0xb25f]: "chsc",
  [0xb239]: "stcrw",
};

export interface VcpuOptions {
  readonly intercepts: InterceptTable;
  readonly floating: FloatingInterrupts;
  readonly clock: Clock;
  /** A model, or the name of one (checked where the user gave it). */
  readonly model: CpuModel | string;
  /** Wall time at clock time 0 in milliseconds since 1970: where the TOD clock starts. */
  readonly epochMs?: number;
  /**
   * Translate instructions that taken branches have reached this often (at most 65,535) to WebAssembly; absent or 0:
   * the interpreter alone.
   */
  readonly translateAfter?: number;
  /** Interpreter of this process, compiled for the same `translateAfter`; made here when absent. */
  readonly module?: WebAssembly.Module;
  /** Told when the channel-report machine check has been taken. */
  readonly machineCheckTaken?: () => void;
  /**
   * Told the first time that an opcode ends in an operation exception because this CPU does not have it: the
   * instruction's six bytes, left-aligned (zeros behind a shorter one), its address, and its opcode key.
   */
  readonly notImplemented?: (
    high: number,
    low: number,
    addressHigh: number,
    addressLow: number,
    opcode: number,
  ) => void;
}

/** Index 0 of the handlers is the operation exception. */
const NOT_INSTALLED: SlowHandler = { handler: HANDLER_SLOW, index: 0 };

/** Opcodes 00xx are no instructions: kernels use them for breakpoints and to mark what must not be reached. */
const FIRST_OPCODE = 0x01;

const compiled = new Map<number, WebAssembly.Module>();

/** The interpreter, compiled once per thread; vCPU workers are handed the main thread's. */
export function interpreterModule(translateAfter = 0): WebAssembly.Module {
  let module = compiled.get(translateAfter);
  if (module === undefined) {
    module = new WebAssembly.Module(buildInterpreterModule(translateAfter).bytes);
    compiled.set(translateAfter, module);
  }
  return module;
}

export class Vcpu {
  readonly system: SystemHalf;
  readonly model: CpuModel;
  readonly #vm: VmMemory;
  readonly #state: CpuState;
  readonly #area: number;
  readonly #header: number;
  readonly #clock: Clock;
  readonly #cache: DecodeCache;
  readonly #handlers: (() => void)[] = [];
  readonly #handlerOfKey = new Map<number, SlowHandler>();
  readonly #run: (budget: number) => number;
  readonly #calls: HostCalls;
  readonly #flags = new CoreFlags();
  #executed = 0;
  readonly #several: boolean;
  readonly #purge = (): void => this.system.dat.purge();
  /** Budget given to the wasm run in progress; 0 outside. */
  #slice = 0;

  constructor(vm: VmMemory, index: number, options: VcpuOptions) {
    this.#vm = vm;
    this.#area = vm.map.vcpuAreas[index] as number;
    this.#header = this.#area / 4;
    this.#clock = options.clock;
    this.model = modelOf(options.model, vm.map.vcpuAreas.length);
    this.#several = vm.map.vcpuAreas.length > 1;
    const machineCheckTaken = options.machineCheckTaken;
    this.system = buildSystemHalf({
      vm,
      vcpu: index,
      floating: options.floating,
      clock: options.clock,
      epoch: todOfUnixMs(options.epochMs ?? 0),
      model: this.model,
      hooks: {
        purgeTlb: () => this.purgeTlb(),
        pswChanged: () => {
          this.#flags.changed = true;
        },
        requestExit: () => {
          this.#flags.exitRequested = true;
        },
      },
      ...(machineCheckTaken === undefined ? {} : { machineCheckTaken }),
    });
    this.#state = this.system.state;
    this.#cache = new DecodeCache(
      vm,
      index,
      (facility) => this.model.has(facility),
      (key) => this.#handlerOfKey.get(key) ?? NOT_INSTALLED,
    );
    this.#installHandlers(options.intercepts, options.notImplemented);
    this.#calls = new HostCalls({
      vm,
      area: this.#area,
      system: this.system,
      cache: this.#cache,
      handlers: this.#handlers,
      flags: this.#flags,
    });
    this.#run = this.#instantiate(index, options);
    // A machine that goes on from a snapshot goes on counting.
    const { words } = vm;
    this.#executed =
      (load(words, this.#header + VcpuHeader.instructionsHigh) >>> 0) * 0x1_0000_0000 +
      (load(words, this.#header + VcpuHeader.instructionsLow) >>> 0);
    this.purgeTlb();
  }

  /** Clear reset: every register, pending interruption and cache of this CPU. */
  reset(): void {
    clearReset(this.#state);
    this.#state.setI32(Cpu.running, 1);
    this.#state.setI32(Cpu.stopReason, STOP_NONE);
    this.reload();
  }

  /** The state, its timers or the guest's tables were changed from outside: nothing cached holds any more. */
  reload(): void {
    this.system.timing.refresh();
    this.system.dat.purge();
    this.purgeTlb();
  }

  /** Instructions executed so far, exact also while one of them asks. */
  instructions(): number {
    if (this.#slice === 0) return this.#executed;
    return this.#executed + this.#slice - this.#state.i32(Core.budgetLeft);
  }

  /** Whether `run` would take an interruption now. */
  interruptionPending(): boolean {
    return this.system.interrupts.pendingNow();
  }

  /** Clock microseconds at which a timer interruption becomes pending and enabled; may be Infinity. */
  nextTimerUs(): number {
    return this.system.interrupts.waitDeadlineUs();
  }

  /** Drops all cached translations; needed after the state was changed from outside. */
  purgeTlb(): void {
    this.#vm.bytes.fill(0, this.#area + Core.tlb, this.#area + Core.tlb + TLB_BYTES);
    this.#cache.purgeTranslations();
    this.#flags.changed = true;
  }

  /** Executes at most `budget` instructions. */
  run(budget: number): VcpuExit {
    const exit = this.#turns(budget);
    this.#countExit(this.#header + VcpuHeader.exits + exit);
    return exit;
  }

  #turns(budget: number): VcpuExit {
    const { interrupts } = this.system;
    let left = Math.max(0, Math.floor(budget));
    for (;;) {
      const bits = exchange(this.#vm.words, this.#header + VcpuHeader.pending, 0);
      if ((bits & PENDING_COMMAND) !== 0) return VcpuExit.command;
      if (this.#state.i32(Cpu.running) === 0 && !this.#restarted()) return this.#stopped();
      if (interrupts.takePending()) {
        left--;
        this.#flags.changed = true;
        if (left < 0) return VcpuExit.budget;
        continue;
      }
      if (this.#state.i32(Cpu.running) === 0) continue;
      if ((this.#state.high(Cpu.pswMask) & PswBit.waitHigh) !== 0) {
        return interrupts.anyEnabled() ? VcpuExit.wait : VcpuExit.disabledWait;
      }
      if (left <= 0) return VcpuExit.budget;
      left -= this.#execute(left);
    }
  }

  /**
   * Sleeps in an enabled wait until something is posted, a timer is due, or `maxMs` have passed. The look
   * after `sleeping` is set is what makes a post between `run` and here not be missed (doorbell.ts).
   */
  sleep(maxMs: number): void {
    const { words } = this.#vm;
    const sleeping = this.#header + VcpuHeader.sleeping;
    store(words, sleeping, 1);
    const pending = load(words, this.#header + VcpuHeader.pending) !== 0;
    const untilTimerMs = (this.nextTimerUs() - this.#clock.nowUs()) / 1000;
    const timeoutMs = Math.min(maxMs, untilTimerMs);
    if (!pending && timeoutMs > 0 && !this.interruptionPending()) {
      wait(words, sleeping, 1, timeoutMs);
    }
    store(words, sleeping, 0);
  }

  /** Nothing more to do on this CPU. @returns whether that is true of every CPU */
  halt(): boolean {
    return this.system.signals.halt();
  }

  /** Whether somebody wants this CPU to look. */
  signalled(): boolean {
    return load(this.#vm.words, this.#header + VcpuHeader.pending) !== 0;
  }

  /** Sleeps in the stopped state until somebody wants this CPU to look, `maxMs` at most. */
  rest(maxMs: number): void {
    const { words } = this.#vm;
    const sleeping = this.#header + VcpuHeader.sleeping;
    store(words, sleeping, 1);
    if (!this.signalled()) wait(words, sleeping, 1, maxMs);
    store(words, sleeping, 0);
  }

  /** Runs wasm once. @returns units of the budget used, at least 1 */
  #execute(left: number): number {
    const state = this.#state;
    if (this.#flags.changed) this.#calls.refresh();
    copyDoubleword(state, Cpu.pswAddress, Core.nextAddress);
    this.#slice = Math.min(left, 0x7fffffff);
    state.setI32(Core.budgetLeft, this.#slice);
    this.#flags.exitRequested = false;
    if (this.#several) this.system.signals.enter(this.#purge);
    const end = this.#run(this.#slice);
    if (this.#several) this.system.signals.leave();
    const used = this.#slice - state.i32(Core.budgetLeft);
    this.#slice = 0;
    this.#executed += used;
    this.#publishCount();
    if (end === RunEnd.fault) {
      this.#deliverFault();
      return Math.max(1, used);
    }
    copyDoubleword(state, Core.nextAddress, Cpu.pswAddress);
    return end === RunEnd.pending ? used : Math.max(1, used);
  }

  /** A restart finds a stopped CPU: it operates again. */
  #restarted(): boolean {
    const state = this.#state;
    if ((this.system.signals.pending() & LOCAL_RESTART) === 0) return false;
    const reason = state.i32(Cpu.stopReason);
    if (reason !== STOP_SIGP && reason !== STOP_NONE) return false;
    state.setI32(Cpu.running, 1);
    return true;
  }

  #stopped(): VcpuExit {
    const reason = this.#state.i32(Cpu.stopReason);
    if (this.#several && (reason === STOP_SIGP || reason === STOP_NONE)) return VcpuExit.stopped;
    if (reason === STOP_CHECK) return VcpuExit.checkStop;
    return reason === STOP_RESET ? VcpuExit.reset : VcpuExit.powerOff;
  }

  #publishCount(): void {
    const { words } = this.#vm;
    store(words, this.#header + VcpuHeader.instructionsLow, this.#executed | 0);
    const high = Math.floor(this.#executed / 0x1_0000_0000);
    store(words, this.#header + VcpuHeader.instructionsHigh, high | 0);
  }

  /** Makes the PSW address final (seam.ts) and delivers the recorded program interruption. */
  #deliverFault(): void {
    const state = this.#state;
    const nullify = state.i32(Cpu.nullify);
    if (nullify !== 2) {
      state.setI32(Cpu.ilc, this.#calls.instructionBytes());
      copyDoubleword(state, nullify === 1 ? Core.startAddress : Core.nextAddress, Cpu.pswAddress);
    }
    state.setU64(Core.relativeDelta, 0n);
    this.system.interrupts.deliverProgram();
    this.#flags.changed = true;
  }

  /** Handler 0 is the operation exception. */
  #installHandlers(
    intercepts: InterceptTable,
    notImplemented: VcpuOptions["notImplemented"],
  ): void {
    const { context, guest, interrupts, dat } = this.system;
    const state = this.#state;
    const told = new Set<number>();
    const tell = (): void => {
      if (notImplemented === undefined) return;
      const high = state.i32(Cpu.instructionHigh);
      const low = state.i32(Cpu.instructionLow);
      const key = opcodeKey(high, low);
      if (high >>> 24 < FIRST_OPCODE || told.has(key)) return;
      told.add(key);
      notImplemented(high, low, state.high(Core.startAddress), state.low(Core.startAddress), key);
    };
    this.#handlers.push(() => {
      state.setI32(Cpu.programCode, ProgramCode.operation);
      state.setI32(Cpu.nullify, 0);
      tell();
    });
    const install = (key: number, kind: ExitKind, handler: () => void): void => {
      const count = this.#header + VcpuHeader.exits + exitKinds.indexOf(kind);
      this.#handlerOfKey.set(key, { handler: HANDLER_SLOW, index: this.#handlers.length });
      this.#handlers.push(() => {
        this.#countExit(count);
        handler();
        // Not on this model.
        if (state.i32(Cpu.programCode) === ProgramCode.operation) tell();
      });
    };
    for (const [key, handler] of intercepts) {
      const own = directInstructions.findIndex(([, known]) => known === key);
      if (own >= 0 && handler.direct !== undefined) {
        this.#handlerOfKey.set(key, { handler: HANDLER_DIRECT + own, index: 0 });
        continue;
      }
      install(key, exitKindOfKey[key] ?? "subchannel", () =>
        handler.execute(guest, state.i32(Cpu.instructionHigh), state.i32(Cpu.instructionLow)),
      );
    }
    for (const [key, instruction] of systemInstructions) {
      install(key, "control", () => instruction(context));
    }
    const slow = new SlowContext({
      state,
      dat,
      interrupts,
      bytes: this.#vm.bytes,
      ramOffset: this.#vm.map.ramOffset,
      has: (facility) => this.model.has(facility),
    });
    for (const [key, instruction] of slowInstructions) {
      install(key, "slow", () => instruction(slow));
    }
  }

  /** Nobody else writes these words, and whoever reads one reads it whole. */
  #countExit(word: number): void {
    const { words } = this.#vm;
    poke(words, word, (peek(words, word) + 1) | 0);
  }

  #instantiate(index: number, options: VcpuOptions): (budget: number) => number {
    const { guest } = this.system;
    const { intercepts, translateAfter = 0 } = options;
    const direct = directInstructions.map(([name, key]) => [
      name,
      // One that nobody offers is never called: it is decoded as an instruction that this CPU does not have.
      intercepts.get(key)?.direct?.(guest) ?? (() => {}),
    ]);
    let translator: Translator | undefined;
    const hot = (entry: number): void => translator?.hot(entry >>> 0);
    const instance = new WebAssembly.Instance(options.module ?? interpreterModule(translateAfter), {
      vm: { memory: this.#vm.memory, area: this.#area },
      cpu: { ...this.#calls.imports(), ...Object.fromEntries(direct), hot },
    });
    if (translateAfter > 0) {
      translator = new Translator({
        vm: this.#vm,
        vcpu: index,
        cache: this.#cache,
        has: (facility) => this.model.has(facility),
        everything: translateAfter === 1,
        core: instance.exports,
      });
    }
    return instance.exports["run"] as (budget: number) => number;
  }
}

function modelOf(model: CpuModel | string, cpuCount: number): CpuModel {
  if (typeof model !== "string") return model;
  assert(isCpuModelName(model), `no CPU model is called ${model}`);
  return new CpuModel(model, { cpuCount });
}
