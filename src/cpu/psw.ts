/**
 * The program-status word: storing, loading and checking it. While the CPU runs, the condition code lives
 * in `Cpu.cc`; the mask's bits 18-19 are merged here, in and out. Source: SA22-7832 chapter 4,
 * "Program-Status Word", chapter 6, "Exceptions Associated with the PSW".
 */
import type { GuestRam } from "../shm/guest-ram.ts";
import { Cpu, type CpuState, PswBit } from "./state.ts";

/** Bits of the upper half that must be zeros: 0, 2-4, 12, 24-30. */
const RESERVED_HIGH = 0xb80800fe | 0;
/** Bits 33-63. */
const RESERVED_LOW = 0x7fffffff;

/**
 * Whether a PSW meets an early specification exception: a one in an unassigned position, an addressing
 * mode that does not exist, or an instruction address too long for its mode. An odd address is found late,
 * when the instruction is fetched.
 */
export function isEarlyInvalid(
  maskHigh: number,
  maskLow: number,
  addressHigh: number,
  addressLow: number,
): boolean {
  if ((maskHigh & RESERVED_HIGH) !== 0 || (maskLow & RESERVED_LOW) !== 0) return true;
  const extended = (maskHigh & PswBit.ea64High) !== 0;
  const basic = (maskLow & PswBit.ba31Low) !== 0;
  if (extended) return !basic;
  return addressHigh !== 0 || (basic ? addressLow < 0 : addressLow >>> 24 !== 0);
}

export class Psw {
  readonly #state: CpuState;
  readonly #changed: () => void;

  /** @param changed told after every change of the mask by anything but the condition code */
  constructor(state: CpuState, changed: () => void) {
    this.#state = state;
    this.#changed = changed;
  }

  /** Bits 0-31 with the current condition code. */
  get maskHigh(): number {
    const stored = this.#state.high(Cpu.pswMask) & ~PswBit.ccHigh;
    return stored | (this.#state.i32(Cpu.cc) << 12);
  }

  get maskLow(): number {
    return this.#state.low(Cpu.pswMask);
  }

  problemState(): boolean {
    return (this.#state.high(Cpu.pswMask) & PswBit.problemHigh) !== 0;
  }

  /**
   * Loads all 128 bits, even when they are invalid: the exception belongs to the PSW that is loaded.
   * @returns false when the new PSW meets an early specification exception
   */
  load(maskHigh: number, maskLow: number, addressHigh: number, addressLow: number): boolean {
    this.#state.setHalves(Cpu.pswMask, maskHigh, maskLow);
    this.#state.setI32(Cpu.cc, (maskHigh >>> 12) & 3);
    this.#state.setHalves(Cpu.pswAddress, addressHigh, addressLow);
    this.#changed();
    return !isEarlyInvalid(maskHigh, maskLow, addressHigh, addressLow);
  }

  /** Loads the 16 bytes at absolute `address`, which the caller has checked. As `load`. */
  loadFrom(ram: GuestRam, address: number): boolean {
    return this.load(
      ram.u32(address) | 0,
      ram.u32(address + 4) | 0,
      ram.u32(address + 8) | 0,
      ram.u32(address + 12) | 0,
    );
  }

  /** Stores the current PSW at absolute `address`, which the caller has checked. */
  storeTo(ram: GuestRam, address: number): void {
    ram.setU32(address, this.maskHigh);
    ram.setU32(address + 4, this.maskLow);
    ram.setU32(address + 8, this.#state.high(Cpu.pswAddress));
    ram.setU32(address + 12, this.#state.low(Cpu.pswAddress));
  }

  /**
   * Replaces bits of the upper half (SSM, SPKA, SAC…); the condition code stays where it is.
   * @returns false when the PSW is now invalid (SSM and STOSM can set bits 2-4)
   */
  replaceHigh(clear: number, set: number): boolean {
    const high = (this.#state.high(Cpu.pswMask) & ~clear) | set;
    this.#state.setHalves(Cpu.pswMask, high, this.maskLow);
    this.#changed();
    return (high & RESERVED_HIGH) === 0;
  }
}
