import { describe, expect, it } from "vitest";
import { diagram, matrixMarkdown, readme, testMatrix } from "../../src/recovery/diagram.ts";

// A change of the table changes these files: `npx vitest run test/golden/recovery.test.ts -u`, then read the diff.
describe("generated from the recovery table", () => {
  it("the state diagram is the one in the golden file", async () => {
    await expect(diagram()).toMatchFileSnapshot("recovery-diagram.mmd");
  });

  it("the test matrix, with every effect, is the one in the golden file", async () => {
    const lines = testMatrix().map((row) => {
      const event = row.choice === "" ? row.event : `${row.event} ${row.choice}`;
      const outcome =
        row.outcome === "step" ? `-> ${row.next} [${row.effects.join(" ")}]` : row.outcome;
      return `${row.state} | ${event} | ${outcome}`;
    });
    await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot("recovery-matrix.txt");
  });

  it("the README of src/recovery is current", async () => {
    await expect(readme()).toMatchFileSnapshot("../../src/recovery/README.md");
  });

  it("the diagram starts in operational, ends in detached and shows all eleven states", () => {
    const text = diagram();
    expect(text).toMatch(/^stateDiagram-v2\n/);
    expect(text).toContain("[*] --> operational");
    expect(text).toContain("detached --> [*]");
    const targets = new Set([...text.matchAll(/--> (\w+)/g)].map((match) => match[1]));
    expect(targets.size).toBe(11);
  });

  it("the matrix has a line for every event and choice, a column for every state", () => {
    const lines = matrixMarkdown().trimEnd().split("\n").slice(2);
    expect(lines).toHaveLength(testMatrix().length / 11);
    expect(lines.every((line) => line.split("|").length === 11 + 3)).toBe(true);
  });
});
