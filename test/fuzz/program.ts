/**
 * The guest program of the fuzzer: a straight line of entries of 32 bytes, each of which loads registers 0-14 from its
 * operands, executes one instruction and notes the condition code. A program interruption notes itself and goes
 * on with the next entry; other interruptions return. What an instruction does to storage may hit this code
 * too: then the guest derails, and is put on its rails again with the next batch.
 */
import type { GuestRam } from "../../src/shm/guest-ram.ts";

export const RAM_BYTES = 4 * 1024 ** 2;
export const ENTRIES = 1024;
const ENTRY_BYTES = 32;
const HANDLERS = 0x8000;
export const CODE = 0x1_0000;
export const CODE_END = CODE + ENTRIES * ENTRY_BYTES;
export const OPERANDS = 0x2_0000;
export const OPERAND_BYTES = 128;
export const RESULTS = 0x5_0000;
/** Operand blocks of CLP, MPCIFC, CHSC, SERVC: a page each. */
export const BLOCKS = 0x6_0000;
export const BLOCK_COUNT = 32;
export const BLOCK_BYTES = 4096;
/** Those of the driver in the guest, a page per function. */
export const DRIVER_BLOCKS = BLOCKS + BLOCK_COUNT * BLOCK_BYTES;
export const TABLES = 0x20_0000;

export const NOT_EXECUTED = 0xeeeeeeee;
export const INTERRUPTED = 0xdddddddd;

const NOP = 0x0700;

/** A few instructions as hexadecimal text. */
class Assembler {
  readonly #ram: GuestRam;
  #at: number;

  constructor(ram: GuestRam, address: number) {
    this.#ram = ram;
    this.#at = address;
  }

  code(hex: string): this {
    for (let n = 0; n < hex.length; n += 2) {
      this.#ram.setU8(this.#at++, Number.parseInt(hex.slice(n, n + 2), 16));
    }
    return this;
  }

  /** LARL, STRL and the like: opcode and register as four digits, then the distance in halfwords. */
  relative(opcode: string, target: number): this {
    const distance = (target - this.#at) / 2;
    return this.code(opcode + (distance >>> 0).toString(16).padStart(8, "0"));
  }
}

const word = (value: number): string => (value >>> 0).toString(16).padStart(8, "0");

/** New PSWs and handlers. z/Architecture: supervisor state, 64-bit, DAT off. */
export function writeHandlers(ram: GuestRam): void {
  const io = HANDLERS + 0x100;
  const external = HANDLERS + 0x110;
  const machineCheck = HANDLERS + 0x120;
  const vectors: readonly (readonly [number, number])[] = [
    [0x1a0, HANDLERS],
    [0x1b0, external],
    [0x1c0, HANDLERS],
    [0x1d0, HANDLERS],
    [0x1e0, machineCheck],
    [0x1f0, io],
  ];
  for (const [at, target] of vectors) {
    ram.setU32(at, 0x00000001);
    ram.setU32(at + 4, 0x80000000);
    ram.setU32(at + 8, 0);
    ram.setU32(at + 12, target);
  }
  new Assembler(ram, HANDLERS)
    .code("e31001580004") //             LG    1,program old PSW address
    .code(`c218${word(-CODE)}`) //       AGFI  1,-CODE
    .code("eb110005000c") //             SRLG  1,1,5: number of the entry
    .code(`c21e${word(ENTRIES)}`) //     CLGFI 1,ENTRIES
    .code("a7a40000") //                 BRC   10,*: came from elsewhere, stay here
    .code("eb210002000d") //             SLLG  2,1,2
    .code(`c031${word(INTERRUPTED)}`) // LGFI  3,INTERRUPTED
    .relative("c040", RESULTS) //        LARL  4,RESULTS
    .code("50324000") //                 ST    3,0(2,4)
    .code("a71b0001") //                 AGHI  1,1
    .code("eb110005000d") //             SLLG  1,1,5
    .relative("c020", CODE) //           LARL  2,CODE
    .code("b9080012") //                 AGR   1,2
    .code("07f1"); //                    BR    1
  new Assembler(ram, io).code("b2b20170"); //           LPSWE I/O old PSW
  new Assembler(ram, external).code("b2b20130");
  new Assembler(ram, machineCheck).code("b2b20160");
  new Assembler(ram, CODE_END).code("a7f40000"); //     J *: the batch is done
}

/** Entry `index`: `high` and `low` are the instruction's bytes 0-3 and 4-5 (in the upper half), of `length` bytes. */
export function writeEntry(
  ram: GuestRam,
  index: number,
  high: number,
  low: number,
  length: 4 | 6,
): void {
  const at = CODE + index * ENTRY_BYTES;
  const operands = (OPERANDS + index * OPERAND_BYTES - at) / 2;
  ram.setU16(at, 0xc0f0); //                   LARL 15,operands
  ram.setU32(at + 2, operands);
  ram.setU32(at + 6, 0xeb0ef000); //           LMG 0,14,0(15)
  ram.setU16(at + 10, 0x0004);
  ram.setU32(at + 12, high);
  if (length === 6) ram.setU16(at + 16, low >>> 16);
  let next = at + 12 + length;
  ram.setU32(next, 0xb22200f0); //             IPM 15
  next += 4;
  ram.setU16(next, 0xc4ff); //                 STRL 15,result
  ram.setU32(next + 2, (RESULTS + index * 4 - next) / 2);
  for (next += 6; next < at + ENTRY_BYTES; next += 2) ram.setU16(next, NOP);
}
