/**
 * The bare-metal program around the sequences, and the image builder. The harness runs with DAT off in
 * 64-bit mode: it takes the next slot, loads every register of the next round and enters the sequence with
 * LPSWE; a supervisor call ends a round, a program interruption is logged in the slot and then resumed
 * behind the instruction, except where the architecture nullifies. What a round left goes to the slot's
 * history. After the last slot it stops in a disabled wait. Both emulators get the same bytes; nothing in it depends on time.
 */
import { type Fields, noFields } from "./formats.ts";
import { insn } from "./instructions.ts";
import {
  END_PROGRAM,
  END_SVC,
  External,
  HARNESS,
  historyAddress,
  INPUT_BYTES,
  INPUTS,
  inputAddress,
  LOG_BYTES,
  LOG_ENTRIES,
  LogEntry,
  MAX_SLOTS,
  OUT,
  OUT_BYTES,
  Scratch,
  SLOT_BYTES,
  SLOTS,
  Slot,
  slotAddress,
} from "./layout.ts";
import { Asce, writeTables } from "./tables.ts";

/** Registers that a round starts from. */
export interface RoundInput {
  readonly gr: readonly bigint[];
  readonly fpr: readonly bigint[];
}

/** What one sequence starts from. `data` is the content of both data pages, `code` that of the code area. */
export interface SequenceInput {
  readonly rounds: readonly RoundInput[];
  readonly ar: readonly number[];
  /** Bits 0-63; the address of the code is added. */
  readonly pswMask: bigint;
  readonly fpc: number;
  readonly cr0: bigint;
  readonly code: Uint8Array;
  readonly data: Uint8Array;
}

export interface Image {
  readonly bytes: Uint8Array;
  readonly entry: number;
  /** How much storage from 0 on is wanted afterwards, where it is more than the image. */
  readonly dumpBytes?: number;
}

export function dumpBytesOf(image: Image): number {
  return image.dumpBytes ?? image.bytes.length;
}

const SUPERVISOR_64 = 0x0000_0001_8000_0000n;
const DISABLED_WAIT_64 = 0x0002_0001_8000_0000n;
/** CR0: AFP-register control, secondary-space control; all external subclasses off. */
export const CR0_DEFAULT = 0x0000_0000_0404_0000n;
/** Subclass masks: emergency signal, external call, clock comparator. */
export const CR0_EXTERNAL = 0x6800n;
/** Four microseconds in units of the TOD clock. */
const INTERRUPTION_UNITS = 4 * 4096;

/** Region, segment, page, ASCE-type and translation-specification exceptions; PSW never resumable. */
const endingCodes: readonly number[] = [0x10, 0x11, 0x12, 0x38, 0x39, 0x3a, 0x3b];

/** A little assembler for the fixed programs of the oracle: instructions in order, labels, relative branches. */
export class Program {
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #uses: { at: number; name: string; fields: Partial<Fields>; label: string }[] = [];

  readonly origin: number;

  constructor(origin: number) {
    this.origin = origin;
  }

  label(name: string): this {
    this.#labels.set(name, this.#bytes.length);
    return this;
  }

  addressOf(label: string): number {
    const offset = this.#labels.get(label);
    if (offset === undefined) throw new Error(`no label '${label}'`);
    return this.origin + offset;
  }

  op(name: string, fields: Partial<Fields> = {}): this {
    this.#bytes.push(...insn(name, fields).bytes);
    return this;
  }

  /** An instruction whose immediate is the distance to a label in halfwords. */
  to(name: string, label: string, fields: Partial<Fields> = {}): this {
    this.#uses.push({ at: this.#bytes.length, name, fields, label });
    return this.op(name, fields);
  }

  /** `name length(b1)d1,d2(b2)` for the SS instructions. */
  move(name: string, length: number, b1: number, d1: number, b2: number, d2: number): this {
    return this.op(name, { l1: length - 1, b1, d1, b2, d2 });
  }

  bytes(): Uint8Array {
    for (const use of this.#uses) {
      const distance = (this.addressOf(use.label) - this.origin - use.at) / 2;
      const encoded = insn(use.name, { ...noFields, ...use.fields, i: distance }).bytes;
      encoded.forEach((byte, index) => {
        this.#bytes[use.at + index] = byte;
      });
    }
    return Uint8Array.from(this.#bytes);
  }
}

function harness(): Program {
  const p = new Program(HARNESS);
  p.label("start").op("lctlg", { r1: 0, r3: 15, d2: Scratch.controlRegisters });
  p.op("spt", { d2: Scratch.farTimer });
  // The first SSKE makes QEMU keep storage keys.
  p.op("lghi", { r1: 2, i: 0 }).op("sske", { r1: 2, r2: 2 });
  p.label("next").op("lg", { r1: 2, d2: Scratch.slotsLeft }).op("ltgr", { r1: 2, r2: 2 });
  p.to("brcl", "done", { m: 8 }).op("aghi", { r1: 2, i: -1 });
  p.op("stg", { r1: 2, d2: Scratch.slotsLeft });
  p.move("mvc", 8, 0, Scratch.roundsLeft, 0, Scratch.rounds);

  p.label("round").op("lg", { r1: 1, d2: Scratch.slotPointer });
  p.op("lg", { r1: 2, d2: Scratch.inputPointer });
  p.move("mvc", INPUT_BYTES, 1, Slot.gr, 2, 0);
  p.op("aghi", { r1: 2, i: INPUT_BYTES }).op("stg", { r1: 2, d2: Scratch.inputPointer });
  for (const part of parts(OUT_BYTES)) {
    p.move("xc", part.bytes, 1, OUT + part.at, 1, OUT + part.at);
  }
  clearLowcore(p);
  p.move("xc", 32, 0, 0x140, 0, 0x140);
  p.move("mvc", 16, 0, Scratch.startPsw, 1, Slot.psw);
  p.move("mvc", 1, 0, Scratch.externalMode, 0, Scratch.externalChosen);
  p.op("cli", { d1: Scratch.externalMode, i: External.repeated }).to("brc", "armed", { m: 6 });
  askForInterruption(p);
  p.label("armed").op("lctlg", { r1: 0, r3: 0, b2: 1, d2: Slot.cr0 });
  for (let n = 0; n < 16; n++) p.op("ld", { r1: n, b2: 1, d2: Slot.fpr + n * 8 });
  p.op("lfpc", { b2: 1, d2: Slot.fpc }).op("lam", { r1: 0, r3: 15, b2: 1, d2: Slot.ar });
  p.op("lmg", { r1: 0, r3: 15, b2: 1, d2: Slot.gr }).op("lpswe", { d2: Scratch.startPsw });

  p.label("supervisor").op("stmg", { r1: 0, r3: 15, d2: Scratch.gr });
  p.op("lg", { r1: 1, d2: Scratch.slotPointer });
  p.move("mvc", 16, 1, Slot.outPsw, 0, 0x140).move("mvc", 4, 1, Slot.outSvcCode, 0, 0x88);
  p.op("mvhi", { b1: 1, d1: Slot.outEnd, i: END_SVC });

  p.label("finish").move("mvc", 128, 1, Slot.outGr, 0, Scratch.gr);
  p.op("stam", { r1: 0, r3: 15, b2: 1, d2: Slot.outAr });
  p.op("lctlg", { r1: 0, r3: 15, d2: Scratch.controlRegisters });
  p.op("stfpc", { b2: 1, d2: Slot.outFpc });
  for (let n = 0; n < 16; n++) p.op("std", { r1: n, b2: 1, d2: Slot.outFpr + n * 8 });
  // External interruptions that the sequence left pending are taken here.
  p.op("cli", { d1: Scratch.externalMode, i: External.drained }).to("brc", "drained", { m: 8 });
  p.op("mvi", { d1: Scratch.externalMode, i: External.drained });
  p.op("stosm", { d1: Scratch.clock, i: 1 }).op("stnsm", { d1: Scratch.clock, i: 0xfe });
  p.label("drained").op("lg", { r1: 2, d2: Scratch.historyPointer });
  for (const part of parts(OUT_BYTES)) p.move("mvc", part.bytes, 2, part.at, 1, OUT + part.at);
  p.op("lay", { r1: 2, b2: 2, d2: OUT_BYTES }).op("stg", { r1: 2, d2: Scratch.historyPointer });
  p.op("agsi", { d1: Scratch.roundsLeft, i: -1 }).to("brc", "round", { m: 2 });
  p.op("lay", { r1: 1, b2: 1, d2: SLOT_BYTES }).op("stg", { r1: 1, d2: Scratch.slotPointer });
  p.to("brc", "next", { m: 15 });

  p.label("external").op("stmg", { r1: 0, r3: 15, d2: Scratch.gr });
  p.op("sckc", { d2: Scratch.never });
  p.op("cli", { d1: Scratch.externalMode, i: External.logged }).to("brc", "logged", { m: 8 });
  p.op("cli", { d1: Scratch.externalMode, i: External.drained }).to("brc", "forgotten", { m: 8 });
  p.op("agsi", { d1: Scratch.interruptions, i: 1 });
  askForInterruption(p);
  p.label("forgotten").op("lmg", { r1: 0, r3: 15, d2: Scratch.gr }).op("lpswe", { d2: 0x130 });
  // Logged like a program interruption: old PSW, CPU address and code; then the sequence goes on.
  p.label("logged").move("mvc", 16, 0, 0x150, 0, 0x130).move("mvc", 4, 0, 0x8c, 0, 0x84);
  p.to("brc", "log", { m: 15 });

  p.label("program").op("stmg", { r1: 0, r3: 15, d2: Scratch.gr });
  p.label("log").op("lg", { r1: 1, d2: Scratch.slotPointer });
  p.op("llgf", { r1: 2, b2: 1, d2: Slot.outPrograms });
  p.op("lgr", { r1: 3, r2: 2 }).op("mghi", { r1: 3, i: LOG_BYTES }).op("agr", { r1: 3, r2: 1 });
  const log = (length: number, offset: number, from: number): void => {
    p.move("mvc", length, 3, Slot.outLog + offset, 0, from);
  };
  log(16, LogEntry.oldPsw, 0x150);
  log(4, LogEntry.ilcAndCode, 0x8c);
  log(4, LogEntry.dataException, 0x90);
  log(8, LogEntry.teid, 0xa8);
  log(8, LogEntry.accessIds, 0xa0);
  log(8, LogEntry.monitorCode, 0xb0);
  log(10, LogEntry.per, 0x96);
  p.op("llgc", { r1: 5, d2: 0x8f });
  clearLowcore(p);
  p.move("mvc", 16, 1, Slot.outPsw, 0, 0x150);
  p.op("ahi", { r1: 2, i: 1 }).op("st", { r1: 2, b2: 1, d2: Slot.outPrograms });
  p.op("chi", { r1: 2, i: LOG_ENTRIES }).to("brc", "giveup", { m: 10 });
  p.op("lg", { r1: 4, d2: Scratch.endingCodes }).op("sllg", { r1: 4, r3: 4, b2: 5 });
  p.op("ltgr", { r1: 4, r2: 4 }).to("brc", "giveup", { m: 4 });
  p.op("lmg", { r1: 0, r3: 15, d2: Scratch.gr }).op("lpswe", { d2: 0x150 });
  p.label("giveup").op("mvhi", { b1: 1, d1: Slot.outEnd, i: END_PROGRAM });
  p.to("brcl", "finish", { m: 15 });

  p.label("done").op("lpswe", { d2: Scratch.donePsw });
  return p;
}

/** Stretches that one SS instruction can handle. */
function parts(bytes: number): { at: number; bytes: number }[] {
  const result: { at: number; bytes: number }[] = [];
  for (let at = 0; at < bytes; at += 256) result.push({ at, bytes: Math.min(256, bytes - at) });
  return result;
}

/** Sets the clock comparator to a few microseconds from now. Changes general register 2. */
function askForInterruption(p: Program): void {
  p.op("stck", { d2: Scratch.clock }).op("lg", { r1: 2, d2: Scratch.clock });
  p.op("algfi", { r1: 2, i: INTERRUPTION_UNITS }).op("stg", { r1: 2, d2: Scratch.clock });
  p.op("sckc", { d2: Scratch.clock });
}

/** Clears the interruption fields 0x80-0xbf, so that an emulator that leaves one unwritten is seen. */
function clearLowcore(p: Program): void {
  p.move("xc", 64, 0, 0x80, 0, 0x80);
}

/** Instructions that a round saves which ends in a program interruption: by its code, or as the last that is logged. */
export const ENDING_SAVES = { byCode: 5, byCount: 9 } as const;

export interface ImageOptions {
  /** How often each sequence runs; every one has as many inputs at least. */
  readonly rounds: number;
  /** One of `External`. */
  readonly external?: number;
}

/** Builds the image for up to `MAX_SLOTS` sequences, sequence n in slot n. */
export function buildImage(sequences: readonly SequenceInput[], options: ImageOptions): Image {
  if (sequences.length > MAX_SLOTS)
    throw new Error(`an image holds at most ${MAX_SLOTS} sequences`);
  const { rounds, external = External.drained } = options;
  const history = historyAddress(sequences.length, rounds, 0, 0);
  const bytes = new Uint8Array(history);
  const view = new DataView(bytes.buffer);
  const program = harness();
  bytes.set(program.bytes(), HARNESS);
  const psw = (at: number, mask: bigint, address: number): void => {
    view.setBigUint64(at, mask);
    view.setBigUint64(at + 8, BigInt(address));
  };
  psw(0x1b0, SUPERVISOR_64, program.addressOf("external"));
  psw(0x1c0, SUPERVISOR_64, program.addressOf("supervisor"));
  psw(0x1d0, SUPERVISOR_64, program.addressOf("program"));
  // Restart, machine check and I/O must never come: a wait with a telling address.
  for (const newPsw of [0x1a0, 0x1e0, 0x1f0]) psw(newPsw, DISABLED_WAIT_64, newPsw);
  psw(Scratch.donePsw, DISABLED_WAIT_64, 0);
  const word = (at: number, value: bigint | number): void => view.setBigUint64(at, BigInt(value));
  word(Scratch.slotPointer, SLOTS);
  word(Scratch.slotsLeft, sequences.length);
  word(Scratch.rounds, rounds);
  word(Scratch.inputPointer, INPUTS);
  word(Scratch.historyPointer, history);
  word(Scratch.farTimer, (1n << 63n) - 1n);
  word(Scratch.never, (1n << 64n) - 1n);
  bytes[Scratch.externalChosen] = external;
  word(
    Scratch.endingCodes,
    endingCodes.reduce((mask, code) => mask | (1n << BigInt(63 - code)), 0n),
  );
  const control = (n: number, value: bigint): void => {
    word(Scratch.controlRegisters + n * 8, value);
  };
  control(0, CR0_DEFAULT | CR0_EXTERNAL);
  control(1, Asce.primary);
  control(3, 0xffff_0000n); // PSW-key mask: every key may be used by MVCK, MVCP, MVCS, SPKA
  control(7, Asce.secondary);
  control(13, Asce.home);
  writeTables(view);
  sequences.forEach((sequence, index) => {
    writeSlot(bytes, view, slotAddress(index), sequence);
    for (let round = 0; round < rounds; round++) {
      writeInput(view, inputAddress(rounds, index, round), sequence.rounds[round]);
    }
  });
  const dumpBytes = historyAddress(sequences.length, rounds, sequences.length, 0);
  return { bytes, entry: program.addressOf("start"), dumpBytes };
}

function writeInput(view: DataView, at: number, input: RoundInput | undefined): void {
  if (input === undefined) throw new Error("a sequence has fewer rounds than the image");
  input.gr.forEach((value, n) => {
    view.setBigUint64(at + Slot.gr + n * 8, value);
  });
  input.fpr.forEach((value, n) => {
    view.setBigUint64(at + Slot.fpr + n * 8, value);
  });
}

function writeSlot(bytes: Uint8Array, view: DataView, at: number, input: SequenceInput): void {
  input.ar.forEach((value, n) => {
    view.setInt32(at + Slot.ar + n * 4, value);
  });
  view.setBigUint64(at + Slot.psw, input.pswMask);
  view.setBigUint64(at + Slot.psw + 8, BigInt(at + Slot.code));
  view.setInt32(at + Slot.fpc, input.fpc);
  view.setBigUint64(at + Slot.cr0, input.cr0);
  bytes.set(input.code, at + Slot.code);
  bytes.set(input.data, at + Slot.data);
}

/** Wraps a flat image that starts at absolute 0 in an ELF64 file with one segment, which `-kernel` loads. */
export function toElf(image: Image): Uint8Array {
  const headers = 0x1000;
  const elf = new Uint8Array(headers + image.bytes.length);
  const view = new DataView(elf.buffer);
  elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 2, 1]); // ELF, 64-bit, big-endian, version 1
  view.setUint16(16, 2); // ET_EXEC
  view.setUint16(18, 22); // EM_S390
  view.setUint32(20, 1);
  view.setBigUint64(24, BigInt(image.entry));
  view.setBigUint64(32, 64n); // program headers follow the ELF header
  view.setUint16(52, 64);
  view.setUint16(54, 56);
  view.setUint16(56, 1);
  view.setUint32(64, 1); // PT_LOAD
  view.setUint32(68, 7);
  view.setBigUint64(72, BigInt(headers));
  view.setBigUint64(96, BigInt(image.bytes.length));
  view.setBigUint64(104, BigInt(image.bytes.length));
  view.setBigUint64(112, 0x1000n);
  elf.set(image.bytes, headers);
  return elf;
}
