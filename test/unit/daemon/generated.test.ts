import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { generatedFiles } from "../../../src/daemon/generated.ts";
import { createProgram } from "../../../src/daemon/program.ts";
import { qemuOptions } from "../../../src/daemon/qemu-options.ts";

const files = new Map(generatedFiles().map((entry) => [entry.path, entry.text]));
const pages = [...files.keys()].filter((path) => path.startsWith("config/man/"));
const man = spawnSync("man", ["--version"]).status === 0;

describe("generated files", () => {
  it.each([...files])("%s is what `npm run generate` writes", (path, text) => {
    expect(readFileSync(path, "utf8")).toBe(text);
  });
});

describe("man pages", () => {
  it("of zmend name every command", () => {
    const text = files.get("config/man/zmend.1") ?? "";
    const walk = (command: ReturnType<typeof createProgram>, path: readonly string[]): void => {
      for (const child of command.commands) walk(child, [...path, child.name()]);
      if (command.commands.length === 0)
        expect(text).toContain(path.join(" ").replace(/-/g, "\\-"));
    };
    walk(createProgram(), []);
  });

  it("of zmend-system-s390x name every option", () => {
    const text = files.get("config/man/zmend-system-s390x.1") ?? "";
    for (const { name } of qemuOptions) {
      expect(text).toContain(`\\fB\\-${name.replace(/-/g, "\\-")}`);
    }
  });

  it("of the config name every key, with what it means", () => {
    const text = files.get("config/man/zmend.yaml.5") ?? "";
    const items = text.split(".TP\n").slice(1);
    expect(items.length).toBeGreaterThan(50);
    for (const entry of items) {
      const [title = "", meaning = ""] = entry.split("\n");
      expect([title, meaning.length > 5]).toEqual([title, true]);
    }
    expect(text).toContain("\\fBvms[].functions[].faults[].atMs\\fR");
  });

  it.skipIf(!man).each(pages)(
    `%s is read by man without a warning${man ? "" : " (needs man-db)"}`,
    (path) => {
      const { status, stderr, stdout } = spawnSync("man", ["--warnings", "-l", path], {
        encoding: "utf8",
        env: { ...process.env, MANWIDTH: "100", LC_ALL: "C.UTF-8" },
      });
      expect([status, stderr]).toEqual([0, ""]);
      expect(stdout).toMatch(/NAME/);
    },
  );
});
