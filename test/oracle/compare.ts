/** Compares what two emulators left in a slot and names each difference by what the field means. */
import {
  END_PROGRAM,
  historyAddress,
  LOG_BYTES,
  LOG_ENTRIES,
  LogEntry,
  OUT,
  OUT_BYTES,
  SLOT_BYTES,
  Slot,
  slotAddress,
} from "./layout.ts";

export interface Difference {
  readonly what: string;
  readonly expected: string;
  readonly got: string;
}

interface Field {
  readonly name: string;
  readonly at: number;
  readonly bytes: number;
}

function fieldTable(): readonly Field[] {
  const fields: Field[] = [];
  const many = (name: string, at: number, bytes: number, count: number): void => {
    for (let n = 0; n < count; n++) fields.push({ name: `${name}${n}`, at: at + n * bytes, bytes });
  };
  fields.push({ name: "end", at: Slot.outEnd, bytes: 4 });
  fields.push({ name: "program interruptions", at: Slot.outPrograms, bytes: 4 });
  for (let n = 0; n < LOG_ENTRIES; n++) {
    const at = Slot.outLog + n * LOG_BYTES;
    const entry = (name: string, offset: number, bytes: number): void => {
      fields.push({ name: `program ${n}: ${name}`, at: at + offset, bytes });
    };
    entry("old PSW mask", LogEntry.oldPsw, 8);
    entry("old PSW address", LogEntry.oldPsw + 8, 8);
    entry("ILC and code", LogEntry.ilcAndCode, 4);
    entry("data-exception code", LogEntry.dataException, 4);
    entry("translation-exception identification", LogEntry.teid, 8);
    entry("access identification", LogEntry.accessIds, 8);
    entry("monitor code", LogEntry.monitorCode, 8);
    entry("PER code and address", LogEntry.per, 10);
  }
  many("r", Slot.outGr, 8, 16);
  fields.push({ name: "PSW mask", at: Slot.outPsw, bytes: 8 });
  fields.push({ name: "PSW address", at: Slot.outPsw + 8, bytes: 8 });
  fields.push({ name: "SVC ILC and code", at: Slot.outSvcCode, bytes: 4 });
  many("f", Slot.outFpr, 8, 16);
  many("a", Slot.outAr, 4, 16);
  fields.push({ name: "FPC", at: Slot.outFpc, bytes: 4 });
  return fields;
}

const fields = fieldTable();
const fieldBytes = new Set<number>();
for (const field of fields) {
  for (let n = 0; n < field.bytes; n++) fieldBytes.add(field.at + n);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}

export function slotOf(memory: Uint8Array, index: number): Uint8Array {
  return memory.subarray(slotAddress(index), slotAddress(index) + SLOT_BYTES);
}

/** How many sequences and rounds the image of a dump has. */
export interface Shape {
  readonly slots: number;
  readonly rounds: number;
}

function outOf(memory: Uint8Array, shape: Shape, index: number, round: number): Uint8Array {
  const at = historyAddress(shape.slots, shape.rounds, index, round);
  return memory.subarray(at, at + OUT_BYTES);
}

/** The slot as it was after a round, but for the data pages, which are as they are after the last one. */
export function slotAfter(
  memory: Uint8Array,
  shape: Shape,
  index: number,
  round: number,
): Uint8Array {
  const slot = slotOf(memory, index).slice();
  slot.set(outOf(memory, shape, index, round), OUT);
  return slot;
}

/** The first rounds come first; the data pages count only after the last one. */
export function differingRounds(
  expected: Uint8Array,
  got: Uint8Array,
  shape: Shape,
  index: number,
): readonly number[] {
  const rounds: number[] = [];
  for (let round = 0; round < shape.rounds - 1; round++) {
    const one = outOf(expected, shape, index, round);
    if (Buffer.compare(one, outOf(got, shape, index, round)) !== 0) rounds.push(round);
  }
  if (!sameSlot(slotOf(expected, index), slotOf(got, index))) rounds.push(shape.rounds - 1);
  return rounds;
}

export interface RoundEnd {
  readonly interruptions: number;
  /** The last of them ended the round. */
  readonly ended: boolean;
}

/** How each round of a sequence ended. */
export function roundEnds(memory: Uint8Array, shape: Shape, index: number): readonly RoundEnd[] {
  return Array.from({ length: shape.rounds }, (_, round) => {
    const out = outOf(memory, shape, index, round);
    return {
      interruptions: out[Slot.outPrograms - OUT + 3] ?? 0,
      ended: out[Slot.outEnd - OUT + 3] === END_PROGRAM,
    };
  });
}

export function sameSlot(expected: Uint8Array, got: Uint8Array): boolean {
  return Buffer.compare(expected, got) === 0;
}

/** All differing fields first, then stretches of differing storage. */
export function compareSlots(expected: Uint8Array, got: Uint8Array): readonly Difference[] {
  const differences: Difference[] = [];
  for (const field of fields) {
    const [a, b] = [expected, got].map((slot) =>
      hex(slot.subarray(field.at, field.at + field.bytes)),
    );
    if (a !== undefined && b !== undefined && a !== b) {
      differences.push({ what: field.name, expected: a, got: b });
    }
  }
  for (let at = 0; at < SLOT_BYTES; at++) {
    if (fieldBytes.has(at) || expected[at] === got[at]) continue;
    let end = at + 1;
    while (end < SLOT_BYTES && expected[end] !== got[end] && end - at < 32) end++;
    differences.push({
      what: `storage slot+0x${at.toString(16)}`,
      expected: hex(expected.subarray(at, end)),
      got: hex(got.subarray(at, end)),
    });
    at = end;
    if (differences.length > 24) break;
  }
  return differences;
}

/** The registers and PSW of a slot, for a report. */
export function describeState(slot: Uint8Array): string {
  const view = new DataView(slot.buffer, slot.byteOffset, slot.length);
  const word = (at: number): string => view.getBigUint64(at).toString(16).padStart(16, "0");
  const registers = Array.from({ length: 16 }, (_, n) => `r${n}=${word(Slot.outGr + n * 8)}`);
  const lines: string[] = [];
  for (let n = 0; n < 16; n += 4) lines.push(registers.slice(n, n + 4).join(" "));
  lines.push(`psw=${word(Slot.outPsw)} ${word(Slot.outPsw + 8)}`);
  return lines.join("\n");
}

/** Condition code of the final PSW. */
export function finalCc(slot: Uint8Array): number {
  return ((slot[Slot.outPsw + 2] ?? 0) >> 4) & 3;
}
