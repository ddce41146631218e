/**
 * One vCPU: the generated interpreter, its caches, and the system half, over the VM's shared memory. A
 * steppable object: `run(budget)` executes at most so many instructions and says why it stopped. The state
 * is in shared memory; this object holds views and caches of it, except the count of instructions.
 *
 * Order in `run`: stop and command, one pending interruption, wait state, instructions. Every turn of that
 * loop costs at least one unit of the budget, so a guest whose interruption handlers fail for ever, or
 * whose interruptions never end, still returns.
 */
import { assert } from "../base/assert.ts";
import type { Clock } from "../ports/clock.ts";
import type { InterceptTable } from "../ports/guest-cpu.ts";
import { exchange, load, store, wait } from "../shm/atomics.ts";
import { PENDING_COMMAND, VcpuHeader } from "../shm/blocks.ts";
import type { FloatingInterrupts } from "../shm/floating.ts";
import type { VmMemory } from "../shm/vm-memory.ts";
import { Core, Entry, RunEnd, Status, TLB_BYTES, TLB_ENTRIES, TlbEntry } from "./core-layout.ts";
import { DecodeCache } from "./interpreter/decode-cache.ts";
import { buildInterpreterModule, type InterpreterImports } from "./interpreter/module.ts";
import { CpuModel, isCpuModelName } from "./model.ts";
import { clearReset } from "./reset.ts";
import { INSTRUCTION, STORE } from "./seam.ts";
import { SlowContext, slowInstructions } from "./slow/index.ts";
import { Cpu, type CpuState, PswBit, STOP_CHECK, STOP_NONE, STOP_RESET } from "./state.ts";
import { systemInstructions } from "./system/index.ts";
import { buildSystemHalf, type SystemHalf } from "./system-half.ts";
import { Program } from "./table/body.ts";
import { instructionLength } from "./table/row.ts";
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
} as const;
export type VcpuExit = (typeof VcpuExit)[keyof typeof VcpuExit];

export interface VcpuOptions {
  readonly intercepts: InterceptTable;
  readonly floating: FloatingInterrupts;
  readonly clock: Clock;
  /** A model, or the name of one (checked where the user gave it). */
  readonly model: CpuModel | string;
  /** Wall time at clock time 0 in milliseconds since 1970: where the TOD clock starts. */
  readonly epochMs?: number;
  /** Compiled interpreter of this process; built here when absent. */
  readonly module?: WebAssembly.Module;
  /** Told when the channel-report machine check has been taken. */
  readonly machineCheckTaken?: () => void;
}

let compiled: WebAssembly.Module | undefined;

/** The interpreter, compiled once per thread; workers may be handed the module instead. */
export function interpreterModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(buildInterpreterModule().bytes);
  return compiled;
}

/** Tags of spaces that must not be cached: no TLB entry ever carries them. */
const NO_DATA_TAG = 0xfff;
const NO_INSTRUCTION_TAG = 0xffe;

const CC_MASK = 3;

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
  readonly #handlerOfKey = new Map<number, number>();
  readonly #run: (budget: number) => number;
  /** The PSW or control registers changed behind the interpreter's back. */
  #changed = true;
  #exitRequested = false;
  #executed = 0;
  /** Budget given to the wasm run in progress; 0 outside. */
  #slice = 0;

  constructor(vm: VmMemory, index: number, options: VcpuOptions) {
    this.#vm = vm;
    this.#area = vm.map.vcpuAreas[index] as number;
    this.#header = this.#area / 4;
    this.#clock = options.clock;
    this.model = modelOf(options.model);
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
          this.#changed = true;
        },
        requestExit: () => {
          this.#exitRequested = true;
        },
      },
      ...(machineCheckTaken === undefined ? {} : { machineCheckTaken }),
    });
    this.#state = this.system.state;
    this.#cache = new DecodeCache(
      vm,
      index,
      (facility) => this.model.has(facility),
      (key) => this.#handlerOfKey.get(key) ?? 0,
    );
    this.#installHandlers(options.intercepts);
    this.#run = this.#instantiate(options.module ?? interpreterModule());
    this.purgeTlb();
  }

  /** Clear reset: every register, pending interruption and cache of this CPU. */
  reset(): void {
    clearReset(this.#state);
    this.#state.setI32(Cpu.running, 1);
    this.#state.setI32(Cpu.stopReason, STOP_NONE);
    this.system.timing.refresh();
    this.system.dat.purge();
    this.purgeTlb();
    this.#changed = true;
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
    this.#changed = true;
  }

  /** Executes at most `budget` instructions. */
  run(budget: number): VcpuExit {
    const { interrupts } = this.system;
    let left = Math.max(0, Math.floor(budget));
    for (;;) {
      if (this.#state.i32(Cpu.running) === 0) return this.#stopped();
      const bits = exchange(this.#vm.words, this.#header + VcpuHeader.pending, 0);
      if ((bits & PENDING_COMMAND) !== 0) return VcpuExit.command;
      if (interrupts.takePending()) {
        left--;
        this.#changed = true;
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

  /** Runs wasm once. @returns units of the budget used, at least 1 */
  #execute(left: number): number {
    const state = this.#state;
    if (this.#changed) this.#refresh();
    copyU64(state, Cpu.pswAddress, Core.nextAddress);
    this.#slice = Math.min(left, 0x7fffffff);
    state.setI32(Core.budgetLeft, this.#slice);
    this.#exitRequested = false;
    const end = this.#run(this.#slice);
    const used = this.#slice - state.i32(Core.budgetLeft);
    this.#slice = 0;
    this.#executed += used;
    this.#publishCount();
    if (end === RunEnd.fault) {
      this.#deliverFault();
      return Math.max(1, used);
    }
    copyU64(state, Core.nextAddress, Cpu.pswAddress);
    return end === RunEnd.pending ? used : Math.max(1, used);
  }

  #stopped(): VcpuExit {
    const reason = this.#state.i32(Cpu.stopReason);
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
      state.setI32(Cpu.ilc, this.#instructionBytes());
      copyU64(state, nullify === 1 ? Core.startAddress : Core.nextAddress, Cpu.pswAddress);
    }
    state.setU64(Core.relativeDelta, 0n);
    this.system.interrupts.deliverProgram();
    this.#changed = true;
  }

  /** Length of the instruction in progress; of EXECUTE for its target. */
  #instructionBytes(): number {
    return (this.#state.i32(Core.nextAddress) - this.#state.i32(Core.startAddress)) & 7;
  }

  /** Derived words of the core after the PSW or control registers changed. */
  #refresh(): void {
    this.#changed = false;
    const state = this.#state;
    const { dat } = this.system;
    // Asking for tags may purge, and purging asks for a refresh: this is it.
    const data = dat.dataTag;
    const instruction = dat.instructionTag;
    this.#changed = false;
    const wide = (state.high(Cpu.pswMask) & PswBit.ea64High) !== 0;
    const basic = (state.low(Cpu.pswMask) & PswBit.ba31Low) !== 0;
    if (wide) state.setHalves(Core.addressMask, -1, -1);
    else state.setHalves(Core.addressMask, 0, basic ? 0x7fffffff : 0xffffff);
    state.setHalves(Core.dataTag, 0, data === 0 ? NO_DATA_TAG : data);
    state.setHalves(
      Core.instructionTag,
      0,
      instruction === 0 ? NO_INSTRUCTION_TAG : instruction << 1,
    );
    state.setI32(Cpu.cc, state.i32(Cpu.cc) & CC_MASK);
  }

  /** Handler 0 is the operation exception. */
  #installHandlers(intercepts: InterceptTable): void {
    const { context, guest, interrupts, dat } = this.system;
    const state = this.#state;
    this.#handlers.push(() => {
      state.setI32(Cpu.programCode, Program.operation);
      state.setI32(Cpu.nullify, 0);
    });
    const install = (key: number, handler: () => void): void => {
      this.#handlerOfKey.set(key, this.#handlers.length);
      this.#handlers.push(handler);
    };
    for (const [key, handler] of intercepts) {
      install(key, () =>
        handler.execute(guest, state.i32(Cpu.instructionHigh), state.i32(Cpu.instructionLow)),
      );
    }
    for (const [key, instruction] of systemInstructions) install(key, () => instruction(context));
    const slow = new SlowContext({
      state,
      dat,
      interrupts,
      bytes: this.#vm.bytes,
      ramOffset: this.#vm.map.ramOffset,
    });
    for (const [key, instruction] of slowInstructions) install(key, () => instruction(slow));
  }

  #instantiate(module: WebAssembly.Module): (budget: number) => number {
    const imports: InterpreterImports = {
      fill: (high, low, kind) => this.#fill(high, low, kind),
      lookup: (high, low) => this.#lookup(high, low),
      decode: (entry) => this.#cache.decode(entry >>> 0),
      slow: (entry) => this.#slow(entry >>> 0),
      execute: (high, low, modifier) => this.#executeTarget(high, low, modifier),
      cross: (entry) => this.#crossing(entry >>> 0),
    };
    const instance = new WebAssembly.Instance(module, {
      vm: { memory: this.#vm.memory, area: this.#area },
      cpu: { ...imports },
    });
    return instance.exports["run"] as (budget: number) => number;
  }

  /** TLB miss: translates one byte's page; host address of the byte, or 0 with the fault recorded. */
  #fill(high: number, low: number, kind: number): number {
    const { dat } = this.system;
    const absolute = dat.translate(high, low, kind === STORE ? STORE : 0);
    if (absolute < 0) return 0;
    const host = this.#vm.map.ramOffset + absolute;
    const tag = this.#state.i32(Core.dataTag);
    if (tag === NO_DATA_TAG || dat.cacheable === 0) return host;
    const { view } = this.#vm;
    const entry = this.#area + Core.tlb + ((low >>> 12) & (TLB_ENTRIES - 1)) * TlbEntry.bytes;
    const tagLow = (low & ~0xfff) | tag;
    view.setInt32(entry + TlbEntry.readTag, tagLow, true);
    view.setInt32(entry + TlbEntry.readTag + 4, high, true);
    const { writable } = dat;
    view.setInt32(entry + TlbEntry.writeTag, writable === 1 ? tagLow : 0, true);
    view.setInt32(entry + TlbEntry.writeTag + 4, high, true);
    view.setInt32(entry + TlbEntry.lowTag, writable === 2 ? tagLow : 0, true);
    view.setInt32(entry + TlbEntry.lowTag + 4, high, true);
    view.setInt32(entry + TlbEntry.addend, host - low, true);
    return host;
  }

  /** Slot for the page of an instruction address, or 0 with the fault recorded. */
  #lookup(high: number, low: number): number {
    const state = this.#state;
    // For a fault the length of what could not be fetched is taken as 2.
    this.#setNextAfterStart(2);
    if ((low & 1) !== 0) {
      state.setI32(Cpu.programCode, Program.specification);
      state.setI32(Cpu.nullify, 1);
      return 0;
    }
    const absolute = this.system.dat.translate(high, low, INSTRUCTION);
    if (absolute < 0) return 0;
    const slot = this.#cache.slotOf(absolute - (absolute % 4096));
    const tag = state.i32(Core.instructionTag);
    if (tag !== NO_INSTRUCTION_TAG && this.system.dat.cacheable === 1) {
      this.#cache.enter(high, low, slot);
    }
    return slot;
  }

  #setNextAfterStart(bytes: number): void {
    const state = this.#state;
    const low = state.low(Core.startAddress);
    const sum = (low >>> 0) + bytes;
    const carry = sum > 0xffffffff ? 1 : 0;
    state.setHalves(
      Core.nextAddress,
      (state.high(Core.startAddress) + carry) & state.high(Core.addressMask),
      sum & state.low(Core.addressMask),
    );
  }

  /** An instruction that has no body of wasm: TypeScript, control instruction or intercept. */
  #slow(entry: number): number {
    const state = this.#state;
    const { view } = this.#vm;
    state.setI32(Cpu.instructionHigh, view.getInt32(entry + Entry.a, true));
    state.setI32(Cpu.instructionLow, view.getInt32(entry + Entry.b, true));
    state.setI32(Cpu.ilc, this.#instructionBytes());
    copyU64(state, Core.nextAddress, Cpu.pswAddress);
    const handler = this.#handlers[view.getInt32(entry + Entry.d, true)] as () => void;
    handler();
    if (state.i32(Cpu.programCode) !== 0) return Status.fault;
    const moved =
      state.low(Cpu.pswAddress) !== state.low(Core.nextAddress) ||
      state.high(Cpu.pswAddress) !== state.high(Core.nextAddress);
    if (!moved && !this.#changed && !this.#exitRequested) return Status.next;
    copyU64(state, Cpu.pswAddress, Core.nextAddress);
    if (this.#exitRequested) return Status.leave;
    if (!this.#changed) return Status.jump;
    const waiting = (state.high(Cpu.pswMask) & PswBit.waitHigh) !== 0;
    if (waiting || this.system.interrupts.pendingNow()) return Status.leave;
    this.#refresh();
    return Status.reload;
  }

  /** EXECUTE: scratch entry for the modified target, or 0 with the fault recorded. */
  #executeTarget(high: number, low: number, modifier: number): number {
    const first = this.system.dat.translate(high, low, INSTRUCTION);
    if (first < 0) return 0;
    const { view, map } = this.#vm;
    const host = map.ramOffset + first;
    const length = instructionLength(view.getUint8(host));
    const here = Math.min(length, 4096 - (low & 0xfff));
    const bytes = this.#gather(host, here, high, low, length);
    if (bytes < 0) return 0;
    const opcode = this.#gatheredHigh >>> 24;
    const key = (this.#gatheredHigh >>> 16) & 0xff0f;
    if (opcode === 0x44 || key === 0xc600) {
      this.#state.setI32(Cpu.programCode, Program.execute);
      this.#state.setI32(Cpu.nullify, 0);
      return 0;
    }
    return this.#cache.scratch(this.#gatheredHigh | ((modifier & 0xff) << 16), this.#gatheredLow);
  }

  /** Scratch entry of an instruction whose bytes lie in two pages, or 0 with the fault recorded. */
  #crossing(entry: number): number {
    const state = this.#state;
    const { view, map } = this.#vm;
    const absolute = this.#cache.absoluteOf(entry);
    const host = map.ramOffset + absolute;
    const length = instructionLength(view.getUint8(host));
    this.#setNextAfterStart(length);
    const high = state.high(Core.startAddress);
    const low = state.low(Core.startAddress);
    const here = Math.min(length, 4096 - (low & 0xfff));
    if (this.#gather(host, here, high, low, length) < 0) return 0;
    return this.#cache.scratch(this.#gatheredHigh, this.#gatheredLow);
  }

  #gatheredHigh = 0;
  #gatheredLow = 0;

  /** Puts an instruction's halfwords together: `here` bytes at `host`, the rest in the next page. */
  #gather(host: number, here: number, high: number, low: number, length: number): number {
    const { view, map } = this.#vm;
    let rest = 0;
    if (here < length) {
      const state = this.#state;
      const next = (low >>> 0) - (low & 0xfff) + 4096;
      const carry = next > 0xffffffff ? 1 : 0;
      const absolute = this.system.dat.translate(
        (high + carry) & state.high(Core.addressMask),
        next & state.low(Core.addressMask),
        INSTRUCTION,
      );
      if (absolute < 0) return -1;
      rest = map.ramOffset + absolute;
    }
    const half = (offset: number): number => {
      if (offset >= length) return 0;
      return view.getUint16(offset < here ? host + offset : rest + offset - here);
    };
    this.#gatheredHigh = (half(0) << 16) | half(2);
    this.#gatheredLow = half(4) << 16;
    return 0;
  }
}

function modelOf(model: CpuModel | string): CpuModel {
  if (typeof model !== "string") return model;
  assert(isCpuModelName(model), `no CPU model is called ${model}`);
  return new CpuModel(model);
}

function copyU64(state: CpuState, from: number, to: number): void {
  state.setHalves(to, state.high(from), state.low(from));
}
