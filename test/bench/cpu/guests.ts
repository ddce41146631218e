/**
 * The benchmark's guest programs: the mixed loop, assembled here, and the four plain loops of performance.md
 * 2.1b, compiled from `loops.c` with Debian's cross compiler. All take a number of rounds, leave a checksum at
 * 0x1000 and end in a disabled wait.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Image } from "../../oracle/harness.ts";
import { MIXED_CHECKSUM, mixedLoop } from "../../oracle/mixed-loop.ts";

export interface Guest {
  readonly name: string;
  /** Rounds of a run that zmend needs about a third of a second for, and QEMU less. */
  readonly rounds: number;
  image(rounds: number): Image;
}

/** Absolute address of the checksum, in all of them. */
export const CHECKSUM = MIXED_CHECKSUM;
const ROUNDS = 0x1008;
const CODE = 0x2000;
const WAIT_PSW = 0xff0;
const PROGRAM_NEW_PSW = 0x1d0;
const DISABLED_WAIT_64 = 0x0002_0001_8000_0000n;

const COMPILER = "s390x-linux-gnu-gcc";
const source = fileURLToPath(new URL("../../../../test/bench/cpu/loops.c", import.meta.url));
const flags = [
  ...["-std=gnu11", "-m64", "-march=z10", "-O2", "-ffreestanding", "-nostdlib", "-static"],
  ...["-no-pie", "-fno-pic", "-msoft-float", "-fno-stack-protector", "-fno-toplevel-reorder"],
  ...["-fno-asynchronous-unwind-tables", "-fno-tree-loop-distribute-patterns"],
  "-Wl,--build-id=none,-Ttext=0x2000,-e,0x2000,--oformat=binary,--no-warn-rwx-segments",
];

export const mixed: Guest = { name: "mixed", rounds: 10_000_000, image: mixedLoop };

/** @returns the loops, or why there are none */
export function plainLoops(scratch: string): readonly Guest[] | { readonly refused: string } {
  const guests: Guest[] = [];
  for (const [name, rounds] of [
    ["alu", 8_000_000],
    ["sieve", 12],
    ["crc", 150],
    ["fib", 150],
  ] as const) {
    const program = join(scratch, `${name}.bin`);
    const compiled = spawnSync(COMPILER, [...flags, `-DLOOP=${name}`, "-o", program, source]);
    if (compiled.error !== undefined) {
      return { refused: `${COMPILER} is not installed (Debian package gcc-s390x-linux-gnu)` };
    }
    if (compiled.status !== 0) {
      const problem = compiled.stderr.toString().split("\n")[0];
      return { refused: `${COMPILER} could not compile test/bench/cpu/loops.c: ${problem}` };
    }
    const code = readFileSync(program);
    guests.push({ name, rounds, image: (count) => loopImage(code, count) });
  }
  return guests;
}

function loopImage(code: Uint8Array, rounds: number): Image {
  const bytes = new Uint8Array(CODE + code.length);
  bytes.set(code, CODE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(ROUNDS, BigInt(rounds));
  view.setBigUint64(WAIT_PSW, DISABLED_WAIT_64);
  // A program interruption stops in a wait whose address tells.
  view.setBigUint64(PROGRAM_NEW_PSW, DISABLED_WAIT_64);
  view.setBigUint64(PROGRAM_NEW_PSW + 8, BigInt(PROGRAM_NEW_PSW));
  return { bytes, entry: CODE };
}
