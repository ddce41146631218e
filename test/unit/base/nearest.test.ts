import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nearest, suggestion } from "../../../src/base/nearest.ts";

const policies = ["mediated", "reset-first", "quarantine", "qemu-11"];

describe("the nearest known word", () => {
  it.each([
    ["mediatd", "mediated"],
    ["meditaed", "mediated"],
    ["quarantene", "quarantine"],
    ["qemu-1", "qemu-11"],
    ["QEMU-11", "qemu-11"],
    ["rset-frist", "reset-first"],
  ])("of '%s' is '%s'", (word, expected) => {
    expect(nearest(word, policies)).toBe(expected);
  });

  it.each(["banana", "x", "", "quarantine-everything-at-once"])("of '%s' is none", (word) => {
    expect(nearest(word, policies)).toBeUndefined();
  });

  it("is the word itself when it is known", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1 }), { minLength: 1 }), (words) => {
        const word = words[words.length - 1] ?? "";
        expect(nearest(word, words)?.toLowerCase()).toBe(word.toLowerCase());
      }),
    );
  });

  it("is at most a third of the word's letters away, or one letter", () => {
    expect(nearest("ab", ["abc"])).toBe("abc");
    expect(nearest("ab", ["abcd"])).toBeUndefined();
    expect(nearest("abcdef", ["abcdefgh"])).toBe("abcdefgh");
    expect(nearest("abcdef", ["abcdefghi"])).toBeUndefined();
  });

  it("counts two swapped neighbours as one edit", () => {
    expect(nearest("nmae", ["name"])).toBe("name");
    expect(nearest("fdi", ["fid"])).toBe("fid");
    expect(nearest("eman", ["name"])).toBeUndefined();
  });

  it("is the first of several equally near", () => {
    expect(nearest("bat", ["cat", "hat"])).toBe("cat");
  });

  it("is always one of the candidates or none", () => {
    fc.assert(
      fc.property(fc.string(), fc.array(fc.string()), (word, candidates) => {
        const found = nearest(word, candidates);
        expect(found === undefined || candidates.includes(found)).toBe(true);
      }),
    );
  });
});

describe("a suggestion", () => {
  it("reads as the end of a sentence, with a leading blank", () => {
    expect(suggestion("mediatd", policies)).toBe(" (did you mean 'mediated'?)");
  });

  it("is empty when nothing is near", () => {
    expect(suggestion("banana", policies)).toBe("");
    expect(suggestion("mediated", [])).toBe("");
  });

  it("is not the word itself, which is right somewhere else", () => {
    expect(suggestion("mediated", policies)).toBe("");
  });
});
