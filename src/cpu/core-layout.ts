/**
 * The core's part of a vCPU area, after the architected state of `state.ts`: derived words, translation
 * caches, decoded instructions. Shared by the generated code and the TypeScript around it.
 *
 * A slot holds the decoded entries of one 4 KiB page of guest RAM, one 32-byte entry per halfword and
 * a last entry that goes on in the next page, so no instruction tests for the end of its page.
 */

/** Byte offsets in the vCPU area. */
export const Core = {
  /** Always zero: base or index register 0 reads from here. */
  zero: 0x600, //               i64
  addressMask: 0x608, //        i64: 2^24 - 1, 2^31 - 1 or all ones
  dataTag: 0x610, //            i64: tag of the data space, 1...4095
  instructionTag: 0x618, //     i64: tag of the instruction space << 1, so bit 0 stays free
  startAddress: 0x620, //       i64: instruction in progress (the EXECUTE while a target runs)
  nextAddress: 0x628, //        i64: where to go on; set to the target by a branch of a cold row
  relativeDelta: 0x630, //      i64: execute target - EXECUTE, else 0
  budgetLeft: 0x638, //         i32: up to date whenever TypeScript runs
  commitFirst: 0x640, //        i32 host address, for `commit` of a store that crosses pages
  commitFirstBytes: 0x644, //   i32
  commitSecond: 0x648, //       i32 host address
  commitBytes: 0x64c, //        i32, both parts
  fetchesFirst: 0x650, //       i32: a fetch is of the first operand (access-register mode)
  readBounce: 0x680, //         128 bytes: operands that cross a page, contiguous
  writeBounce: 0x700, //        128 bytes
  scratch: 0x800, //            64 entries: execute targets, instructions that cross a page
  tlb: 0x1000, //               1,024 entries of 32 bytes
  instructionTlb: 0x9000, //    1,024 entries of 16 bytes
  heat: 0xd000, //              4,096 x u16: arrivals by taken branches, by the entry's place (jit)
  regionsOn: 0xf000, //         i32: 1 = neither PER nor access-register mode: regions may run
  regionInstructions: 0xf008, // i64: instructions executed in generated code
  regionStats: 0xf010, //       6 x i32, see RegionStats
  slots: 0x10000,
} as const;

/** An entry of the data TLB. A tag is page address | space tag; zero never matches. */
export const TlbEntry = {
  readTag: 0, //  i64
  writeTag: 8, // i64
  addend: 16, //  i32: host address - low half of the logical address
  lowTag: 24, //  i64: as writeTag for a page whose first 512 bytes are protected
  bytes: 32,
} as const;
export const TLB_ENTRIES = 1024;
export const TLB_BYTES = TLB_ENTRIES * TlbEntry.bytes;

/** An entry of the instruction TLB. */
export const InstructionTlbEntry = {
  tag: 0, //  i64
  slot: 8, // i32 host address of the slot's first entry
  bytes: 16,
} as const;
export const INSTRUCTION_TLB_BYTES = TLB_ENTRIES * InstructionTlbEntry.bytes;

/** A decoded instruction. */
export const Entry = {
  handler: 0, // u16: index into the function table; hot rows come first
  length: 2, //  u8: bytes of the instruction
  extra: 3, //   u8: small operand (mask, rotate amount, ...)
  code: 4, //    i32: host address of eight bytes of its page that contain the instruction
  bytes: 8, //   i64: what those bytes were when it was decoded (scratch entries: the instruction)
  a: 16, //      i32: operand slots, see formats.ts
  b: 20,
  c: 24,
  d: 28,
  size: 32,
} as const;

export const SCRATCH_ENTRIES = 64;

export const PAGE_BYTES = 4096;
/** 2,048 halfwords and the entry after the last. */
export const SLOT_BYTES = 2049 * Entry.size;
export const SLOT_COUNT = 512;

/** Bytes of one vCPU's area in shared memory; pages of the decode cache are touched on use only. */
export const VCPU_AREA_BYTES = Math.ceil((Core.slots + SLOT_COUNT * SLOT_BYTES) / 4096) * 4096;

/** The first bytes of an area are the CPU's state; what follows are caches of guest storage. */
export const VCPU_STATE_BYTES = Core.tlb;

/** Words at `Core.regionStats`, for the report of `-d stats`. */
export const RegionStats = {
  regions: 0,
  blocks: 4,
  bytes: 8,
  largest: 12,
  compileUs: 16,
  dropped: 20,
} as const;
export const HEAT_ENTRIES = 4096;

/** What a cold row or an imported function tells the dispatch loop. */
export const Status = {
  next: 0, //    go on behind the instruction
  jump: 1, //    go on at `nextAddress`
  fault: 2, //   a program interruption is recorded: leave run()
  reload: 3, //  as jump, after addressing mode, space or tables changed
  leave: 4, //   leave run(); `nextAddress` is where to go on
  onward: 5, //  go on at `nextAddress` in the same page, reached without a branch (regions only)
} as const;

/** Why run() returned. */
export const RunEnd = {
  budget: 0,
  pending: 1,
  fault: 2,
  leave: 4,
} as const;
