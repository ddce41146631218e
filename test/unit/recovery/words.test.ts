import { describe, expect, it } from "vitest";
import { Scratch, scratchLengths } from "../../../src/recovery/words.ts";
import { FunctionBlock } from "../../../src/shm/blocks.ts";

describe("the machine's scratch words", () => {
  it("do not overlap, times of two words included, and fit their block", () => {
    const owner = new Map<number, string>();
    for (const [name, first] of Object.entries(Scratch)) {
      const length = scratchLengths[name as keyof typeof Scratch] ?? 1;
      for (let word = first; word < first + length; word++) {
        expect(`${word}: ${owner.get(word)}`).toBe(`${word}: undefined`);
        owner.set(word, name);
      }
    }
    expect(Math.max(...owner.keys())).toBeLessThan(80);
    expect(FunctionBlock.recoveryScratch).toBeGreaterThan(0);
  });
});
