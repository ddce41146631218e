import { setFlagsFromString } from "node:v8";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  FunctionBlock,
  FunctionState,
  generationOf,
  stateOf,
  stateWord,
  VcpuHeader,
  VmBlock,
} from "../../../src/shm/blocks.ts";
import { wordBlock } from "../../../src/shm/word-block.ts";

describe("a word block", () => {
  test("numbers its words in order and reserves runs", () => {
    const block = wordBlock(["a", "run:3", "b"]);
    expect(block).toEqual({ a: 0, run: 1, b: 4, sizeBytes: 128 });
  });

  test("keeps a marked word alone on its 128 bytes, before and after", () => {
    const block = wordBlock(["a", "!alone", "b", "c", "!run:2", "d"]);
    expect(block).toEqual({ a: 0, alone: 32, b: 64, c: 65, run: 96, d: 128, sizeBytes: 640 });
  });
});

/** Whether V8 keeps the object's words as a shape, whose values it compiles in, or as a hash table. */
function hasShape(block: object): boolean {
  setFlagsFromString("--allow-natives-syntax");
  return new Function("block", "return %HasFastProperties(block)")(block) as boolean;
}

describe.each([
  ["VmBlock", VmBlock],
  ["VcpuHeader", VcpuHeader],
  ["FunctionBlock", FunctionBlock],
])("%s", (_name, block) => {
  test("is no hash table to V8, so its words are constants in compiled code", () => {
    expect(hasShape(block)).toBe(true);
  });

  test("has no two names for one word and ends behind its last", () => {
    const indices = Object.entries(block)
      .filter(([name]) => name !== "sizeBytes")
      .map(([, index]) => index);
    expect(new Set(indices).size).toBe(indices.length);
    expect(Math.max(...indices) * 4).toBeLessThan(block.sizeBytes);
    expect(block.sizeBytes % 128).toBe(0);
  });
});

describe("words that several threads hammer", () => {
  test.each([
    ["VmBlock.command", VmBlock.command],
    ["VmBlock.machineCheckPending", VmBlock.machineCheckPending],
    ["VmBlock.crwPending", VmBlock.crwPending],
    ["VmBlock.ccdfSummary", VmBlock.ccdfSummary],
    ["VmBlock.platformSleeping", VmBlock.platformSleeping],
    ["VcpuHeader.pending", VcpuHeader.pending],
    ["VcpuHeader.sleeping", VcpuHeader.sleeping],
    ["FunctionBlock.stateWord", FunctionBlock.stateWord],
    ["FunctionBlock.errSignals", FunctionBlock.errSignals],
    ["FunctionBlock.workerSleeping", FunctionBlock.workerSleeping],
  ])("%s begins a 128-byte line (performance.md 1.4)", (_name, index) => {
    expect(index % 32).toBe(0);
  });
});

describe("the vCPU header", () => {
  test("fills 0x200 bytes, where the CPU's own words begin", () => {
    expect(VcpuHeader.sizeBytes).toBe(0x200);
  });
});

describe("a function's state word", () => {
  test("holds generation and state side by side", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 0x7fffff }),
        fc.constantFrom(...Object.values(FunctionState)),
        (generation, state) => {
          const word = stateWord(generation, state);
          expect([generationOf(word), stateOf(word)]).toEqual([generation, state]);
          expect(word).toBeGreaterThanOrEqual(0);
        },
      ),
    );
  });

  test("wraps a generation at 23 bits and so never becomes negative", () => {
    expect(stateWord(0x800000, FunctionState.ERROR)).toBe(stateWord(0, FunctionState.ERROR));
  });

  test("numbers the states as zpci-guest.md 4.2 does", () => {
    expect(FunctionState).toEqual({
      RESERVED: 0,
      STANDBY: 1,
      DISABLED: 2,
      ENABLED: 3,
      BLOCKED: 4,
      ERROR: 5,
      PERMANENT_ERROR: 6,
    });
  });
});
