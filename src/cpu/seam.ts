/**
 * The seam between the CPU core (interpreter, instruction table, `vcpu.ts`) and the system half (DAT,
 * interruptions, control instructions). Types and conventions only; both halves are written against it.
 *
 * Conventions
 *  - PSW address while an instruction runs outside the interpreter: `Cpu.pswAddress` points past the
 *    instruction (past EXECUTE for an execute target) and `Cpu.ilc` is its length; a handler that
 *    branches or loads a PSW just changes `Cpu.pswAddress` / `Cpu.pswMask` and calls `pswChanged()`.
 *  - Program interruption: whoever finds it stores `programCode` (and `teid`, `excAccessId`, `dxc`,
 *    `monitor…` where the code has them), and sets `nullify`: 1 = old PSW points at the
 *    instruction, 0 = past it, 2 = `pswAddress` is already what the old PSW shall hold (early PSW
 *    exceptions). The core then makes `pswAddress` final and calls `deliverProgram()`, which stores
 *    `pswAddress` as it is. Nobody needs to know where the instruction started.
 *  - Condition code: `Cpu.cc` is authoritative whenever TypeScript runs; `pswMask` bits 18-19 are stale.
 *    loadPsw writes `Cpu.cc`, storePsw takes the bits from it. Program mask, key, modes: in `pswMask`.
 *  - Instruction bytes: `Cpu.instructionHigh` / `instructionLow`, as in ports/guest-cpu.ts.
 *  - An opcode key is: the byte for one-byte opcodes; first << 8 | second for 01xx, B2xx, B3xx, B9xx,
 *    E5xx; first << 4 | low nibble of the second for A5, A7, C0, C2, C4, C6, C8, CC; first << 8 |
 *    sixth byte for E3, E6, E7, EB, EC, ED.
 */

export const FETCH = 0;
export const STORE = 1;
export const INSTRUCTION = 2;
/** Data fetch, data store, instruction fetch. */
export type AccessKind = typeof FETCH | typeof STORE | typeof INSTRUCTION;

/** `src/cpu/dat.ts`: logical to absolute under the current PSW, prefixing and protection included. */
export interface Translator {
  /**
   * @param high bits 0-31 of the logical address (addressing mode already applied), `low` bits 32-63
   * @returns the absolute address of that byte, always inside guest RAM; or -1 with the program
   * interruption recorded in the state (code, TEID, access id, nullify)
   */
  translate(high: number, low: number, kind: AccessKind): number;
  /**
   * After a success: whether stores to this 4 KiB logical page may go straight to RAM from now on.
   * 0 = no, ask every time; 1 = yes; 2 = yes, except to its bytes 0-511 (low-address protection).
   * May be 1 or 2 after a fetch as well when the tables already allow stores.
   */
  readonly writable: 0 | 1 | 2;
  /** After a success: 0 when the page must not enter the TLB at all (special cases); normally 1. */
  readonly cacheable: 0 | 1;
  /**
   * 1…4095: name of everything that data translation depends on: DAT mode and ASCE, PSW key where it
   * matters, prefix. Equal tags mean equal answers until `purgeTlb`. 0 is reserved.
   */
  readonly dataTag: number;
  /** The same for instruction fetch. Data and instruction share numbers when they share the space. */
  readonly instructionTag: number;
}

/** What the core offers to the system half. */
export interface CoreHooks {
  /** All cached translations go (data and instruction), e.g. IPTE, IDTE, PTLB, SPX, tag reuse. */
  purgeTlb(): void;
  /**
   * PSW mask or control registers changed in a way that may matter: addressing mode, DAT, address
   * space, key, wait, interruption masks, CR0, CR1, CR6, CR7, CR13, CR14. The core re-reads the
   * addressing mode and both tags (so update them first), and asks `takePending()` before it goes on.
   */
  pswChanged(): void;
  /** Leaves `run()` after this instruction (quiesce, stop by SIGP, policy stop). */
  requestExit(): void;
}

/**
 * `src/cpu/interrupts.ts`: interruptions by PSW swap. Any of these (and system instructions) may stop the
 * CPU: they set `Cpu.running` = 0 and `Cpu.stopReason`, and call `requestExit()`; the core then executes
 * nothing more.
 */
export interface Interruptions {
  /** Delivers the program interruption of `Cpu.programCode`, clears it, swaps PSWs. */
  deliverProgram(): void;
  /** SVC: number to lowcore 0x8A, `Cpu.ilc` to 0x89, swaps PSWs. */
  deliverSupervisorCall(code: number): void;
  /** Takes one interruption that is pending and enabled, by priority; true = PSWs were swapped. */
  takePending(): boolean;
  /** Clock microseconds at which a timer interruption will become pending and enabled; Infinity = never. */
  waitDeadlineUs(): number;
  /** Whether `takePending()` would take one; claims nothing: the second look before a vCPU sleeps. */
  pendingNow(): boolean;
  /** The PSW enables I/O, external or machine-check interruptions: false in a wait = disabled wait. */
  anyEnabled(): boolean;
}

/** One control or privileged instruction: everything it needs is in the context it was built with. */
export type SystemInstruction<Context> = (context: Context) => void;
