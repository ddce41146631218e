/**
 * A guest program that issues device instructions one after the other and notes how each ended: condition code,
 * program interruption, registers. The same bytes run under QEMU and under zmend. Handles are the machine's
 * own, so a step may copy a word of storage, with bits turned over, into its registers or its block before
 * it runs, and keep a word of a response afterwards.
 *
 * Storage: a record of 512 bytes per step (registers in, registers out, end), a page per step for its block.
 */
import type { Image } from "../harness.ts";

const CODE = 0x2000;
const HANDLER = 0x1000;
const WAIT_PSW = 0xff0;
const RECORDS = 0x40000;
const RECORD_BYTES = 0x200;
export const BLOCKS = 0x100000;
export const BLOCK_BYTES = 0x1000;
/** What `storage` fills. */
export const STORAGE = 0x28_0000;
const IMAGE_BYTES = 0x30_0000;
/** Words that steps keep: the function's handle. */
export const HANDLE = 0x3f000;
const OUT = 0x80;
const CC = 0x100;
const PROGRAM = 0x104;
const REGISTERS = 15;
const SUPERVISOR_64 = 0x0000_0001_8000_0000n;
const DISABLED_WAIT_64 = 0x0002_0001_8000_0000n;
const CR14_CHANNEL_REPORT = 0x1000_0000n;

/** Copies a 32-bit word, with `turn` exclusive-ored into it. */
export interface Copy {
  readonly from: number;
  readonly to: number;
  readonly turn?: number;
}

export interface ProgramStep {
  /** 4 or 6 bytes. */
  readonly instruction: readonly number[];
  /** Registers 0 to 14 before it. */
  readonly registers: ReadonlyMap<number, bigint>;
  /** Content of the step's block. */
  readonly block: Uint8Array;
  readonly before: readonly Copy[];
  readonly after: readonly Copy[];
}

export interface StepEnd {
  readonly cc: number;
  /** 0 = none. */
  readonly program: number;
  readonly registers: readonly bigint[];
  readonly block: Uint8Array;
}

export function recordAddress(step: number): number {
  return RECORDS + step * RECORD_BYTES;
}

export function blockAddress(step: number): number {
  return BLOCKS + step * BLOCK_BYTES;
}

class Code {
  readonly bytes: number[] = [];

  hex(text: string): this {
    for (let n = 0; n < text.length; n += 2) {
      this.bytes.push(Number.parseInt(text.slice(n, n + 2), 16));
    }
    return this;
  }

  /** An RIL instruction whose immediate is the distance to `target` in halfwords. */
  relative(opcode: string, target: number): this {
    const distance = (target - CODE - this.bytes.length) / 2;
    return this.hex(opcode + (distance >>> 0).toString(16).padStart(8, "0"));
  }
}

const word = (value: number): string => (value >>> 0).toString(16).padStart(8, "0");

/**
 * @param rounds how often the whole list of steps runs (benchmarks); registers are loaded anew each time
 * @param storage puts what the steps need into storage behind the blocks
 */
export function buildProgram(
  steps: readonly ProgramStep[],
  rounds = 1,
  storage: (bytes: Uint8Array) => void = () => {},
): Image {
  const code = new Code();
  // CR14: channel reports; their machine check stays disabled by the PSW, so STCRW finds what is there.
  code.relative("c010", RECORDS - 16).hex("ebee1000002f"); // LARL 1,…; LCTLG 14,14,0(1)
  code.hex(`c0e1${word(rounds)}`).relative("c4eb", RECORDS - 8); // LGFI 14,rounds; STGRL
  const loop = CODE + code.bytes.length;
  for (const [index, step] of steps.entries()) {
    copies(code, step.before);
    code.relative("c0f0", recordAddress(index)); //  LARL 15,record
    code.hex("eb0ef0000004"); //                     LMG  0,14,0(15)
    code.bytes.push(...step.instruction);
    code.hex("eb0ef0800024"); //                     STMG 0,14,OUT(15)
    code.hex("b2220000").hex("5000f100"); //         IPM  0; ST 0,CC(15)
    copies(code, step.after);
  }
  code
    .relative("c4e8", RECORDS - 8)
    .hex("a7ebffff")
    .relative("c4eb", RECORDS - 8); // rounds - 1
  code.hex("b90200ee"); //                           LTGR 14,14
  code.relative("c024", loop); //                    BRCL 2,loop: greater than zero
  code.hex("b2b20ff0"); //                           LPSWE wait
  const built = image(code, steps);
  storage(built.bytes);
  return built;
}

function copies(code: Code, list: readonly Copy[]): void {
  for (const { from, to, turn = 0 } of list) {
    code.relative("c41d", from); //                  LRL   1,from
    if (turn !== 0) code.hex(`c017${word(turn)}`); // XILF 1,turn
    code.relative("c41f", to); //                    STRL  1,to
  }
}

function image(code: Code, steps: readonly ProgramStep[]): Image {
  if (blockAddress(steps.length) > STORAGE) throw new Error("the blocks do not fit");
  const bytes = new Uint8Array(IMAGE_BYTES);
  const view = new DataView(bytes.buffer);
  const psw = (at: number, mask: bigint, address: number): void => {
    view.setBigUint64(at, mask);
    view.setBigUint64(at + 8, BigInt(address));
  };
  psw(WAIT_PSW, DISABLED_WAIT_64, 0);
  psw(0x1d0, SUPERVISOR_64, HANDLER);
  // MVC PROGRAM(4,15),0x8c; LPSWE program old PSW.
  bytes.set([0xd2, 0x03, 0xf1, PROGRAM & 0xff, 0x00, 0x8c, 0xb2, 0xb2, 0x01, 0x50], HANDLER);
  bytes.set(code.bytes, CODE);
  if (CODE + code.bytes.length > HANDLE) throw new Error("the program does not fit");
  view.setBigUint64(RECORDS - 16, CR14_CHANNEL_REPORT);
  for (const [index, step] of steps.entries()) {
    for (const [register, value] of step.registers) {
      view.setBigUint64(recordAddress(index) + register * 8, BigInt.asUintN(64, value));
    }
    bytes.set(step.block, blockAddress(index));
  }
  return { bytes, entry: CODE };
}

/** How each step ended, from storage after the run. */
export function readEnds(memory: Uint8Array, count: number): StepEnd[] {
  const view = new DataView(memory.buffer, memory.byteOffset, memory.length);
  return Array.from({ length: count }, (_, index) => {
    const at = recordAddress(index);
    const block = blockAddress(index);
    return {
      cc: (view.getUint32(at + CC) >>> 28) & 3,
      program: view.getUint32(at + PROGRAM) & 0xffff,
      registers: Array.from({ length: REGISTERS }, (_register, n) =>
        view.getBigUint64(at + OUT + n * 8),
      ),
      block: memory.subarray(block, block + BLOCK_BYTES),
    };
  });
}
