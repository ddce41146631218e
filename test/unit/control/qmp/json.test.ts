/** Reading JSON from a stream, writing it as QEMU does. Rules: qmp.md 1. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  DEPTH_MAX,
  type Json,
  JsonStream,
  jsonText,
} from "../../../../src/control/qmp/json-stream.ts";

/** What a stream says to these pieces: values as text, problems as `!…` without their place. */
function read(pieces: readonly (string | Uint8Array)[], limit?: number): string[] {
  const said: string[] = [];
  const stream = new JsonStream(
    {
      value: (value) => said.push(jsonText(value)),
      problem: (problem) => said.push(`!${problem.replace(/^\d+:\d+: JSON parse error, /, "")}`),
    },
    limit,
  );
  for (const piece of pieces) stream.feed(Buffer.from(piece));
  return said;
}

describe("a stream of JSON", () => {
  it("takes objects back to back, split over packets and spread over lines, without a newline", () => {
    expect(read(['{"a":1}{"b"', ":", '\r\n 2}\t{"c":{"d":[1,', "2]}}"])).toEqual([
      '{"a": 1}',
      '{"b": 2}',
      '{"c": {"d": [1, 2]}}',
    ]);
  });

  it("takes single quotes, and an escaped single quote in either kind of string", () => {
    expect(read(["{'a': 'it\\'s', \"b\": \"it\\'s\"}"])).toEqual([`{"a": "it's", "b": "it's"}`]);
  });

  it("gives numbers back as they were written, whatever a double makes of them", () => {
    const numbers = "[1.0, 18446744073709551615, -0, 1e3, 0.1, 12, -7]";
    expect(read([numbers])).toEqual([numbers]);
  });

  it("writes ASCII only", () => {
    expect(read(['"\u00e9\u20ac\ud83d\ude00\u007f"'])).toEqual([
      '"\\u00e9\\u20ac\\ud83d\\ude00\\u007f"',
    ]);
    expect(read(['"\\ud83d\\ude00"'])).toEqual(['"\\ud83d\\ude00"']);
  });

  it.each([
    ["a wrong word", "[nul]", "!invalid keyword 'nul'"],
    ["a missing colon", '{"a" 1}', "!missing : in object pair"],
    ["a missing comma", "[1 2]", "!expected separator in list"],
    ["a missing comma in an object", '{"a":1 "b":2}', "!expected separator in dict"],
    ["a comma too many", "[1,]", "!expecting value"],
    ["a key that is no string", "{1:2}", "!key is not a string in object"],
    ["a closing bracket alone", "]", "!expecting value"],
    ["crossed brackets", '{"a":[}]}', "!expecting value"],
    ["a leading zero", "[01]", "!invalid number '01'"],
    ["wrong UTF-8", new Uint8Array([0x22, 0xc3, 0x28, 0x22]), "!invalid UTF-8 sequence in string"],
    ["an unknown escape", '"\\x"', "!invalid escape sequence in string"],
    ["half a surrogate pair", '"\\ud83d"', "!\\ud83d is not a valid Unicode character"],
    ["a NUL", '"\\u0000"', "!\\u0000 is not a valid Unicode character"],
    ["a comma too many in an object", '{"a":1,}', "!expecting value"],
  ])("says what is wrong with %s, and reads what follows", (_, text, problem) => {
    const said = read([text, '\n{"next":true}']);
    expect(said[0]).toBe(problem);
    expect(said.at(-1)).toBe('{"next": true}');
  });

  it("names line and column, both from 1", () => {
    const problems: string[] = [];
    const stream = new JsonStream({ value: () => {}, problem: (text) => problems.push(text) });
    stream.feed(Buffer.from('{"a": 1}\n{"b": nix}'));
    expect(problems).toEqual(["2:10: JSON parse error, invalid keyword 'nix'"]);
  });

  it("starts clean after a control character, in the middle of anything", () => {
    for (const open of ["{", '{"a', '{"a":[[[', "tru"]) {
      const said = read([open, new Uint8Array([1]), '{"x":1}']);
      expect(said.filter((text) => text.startsWith("!"))).not.toEqual([]);
      expect(said.at(-1)).toBe('{"x": 1}');
    }
  });

  it("refuses one message that is too long or too deep, and reads the next", () => {
    const long = `{"a":"${"x".repeat(5000)}"}`;
    expect(read([long, '{"b":1}'], 1000)).toEqual(["!token size limit exceeded", '{"b": 1}']);
    const many = `[${"1,".repeat(1000)}1]`;
    expect(read([many, '{"b":1}'], 1000)).toEqual(["!message size limit exceeded", '{"b": 1}']);
    const deep = "[".repeat(DEPTH_MAX + 1) + "]".repeat(DEPTH_MAX + 1);
    expect(read([deep, '{"b":1}'])).toEqual(["!nesting depth limit exceeded", '{"b": 1}']);
    expect(read(["[".repeat(DEPTH_MAX) + "]".repeat(DEPTH_MAX)])[0]).toMatch(/^\[/);
  });

  it("is refused at once when it is too deep or too long, whether it ends or not, and once", () => {
    expect(read(["[".repeat(100_000)])).toEqual(["!nesting depth limit exceeded"]);
    expect(read([`[${"1,".repeat(5000)}`], 1000)).toEqual(["!message size limit exceeded"]);
    // The resync byte (qmp.md 1) ends what never would.
    const resync = Uint8Array.of(0xff);
    expect(read(["[".repeat(100_000), resync, '{"b":1}'])).toEqual([
      "!nesting depth limit exceeded",
      '{"b": 1}',
    ]);
  });

  it("keeps keys that mean something to JavaScript as plain members", () => {
    expect(read(['{"__proto__": {"x": 1}, "constructor": 2}'])).toEqual([
      '{"__proto__": {"x": 1}, "constructor": 2}',
    ]);
  });

  it("reads any value that JSON.stringify writes, wherever it is cut", () => {
    const text = fc.string({ unit: "binary" }).filter((value) => !value.includes("\u0000"));
    const { tree } = fc.letrec<{ tree: Json; leaf: Json }>((tie) => ({
      leaf: fc.oneof(text, fc.integer(), fc.boolean(), fc.constant(null)),
      tree: fc.oneof(
        { maxDepth: 4 },
        tie("leaf"),
        fc.array(tie("tree"), { maxLength: 5 }),
        fc.dictionary(text, tie("tree"), { maxKeys: 5 }),
      ),
    }));
    fc.assert(
      fc.property(
        fc.array(tree, { maxLength: 4 }),
        fc.array(fc.nat(), { maxLength: 8 }),
        (values, cuts) => {
          const bytes = Buffer.from(`${values.map((value) => JSON.stringify(value)).join("\n")}\n`);
          const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length];
          places.sort((a, b) => a - b);
          const pieces = places.slice(1).map((end, n) => bytes.subarray(places[n], end));
          expect(read(pieces).map((line) => JSON.parse(line))).toEqual(values);
        },
      ),
    );
  });
});
