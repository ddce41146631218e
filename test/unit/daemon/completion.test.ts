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

function missing(shell: string): boolean {
  return spawnSync(shell, ["--version"]).error !== undefined;
}
const zshMissing = missing("zsh");
const fishMissing = missing("fish");
const without = (shell: string, absent: boolean): string =>
  absent ? ` (skipped: no ${shell} here)` : "";

/** What zsh would show for the last of `words`: the lists that its completion functions are handed. */
function offeredByZsh(...words: readonly string[]): string[] {
  const script = `${completionScript(program, "zsh")}
_describe() { print -rl -- "\${(@P)argv[-1]}"; }
compadd() { shift; print -rl -- "$@"; }
_files() { print -r -- FILES; }
words=(${words.map((word) => `'${word}'`).join(" ")}); CURRENT=${words.length}; _zmend`;
  // compinit would look through the user's folders.
  const stub = "compdef() { :; }\n";
  const { stdout, stderr } = spawnSync("zsh", ["-f", "-c", stub + script], { encoding: "utf8" });
  expect(stderr).toBe("");
  return stdout.split("\n").filter((line) => line !== "");
}

function offeredByFish(line: string): string[] {
  const script = `${completionScript(program, "fish")}complete -C ${JSON.stringify(line)}`;
  const { stdout, stderr } = spawnSync("fish", ["--no-config", "-c", script], { encoding: "utf8" });
  expect(stderr).toBe("");
  return stdout.split("\n").filter((each) => each !== "");
}

describe("completion", () => {
  it.skipIf(zshMissing)(`works in zsh${without("zsh", zshMissing)}`, () => {
    expect(offeredByZsh("zmend", "vm", "")).toContain(
      "inject:raise a PCI error on a function (FID or id), or an experiment's on all of them",
    );
    expect(offeredByZsh("zmend", "vm", "inject", "alpha", "--p")).toContain(
      "--pec:PCI event code, for example 0x3a",
    );
    expect(offeredByZsh("zmend", "demo", "--log-level", "f")).toContain("fatal");
    expect(offeredByZsh("zmend", "completion", "b")).toEqual(["bash", "zsh", "fish"]);
    expect(offeredByZsh("zmend", "daemon", "--config", "")).toEqual(["FILES"]);
  });

  it.skipIf(fishMissing)(`works in fish${without("fish", fishMissing)}`, () => {
    expect(offeredByFish("zmend vm st")).toEqual([
      expect.stringMatching(/^start\t/),
      expect.stringMatching(/^stop\t/),
    ]);
    expect(offeredByFish("zmend vm inject alpha --p")).toEqual([expect.stringMatching(/^--pec\t/)]);
    expect(offeredByFish("zmend demo --log-level f")).toEqual([expect.stringMatching(/^fatal\t/)]);
  });

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
