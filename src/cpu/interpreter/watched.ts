/**
 * Instructions executed one by one because something has to be known about each: program-event recording (PER)
 * is on, or the CPU is in access-register mode. The decode cache then leads every instruction here, around its row;
 * outside of these modes nothing of this runs. Cold code: 64-bit values are BigInt.
 *
 * PER: instruction fetching (also with nullification), successful branching, storage alteration, store using real
 * address. Sources: SA22-7832 chapter 4, "Program-Event Recording", and chapter 5, "Access-Register Specification"
 * (which access register goes with which operand); code and ATMID bits as in Linux asm/per and QEMU 7.2.
 */
import { ProgramCode } from "../../abi/lowcore.ts";
import { Core, Status } from "../core-layout.ts";
import type { Dat } from "../dat.ts";
import { Cpu, type CpuState, PswBit } from "../state.ts";
import { accessRegisters } from "../table/access-registers.ts";

/** CR9 bits 32-63: events and controls. */
const EVENT_BRANCH = 0x80000000;
const EVENT_FETCH = 0x40000000;
const EVENT_STORE = 0x20000000;
const EVENT_STORE_REAL = 0x08000000;
const EVENT_FETCH_NULLIFY = 0x01000000;
const CONTROL_BRANCH_ADDRESS = 0x00800000;
const ANY_EVENT = EVENT_BRANCH | EVENT_FETCH | EVENT_STORE | EVENT_FETCH_NULLIFY;
const CR9 = Cpu.cr + 9 * 8;

/** PER code, lowcore 0x96. */
const CODE_BRANCH = 0x80;
const CODE_FETCH = 0x40;
const CODE_STORE = 0x20;
const CODE_STORE_REAL = 0x08;
const CODE_FETCH_NULLIFIED = 0x01;
const ATMID_VALID = 0x40;

/** No address of an instruction: tells whether a branch has set the breaking-event address. */
const NOT_BROKEN = 1n;
/** STURA, STURG. */
const STORES_REAL = new Set([0xb246, 0xb925]);
/** LPSW, LPSWE and SVC set the breaking-event address or go elsewhere, but are no branches. */
const LOADS_PSW = new Set([0x82, 0xb2, 0x0a]);

export interface WatchedParts {
  readonly state: CpuState;
  readonly dat: Dat;
  /** Bytes 0-3 and 4-5 (in the upper half) of the instruction that an entry was decoded from. */
  readonly instruction: (entry: number) => readonly [number, number];
  /** Handler of that instruction's row. */
  readonly handler: (high: number, low: number) => number;
}

/** Whether the CPU, as it is now, has to be watched. */
export function mustWatch(state: CpuState): boolean {
  const mask = state.high(Cpu.pswMask);
  const perOn = (mask & PswBit.perHigh) !== 0 && (state.low(CR9) & ANY_EVENT) !== 0;
  return perOn || (mask & (PswBit.datHigh | PswBit.spaceHigh)) === AR_MODE;
}

const AR_MODE = PswBit.datHigh | 0x4000;

/** Whether stores have to be looked at one by one. */
export function mustWatchStores(state: CpuState): boolean {
  const perOn = (state.high(Cpu.pswMask) & PswBit.perHigh) !== 0;
  return perOn && (state.low(CR9) & EVENT_STORE) !== 0;
}

export class Watched {
  readonly #parts: WatchedParts;
  /** EXECUTE runs its target inside of itself. */
  #depth = 0;
  #events = 0;
  #address = 0n;
  #atmid = 0;
  #bytes = 0;
  #opcode = 0;
  #breakingEvent = 0n;

  constructor(parts: WatchedParts) {
    this.#parts = parts;
  }

  /** Before an instruction. @returns its handler, or 0 with a program interruption recorded */
  begin(entry: number): number {
    const { state, dat } = this.#parts;
    const [high, low] = this.#parts.instruction(entry);
    const handler = this.#parts.handler(high, low);
    const registers = accessRegisters(high, low);
    dat.firstAccessRegister = registers >>> 4;
    dat.secondAccessRegister = registers & 15;
    state.setI32(Core.fetchesFirst, 0);
    this.#depth++;
    if (this.#depth > 1) return handler;
    const mask = state.high(Cpu.pswMask);
    this.#events =
      (mask & PswBit.perHigh) !== 0 ? state.low(CR9) & (ANY_EVENT | EVENT_STORE_REAL) : 0;
    this.#opcode = high >>> 16;
    this.#address = state.u64(Core.startAddress);
    this.#atmid = atmidOf(mask, state.low(Cpu.pswMask));
    this.#bytes = (state.i32(Core.nextAddress) - state.i32(Core.startAddress)) & 7;
    if (this.#events === 0) return handler;
    if ((this.#events & EVENT_FETCH_NULLIFY) !== 0 && this.#inRange(this.#address)) {
      this.#depth = 0;
      state.setI32(Cpu.programCode, ProgramCode.perEvent);
      state.setI32(Cpu.nullify, 1);
      this.#record(CODE_FETCH | CODE_FETCH_NULLIFIED);
      return 0;
    }
    this.#breakingEvent = state.u64(Cpu.breakingEvent);
    state.setU64(Cpu.breakingEvent, NOT_BROKEN);
    dat.alteration = false;
    return handler;
  }

  /** After it. @returns the status, which a PER event makes a program interruption */
  end(status: number): number {
    const { state, dat } = this.#parts;
    this.#depth--;
    if (this.#depth > 0 || this.#events === 0) return status;
    const broke = state.u64(Cpu.breakingEvent) !== NOT_BROKEN;
    if (!broke) state.setU64(Cpu.breakingEvent, this.#breakingEvent);
    const altered = dat.alteration;
    // What is nullified did not happen.
    if (status === Status.fault && state.i32(Cpu.nullify) === 1) return status;
    const code = this.#code(status, broke, altered);
    if (code === 0) return status;
    this.#record(code);
    if (status === Status.fault) {
      state.setI32(Cpu.programCode, state.i32(Cpu.programCode) | ProgramCode.perEvent);
      return status;
    }
    state.setU64(Cpu.pswAddress, state.u64(Core.nextAddress));
    state.setI32(Cpu.ilc, this.#bytes);
    state.setI32(Cpu.programCode, ProgramCode.perEvent);
    state.setI32(Cpu.nullify, 2);
    return Status.fault;
  }

  #code(status: number, broke: boolean, altered: boolean): number {
    const events = this.#events;
    let code = 0;
    if ((events & EVENT_FETCH) !== 0 && this.#inRange(this.#address)) code |= CODE_FETCH;
    if ((events & EVENT_BRANCH) !== 0 && broke && status !== Status.fault && !this.#loadsPsw()) {
      const anywhere = (this.#parts.state.low(CR9) & CONTROL_BRANCH_ADDRESS) === 0;
      if (anywhere || this.#inRange(this.#parts.state.u64(Core.nextAddress))) code |= CODE_BRANCH;
    }
    if (altered) code |= CODE_STORE;
    const real = EVENT_STORE | EVENT_STORE_REAL;
    if ((events & real) === real && STORES_REAL.has(this.#opcode) && status !== Status.fault) {
      code |= CODE_STORE_REAL;
    }
    return code;
  }

  #loadsPsw(): boolean {
    const first = this.#opcode >>> 8;
    return LOADS_PSW.has(first) && (first !== 0xb2 || this.#opcode === 0xb2b2);
  }

  #record(code: number): void {
    const { state } = this.#parts;
    state.setI32(Cpu.perCode, (code << 8) | this.#atmid);
    state.setU64(Cpu.perAddress, this.#address);
  }

  #inRange(address: bigint): boolean {
    return this.#parts.dat.inPerRange(address, 1n);
  }
}

/** Addressing-and-translation-mode identification: PSW bits 31, 32, 5 and 16-17. */
function atmidOf(maskHigh: number, maskLow: number): number {
  const extended = (maskHigh & PswBit.ea64High) !== 0 ? 0x80 : 0;
  const basic = (maskLow & PswBit.ba31Low) !== 0 ? 0x20 : 0;
  const dat = (maskHigh & PswBit.datHigh) !== 0 ? 0x10 : 0;
  return extended | ATMID_VALID | basic | dat | (((maskHigh & PswBit.spaceHigh) >>> 14) << 2);
}
