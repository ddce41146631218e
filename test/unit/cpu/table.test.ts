import { expect, test } from "vitest";
import { buildInterpreterModule } from "../../../src/cpu/index.ts";
import { lengthOf } from "../../../src/cpu/interpreter/dispatch.ts";
import { slowInstructions } from "../../../src/cpu/slow/index.ts";
import { systemInstructions } from "../../../src/cpu/system/index.ts";
import { selectedBits } from "../../../src/cpu/table/formats.ts";
import { hotMnemonics, instructionTable } from "../../../src/cpu/table/index.ts";
import { instructionLength, opcodeKey } from "../../../src/cpu/table/row.ts";

test("every opcode key stands for one instruction, in whichever of the three tables", () => {
  const keys = [
    ...instructionTable.map((row) => row.key),
    ...slowInstructions.keys(),
    ...systemInstructions.keys(),
  ];
  const doubled = keys.filter((key, n) => keys.indexOf(key) !== n);
  expect(doubled.map((key) => key.toString(16))).toEqual([]);
});

test("mnemonics are unique and the hot ones are all in the table", () => {
  const names = instructionTable.map((row) => row.mnemonic);
  expect(new Set(names).size).toBe(names.length);
  expect(new Set(hotMnemonics).size).toBe(hotMnemonics.length);
  expect(hotMnemonics.filter((name) => !names.includes(name))).toEqual([]);
});

test("the length of a row is that of its first opcode byte", () => {
  // SA22-7832 chapter 5, "Instruction Formats": bits 0-1 of the opcode.
  expect([0x07, 0x47, 0xa7, 0xd2].map(instructionLength)).toEqual([2, 4, 4, 6]);
  const byName = (name: string) => instructionTable.find((row) => row.mnemonic === name);
  for (const [name, length] of [
    ["SAM64", 2],
    ["LR", 2],
    ["LA", 4],
    ["BRC", 4],
    ["AGR", 4],
    ["BRASL", 6],
    ["LG", 6],
    ["RISBG", 6],
    ["MVHI", 6],
    ["MVC", 6],
    ["CSST", 6],
  ] as const) {
    const row = byName(name);
    expect(row && lengthOf(row), name).toBe(length);
  }
});

test("opcode keys follow the form that intercepts use", () => {
  expect(opcodeKey(0x07fe0000, 0)).toBe(0x07);
  expect(opcodeKey(0xb90800ab | 0, 0)).toBe(0xb908);
  expect(opcodeKey(0xa7f40010 | 0, 0)).toBe(0xa74);
  expect(opcodeKey(0xe3102000 | 0, 0x00040000)).toBe(0xe304);
  expect(opcodeKey(0xc0e50000 | 0, 0x00100000)).toBe(0xc05);
  expect(opcodeKey(0xb9d20012 | 0, 0)).toBe(0xb9d2);
});

test("selected bits wrap around when the first lies behind the last", () => {
  expect(selectedBits(0, 63)).toBe(0xffffffffffffffffn);
  expect(selectedBits(60, 3)).toBe(0xf00000000000000fn);
  expect(selectedBits(32, 39)).toBe(0xff000000n);
});

test("the module is valid, its dispatch function below 30 KiB and every row function below 2 KiB", () => {
  const module = buildInterpreterModule();
  expect(WebAssembly.validate(module.bytes)).toBe(true);
  expect(module.dispatchBytes).toBeLessThan(30 * 1024);
  expect(module.largestRowBytes).toBeLessThan(2 * 1024);
});
