/**
 * What the generated code calls in TypeScript: TLB misses, slots for code pages, decoding, instructions
 * without a body of wasm, targets of EXECUTE, instructions that cross a page. Also the derived words that the
 * generated code reads instead of the PSW. Nothing here allocates.
 */
import { ProgramCode } from "../../abi/lowcore.ts";
import type { VmMemory } from "../../shm/vm-memory.ts";
import { Core, Entry, Status, TLB_ENTRIES, TlbEntry } from "../core-layout.ts";
import { INSTRUCTION, STORE } from "../seam.ts";
import { Cpu, type CpuState, PswBit } from "../state.ts";
import type { SystemHalf } from "../system-half.ts";
import { instructionLength } from "../table/row.ts";
import type { DecodeCache } from "./decode-cache.ts";
import type { InterpreterImports } from "./module.ts";
import { mustWatch, mustWatchStores, Watched } from "./watched.ts";

/** Tags of spaces that must not be cached: no TLB entry ever carries them. */
const NO_DATA_TAG = 0xfff;
const NO_INSTRUCTION_TAG = 0xffe;

const CC_MASK = 3;
/** PSW bits 16-17 of the access-register mode. */
const SPACE_AR_HIGH = 0x4000;

/** Raised by the system half, looked at by the core. */
export class CoreFlags {
  /** The PSW or control registers changed behind the interpreter's back. */
  changed = true;
  /** `run` shall return after this instruction. */
  exitRequested = false;
}

export interface HostCallParts {
  readonly vm: VmMemory;
  readonly area: number;
  readonly system: SystemHalf;
  readonly cache: DecodeCache;
  /** TypeScript handlers by the index in a decoded entry. */
  readonly handlers: readonly (() => void)[];
  readonly flags: CoreFlags;
}

export class HostCalls {
  readonly #vm: VmMemory;
  readonly #area: number;
  readonly #system: SystemHalf;
  readonly #state: CpuState;
  readonly #cache: DecodeCache;
  readonly #handlers: readonly (() => void)[];
  readonly #flags: CoreFlags;
  readonly #watched: Watched;
  // The instruction that `#gather` put together last
  #gatheredHigh = 0;
  #gatheredLow = 0;

  constructor(parts: HostCallParts) {
    this.#vm = parts.vm;
    this.#area = parts.area;
    this.#system = parts.system;
    this.#state = parts.system.state;
    this.#cache = parts.cache;
    this.#handlers = parts.handlers;
    this.#flags = parts.flags;
    this.#watched = new Watched({
      state: this.#state,
      dat: this.#system.dat,
      instruction: (entry) => this.#cache.instruction(entry),
      handler: (high, low) => this.#cache.handler(high, low),
    });
  }

  imports(): Omit<InterpreterImports, "hot"> {
    return {
      fill: (high, low, kind) => this.#fill(high, low, kind),
      lookup: (high, low) => this.#lookup(high, low),
      decode: (entry) => this.#cache.decode(entry >>> 0),
      slow: (entry) => this.#slow(entry >>> 0),
      execute: (high, low, modifier) => this.#executeTarget(high, low, modifier),
      cross: (entry) => this.#crossing(entry >>> 0),
      watch: (entry) => this.#watched.begin(entry >>> 0),
      watched: (status) => this.#watched.end(status),
    };
  }

  /** Derived words of the core after the PSW or control registers changed. */
  refresh(): void {
    this.#flags.changed = false;
    const state = this.#state;
    const { dat } = this.#system;
    // Asking for tags may purge, and purging asks for a refresh: this is it.
    const data = dat.dataTag;
    const instruction = dat.instructionTag;
    this.#flags.changed = false;
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
    this.#cache.watch(mustWatch(state));
    dat.watchStores(mustWatchStores(state));
    const high = state.high(Cpu.pswMask);
    const plain = (high & PswBit.perHigh) === 0 && (high & PswBit.spaceHigh) !== SPACE_AR_HIGH;
    state.setI32(Core.regionsOn, plain ? 1 : 0);
    this.#flags.changed = false;
  }

  /** Length of the instruction in progress; of EXECUTE for its target. */
  instructionBytes(): number {
    return (this.#state.i32(Core.nextAddress) - this.#state.i32(Core.startAddress)) & 7;
  }

  /** TLB miss: translates one byte's page; host address of the byte, or 0 with the fault recorded. */
  #fill(high: number, low: number, kind: number): number {
    const { dat } = this.#system;
    const store = (kind & 0xff) === STORE;
    const absolute = dat.translate(high, low, store ? STORE : 0);
    if (absolute < 0) return 0;
    if (store) dat.stores(high, low, kind >>> 8);
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
      state.setI32(Cpu.programCode, ProgramCode.specification);
      state.setI32(Cpu.nullify, 1);
      return 0;
    }
    const absolute = this.#system.dat.translate(high, low, INSTRUCTION);
    if (absolute < 0) return 0;
    const slot = this.#cache.slotOf(absolute - (absolute % 4096));
    const tag = state.i32(Core.instructionTag);
    if (tag !== NO_INSTRUCTION_TAG && this.#system.dat.cacheable === 1) {
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
    state.setI32(Cpu.ilc, this.instructionBytes());
    copyDoubleword(state, Core.nextAddress, Cpu.pswAddress);
    const handler = this.#handlers[view.getInt32(entry + Entry.d, true)] as () => void;
    handler();
    if (state.i32(Cpu.programCode) !== 0) return Status.fault;
    const moved =
      state.low(Cpu.pswAddress) !== state.low(Core.nextAddress) ||
      state.high(Cpu.pswAddress) !== state.high(Core.nextAddress);
    if (!moved && !this.#flags.changed && !this.#flags.exitRequested) return Status.next;
    copyDoubleword(state, Cpu.pswAddress, Core.nextAddress);
    if (this.#flags.exitRequested) return Status.leave;
    if (!this.#flags.changed) return Status.jump;
    const waiting = (state.high(Cpu.pswMask) & PswBit.waitHigh) !== 0;
    if (waiting || this.#system.interrupts.pendingNow()) return Status.leave;
    this.refresh();
    return Status.reload;
  }

  /** EXECUTE: scratch entry for the modified target, or 0 with the fault recorded. */
  #executeTarget(high: number, low: number, modifier: number): number {
    const first = this.#system.dat.translate(high, low, INSTRUCTION);
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
      this.#state.setI32(Cpu.programCode, ProgramCode.execute);
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

  /** Puts an instruction's halfwords together: `here` bytes at `host`, the rest in the next page. */
  #gather(host: number, here: number, high: number, low: number, length: number): number {
    const { view, map } = this.#vm;
    let rest = 0;
    if (here < length) {
      const state = this.#state;
      const next = (low >>> 0) - (low & 0xfff) + 4096;
      const carry = next > 0xffffffff ? 1 : 0;
      const absolute = this.#system.dat.translate(
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

/** Copies a doubleword of the vCPU area. */
export function copyDoubleword(state: CpuState, from: number, to: number): void {
  state.setHalves(to, state.high(from), state.low(from));
}
