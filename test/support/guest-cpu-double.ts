/**
 * A vCPU reduced to what the devices' border needs: registers, one operand address, real-mode storage
 * without prefixing. Access outside storage is an addressing exception, as on the real one.
 */
import type { GuestCpu } from "../../src/ports/guest-cpu.ts";
import type { GuestMemory } from "../../src/ports/guest-memory.ts";

const ADDRESSING = 0x0005;

export class GuestCpuDouble implements GuestCpu {
  readonly #ram: GuestMemory;
  readonly #high = new Int32Array(16);
  readonly #low = new Int32Array(16);
  readonly controlLow = new Int32Array(16);
  operandAddress = 0n;
  problem = false;
  prefix = 0x10_0000;
  /** -1 until an instruction sets it. */
  cc = -1;
  /** 0 = no program interruption. */
  programCode = 0;
  addressHigh = 0;
  addressLow = 0;
  readonly cpuAddress = 0;

  constructor(ram: GuestMemory) {
    this.#ram = ram;
  }

  /** Ready for the next instruction: no condition code, no interruption. */
  begin(): void {
    this.cc = -1;
    this.programCode = 0;
  }

  gr(n: number): bigint {
    return (
      (BigInt((this.#high[n] as number) >>> 0) << 32n) | BigInt((this.#low[n] as number) >>> 0)
    );
  }

  setRegister(n: number, value: bigint): void {
    this.#high[n] = Number(BigInt.asIntN(32, value >> 32n));
    this.#low[n] = Number(BigInt.asIntN(32, value));
  }

  /** Bits 32-39 of register `n`. */
  status(n: number): number {
    return (this.#low[n] as number) >>> 24;
  }

  grHigh(n: number): number {
    return this.#high[n] as number;
  }

  grLow(n: number): number {
    return this.#low[n] as number;
  }

  setGr(n: number, high: number, low: number): void {
    this.#high[n] = high;
    this.#low[n] = low;
  }

  crLow(n: number): number {
    return this.controlLow[n] as number;
  }

  problemState(): boolean {
    return this.problem;
  }

  setCc(cc: 0 | 1 | 2 | 3): void {
    this.cc = cc;
  }

  program(code: number): void {
    this.programCode = code;
  }

  formOperandAddress(): void {
    this.#setAddress(this.operandAddress);
  }

  formRegisterAddress(n: number): void {
    this.#setAddress(this.gr(n));
  }

  #setAddress(address: bigint): void {
    this.addressHigh = Number(BigInt.asIntN(32, address >> 32n));
    this.addressLow = Number(BigInt.asIntN(32, address));
  }

  #address(): number {
    return (this.addressHigh >>> 0) * 0x1_0000_0000 + (this.addressLow >>> 0);
  }

  fetch(target: Uint8Array, length: number): boolean {
    if (!this.#accessible(length)) return false;
    this.#ram.read(this.#address(), target.subarray(0, length));
    return true;
  }

  store(source: Uint8Array, length: number): boolean {
    if (!this.#accessible(length)) return false;
    this.#ram.write(this.#address(), source.subarray(0, length));
    return true;
  }

  #accessible(length: number): boolean {
    if (length <= 8192 && this.#ram.contains(this.#address(), length)) return true;
    this.programCode = ADDRESSING;
    return false;
  }

  realToAbsolute(address: number): number {
    if (address < 0x2000) return address + this.prefix;
    return address >= this.prefix && address < this.prefix + 0x2000
      ? address - this.prefix
      : address;
  }
}
