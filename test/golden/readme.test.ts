/**
 * The README shows real output: every line of its first two text blocks is a line that
 * `zmend demo --deterministic` prints today, on any machine. When the output changes on purpose, paste the
 * new lines into the README.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const readme = readFileSync("README.md", "utf8");
const blocks = [...readme.matchAll(/```text\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");

describe("the README's tour", () => {
  it("is what the deterministic demo prints, digest included", () => {
    const run = spawnSync(
      process.execPath,
      ["dist/src/daemon/zmend.js", "demo", "--deterministic"],
      {
        encoding: "utf8",
      },
    );
    expect(run.stderr).toBe("");
    expect(run.status).toBe(0);
    const printed = new Set(run.stdout.split("\n").map((line) => line.trimEnd()));
    const shown = blocks.slice(0, 2).join("\n").split("\n");
    expect(shown.length).toBeGreaterThan(25);
    expect(shown.filter((line) => !printed.has(line.trimEnd()))).toEqual([]);
    expect(shown.some((line) => line.startsWith("ledger digest "))).toBe(true);
  });

  it("is what hello prints", () => {
    const command = "dist/src/daemon/zmend-system-s390x.js";
    const words = ["-kernel", "guest-fixtures/bin/hello.elf", "-m", "16", "-nographic"];
    const run = spawnSync(process.execPath, [command, ...words], { encoding: "utf8" });
    expect(run.status).toBe(0);
    expect(run.stdout).toBe(blocks[2]);
  });
});
