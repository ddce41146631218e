/**
 * The oracle image's memory, the same in both emulators: a harness in the first 64 KiB, page tables, then
 * one slot per sequence. Slots lie below 16 MiB so that 24-bit addressing reaches them; behind them stand the
 * registers that each round of a sequence starts from, then what each round left (its history). A sequence runs
 * `rounds` times because an emulator translates its code only once. The dump after the run is what gets
 * compared, byte by byte.
 */

export const RAM_BYTES = 64 << 20;

/** Lowcore words of the harness (0x400-0x4ff is unassigned in z/Architecture). */
export const Scratch = {
  gr: 0x400,
  slotPointer: 0x480,
  slotsLeft: 0x488,
  startPsw: 0x490,
  harnessCr0: 0x4a0,
  /** Bit n set: program interruption code n ends the sequence (the old PSW cannot be resumed). */
  endingCodes: 0x4a8,
  donePsw: 0x4b0,
  rounds: 0x4c0,
  roundsLeft: 0x4c8,
  inputPointer: 0x4d0,
  historyPointer: 0x4d8,
  /** What the handler of external interruptions does, see `External`. */
  externalMode: 0x4e0,
  externalChosen: 0x4e1,
  /** A CPU timer far from zero. */
  farTimer: 0x4e8,
  /** External interruptions taken between two instructions of sequences. */
  interruptions: 0x4f0,
  clock: 0x4f8,
  /** A clock comparator that never passes. */
  never: 0x580,
  controlRegisters: 0x500,
} as const;

export const HARNESS = 0x2000;
export const TABLES = 0x10000;
export const SLOTS = 0x80000;
/** Control and code page, then two pages of data. */
export const SLOT_BYTES = 0x3000;
export const PAGE = 0x1000;
/** External interruptions: taken and forgotten, logged like program interruptions, or asked for anew. */
export const External = { drained: 0, logged: 1, repeated: 2 } as const;

export const MAX_SLOTS = Math.floor(((16 << 20) - SLOTS) / SLOT_BYTES);

/** Offsets in a slot. What the harness loads, then what it stores, then the code. */
export const Slot = {
  gr: 0x000,
  fpr: 0x080,
  ar: 0x100,
  psw: 0x140,
  fpc: 0x150,
  cr0: 0x158,
  outGr: 0x180,
  outFpr: 0x200,
  outAr: 0x280,
  outPsw: 0x2c0,
  /** 1 = the final SVC, 2 = a program interruption, 0 = never came back. */
  outEnd: 0x2d0,
  outSvcCode: 0x2d4,
  outFpc: 0x2d8,
  outPrograms: 0x2dc,
  outLog: 0x2e0,
  code: 0x400,
  codeEnd: 0x1000,
  data: 0x1000,
  dataEnd: 0x3000,
} as const;

/** What a round leaves: registers, PSW, log. */
export const OUT = Slot.outGr;
export const OUT_BYTES = 0x260;
/** What a round starts from: the general registers, then the floating-point registers. */
export const INPUT_BYTES = 0x100;
export const INPUTS = 0x100_0000;

export function inputAddress(rounds: number, slot: number, round: number): number {
  return INPUTS + (slot * rounds + round) * INPUT_BYTES;
}

/** Behind the inputs of all slots. */
export function historyAddress(slots: number, rounds: number, slot: number, round: number): number {
  return inputAddress(rounds, slots, 0) + (slot * rounds + round) * OUT_BYTES;
}

export const LOG_ENTRIES = 4;
export const LOG_BYTES = 0x40;
/** Offsets in one entry of the program-interruption log. */
export const LogEntry = {
  oldPsw: 0x00,
  ilcAndCode: 0x10, // lowcore 0x8c
  dataException: 0x14, // lowcore 0x90: DXC in the last byte
  teid: 0x18, // lowcore 0xa8
  accessIds: 0x20, // lowcore 0xa0
  monitorCode: 0x28, // lowcore 0xb0
  per: 0x30, // lowcore 0x96: PER code, ATMID, then the PER address
} as const;

export const END_SVC = 1;
export const END_PROGRAM = 2;

/** Windows begin at multiples of this. */
export const WINDOW_BYTES = 0x0800_0000;

/** Where the slots' storage also appears when DAT is on, see `tables.ts`. */
export const Window = {
  /** The two data pages exchanged. */
  swapped: 0x1000_0000,
  /** Second data page invalid. */
  hole: 0x2000_0000,
  /** Second data page write-protected. */
  protectedPage: 0x3000_0000,
  /** No segment at all. */
  noSegment: 0x4000_0000,
  /** Write-protected by the segment-table entry. */
  protectedSegment: 0x5000_0000,
  /** Page-table entry with a reserved bit set. */
  badEntry: 0x6000_0000,
  /** Second data page protected from instruction fetches. */
  noExecute: 0x6800_0000,
  /** Frames of 1 MiB, where enhanced DAT is on; the next ones protected. */
  large: 0x7000_0000,
  largeProtected: 0x7800_0000,
} as const;

export function slotAddress(index: number): number {
  return SLOTS + index * SLOT_BYTES;
}
