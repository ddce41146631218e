/**
 * What an instruction implemented outside `src/cpu` (zPCI, CLP, CHSC, STCRW, SERVC, …) may see and do.
 * Registers travel as two signed 32-bit halves; no BigInt on these paths. All methods belong to the
 * vCPU's thread and to the instruction that is being executed.
 */
export interface GuestCpu {
  /** Bits 0-31 of general register `n`. */
  grHigh(n: number): number;
  /** Bits 32-63 of general register `n`. */
  grLow(n: number): number;
  setGr(n: number, high: number, low: number): void;
  /** Bits 32-63 of control register `n` (TPI looks at CR6). */
  crLow(n: number): number;
  /** PSW bit 15. */
  problemState(): boolean;
  setCc(cc: 0 | 1 | 2 | 3): void;
  /** Makes this instruction end with a program interruption (`code` as at lowcore 0x8E). */
  program(code: number): void;
  /**
   * Effective address of the instruction's storage operand (formats S, RXY, RSY; the 20-bit
   * displacement and the addressing mode applied), left in `addressHigh` / `addressLow`.
   */
  formOperandAddress(): void;
  addressHigh: number;
  addressLow: number;
  /** Address in general register `n` under the current addressing mode, into addressHigh/Low. */
  formRegisterAddress(n: number): void;
  /**
   * Copies `length` bytes (at most 8192) at the logical address addressHigh/Low into `target`.
   * @returns false when an access exception was recorded: the caller must return at once
   */
  fetch(target: Uint8Array, length: number): boolean;
  /** Copies `source[0..length)` to the logical address; false as for `fetch`, nothing is stored then. */
  store(source: Uint8Array, length: number): boolean;
  /** Prefixing: real address to absolute (for lowcore fields of this CPU). */
  realToAbsolute(address: number): number;
  readonly cpuAddress: number;
}

/** One instruction implemented outside the CPU, e.g. MPCIFC. */
export interface InterceptHandler {
  /**
   * @param instruction the instruction's bytes left-aligned in 48 bits: `high` bits 0-31, `low` bits
   * 32-47 in its upper half. The PSW already points past the instruction; ILC is known to the CPU.
   */
  execute(cpu: GuestCpu, high: number, low: number): void;
  /**
   * For an instruction that touches registers and condition code alone and whose speed matters: `execute` for one CPU
   * as a function that generated code calls without a way round. Each class makes its own, so that the engine sees
   * one class in it.
   * @returns takes the instruction's bytes 0-3
   */
  readonly direct?: (cpu: GuestCpu) => (high: number) => void;
}

/** Opcode key to handler: two-byte opcodes as 0xB9D2, RXY/RSY as first byte << 8 | last byte (0xE3D0). */
export type InterceptTable = ReadonlyMap<number, InterceptHandler>;
