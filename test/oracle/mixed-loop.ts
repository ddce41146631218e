/**
 * The mixed kernel of the CPU benchmark: 22.5 instructions per iteration with loads, stores, a 16-byte
 * move, a call and return and one data-dependent branch over a 64 KiB working set. It leaves a checksum
 * in storage, so that every emulator can be checked against every other, and ends in a disabled wait.
 */
import { type Image, Program } from "./harness.ts";

export const MIXED_INSTRUCTIONS_PER_ITERATION = 22.5;
/** Absolute address of the 8-byte checksum after the run. */
export const MIXED_CHECKSUM = 0x1000;
/** Storage that the program needs. */
export const MIXED_RAM_BYTES = 2 << 20;

const CODE = 0x2000;
const WAIT_PSW = 0xff0;
const WORKING_SET = 0x100000;
const WORKING_SET_BYTES = 0x10000;
const DISABLED_WAIT_64 = 0x0002_0001_8000_0000n;

export function mixedLoop(iterations: number): Image {
  const p = new Program(CODE);
  const constant = (r1: number, value: number): void => {
    p.op("llilf", { r1, i: value | 0 });
  };
  constant(2, 0x2545f491);
  constant(4, WORKING_SET);
  constant(5, WORKING_SET_BYTES - 8);
  constant(6, 0);
  constant(11, 0);
  constant(15, iterations);
  // Fill the working set, and 64 bytes behind it, from the generator.
  constant(10, WORKING_SET);
  constant(1, (WORKING_SET_BYTES + 64) / 8);
  p.label("fill").op("sllg", { r1: 3, r3: 2, d2: 13 }).op("xgr", { r1: 2, r2: 3 });
  p.op("srlg", { r1: 3, r3: 2, d2: 7 }).op("xgr", { r1: 2, r2: 3 });
  p.op("stg", { r1: 2, b2: 10 }).op("aghi", { r1: 10, i: 8 }).to("brctg", "fill", { r1: 1 });

  p.label("loop").op("sllg", { r1: 1, r3: 2, d2: 13 }).op("xgr", { r1: 2, r2: 1 });
  p.to("brasl", "mix", { r1: 14 }).op("lgr", { r1: 1, r2: 2 }).op("ngr", { r1: 1, r2: 5 });
  p.op("lg", { r1: 3, x: 1, b2: 4 }).op("agr", { r1: 6, r2: 3 });
  p.op("stg", { r1: 2, x: 1, b2: 4 }).op("llgc", { r1: 7, x: 1, b2: 4, d2: 3 });
  p.op("agr", { r1: 6, r2: 7 }).op("cgr", { r1: 3, r2: 2 }).to("brc", "skip", { m: 2 });
  p.op("aghi", { r1: 6, i: 13 });
  p.label("skip").op("llgf", { r1: 9, x: 1, b2: 4, d2: 4 }).op("la", { r1: 10, x: 1, b2: 4 });
  p.op("st", { r1: 9, b2: 10, d2: 16 }).move("mvc", 16, 10, 32, 10, 0);
  p.op("l", { r1: 11, b2: 10, d2: 40 }).op("agr", { r1: 6, r2: 11 });
  p.to("brctg", "loop", { r1: 15 });
  p.op("stg", { r1: 6, d2: MIXED_CHECKSUM }).op("lpswe", { d2: WAIT_PSW });

  p.label("mix").op("srlg", { r1: 8, r3: 2, d2: 7 }).op("xgr", { r1: 2, r2: 8 });
  p.op("bcr", { m: 15, r2: 14 });

  const code = p.bytes();
  const bytes = new Uint8Array(CODE + code.length);
  bytes.set(code, CODE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(WAIT_PSW, DISABLED_WAIT_64);
  // A program interruption stops in a wait whose address tells.
  view.setBigUint64(0x1d0, DISABLED_WAIT_64);
  view.setBigUint64(0x1d8, 0x1d0n);
  return { bytes, entry: CODE };
}

export function mixedChecksum(memory: Uint8Array): bigint {
  return new DataView(memory.buffer, memory.byteOffset, memory.length).getBigUint64(MIXED_CHECKSUM);
}
