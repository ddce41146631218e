import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConsoleLines } from "../../../src/machine/console-lines.ts";

/** What one write of the guest carries at most: an SCCB never leaves its 4 KiB page. */
const WRITE_MAX = 4096;

function linesOf(...writes: (string | Uint8Array)[]): string[] {
  const lines: string[] = [];
  const console = new ConsoleLines((line) => lines.push(line));
  for (const bytes of writes) {
    console.push(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes, 0);
  }
  console.end();
  return lines;
}

describe("console lines", () => {
  it("come out whole wherever the guest cut its writes", () => {
    const text = "zrecover: ready\r\nfunction 1: ok\n\nlast";
    const whole = ["zrecover: ready", "function 1: ok", "", "last"];
    expect(linesOf(text)).toEqual(whole);
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 10 }), (cuts) => {
        const sorted = [0, ...cuts.sort((a, b) => a - b), text.length];
        const parts = sorted.slice(1).map((end, index) => text.slice(sorted[index] ?? 0, end));
        expect(linesOf(...parts)).toEqual(whole);
      }),
    );
  });

  it("hold back what has no end yet, and hand it out at the end of the run", () => {
    const lines: string[] = [];
    const console = new ConsoleLines((line) => lines.push(line));
    console.push(Buffer.from("half a"), 0);
    expect(lines).toEqual([]);
    console.push(Buffer.from(" line\n"), 0);
    expect(lines).toEqual(["half a line"]);
    console.end();
    console.end();
    expect(lines).toEqual(["half a line"]);
  });

  it("of a hostile guest carry nothing but printable ASCII to the terminal", () => {
    expect(linesOf("\u001b[2J\u001b]0;owned\u0007ok\u0000\u009b31m\u00ff\n")).toEqual([
      "?[2J?]0;owned?ok??31m?",
    ]);
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 })), (writes) => {
        for (const line of linesOf(...writes)) expect(line).toMatch(/^[\x20-\x7e]*$/);
      }),
    );
  });

  it("keep every byte but carriage returns and line feeds", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 })), (writes) => {
        const sent = writes.flatMap((bytes) => [...bytes]);
        const kept = sent.filter((byte) => byte !== 0x0a && byte !== 0x0d).length;
        expect(linesOf(...writes).join("").length).toBe(kept);
      }),
    );
  });

  it("that never end are handed out in pieces, so that the guest cannot fill our memory", () => {
    const write = "x".repeat(WRITE_MAX);
    const lines = linesOf(...Array.from({ length: 100 }, () => write));
    expect(lines.join("").length).toBe(100 * WRITE_MAX);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(2 * WRITE_MAX);
  });
});
