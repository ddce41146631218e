/** `zmend status --watch` on a terminal: what is drawn when there is room for it, and when there is not. */
import { describe, expect, it } from "vitest";
import { screen } from "../../../src/daemon/status.ts";
import { red } from "../../../src/daemon/status-table.ts";

/** Lines without what moves the cursor and clears. */
function drawn(text: string, rows?: number, columns?: number): string[] {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they begin with ESC.
  const plain = screen(text, false, { rows, columns }).replaceAll(/\u001b\[[HKJ]/g, "");
  return plain.trimEnd().split("\n");
}

describe("the screen of a watched status", () => {
  it("is cleared once, and drawn over from then on", () => {
    expect(screen("a", true, {})).toBe("\u001b[2J\u001b[Ha\u001b[K\n\u001b[J");
    expect(screen("a", false, {})).toBe("\u001b[Ha\u001b[K\n\u001b[J");
  });

  it("has everything that fits, and everything on a terminal that does not know its size", () => {
    const five = ["1", "2", "3", "4", "5"];
    expect(drawn(five.join("\n"), 6, 80)).toEqual(five);
    expect(drawn(five.join("\n"), 0, 0)).toEqual(five);
    expect(drawn(five.join("\n"))).toEqual(five);
  });

  it("says how much it has left out", () => {
    const more = (count: number): string => `… ${count} more lines: a larger window has them`;
    expect(drawn("1\n2\n3\n4\n5", 5, 80)).toEqual(["1", "2", "3", more(2)]);
    expect(drawn("1\n2\n3\n4\n5", 1, 80)).toEqual(["1", more(4)]);
  });

  it("counts a line that wraps as often as it wraps, colours not at all", () => {
    expect(drawn(`${"x".repeat(20)}\n2\n3`, 4, 10)).toEqual([
      "x".repeat(20),
      "… 2 more lines: a larger window has them",
    ]);
    const alarm = red("x".repeat(10));
    expect(drawn(`${alarm}\n2\n3`, 4, 10)).toEqual([alarm, "2", "3"]);
  });
});
