/** Completion scripts: what a shell offers after words that somebody typed. */
import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { completionScript } from "../../../src/daemon/completion.ts";
import { createProgram } from "../../../src/daemon/program.ts";

const program = createProgram();

/** What bash offers for the last of `words`. */
function offered(...words: readonly string[]): string[] {
  const script = `${completionScript(program, "bash")}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}
_zmend; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync("bash", ["-c", script], { encoding: "utf8" });
  expect(stderr).toBe("");
  return stdout.split("\n").filter((line) => line !== "");
}

describe("completion", () => {
  it("offers commands", () => {
    expect(offered("zmend", "d")).toEqual(["demo", "daemon"]);
  });

  it("offers subcommands", () => {
    expect(offered("zmend", "vm", "st")).toEqual(["start", "stop"]);
  });

  it("offers the options of the command that was typed", () => {
    expect(offered("zmend", "vm", "inject", "alpha", "1", "--p")).toEqual(["--pec"]);
    expect(offered("zmend", "status", "--w")).toEqual(["--watch"]);
  });

  it("offers the values of an option that has some", () => {
    expect(offered("zmend", "demo", "--log-level", "f")).toEqual(["fatal"]);
    expect(offered("zmend", "completion", "b")).toEqual(["bash"]);
  });

  it("offers files after an option that takes one", () => {
    expect(offered("zmend", "daemon", "--config", "config/demo.")).toEqual(["config/demo.yaml"]);
  });

  it.each(["bash", "zsh", "fish"] as const)("for %s knows every command and option", (shell) => {
    const script = completionScript(program, shell);
    const walk = (command: typeof program): void => {
      for (const option of command.options) {
        if (option.long)
          expect(script).toContain(shell === "fish" ? `-l ${option.long.slice(2)}` : option.long);
      }
      for (const child of command.commands) {
        expect(script).toContain(child.name());
        walk(child);
      }
    };
    walk(program);
  });
});
