import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { ZmendError } from "../../../src/base/errors.ts";
import { parseYaml } from "../../../src/base/yaml-file.ts";

const schema = z.strictObject({
  version: z.literal(1),
  name: z.string().default("vm"),
  functions: z
    .array(z.strictObject({ fid: z.number(), state: z.enum(["up", "down"]).optional() }))
    .default([]),
});

function parse(text: string): z.output<typeof schema> {
  return parseYaml(text, "x.yaml", schema, "CONFIG_INVALID");
}

function refusal(text: string): string[] {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof ZmendError) return error.message.split("\n");
    throw error;
  }
  return [];
}

describe("a YAML file against its schema", () => {
  it("gives the values with the schema's defaults", () => {
    expect(parse("version: 1\n")).toEqual({ version: 1, name: "vm", functions: [] });
  });

  it("resolves anchors and aliases", () => {
    const text = "version: 1\nfunctions:\n  - &f { fid: 7, state: up }\n  - *f\n";
    expect(parse(text).functions).toEqual([
      { fid: 7, state: "up" },
      { fid: 7, state: "up" },
    ]);
  });

  it("carries the error code of its caller", () => {
    expect(() => parseYaml("version: 2", "p.yaml", schema, "POLICY_INVALID")).toThrow(
      expect.objectContaining({ code: "POLICY_INVALID", exitStatus: 2 }),
    );
  });

  it("reports every problem at once, each with its line and key", () => {
    const text = "version: 2\nname: 3\nfunctions:\n  - fid: 1\n  - fid: one\n    state: up\n";
    const lines = refusal(text);
    expect(lines.map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual([
      "x.yaml:1: version:",
      "x.yaml:2: name:",
      "x.yaml:5: functions[1].fid:",
    ]);
  });

  it("suggests the nearest key for an unknown one, at any depth", () => {
    expect(refusal("version: 1\nnmae: x\n")).toEqual([
      "x.yaml:2: unknown key 'nmae' (did you mean 'name'?)",
    ]);
    expect(refusal("version: 1\nfunctions:\n  - fid: 1\n    statte: up\n")).toEqual([
      "x.yaml:4: functions[0]: unknown key 'statte' (did you mean 'state'?)",
    ]);
  });

  it("gives each of several unknown keys a line of its own", () => {
    expect(refusal("version: 1\nfoo:\n  - 1\nbar: 2\n")).toEqual([
      "x.yaml:2: unknown key 'foo'",
      "x.yaml:4: unknown key 'bar'",
    ]);
  });

  it("suggests nothing for a key that resembles none", () => {
    expect(refusal("version: 1\nzzzzzzzz: 2\n")).toEqual(["x.yaml:2: unknown key 'zzzzzzzz'"]);
  });

  it("takes an empty file as one without keys", () => {
    expect(refusal("")[0]).toMatch(/^x\.yaml:1: version: /);
    expect(refusal("# only a comment\n")[0]).toMatch(/^x\.yaml:1: version: /);
  });

  it("refuses a list or a scalar where keys are expected", () => {
    expect(refusal("- 1\n")[0]).toMatch(/^x\.yaml:1: expected a mapping of keys to values, got /);
    expect(refusal("hello\n")[0]).toMatch(/^x\.yaml:1: expected a mapping of keys to values, got /);
  });

  it("names the line of YAML that does not parse", () => {
    expect(refusal("version: 1\nname: [a,\n")[0]).toMatch(/^x\.yaml:\d: /);
    expect(refusal("version: 1\nversion: 1\n")).toEqual(["x.yaml:2: Map keys must be unique"]);
    expect(refusal("version: 1\n---\nversion: 1\n")[0]).toMatch(/^x\.yaml:2: .*multiple documents/);
  });

  it("refuses an alias without its anchor in one line, not with a stack trace", () => {
    expect(refusal("version: 1\nname: *nobody\n")).toEqual([
      "x.yaml:2: Unresolved alias (the anchor must be set before the alias): nobody",
    ]);
  });

  it("refuses an alias that contains itself", () => {
    expect(refusal("version: 1\nfunctions: &f\n  - fid: *f\n")).toEqual([
      "x.yaml:3: an alias contains itself",
    ]);
  });

  it("refuses a file whose aliases would fill the memory", () => {
    const bomb = Array.from({ length: 9 }, (_, n) => {
      const item = n === 0 ? "x" : `*a${n - 1}`;
      return `- &a${n} [${Array.from({ length: 20 }, () => item).join(", ")}]`;
    });
    expect(refusal(bomb.join("\n"))).toEqual([
      "x.yaml:2: Excessive alias count indicates a resource exhaustion attack",
    ]);
  });

  it("keeps a problem on one line when the key itself has line breaks", () => {
    expect(refusal('? "a\\nb"\n: 1\nversion: 1\n')).toEqual(["x.yaml:1: unknown key 'a b'"]);
  });

  it("answers any text with values or with lines that name the file, never otherwise", () => {
    const word = fc.constantFrom(
      ..."version functions fid state name : - { } [ ] , & * ! | > # ' \" \n 1 0x1 up ~ ?".split(
        " ",
      ),
      "\n",
      "\n  ",
      " ",
      ": ",
      "- ",
      "&a ",
      "*a ",
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 30 }), (words) => {
        const lines = refusal(words.join(""));
        for (const line of lines) expect(line).toMatch(/^x\.yaml:\d+: \S/);
      }),
      { numRuns: 1000 },
    );
  });
});
