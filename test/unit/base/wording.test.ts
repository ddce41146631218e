/** What users read when a value is not what a schema wants: the value, what belongs there, the nearest name. */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { plainIssues, wording } from "../../../src/base/wording.ts";

function said(schema: z.ZodType, value: unknown): string[] {
  const result = schema.safeParse(value, { error: wording });
  if (result.success) return [];
  return plainIssues(result.error.issues).map((issue) =>
    [...issue.path.map(String), issue.message].join(" "),
  );
}

const word32 = z.number().int().min(0).max(0xffffffff);
const form = z.union([z.string(), z.strictObject({ base: z.string(), times: z.number() })]);

describe("a value that is refused", () => {
  it.each<readonly [string, z.ZodType, unknown, string]>([
    ["a missing key", z.object({ name: z.string() }), {}, "name is missing; expected text"],
    [
      "a missing number",
      z.object({ fid: word32 }),
      {},
      "fid is missing; expected a whole number from 0 to 0xffffffff",
    ],
    [
      "a missing choice",
      z.object({ how: z.enum(["own", "shared"]) }),
      {},
      "how is missing; expected one of own, shared",
    ],
    [
      "a missing version",
      z.object({ version: z.literal(1) }),
      {},
      "version is missing; expected 1",
    ],
    ["another version", z.literal(1), 2, "expected 1, got 2"],
    [
      "text for a number",
      z.number().int().min(1).max(9),
      "many",
      "expected a whole number from 1 to 9, got 'many'",
    ],
    [
      "a number in quotes",
      z.number().min(1),
      "5",
      "expected a number of at least 1, got '5'; leave the quotes out",
    ],
    ["a number that is none", z.number(), Number.NaN, "expected a number, got NaN"],
    [
      "a part of a whole",
      z.number().int().min(0).max(9),
      1.5,
      "expected a whole number from 0 to 9, got 1.5",
    ],
    [
      "too much",
      z.number().int().min(0).max(65535),
      70000,
      "expected a whole number from 0 to 65535, got 70000",
    ],
    ["too little", z.number().positive(), 0, "expected a number above 0, got 0"],
    ["a number for text", z.string(), 12, "expected text, got 12; put it in quotes"],
    ["nothing for text", z.string(), null, "expected text, got nothing"],
    ["text for a switch", z.boolean(), "yes", "expected true or false, got 'yes'"],
    ["a mapping for a list", z.array(z.string()), {}, "expected a list, got a mapping"],
    [
      "a list for a mapping",
      z.strictObject({}),
      [1],
      "expected a mapping of keys to values, got a list of 1",
    ],
    [
      "a list with nothing in it",
      z.array(z.string()).min(1),
      [],
      "expected a list of at least 1 entry, got an empty list",
    ],
    [
      "a slip in a choice",
      z.enum(["never", "always"]),
      "alwys",
      "expected one of never, always, got 'alwys' (did you mean 'always'?)",
    ],
    [
      "text that is too long",
      z.string().max(3),
      "abcd",
      "expected text of at most 3 characters, got 'abcd'",
    ],
    [
      "text of another form",
      z.string().regex(/^a+$/),
      "b",
      "expected text that matches ^a+$, got 'b'",
    ],
    ["what is none of several", form, 7, "expected text or a mapping of keys to values, got 7"],
    [
      "what is nearly one of several",
      form,
      { base: "x", times: "y" },
      "times expected a number, got 'y'",
    ],
    ["an unknown key", z.strictObject({}), { odd: 1 }, "unknown key 'odd'"],
    [
      "an unknown key of a table",
      z.partialRecord(z.enum(["one"]), z.number()),
      { on: 1 },
      "unknown key 'on'",
    ],
  ])("%s is told in words", (_, schema, value, message) => {
    expect(said(schema, value)).toEqual([message]);
  });

  it("is shown in one line, however long it is", () => {
    expect(said(z.number(), "x".repeat(500))).toEqual([
      `expected a number, got '${"x".repeat(60)}…'`,
    ]);
  });
});
